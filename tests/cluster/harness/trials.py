"""What the tests of poison, damage, sizes and draining share."""
import json
import os
import pathlib
import secrets

from harness import board, forge, support

PARTITIONS = 24  # the default of kafka.partitions


class TrialCase(support.ClusterCase):
    def setUp(self):
        super().setUp()
        self.board = board.Board(self.cluster)
        self.addCleanup(self.board.close)

    def graph(self, model, *args):
        """A generated graph, in a file of the test's folder."""
        path = self.cluster.run / f"{'-'.join(map(str, [model, *args]))}.msgpack"
        if not path.exists():
            self.cluster.ok("generate", model, *args, "--output", path)
        return path

    def expected(self, graph, *args):
        """What one machine computes, without any cache."""
        return result(self.cluster.ok("run", graph, "--strategy", "sequential", "--no-cache", *args))

    def topics(self):
        """Makes the topics."""
        self.cluster.ok("topics")

    def settled(self, count):
        """Heartbeats of so many workers, when they own all partitions between them: {id: heartbeat}."""
        def look():
            beats = self.board.workers()
            owned = [forge.read_u32s(beat["partitions"]) for beat in beats.values()]
            shared = sorted(sum(owned, [])) == list(range(PARTITIONS)) and all(owned)
            return beats if len(beats) == count and shared else None

        return support.wait_until(look, 60, lambda: f"{count} workers share the partitions: {self.board.workers()}")

    def send_probes(self, count, job=None, partitions=range(PARTITIONS), **what):
        """Units of kind probe, straight to the topic; their ids."""
        job = job or secrets.token_bytes(32)
        ids, messages = [], []
        for number in range(count):
            body = forge.probe(number, **what)
            ids.append(forge.sha256(job, body))
            messages.append((forge.unit("probe", job, body, ids[-1]), ids[-1], forge.headers("probe", job, ids[-1]),
                             partitions[number % len(partitions)]))
        self.cluster.topics.send_all(self.board.topic("units"), messages)
        return ids

    def wait_ended(self, ids, seconds=60.0):
        """Outcomes of units, when all of them have ended."""
        keys = [self.board.key("outcome", id) for id in ids]
        count = lambda: self.board.redis("EXISTS", *keys)
        support.wait_until(lambda: count() == len(keys), seconds, lambda: f"{count()} of {len(keys)} units ended")
        return [self.board.outcome(id) for id in ids]

    def one_letter(self, job=None):
        """(key, headers, value) of the one dead letter there is (of a job), which was sent once."""
        letters = {key: sent for key, sent in self.board.letters().items()
                   if job is None or sent[-1][0].get("phasemill-job") == job}
        self.assertEqual([len(sent) for sent in letters.values()], [1], letters)
        (key, [(headers, value)]), = letters.items()
        return key, headers, value

    def listed(self):
        """Ids of what `dead-letters list` shows."""
        return [letter["id"] for letter in self.cluster.json("dead-letters", "list", "--json")]


def result(printed):
    """A result without what two runs of it do not have in common: time, and who recorded what."""
    found = json.loads(printed)
    del found["seconds"], found["sccs"]["recorded"], found["sccs"]["cached"]
    return found


def busy_children(program):
    """Processes below a worker that compute: {pid: seconds of processor time}."""
    ticks = os.sysconf("SC_CLK_TCK")
    found = {}
    for pid in program.descendants():
        try:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) != program.pid:
            found[pid] = (int(fields[11]) + int(fields[12])) / ticks
    return found


def resident(pid):
    """Bytes of a process in memory."""
    try:
        return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
