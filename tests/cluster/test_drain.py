"""Workers end when they are told to, in time, and what they had goes on at once elsewhere."""
import signal
import time
import unittest

from harness import forge, support, trials


class Drain(trials.TrialCase):
    def begun(self, ids):
        return sum(self.board.attempts(id).get("begun", 0) for id in ids)

    def busy(self, worker, ids, units=1):
        """Waits until so many of the units compute."""
        support.wait_until(lambda: self.begun(ids) >= units, 30, f"{units} units begin")
        support.wait_until(lambda: len([1 for s in trials.busy_children(worker).values() if s > 0.1]) >= units, 30)

    def test_finishes_what_runs(self):
        self.topics()
        worker = self.cluster.worker(slots=2)
        ids = self.send_probes(2, seconds=1.0)
        self.busy(worker, ids, 2)
        more = self.send_probes(4, seconds=0.01)
        began = time.monotonic()
        self.assertEqual(worker.terminate(30), 0)
        self.assertLess(time.monotonic() - began, 15)
        self.assertEqual([o["code"] for o in self.wait_ended(ids, 1)], [0, 0])
        # the others were not taken, and wait for the next worker
        self.assertEqual([self.board.outcome(id) for id in more], [None] * 4)
        self.assertEqual(self.begun(more), 0)
        self.assertEqual(worker.descendants(), [])
        self.assertEqual(self.board.workers(), {})
        next_one = self.cluster.worker(slots=1)
        began = time.monotonic()
        self.wait_ended(more, 30)
        self.assertLess(time.monotonic() - began, 10)
        self.assertEqual(next_one.terminate(), 0)
        committed = self.cluster.topics.committed(self.cluster.name, self.board.topic("units"))
        ends = {p: end for p, (_, end) in self.cluster.topics.ends(self.board.topic("units")).items()}
        self.assertEqual({p: n for p, n in committed.items() if ends[p]}, {p: n for p, n in ends.items() if n})

    def test_gives_back_at_the_deadline(self):
        self.topics()
        worker = self.cluster.worker("--drain-timeout", 1, slots=2)
        other = self.cluster.worker(slots=2)
        mine, = [beat for beat in self.settled(2).values() if beat["pid"] == worker.pid]
        ids = self.send_probes(2, partitions=forge.read_u32s(mine["partitions"]), seconds=3.0)
        self.busy(worker, ids, 2)
        began = time.monotonic()
        self.assertEqual(worker.terminate(30), 0)
        self.assertLess(time.monotonic() - began, 1 + 2)
        self.assertEqual(worker.descendants(), [])
        # session.timeout.ms is 45 s: the other one has them at once, and the first try does not count
        self.busy(other, ids, 2)
        self.assertLess(time.monotonic() - began, 10)
        self.assertEqual([self.board.attempts(id) for id in ids], [{"begun": 1}] * 2)
        outcomes = self.wait_ended(ids, 40)
        self.assertEqual([(o["code"], o["attempts"]) for o in outcomes], [(0, 1)] * 2)
        self.assertEqual(self.board.letters(), {})

    def test_second_signal(self):
        self.topics()
        worker = self.cluster.worker("--drain-timeout", 60, slots=2)
        ids = self.send_probes(2, seconds=50.0)
        self.busy(worker, ids, 2)
        worker.send(signal.SIGTERM)
        worker.wait_log("leaving")
        self.assertTrue(worker.running())
        began = time.monotonic()
        self.assertEqual(worker.terminate(30), 0)
        self.assertLess(time.monotonic() - began, 5)
        self.assertEqual(worker.descendants(), [])
        self.assertEqual(self.begun(ids), 0)
        other = self.cluster.worker(slots=2)
        self.busy(other, ids, 2)
        self.assertLess(time.monotonic() - began, 15)

    def test_interrupt_while_idle(self):
        worker = self.cluster.worker(slots=1)
        support.wait_until(self.board.workers, 30, "its heartbeat")
        began = time.monotonic()
        worker.send(signal.SIGINT)
        self.assertEqual(worker.wait(30), 0)
        self.assertLess(time.monotonic() - began, 5)

    def test_while_servers_are_away(self):
        """A worker that cannot reach anybody still ends in time."""
        self.topics()
        worker = self.cluster.worker("--drain-timeout", 2, slots=1)
        ids = self.send_probes(1, seconds=50.0)
        self.busy(worker, ids)
        servers = self.cluster.servers
        servers.signal("redis", signal.SIGSTOP)
        servers.signal("broker-1", signal.SIGSTOP)
        try:
            began = time.monotonic()
            status = worker.terminate(60)
            took = time.monotonic() - began
        finally:
            servers.signal("redis", signal.SIGCONT)
            servers.signal("broker-1", signal.SIGCONT)
        self.assertEqual(status, 0)
        self.assertLess(took, 2 + 2 + 2)  # the deadline, what the end may take beyond it, and a busy machine
        self.assertEqual(worker.descendants(), [])

    def test_moves_with_its_partition(self):
        """A unit that computes while its partition goes to another worker is begun there too, and counts once: many
        workers that join one after the other do not make it look as if it took them down."""
        self.topics()
        worker = self.cluster.worker(slots=2)
        self.settled(1)
        ids = self.send_probes(2, partitions=[0, 1], seconds=20.0)
        self.busy(worker, ids, 2)
        other = self.cluster.worker(slots=2)

        def moved():
            beats = [beat for beat in self.board.workers().values() if beat["pid"] == other.pid]
            return [unit["unit"] for beat in beats for unit in beat["units"] if unit["unit"] in ids]

        moved_ids = support.wait_until(moved, 30, "a unit moves")
        support.wait_until(lambda: self.begun(moved_ids) == len(moved_ids), 10, lambda: f"{self.begun(moved_ids)} begun")
        self.assertEqual(self.begun(ids), 2)

    def test_max_units(self):
        self.topics()
        ids = self.send_probes(12)
        worker = self.cluster.worker("--max-units", 5, slots=2)
        self.assertEqual(worker.wait(60), 0)
        ended = [id for id in ids if self.board.outcome(id)]
        self.assertEqual(len(ended), 5)
        self.assertEqual(self.begun([id for id in ids if id not in ended]), 0)
        worker = self.cluster.worker("--max-units", 7, slots=2)
        self.assertEqual(worker.wait(60), 0)
        self.wait_ended(ids, 1)

    def test_exit_when_idle(self):
        self.topics()
        worker = self.cluster.worker("--exit-when-idle", 2, slots=1)
        ids = self.send_probes(2, seconds=1.5)
        began = time.monotonic()
        self.wait_ended(ids)
        ended = time.monotonic()
        self.assertEqual(worker.wait(30), 0)
        self.assertGreater(time.monotonic() - ended, 1)
        self.assertLess(time.monotonic() - ended, 8)
        self.assertGreater(ended - began, 2.5)

    def test_worker_killed(self):
        """Without any farewell its children end too."""
        self.topics()
        worker = self.cluster.worker(slots=2)
        ids = self.send_probes(2, seconds=50.0)
        self.busy(worker, ids, 2)
        worker.kill()
        support.wait_until(lambda: worker.descendants() == [], 5, "its children end")


if __name__ == "__main__":
    unittest.main()
