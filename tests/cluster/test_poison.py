"""Units that cannot be done: tried three times, one dead letter, a job that fails with the reason, and others that do
not notice."""
import json
import os
import signal
import time
import unittest

from harness import support, trials

SLOW = ("tandem", "--k1", 250, "--k2", 250)  # with --effort best, seconds to record, and little to evaluate
LARGE = ("tandem", "--k1", 150, "--k2", 150)  # dozens of megabytes
OTHER = ("random", "--sccs", 40, "--size", 60)
TRIES = 3


class Poison(trials.TrialCase):
    def setUp(self):
        super().setUp()
        self.other = self.graph(*OTHER)

    def fails(self, graph, theta, words, worker, **checks):
        """Submits a job that must fail and one that must not; returns the job and the failed unit's id."""
        job = self.cluster.submit(graph, "--effort", "best")
        fine = self.cluster.submit(self.other)
        (unit, record), = self.board.units(bytes.fromhex(job)).items()
        place = f"partition {record['partition']} offset {record['offset']}"
        topic = self.board.topic("units")
        during = checks.get("during")
        if during:
            during(unit)
        text = self.refused(65, [*words, place, topic, f"{TRIES} attempts"], "collect", job, "--theta", theta)
        self.assertEqual(trials.result(self.cluster.collect(fine, "--theta", "1,2")),
                         self.expected(self.other, "--theta", "1,2"))
        self.assertTrue(worker.running())
        self.is_one_letter(job, unit, record, words, text)
        return job, unit

    def is_one_letter(self, job, unit, record, words, text):
        key, headers, value = self.one_letter()
        self.assertEqual(key, unit)
        said = headers["__dlq.errors.message"]
        for word in words:
            self.assertIn(word, said)
        self.assertIn(said, text)
        topic = self.board.topic("units")
        expected = {"__dlq.errors.topic": topic, "__dlq.errors.partition": str(record["partition"]),
                    "__dlq.errors.offset": str(record["offset"]), "__dlq.errors.group": self.cluster.name,
                    "phasemill-attempts": str(TRIES), "phasemill-job": job, "phasemill-kind": record["kind"]}
        if record["kind"] == "record":
            expected["phasemill-scc"] = record["items"].hex()
            self.assertIn(record["items"].hex(), text)
        self.assertEqual({name: headers.get(name) for name in expected}, expected)
        sent = [m for m in self.cluster.topics.read(topic) if m.key() == unit]
        self.assertEqual([m.value() for m in sent], [value])
        outcome = self.board.outcome(unit)
        self.assertEqual((outcome["attempts"], outcome["error"]), (TRIES, said))
        self.assertEqual(self.board.failure(bytes.fromhex(job)), outcome)
        self.assertEqual(self.listed(), [unit.hex()])
        self.assertIn(said, json.dumps(self.cluster.status(job), ensure_ascii=False))

    def replays(self, job, graph, theta, worker):
        """With another worker, the dead letter is replayed and the job finished."""
        self.assertEqual(worker.terminate(), 0)
        self.cluster.worker(slots=2)
        self.cluster.ok("dead-letters", "replay", "--job", job)
        self.cluster.ok("dead-letters", "drop", "--all")
        self.assertEqual(self.listed(), [])
        self.assertEqual(self.board.letters(), {})
        self.assertEqual(trials.result(self.cluster.collect(job, "--theta", theta)),
                         self.expected(graph, "--theta", theta, "--effort", "best"))

    def test_time(self):
        graph = self.graph(*SLOW)
        worker = self.cluster.worker(slots=2, PHASEMILL_WORKER_UNIT_SECONDS="1")
        began = time.monotonic()
        job, _ = self.fails(graph, "1,2,2,1", ["overran", "1 s"], worker)
        self.assertLess(time.monotonic() - began, 40)
        self.replays(job, graph, "1,2,2,1", worker)

    def test_memory(self):
        graph = self.graph(*LARGE)
        worker = self.cluster.worker(slots=2, PHASEMILL_WORKER_UNIT_MEMORY="8M")
        job, _ = self.fails(graph, "1,2,2,1", ["memory"], worker)
        probe, = self.wait_ended(self.send_probes(1, bytes=64 << 20))
        self.assertEqual(probe["attempts"], TRIES)
        self.assertIn("memory", probe["error"])
        self.replays(job, graph, "1,2,2,1", worker)

    def kill_children(self, unit, worker):
        for faults in range(TRIES):
            support.wait_until(lambda: self.board.attempts(unit).get("faults", 0) == faults, 30, f"{faults} faults")
            computing = lambda: [pid for pid, used in trials.busy_children(worker).items() if used > 0.3]
            os.kill(support.wait_until(computing, 30, "a child computes")[0], signal.SIGKILL)
        support.wait_until(lambda: self.board.outcome(unit), 30, "the unit has failed")

    def test_killed(self):
        graph = self.graph(*SLOW)
        worker = self.cluster.worker(slots=1)
        job, _ = self.fails(graph, "1,2,2,1", ["killed by signal 9"], worker,
                            during=lambda unit: self.kill_children(unit, worker))
        self.replays(job, graph, "1,2,2,1", worker)

    def test_crash(self):
        worker = self.cluster.worker(slots=2)
        self.cluster.ok("probe", "--units", 1, "--crash")
        self.cluster.ok("probe", "--units", 20)
        self.assertTrue(worker.running())
        key, headers, _ = self.one_letter()
        self.assertIn("signal 6", headers["__dlq.errors.message"])
        self.assertEqual(headers["phasemill-attempts"], str(TRIES))
        shown = self.cluster.ok("dead-letters", "show", key.hex()).decode()
        self.assertIn(headers["__dlq.errors.message"], shown)
        self.refused(66, "0" * 64, "dead-letters", "show", "0" * 64)
        self.cluster.ok("dead-letters", "drop", key.hex())
        self.assertEqual(self.listed(), [])
        self.assertEqual(self.board.letters(), {})
        self.assertEqual(worker.terminate(), 0)

    def test_replayed_in_vain(self):
        """What fails again is a dead letter again, of the same key."""
        self.cluster.worker(slots=1)
        self.topics()
        id, = self.send_probes(1, crash=True)
        self.wait_ended([id])
        self.assertEqual(list(self.board.letters()), [id])
        self.cluster.ok("dead-letters", "replay", id.hex())
        support.wait_until(lambda: list(self.board.letters()) == [id], 30, "a dead letter again")
        self.assertEqual(len(self.board.letters()[id]), 3)  # a letter, a tombstone, a letter
        self.assertEqual(self.wait_ended([id])[0]["attempts"], TRIES)

    def test_takes_its_worker_down(self):
        """A unit that its whole worker does not survive ends too: after ten attempts begun."""
        self.topics()
        id, = self.send_probes(1, seconds=30)
        redis = self.board.redis
        # as nine workers left it that had died with it
        redis("HSET", self.board.key("attempts", id), "begun", 10)
        redis("EXPIRE", self.board.key("attempts", id), 1000)
        self.cluster.worker(slots=1)
        outcome, = self.wait_ended([id])
        self.assertNotEqual(outcome["code"], 0)
        self.assertRegex(outcome["error"], "worker")
        self.assertEqual(list(self.board.letters()), [id])


if __name__ == "__main__":
    unittest.main()
