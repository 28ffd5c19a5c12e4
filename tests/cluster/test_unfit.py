"""Workers that cannot do their work, or not as others do: a way to Redis that is cut, another prefix, a wrong clock,
children that are stopped or cannot live."""
import os
import pathlib
import signal
import time
import unittest

from harness import cut, faults, preload, processes, support, trials

UNFIT = "has not been able to do its work"


class Unfit(faults.FaultCase):
    def way(self):
        settings = self.cluster.servers.settings
        way = cut.Way(settings["host"], settings["redis"])
        self.addCleanup(way.close)
        return way

    def test_a_job_among_them(self):
        """One that never reached Redis gets no partitions; one that is cut off leaves its own to others, and joins again
        once it can; one whose child was stopped misses it; one that a limit keeps from beginning ends."""
        hung = self.cluster.worker(wrap=["bash", "-c", 'ulimit -v 60000; exec "$@"', "bash"])
        lonely = self.cluster.worker(*faults.QUICK, "--redis-address", "127.0.0.1:1")
        way = self.way()
        far = self.cluster.worker(*faults.QUICK, "--redis-address", way.address)
        lame = self.cluster.worker(*faults.QUICK)
        child, = support.wait_until(lambda: faults.children(lame), 10)
        processes.send(child, signal.SIGSTOP)
        workers, collector = self.begin(workers=1)
        way.cut()
        self.not_done()
        began = time.monotonic()
        self.finish(collector, [far, lame, lonely, *workers], seconds=90, lines=4)
        self.assertLess(time.monotonic() - began, 75)
        self.assertIn("gave no sign of life", lame.log)
        for worker in (far, lonely):
            worker.wait_log(UNFIT, 10)
        self.assertNotIn("assigned", lonely.log)
        # where the limit is met decides: a library may abort, as librdkafka does; what counts is that it does not stay
        ended = hung.wait(20)
        self.assertIn(ended, (71, -signal.SIGABRT))
        if ended == 71:
            self.assertIn("ulimit -v", hung.log)
        way.mend()
        far.wait_log("it joins the group", 30)
        began = time.monotonic()
        for worker in (lame, lonely, *workers):
            self.assertEqual(worker.terminate(20), 0)
        self.assertLess(time.monotonic() - began, 10)
        self.is_useful(far)


class OtherPrefix(faults.FaultCase):
    def test_is_noticed(self):
        """It passes units over; worker and collector say so, and the job ends right."""
        self.wanted(self.path)
        self.job = self.cluster.submit(self.path, *faults.RECORD)
        self.board.redis("CONFIG", "RESETSTAT")
        collector = self.collector()
        looked = lambda: "cmdstat_smembers" in self.board.redis.info("commandstats")
        support.wait_until(looked, 30, "the collector hears of events")
        stray = self.cluster.worker(*faults.QUICK, "--redis-prefix", "another")
        stray.wait_log("assigned", 20)
        worker = self.cluster.worker(*faults.QUICK)
        self.finish(collector, [worker, stray], seconds=60, lines=6)
        said = f"has redis.prefix another, and takes units from the topics of redis.prefix {self.cluster.name}"
        self.assertEqual(stray.log.count(said), 1, stray.log)
        self.assertEqual(collector.log.count("went astray"), 1, collector.log)
        self.assertIn(said, collector.log)


class Clocks(faults.FaultCase):
    def test_wrong(self):
        """Two hours and three days, ahead and behind: as if they were right."""
        library = preload.skew(self.cluster.run)
        far = [self.cluster.worker(*faults.QUICK, "--worker-attempts", 1, LD_PRELOAD=library, SKEW_SECONDS=str(by))
               for by in (7200, -7200, 3 * 86400, -3 * 86400)]
        workers, collector = self.begin(workers=1)
        self.finish(collector, [*far, *workers], seconds=90, lines=4)
        ids = self.send_probes(12, crash=True)
        self.assertTrue(all(outcome["code"] for outcome in self.wait_ended(ids)))
        support.wait_until(lambda: len(self.board.letters()) == 12, 20, lambda: f"{len(self.board.letters())} letters")
        for worker in [*far, *workers]:
            self.assertNotIn("refused", worker.log)
            self.assertEqual(worker.terminate(20), 0)


class Children(faults.FaultCase):
    def test_cannot_live(self):
        """Where no child can be forked, partitions are left to others."""
        group = f"/sys/fs/cgroup/pids/{self.cluster.name}"
        try:
            os.mkdir(group)
        except OSError as error:
            self.skipTest(f"this machine permits no group of processes: {error}")
        self.addCleanup(self.leave, group)
        self.topics()
        poor = self.cluster.worker(*faults.QUICK, wrap=["bash", "-c", f'echo $$ > {group}/tasks; exec "$@"', "bash"])
        self.settled(1)
        child, = faults.children(poor)
        pathlib.Path(f"{group}/pids.max").write_text("2")
        processes.send(child, signal.SIGKILL)
        poor.wait_log("cannot fork a compute child", 10)
        poor.wait_log(f"{UNFIT}.*none of its compute children lives", 40)
        poor.wait_log("given up", 10)
        pathlib.Path(f"{group}/pids.max").write_text("max")
        poor.wait_log("it joins the group", 20)
        self.wait_ended(self.send_probes(2))
        self.assertEqual(poor.terminate(), 0)

    def leave(self, group):
        self.cluster.stop_all()
        support.wait_until(lambda: not pathlib.Path(f"{group}/tasks").read_text(), 10)
        os.rmdir(group)


if __name__ == "__main__":
    unittest.main()
