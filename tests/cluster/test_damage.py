"""Bytes that nobody should have sent or stored: each is named, none of them disturbs a worker."""
import os
import secrets
import signal
import time
import unittest

from harness import forge, graphs, support, trials

JOB = bytes(range(32))
UNIT, ID, PLACE = range(3)  # what headers say of a unit: all, only its id, or no more than where it was found


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


class Messages(trials.TrialCase):
    """Messages on the units topic."""

    def unit(self, kind="probe", body=None, job=JOB, id=None, **others):
        """(value, id) of a unit like no other."""
        body = body if body is not None else forge.probe(secrets.randbits(32))
        id = id or secrets.token_bytes(32)
        return forge.unit(kind, job, body, id, **others), id

    def case(self, value, id, words, kind="probe", known=UNIT, **headers):
        """A message, the words of its dead letter, and what the worker can tell of it."""
        self.cases.append((value, id, forge.headers(kind, JOB, id, **headers), words, known))

    def probe(self, words, known=UNIT, kind="probe", **headers):
        value, id = self.unit()
        self.case(value, id, words, kind, known, **headers)

    def body(self, words, kind, body):
        value, id = self.unit(kind, body)
        self.case(value, id, words, kind)

    def bytes_of_units(self):
        value, id = self.unit()
        self.case(secrets.token_bytes(3000), id, ".")
        self.case(b"", id := secrets.token_bytes(32), ".")
        self.case(None, id := secrets.token_bytes(32), ".")
        self.case(value[: len(value) // 2], secrets.token_bytes(32), ".")
        self.case(value + b"\0", secrets.token_bytes(32), ".")
        for at in (1, len(value) // 2, len(value) - 1):
            value, id = self.unit()
            self.case(flipped(value, at), id, ".")
        value, id = self.unit(version=2)
        self.case(value, id, "version 1, found 2")
        value, id = self.unit(payload=forge.pack(secrets.token_bytes(100)))
        self.case(value, id, "phasemill.unit")
        # a frame that says it unfolds to 2^60 bytes
        huge = b"\x28\xb5\x2f\xfd\xe0" + (1 << 60).to_bytes(8, "little") + b"\x01\0\0"
        value, id = self.unit(payload=huge)
        self.case(value, id, "phasemill.unit")
        self.case(forge.probe(1), secrets.token_bytes(32), "phasemill.probe")

    def kinds_and_headers(self):
        value, id = self.unit("sing")
        self.case(value, id, "sing", "sing")
        value, id = self.unit(job=secrets.token_bytes(32))
        self.case(value, id, "phasemill-job")
        value, _ = self.unit()
        self.case(value, secrets.token_bytes(32), "phasemill-unit|ce_id|unit")
        self.probe("phasemill-kind", kind="record")
        self.probe("phasemill-job", ID, phasemill_job="zz")
        self.probe("phasemill-job", ID, phasemill_job=None)
        self.probe("ce_id", PLACE, ce_id=b"\xff" * 64)
        self.probe("ce_id", PLACE, ce_id=None)
        self.probe("phasemill-kind", phasemill_kind=None)
        self.probe("phasemill-kind", phasemill_kind="k" * 1000)
        self.probe("phasemill-kind", phasemill_kind=b"\xff\xc3\0\x1b[31m")
        self.probe("phasemill-version", phasemill_version="2")
        self.probe("phasemill-version", phasemill_version=b"\xff")

    def bodies(self):
        triangle, key = [[1], [2], [0]], secrets.token_bytes(32)
        self.body("expected key " + key.hex(), "record", forge.record([triangle], [key]))
        self.body("target", "record", forge.record([[[1], [3], [0]]], [key]))
        self.body("target", "record", forge.record([[[1], [1], [0]]], [key]))
        self.body(".", "record", forge.record([[[1]]], [key]))
        self.body(".", "record", forge.record([triangle, triangle], [key]))
        self.body("phasemill.record", "record", forge.probe(1))
        self.body("phasemill.probe", "probe", b"")
        self.body("seconds", "probe", forge.probe(1, seconds=-1.0))
        self.body("seconds", "probe", forge.probe(1, seconds=float("inf")))
        self.body("phasemill.evaluate", "evaluate", secrets.token_bytes(50))

    def claims(self):
        redis = self.board.redis

        def claim(words, stored=None, size=None, id=None, value=None):
            own, of_own = self.unit()
            value = value or own
            stored = value if stored is None else stored
            digest = forge.sha256(value)
            if stored:
                redis("SET", self.board.key("blob", digest), forge.blob(stored), "EX", 1000)
            id = id or of_own
            self.case(forge.claim("probe", JOB, id, digest, size or len(value)), id, words)

        claim("gone", b"")
        claim("altered", secrets.token_bytes(300))
        one = secrets.token_bytes(32)
        claim("altered", self.unit(body=forge.probe(7), id=one)[0], value=self.unit(body=forge.probe(8), id=one)[0], id=one)
        claim("altered|size", size=1000)
        claim("size|bytes", size=1 << 50)
        claim("unit", id=secrets.token_bytes(32))

    def test_each_is_one_dead_letter(self):
        self.topics()
        worker = self.cluster.worker(slots=2)
        self.wait_ended(self.send_probes(4))
        before = worker.descendants()
        self.cases = []
        self.bytes_of_units()
        self.kinds_and_headers()
        self.bodies()
        self.claims()
        places = self.cluster.topics.send_all(self.board.topic("units"), [
            (value, id, headers, number % 24) for number, (value, id, headers, _, _) in enumerate(self.cases)])
        # a value without headers and key, as of another program
        bare, = self.cluster.topics.send_all(self.board.topic("units"), [(b"hello", None, [], 0)])
        wanted = len(self.cases) + 1
        self.all_ended(places + [bare])
        letters = self.board.letters()
        place = lambda partition, offset: forge.sha256(f"{self.board.topic('units')}/{partition}/{offset}".encode())
        for number, ((value, id, _, words, known), at) in enumerate(zip(self.cases, places)):
            with self.subTest(number=number, words=words):
                self.is_letter(letters.pop(place(*at) if known == PLACE else id), value or b"", at, words)
                if known == UNIT:
                    self.assertNotEqual(self.board.outcome(id)["code"], 0)
        self.is_letter(letters.pop(place(*bare)), b"hello", bare, ".")
        self.assertEqual(letters, {})
        self.assertEqual(len(self.listed()), wanted)
        # nobody was disturbed
        self.assertEqual(worker.descendants(), before)
        self.is_worker_well()
        self.assertEqual(worker.terminate(), 0)

    def all_ended(self, places):
        """Waits until the group has left all these messages behind."""
        ends = {}
        for partition, offset in places:
            ends[partition] = max(offset + 1, ends.get(partition, 0))
        committed = lambda: self.cluster.topics.committed(self.cluster.name, self.board.topic("units"))
        support.wait_until(lambda: ends.items() <= committed().items(), 60, lambda: f"{committed()} becomes {ends}")

    def is_letter(self, sent, value, place, words):
        (headers, content), = sent
        self.assertEqual(content, value)
        self.assertRegex(headers["__dlq.errors.message"], words)
        self.assertEqual((headers["__dlq.errors.topic"], headers["__dlq.errors.partition"],
                          headers["__dlq.errors.offset"]), (self.board.topic("units"), *map(str, place)))

    def is_worker_well(self):
        graph = self.graph("random", "--sccs", 20, "--size", 60)
        job = self.cluster.submit(graph)
        self.assertEqual(trials.result(self.cluster.collect(job, "--theta", "1,2")),
                         self.expected(graph, "--theta", "1,2"))

    def test_what_is_harmless(self):
        """Headers that are not ours, and units that come twice or with too many words, are done all the same."""
        self.topics()
        self.cluster.worker(slots=2)
        ids = []
        for extra in ({"x": "1"}, {"phasemill_new": "\xff" * 2000}, {"traceparent": "nonsense"}, {"traceparent": None},
                      {f"x{n}": "y" for n in range(100)}):
            value, id = self.unit()
            ids.append(id)
            self.cluster.topics.send(self.board.topic("units"), value, id, forge.headers("probe", JOB, id, **extra))
        self.cluster.topics.again(self.board.topic("units"))
        self.assertEqual([o["code"] for o in self.wait_ended(ids)], [0] * len(ids))
        self.assertEqual(self.board.letters(), {})


class Stored(trials.TrialCase):
    """Values in Redis."""

    def setUp(self):
        super().setUp()
        self.file = self.graph("random", "--sccs", 12, "--size", 60)
        self.right = self.expected(self.file, "--theta", "1,2")

    def alter(self, key, change):
        value = self.board.redis("GET", key)
        self.board.redis("SET", key, change(value), "KEEPTTL")

    def collected(self, job):
        """Collects the job; its result is right, and its log is returned."""
        done = self.cluster.phasemill("collect", job, "--theta", "1,2", "--no-cache")
        log = done.stderr.decode(errors="replace")
        self.assertEqual(done.returncode, 0, log)
        self.assertEqual(trials.result(done.stdout), self.right)
        return log

    def test_traces_altered(self):
        worker = self.cluster.worker("--no-cache", slots=2)
        job = self.cluster.submit(self.file)
        self.collected(job)
        traces = sorted(self.board.keys("trace"))
        self.assertEqual(len(traces), 12)
        inner = lambda value: forge.opened(value)["bytes"]
        other = self.board.redis("GET", self.board.key("trace", traces[9]))
        changes = [lambda value: secrets.token_bytes(100),
                   lambda value: b"",
                   lambda value: value[:-1],
                   lambda value: flipped(value, len(value) // 2),
                   lambda value: forge.blob(flipped(inner(value), len(inner(value)) // 2)),  # as if it were sent so
                   lambda value: forge.blob(b""),
                   lambda value: forge.envelope("phasemill.blob", {}, 2),
                   lambda value: other,
                   lambda value: forge.envelope("phasemill.blob", {
                       "digest": forge.sha256(b"x"), "size": 3 << 20, "chunks": 3, "bytes": b""})]
        for key, change in zip(traces, changes):
            self.alter(self.board.key("trace", key), change)
        strange = self.board.key("trace", traces[len(changes)])
        self.board.redis.pipeline([("DEL", strange), ("LPUSH", strange, "x"), ("EXPIRE", strange, 1000)])
        log = self.collected(job)
        for key in traces[: len(changes) + 1]:
            self.assertIn(key, log)
        self.assertTrue(worker.running())
        self.assertEqual(self.board.letters(), {})
        self.assertNotIn(traces[0], self.collected(job))

    def test_manifest_altered(self):
        self.cluster.worker(slots=2)
        job = self.cluster.submit(self.file)
        key = self.board.key("manifest", job)
        other = self.cluster.submit(self.graph("random", "--sccs", 3, "--size", 60))
        for change in (lambda value: flipped(value, len(value) // 2), lambda value: b"",
                       lambda value: self.board.redis("GET", self.board.key("manifest", other))):
            self.alter(key, change)
            done = self.cluster.phasemill("collect", job, "--theta", "1,2")
            self.assertIn(done.returncode, (65, 66), done.stderr)
            self.assertIn(job, done.stderr.decode())
            self.assertIn("submit", done.stderr.decode())
            self.assertEqual(self.cluster.submit(self.file), job)
            self.collected(job)

    def test_claim_check_gone(self):
        """The blob of a large unit is gone before a worker sees it: the job fails naming it, and can be submitted anew."""
        graph = self.cluster.run / "hubs.msgpack"
        graphs.hubs(graph, 8000, 40, 20, seed=1)
        job = self.cluster.submit(graph)
        blob, = self.board.keys("blob")
        self.board.redis("UNLINK", self.board.key("blob", blob))
        worker = self.cluster.worker(slots=1)
        self.refused(65, [f"blob {blob}", "gone"], "collect", job, "--moments", 1)
        key, headers, _ = self.one_letter(job)
        self.assertIn(blob, headers["__dlq.errors.message"])
        self.assertEqual(headers["phasemill-attempts"], "1")
        self.assertEqual(self.cluster.submit(graph), job)
        self.assertEqual(trials.result(self.cluster.collect(job, "--moments", 1)), self.expected(graph, "--moments", 1))
        self.cluster.ok("dead-letters", "drop", key.hex())
        self.assertTrue(worker.running())

    def test_board_altered(self):
        """What operators and collectors read of each other may be nonsense: named, and no end of anybody."""
        worker = self.cluster.worker(slots=2)
        job = self.cluster.submit(self.file)
        self.collected(job)
        for space in ("job", "unit", "outcome", "worker"):
            for key in self.board.redis.keys(f"{self.board.name}:{space}:*"):
                self.board.redis("SET", key, secrets.token_bytes(50), "KEEPTTL")
        self.cluster.phasemill("status", "--json")
        self.board.redis.flushall()
        self.assertEqual(self.cluster.submit(self.file), job)
        self.collected(job)
        self.assertTrue(worker.running())


class Slices(trials.TrialCase):
    """Units of kind evaluate when something happens to them."""

    THETA = ";".join(f"{0.5 + row / 100},1.5" for row in range(150))
    ASKED = ("--theta", THETA, "--moments", 2, "--pdf", "--cdf", "--times", "0.5:20:0.5")

    def setUp(self):
        super().setUp()
        self.file = self.graph("random", "--sccs", 12, "--size", 200)
        self.right = self.expected(self.file, *self.ASKED)

    def evaluated(self, job):
        done = self.cluster.phasemill("collect", job, *self.ASKED, "--evaluate", "cluster")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(trials.result(done.stdout), self.right)
        return done.stderr.decode()

    def test_results_altered(self):
        worker = self.cluster.worker(slots=2)
        job = self.cluster.submit(self.file)
        self.evaluated(job)
        results = self.board.keys("result")
        self.assertGreater(len(results), 1)
        sent = len(self.cluster.topics.read(self.board.topic("units")))
        self.evaluated(job)
        self.assertEqual(len(self.cluster.topics.read(self.board.topic("units"))), sent)
        for key, change in zip(results, (lambda value: flipped(value, len(value) // 2), lambda value: b"")):
            name = self.board.key("result", key)
            self.board.redis("SET", name, change(self.board.redis("GET", name)), "KEEPTTL")
        log = self.evaluated(job)
        for key in results[:2]:
            self.assertIn(key, log)
        self.assertTrue(worker.running())

    def test_children_killed(self):
        worker = self.cluster.worker(slots=2)
        job = self.cluster.submit(self.file)
        self.cluster.collect(job, "--theta", "1,2")
        theta = ";".join(f"{0.5 + row / 1000},1.5" for row in range(1500))
        asked = ("--theta", theta, *self.ASKED[2:])
        collecting = self.cluster.start("collect", job, *asked, "--evaluate", "cluster")
        killed = 0
        while collecting.running() and killed < 2:  # a third could be one too many for a unit
            computing = [pid for pid, used in trials.busy_children(worker).items() if used > 0.15]
            if computing:
                os.kill(computing[0], signal.SIGKILL)
                killed += 1
            time.sleep(0.2)
        self.assertEqual(collecting.wait(120), 0, collecting.log)
        self.assertGreater(killed, 0)
        self.assertEqual(trials.result(collecting.out), self.expected(self.file, *asked))
        self.assertEqual(self.board.letters(), {})

    def test_traces_gone(self):
        """What slices need and Redis has lost is recorded again."""
        worker = self.cluster.worker("--no-cache", slots=2)
        job = self.cluster.submit(self.file)
        self.cluster.collect(job, "--theta", "1,2")
        self.board.redis("UNLINK", *[self.board.key("trace", key) for key in self.board.keys("trace")])
        self.evaluated(job)
        self.assertTrue(worker.running())

    def test_manifest_gone(self):
        """Slices whose job nobody knows any more fail with that."""
        self.topics()
        body = {"result": secrets.token_bytes(32), "fused": True, "normalize_start": False, "n_theta": 1, "n_params": 2,
                "theta": forge.f64s([1, 2]), "n_moments": 1, "factorial": False, "covariance": False, "n_rewards": 0,
                "rewards": b"", "n_times": 0, "times": b"", "times_per_theta": False, "pdf": False, "cdf": False,
                "tolerance": 1e-9, "tail_accuracy": False}
        worker = self.cluster.worker(slots=1)
        ids = []
        for change in ({}, {"n_theta": 7}, {"theta": b""}, {"n_theta": 1 << 60, "n_params": 1 << 60}):
            encoded = forge.envelope("phasemill.evaluate", {**body, **change})
            id = secrets.token_bytes(32)
            ids.append(id)
            self.cluster.topics.send(self.board.topic("units"), forge.unit("evaluate", JOB, encoded, id), id,
                                     forge.headers("evaluate", JOB, id))
        outcomes = self.wait_ended(ids)
        self.assertNotIn(0, [o["code"] for o in outcomes])
        self.assertIn(JOB.hex(), outcomes[0]["error"])
        self.assertEqual(set(self.board.letters()), set(ids))
        self.assertTrue(worker.running())


if __name__ == "__main__":
    unittest.main()
