"""Collectors and submitters: what they find gone they put back, and being killed costs nothing."""
import json
import time
import unittest

from harness import board, support

THETA = "1,2,4"


class Collect(support.ClusterCase):
    def setUp(self):
        super().setUp()
        self.graph = self.cluster.run / "g.msgpack"
        self.board = board.Board(self.cluster)
        self.addCleanup(self.board.close)

    def generate(self, *args):
        self.cluster.ok("generate", *args, "--output", self.graph)

    def expected(self, theta=THETA, *args):
        return self.comparable(self.cluster.ok("run", self.graph, "--theta", theta, *args, "--threads", 2,
                                               "--strategy", "sequential", "--no-cache", "--format", "json"))

    @staticmethod
    def comparable(text):
        result = json.loads(text)
        for name in ("rows_extended", "rows_squared"):
            result["method"].pop(name, None)
        return {k: v for k, v in result.items() if k not in ("seconds", "sccs")}

    def submit(self, *args):
        return self.cluster.submit(self.graph, "--min-size", 0, "--no-cache", *args)

    def collector(self, job, *args, theta=THETA):
        return self.cluster.start("collect", job, "--theta", theta, *args, "--threads", 2, "--no-cache", "--timeout",
                                  100, "--format", "json")

    def finishes(self, collector):
        self.assertEqual(collector.wait(110), 0, collector.log)
        return self.comparable(collector.out)

    def test_redis_emptied_before_anything_is_recorded(self):
        self.generate("rabbits", "--n", 15)
        job = self.submit()
        collector = self.collector(job)
        collector.wait_log("no worker", 30)
        self.board.redis.flushall()
        collector.wait_log("the job's manifest is gone from Redis; it is put back", 30)
        collector.wait_log("sent again", 30)
        self.cluster.worker()
        self.assertEqual(self.finishes(collector), self.expected())
        again = self.collector(job)  # another collector finds the manifest
        self.assertEqual(self.finishes(again), self.expected())

    def test_redis_emptied_after_everything_is_recorded(self):
        self.cluster.worker()
        self.generate("rabbits", "--n", 15)
        job = self.submit("--wait")
        self.board.redis.flushall()
        self.refused(66, "submit", "collect", job, "--theta", THETA)
        self.assertEqual(self.submit(), job)
        self.assertEqual(self.finishes(self.collector(job)), self.expected())

    def test_an_altered_trace_is_recorded_again(self):
        self.cluster.worker()
        self.generate("rabbits", "--n", 15)
        job = self.submit("--wait")
        digest = self.board.keys("trace")[0]
        key = self.board.key("trace", digest)
        value = bytearray(self.board.redis("GET", key))
        value[len(value) // 2] ^= 1
        self.board.redis("SET", key, bytes(value), "KEEPTTL")
        collector = self.collector(job)
        self.assertEqual(self.finishes(collector), self.expected())
        self.assertIn(digest, collector.log)

    def test_what_slices_need_is_put_back(self):
        self.generate("rabbits", "--n", 5)
        theta = self.cluster.run / "theta.csv"
        theta.write_text("".join(f"{1 + i},2,4\n" for i in range(40)))
        job = self.cluster.submit(self.graph, "--min-size", 1000)  # recorded by the submitter
        collector = self.collector(job, "--evaluate", "cluster", theta=theta)
        collector.wait_log("no worker", 30)
        self.board.redis.flushall()
        self.cluster.worker()
        self.assertEqual(self.finishes(collector), self.expected(theta))
        self.assertIn("they are put back", collector.log)

    def test_a_cancelled_job_ends_its_collectors(self):
        self.generate("rabbits", "--n", 15)
        job = self.submit()
        collectors = [self.collector(job) for _ in range(2)]
        for collector in collectors:
            support.wait_until(lambda: collector.running() and collector.log, 20, "the collector logs")
        self.cluster.ok("cancel", job)
        for collector in collectors:
            self.assertEqual(collector.wait(30), 65, collector.log)
            self.assertIn("was cancelled", collector.log)
        self.cluster.worker()
        self.assertEqual(self.submit(), job)
        self.assertEqual(self.finishes(self.collector(job)), self.expected())

    def test_collectors_killed_and_started_again(self):
        self.cluster.worker()
        self.generate("random", "--sccs", 300, "--size", 60, "--seed", 5)
        job = self.submit()
        for pause in (0.05, 0.2, 0.5):
            collector = self.collector(job, theta="1,2")
            time.sleep(pause)
            collector.kill()
        self.assertEqual(self.finishes(self.collector(job, theta="1,2")), self.expected("1,2"))

    def test_submitters_killed_at_any_moment(self):
        self.cluster.worker(slots=2)
        self.generate("random", "--sccs", 3000, "--size", 20, "--seed", 6)
        for pause in (0.1, 0.2, 0.3, 0.4, 0.6):
            submitter = self.cluster.start("submit", self.graph, "--min-size", 0, "--no-cache")
            time.sleep(pause)
            submitter.kill()
        job = self.submit()
        self.assertEqual(self.finishes(self.collector(job, theta="1,2")), self.expected("1,2"))
        self.assertEqual(self.board.letters(), {})


if __name__ == "__main__":
    unittest.main()
