"""Workers that cannot do their work, or not as others do: a way to Redis that is cut, another prefix, a wrong clock,
children that are stopped or cannot live."""
import os
import pathlib
import signal
import time
import unittest

import cut
import faults
import processes
import skew
import support
import trials

UNFIT = "has not been able to do its work"


class CutOff(faults.FaultCase):
    work = ("random", "--sccs", 300, "--size", 200, "--extra", 3)

    def way(self):
        settings = self.cluster.servers.settings
        way = cut.Way(settings["host"], settings["redis"])
        self.addCleanup(way.close)
        return way

    def far(self, way, *args):
        return self.cluster.worker(*faults.QUICK, "--redis-address", way.address, *args)

    def test_from_the_beginning(self):
        """It gets no partitions, and the job takes no longer."""
        lonely = self.cluster.worker(*faults.QUICK, "--redis-address", "127.0.0.1:1")
        lonely.wait_log("waiting for Redis", 20)
        workers, collector = self.begin(workers=2)
        self.finish(collector, [*workers, lonely], seconds=60)
        lonely.wait_log(UNFIT, 30)
        self.assertNotIn("assigned", lonely.log)
        began = time.monotonic()
        self.assertEqual(lonely.terminate(20), 0)
        self.assertLess(time.monotonic() - began, 5)

    def test_for_good_and_back(self):
        """Others get its partitions after a while; it joins again once it can."""
        way = self.way()
        far = self.far(way)
        workers, collector = self.begin(workers=2)
        way.cut()
        self.not_done()
        began = time.monotonic()
        self.finish(collector, [far, *workers], seconds=60, lines=4)
        self.assertLess(time.monotonic() - began, 60)
        far.wait_log(UNFIT, 10)
        way.mend()
        far.wait_log("it joins the group", 30)
        for worker in workers:
            self.assertEqual(worker.terminate(), 0)
        self.is_useful(far)


class OtherPrefix(faults.FaultCase):
    work = faults.SMALL

    def test_is_noticed(self):
        """It passes units over, says so, and the job ends right."""
        self.wanted(self.path)
        self.topics()
        stray = self.cluster.worker(*faults.QUICK, "--redis-prefix", "another")
        good = self.cluster.worker(*faults.QUICK)
        support.wait_until(lambda: self.board.workers() and "assigned" in stray.log, 30, "both have joined")
        self.job = self.cluster.submit(self.path, *faults.RECORD)
        ids = trials.PARTITIONS
        self.cluster.phasemill("probe", "--units", ids, "--timeout", 15)
        stray.wait_log("redis.prefix another.*takes units from the topics of redis.prefix " + self.cluster.name, 20)
        self.assertEqual(len([line for line in stray.log.splitlines() if "takes units" in line]), 1)
        self.finish(self.collector(), [good, stray], seconds=60, lines=12)


class Clocks(faults.FaultCase):
    def test_wrong(self):
        """Two hours ahead, three days behind: as if they were right."""
        library = skew.library(self.cluster.run)
        far = [self.cluster.worker(*faults.QUICK, "--worker-attempts", 1, LD_PRELOAD=library, SKEW_SECONDS=str(by))
               for by in (7200, -3 * 86400)]
        workers, collector = self.begin(workers=1)
        self.finish(collector, [*far, *workers], seconds=90, lines=4)
        ids = self.send_probes(12, crash=True)
        self.assertTrue(all(outcome["code"] for outcome in self.wait_ended(ids)))
        support.wait_until(lambda: len(self.board.letters()) == 12, 20, lambda: f"{len(self.board.letters())} letters")
        for worker in [*far, *workers]:
            self.assertNotIn("refused", worker.log)
            self.assertEqual(worker.terminate(20), 0)


class Children(faults.FaultCase):
    def test_stopped_while_idle(self):
        """One that takes its unit and does nothing is missed, and the unit is done by the next."""
        self.topics()
        worker = self.cluster.worker()
        self.settled(1)
        child, = faults.children(worker)
        processes.send(child, signal.SIGSTOP)
        ids = self.send_probes(2)
        self.wait_ended(ids, 60)
        self.assertIn("gave no sign of life", worker.log)
        self.assertEqual(self.board.letters(), {})

    def test_cannot_begin(self):
        """librdkafka waits for ever for a thread that it was refused."""
        worker = self.cluster.worker(wrap=["bash", "-c", 'ulimit -v 60000; exec "$@"', "bash"])
        self.assertEqual(worker.wait(40), 71)
        self.assertIn("ulimit -v", worker.log)

    def test_cannot_live(self):
        """Where no child can be forked, partitions are left to others."""
        group = f"/sys/fs/cgroup/pids/{self.cluster.name}"
        try:
            os.mkdir(group)
        except OSError as error:
            print(f"not run: this machine permits no group of processes: {error}")
            return
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
