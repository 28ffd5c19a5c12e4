"""Faults under a running job: each ends in the right result, with nothing lost, in bounded time."""
import signal
import time
import unittest

from harness import faults, graphs, network, processes, support, trials


class Workers(faults.FaultCase):
    def test_children_killed(self):
        workers, collector = self.begin(workers=2, slots=2)
        ids = [worker.pid for worker in workers]
        for turn in range(4):
            # one that computes, and not for the same unit again
            pid = self.random.choice(faults.children(workers[turn % 2]))
            self.assertTrue(processes.send(pid, signal.SIGKILL))
            time.sleep(0.3)
        self.finish(collector, workers, lines=8)
        self.assertEqual([worker.pid for worker in workers], ids)
        for worker in workers:
            self.assertEqual(len(faults.children(worker)), 2)

    def test_workers_killed(self):
        workers, collector = self.begin(done=0.05)
        for turn in range(4):
            worker = workers.pop(0)
            family = worker.descendants()
            worker.kill()
            support.wait_until(lambda: not set(family) & set(worker.descendants()), 5, "its children end with it")
            if turn == 0:
                self.not_done()
            workers.append(self.cluster.worker(*faults.QUICK))
            time.sleep(0.3)
        self.finish(collector, workers, seconds=90, lines=10)

    def test_worker_stopped_for_long(self):
        """Others do its units; what it brings when it goes on changes nothing."""
        workers, collector = self.begin()
        stopped = workers[0]
        stopped.stop()
        self.not_done()
        time.sleep(faults.SESSION + 3)
        stopped.cont()
        self.finish(collector, workers, lines=10)
        for worker in workers[1:]:
            self.assertEqual(worker.terminate(), 0)
        self.is_useful(stopped)

    def test_workers_come_and_go(self):
        """Every two seconds somebody joins or leaves the group."""
        workers, collector = self.begin(workers=2, done=0.02)
        self.assertTrue(collector.running())
        for turn in range(6):
            if turn % 2 == 0:
                workers.append(self.cluster.worker(*faults.QUICK))
            else:
                self.assertEqual(workers.pop(0).terminate(), 0)
            time.sleep(2)
        self.finish(collector, workers, lines=20)

    def test_every_message_twice(self):
        self.wanted(self.path)
        self.job = self.cluster.submit(self.path, *faults.RECORD)
        topic = self.board.topic("units")
        self.cluster.topics.again(topic)
        workers = self.cluster.workers(3, *faults.QUICK)
        collector = self.collector()
        self.wait_done(0.5)
        # and again when half of them is done
        self.cluster.topics.again(topic)
        self.finish(collector, workers)


class Redis(faults.FaultCase):
    def test_killed(self):
        workers, collector = self.begin()
        self.cluster.servers.kill("redis")
        time.sleep(3)
        self.cluster.servers.start("redis")
        self.reconnect()
        self.not_done()
        self.finish(collector, workers)
        for program in [collector, *workers]:
            self.assertIn("Redis", program.log)

    def reconnect(self):
        self.board.close()
        self.board.redis = self.cluster.redis()

    def test_emptied(self):
        """What was there is recorded again, by way of the collector."""
        workers, collector = self.begin(done=0.6)
        self.board.redis.flushall()
        self.finish(collector, workers)
        self.assertIn("sent again", collector.log)

    def test_emptied_before_collect(self):
        workers, collector = self.begin()
        self.assertEqual(collector.wait(60), 0)
        self.board.redis.flushall()
        message = self.refused(66, [self.job, "submit"], "collect", self.job, *faults.ASKED)
        self.assertLess(len(message), 600)
        self.assertEqual(self.cluster.submit(self.path, *faults.RECORD), self.job)
        self.finish(self.collector(), workers)

    def test_emptied_under_a_claim_check(self):
        """A large unit whose blob went with all else fails, is forgiven and sent again."""
        path = self.cluster.run / "hubs.msgpack"
        graphs.hubs(path, 8000, 40, 20, seed=1)
        self.job = self.cluster.submit(path)
        collector = self.cluster.start("collect", self.job, "--moments", 1, "--timeout", 120)
        collector.wait_log("recording: 0 %", 60)
        collector.stop()
        self.board.redis.flushall()
        worker = self.cluster.worker(*faults.QUICK)
        support.wait_until(self.board.letters, 30, "the unit without blob is a dead letter")
        collector.cont()
        self.assertEqual(collector.wait(60), 0, collector.log)
        self.assertIn("gone from Redis", collector.log)
        self.assertEqual(trials.result(collector.out), self.expected(path, "--moments", 1))
        self.assertTrue(worker.running())

    def test_full(self):
        workers, collector = self.begin()
        self.board.redis.config_set("maxmemory", "1mb")
        self.not_done()
        count = self.traces()
        for worker in workers:
            worker.wait_log("OOM", 20)
        time.sleep(3)
        self.assertEqual(self.traces(), count)
        self.board.redis.config_set("maxmemory", "768mb")
        self.finish(collector, workers)


class Programs(faults.FaultCase):
    def test_collector_killed(self):
        workers, collector = self.begin()
        collector.kill()
        self.not_done()
        self.finish(self.collector(), workers)

    def test_submit_killed(self):
        """Half-way, several times, and then not: one job."""
        self.wanted(self.path)
        workers = self.cluster.workers(2, *faults.QUICK)
        for turn in range(6):
            submit = self.cluster.start("submit", self.path, *faults.RECORD)
            time.sleep(0.1 * turn + self.random.uniform(0, 0.2))
            submit.kill()
        self.job = self.cluster.submit(self.path, *faults.RECORD)
        self.finish(self.collector(), workers, seconds=90)
        jobs = self.board.redis("ZCARD", f"{self.cluster.name}:jobs")
        self.assertEqual(jobs, 1)


class OnlyBroker(faults.FaultCase):
    def test_restarted(self):
        workers, collector = self.begin()
        self.cluster.servers.terminate("broker-1")
        self.cluster.servers.start("broker-1")
        self.finish(collector, workers, seconds=90, lines=4)
        for worker in workers[1:]:
            self.assertEqual(worker.terminate(), 0)
        self.is_useful(workers[0])


class ThreeBrokers(faults.FaultCase):
    options = {"brokers": 3}

    def test_one_killed(self):
        """The job ends without it, and with it back there is a next."""
        workers, collector = self.begin()
        victim = self.random.choice(self.cluster.servers.brokers)
        self.cluster.servers.kill(victim)
        self.not_done()
        self.finish(collector, workers, seconds=90, lines=4)
        self.cluster.servers.start(victim)
        for worker in workers[1:]:
            self.assertEqual(worker.terminate(), 0)
        self.is_useful(workers[0])


class Cable(faults.FaultCase):
    """A worker in a network of its own."""

    @classmethod
    def setUpClass(cls):
        cls.reason = network.why_not()
        if not cls.reason:
            cls.other = network.Network()
            cls.other.__enter__()
            cls.addClassCleanup(cls.other.__exit__)
            cls.options = {"host": cls.other.host}
        super().setUpClass()

    def test_pulled_and_put_back(self):
        """Others do its units, and it finds back."""
        if self.reason:
            self.skipTest(f"this machine permits no network namespaces: {self.reason}")
        far = self.cluster.worker(*faults.QUICK, wrap=self.other.wrap)
        workers, collector = self.begin(workers=1)
        self.other.cut()
        self.not_done()
        time.sleep(faults.SESSION + 3)
        self.other.join()
        self.finish(collector, [far, *workers], seconds=90, lines=4)
        self.assertEqual(workers[0].terminate(), 0)
        self.is_useful(far)


if __name__ == "__main__":
    unittest.main()
