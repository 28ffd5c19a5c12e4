"""A job of some seconds, what happens to its servers and programs, and how all must end."""
import collections
import random
import re

import confluent_kafka

from harness import processes, support, trials

# 300 SCCs of some 15 ms each, so that a fault finds the job half done
WORK = ("random", "--sccs", 300, "--size", 200, "--extra", 3)
SMALL = ("random", "--sccs", 40, "--size", 60)
RECORD = ("--effort", "best")
ASKED = ("--theta", "1,2;3,0.5", "--moments", 2)
SESSION = 6.0
# Kafka misses a dead worker after SESSION seconds
QUICK = ("-X", f"session.timeout.ms={SESSION * 1000:.0f}", "-X", "heartbeat.interval.ms=1000")

_results = {}


def messages(log):
    """How often each line was logged, whatever numbers and names it holds; lines of progress are left out."""
    masked = re.sub(r"\b[0-9a-f]{12,}\b|\d+(?:[.:,-]\d+)*", "#", log)
    progress = re.compile(r"phasemill: (recording|evaluating): # %|phasemill: # of # items are there")
    return collections.Counter(line for line in masked.splitlines() if not progress.match(line))


def children(worker):
    """Process ids of a worker's compute children: those below its spawner."""
    return [pid for pid in worker.descendants() if processes.parent(pid) not in (worker.pid, None)]


def unread(cluster):
    """Units on the topic that the workers' group has not committed, by partition."""
    topic, group = f"{cluster.name}.units", cluster.environment(cluster.run)["PHASEMILL_KAFKA_GROUP"]
    committed = cluster.topics.committed(group, topic)
    left = {p: end - max(first, committed[p]) for p, (first, end) in cluster.topics.ends(topic).items()}
    return {p: n for p, n in left.items() if n != 0}


def delete_units(cluster):
    """Deletes the topic of units. False when it cannot be reached, or is not there."""
    try:
        cluster.topics.delete(f"{cluster.name}.units")
        return True
    except confluent_kafka.KafkaException:
        return False


def send_again(cluster):
    """The last units of each partition, once more. False when Kafka refuses them, or there are none."""
    try:
        return bool(cluster.topics.again(f"{cluster.name}.units", last=3))
    except confluent_kafka.KafkaException:
        return False


def refuse_messages(cluster, name):
    """A topic refuses what is sent to it, as brokers do with the timestamps of a clock that is wrong."""
    settings = {"cleanup_policy": "compact"} if name == "dead-letters" else {}
    return _configure(cluster, name, message_timestamp_before_max_ms=0, **settings)


def accept_messages(cluster, name):
    settings = {"cleanup_policy": "compact"} if name == "dead-letters" else {}
    return _configure(cluster, name, message_timestamp_type="LogAppendTime", **settings)


def _configure(cluster, name, **settings):
    if name == "units":
        settings |= {"retention_ms": 168 * 3600000, "retention_bytes": -1}
    try:
        cluster.topics.configure(f"{cluster.name}.{name}", max_message_bytes=2097152, **settings)
        return True
    except confluent_kafka.KafkaException:
        return False


class FaultCase(trials.TrialCase):
    work = WORK

    def setUp(self):
        super().setUp()
        self.path = self.kept(*self.work)
        self.random = random.Random(self._testMethodName)

    def kept(self, model, *args):
        """A generated graph, for all tests on these servers."""
        folder = self.cluster.folder / "kept"
        folder.mkdir(exist_ok=True)
        path = folder / f"{'-'.join(map(str, [model, *args]))}.msgpack"
        if not path.exists():
            self.cluster.ok("generate", model, *args, "--output", path)
        return path

    def wanted(self, path):
        """What one machine computes of a kept graph."""
        if path.name not in _results:
            _results[path.name] = self.expected(path, *RECORD, *ASKED)
        return _results[path.name]

    def traces(self):
        """Traces that are in Redis."""
        return len(self.board.keys("trace"))

    def begin(self, workers=3, done=0.15, slots=1, **options):
        """Workers at work on the job, a collector that waits for it, and a share of the traces done: (workers,
        collector)."""
        self.wanted(self.path)
        started = self.cluster.workers(workers, *QUICK, slots=slots, **options)
        self.job = self.cluster.submit(self.path, *RECORD)
        collector = self.collector()
        self.wait_done(done)
        return started, collector

    def collector(self):
        return self.cluster.start("collect", self.job, *ASKED, "--timeout", 120)

    def wait_done(self, share, seconds=60):
        least = share * self.work[2]
        support.wait_until(lambda: self.traces() >= least, seconds, lambda: f"{self.traces()} of {least:.0f} traces")

    def not_done(self):
        """The fault came in time."""
        self.assertLess(self.traces(), self.work[2], "the job was done before anything happened to it")

    def finish(self, collector, workers=(), seconds=60, lines=3):
        """The result is right, nothing is lost, nothing is dead, and the workers live and did not talk too much."""
        self.assertEqual(collector.wait(seconds), 0, collector.log[-2000:])
        self.assertEqual(trials.result(collector.out), self.wanted(self.path))
        self.all_is_well([collector, *workers], lines)
        for worker in workers:
            self.assertTrue(worker.running(), worker.log[-2000:])

    def all_is_well(self, programs, lines):
        left = lambda: unread(self.cluster)
        support.wait_until(lambda: not left(), 30, lambda: f"units that nobody has taken: {left()}", every=0.5)
        self.assertEqual(self.board.letters(), {})
        for program in programs:
            often = {line: n for line, n in messages(program.log).items() if n > lines}
            self.assertEqual(often, {}, f"{program.folder.name} says the same again and again")

    def is_useful(self, worker):
        """A worker, the only one now, does another job."""
        other = self.kept(*SMALL)
        self.assertTrue(worker.running())
        job = self.cluster.submit(other, *RECORD)
        self.assertEqual(trials.result(self.cluster.collect(job, *ASKED, "--timeout", 60)), self.wanted(other))
        self.assertTrue(worker.running())
