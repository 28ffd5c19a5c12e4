"""Large units, many SCCs, many jobs, many units: what is stored stays small, and a worker does not grow."""
import os
import unittest

from harness import forge, graphs, support, trials

VALUE_MOST = 1 << 20
CHILD_GROWTH_MOST = 1 << 20
GROWTH_MOST = 8 << 20  # of the worker, whose heap is as large as the most that it had fetched
LONG = bool(os.environ.get("PM_LONG_TESTS"))


class Sizes(trials.TrialCase):
    def is_redis_tidy(self):
        """Every key of the test lives for a limited time, and no value of it is over 1 MiB; returns how many there are."""
        redis = self.board.redis
        keys = redis.keys(f"{self.board.name}:*")
        types = redis.pipeline([("TYPE", key) for key in keys])
        self.assertEqual([key for key, ttl in zip(keys, redis.pipeline([("TTL", key) for key in keys])) if ttl == -1], [])
        for key, kind in zip(keys, types):
            if kind == b"string":
                self.assertLessEqual(redis("STRLEN", key), VALUE_MOST, key)
            elif kind != b"none":
                words = {b"set": ("SMEMBERS", key), b"zset": ("ZRANGE", key, 0, -1), b"hash": ("HGETALL", key)}[kind]
                self.assertLess(max(map(len, redis(*words))), 1000, key)
        return len(keys)

    def test_unit_of_100_megabytes(self):
        graph = self.cluster.run / "hubs.msgpack"
        graphs.hubs(graph, 260000, 100, 50, seed=1)
        job = self.cluster.submit(graph, "--effort", "fast")
        topic = self.cluster.topics.read(self.board.topic("units"))
        self.assertEqual(len(topic), 1)
        self.assertLess(len(topic[0].value()), 1000)
        claim = forge.opened(topic[0].value())
        self.assertGreater(len(forge.opened(self.blob(claim["blob"]))["body"]), 100 << 20)
        worker = self.cluster.worker("--no-cache", slots=1)
        found = trials.result(self.cluster.collect(job, "--moments", 1, "--no-cache", timeout=300))
        self.assertGreater(self.is_redis_tidy(), 20)
        self.assertEqual(worker.terminate(), 0)
        expected = self.expected(graph, "--moments", 1, "--effort", "fast")
        self.assertEqual(found, expected)

    def blob(self, digest):
        """A value of Redis in chunks, put together."""
        head = self.board.message("blob", digest)
        self.assertGreater(head["chunks"], 1)
        keys = [f"{self.board.key('chunk', digest)}:{head['digest'].hex()[:16]}:{n}" for n in range(head["chunks"])]
        value = b"".join(self.board.redis.pipeline([("GET", key) for key in keys]))
        self.assertEqual((len(value), forge.sha256(value)), (head["size"], head["digest"]))
        return value

    def test_100000_sccs(self):
        graph = self.graph("random", "--sccs", 100000, "--size", 10)
        self.cluster.workers(2, slots=1)
        job = self.cluster.submit(graph)
        found = trials.result(self.cluster.collect(job, "--theta", "1,2", timeout=300))
        self.assertEqual(found, self.expected(graph, "--theta", "1,2"))
        self.is_redis_tidy()

    def test_50_jobs(self):
        files = [self.graph("random", "--sccs", 10, "--size", 50, "--seed", n) for n in range(50)]
        jobs = [self.cluster.submit(file) for file in files]
        self.assertEqual(len(set(jobs)), 50)
        collecting = [self.cluster.start("collect", job, "--theta", "1,2") for job in jobs]
        self.cluster.workers(2, slots=1)
        for number, (file, program) in enumerate(zip(files, collecting)):
            self.assertEqual(program.wait(120), 0, program.log)
            if number % 10 == 0:
                self.assertEqual(trials.result(program.out), self.expected(file, "--theta", "1,2"))
        self.is_redis_tidy()
        self.assertEqual(self.board.letters(), {})

    def test_memory_stays(self):
        """Batches of one size: what a worker has fetched and not begun takes memory too, up to 2 MiB a partition."""
        batch, count = (20000, 100000) if LONG else (5000, 20000)
        self.topics()
        worker = self.cluster.worker(slots=2)
        beat, = self.settled(1).values()
        done = lambda: self.board.workers()[beat["id"]]["done"]
        sizes = []
        for until in range(batch, count + 1, batch):
            self.send_probes(batch)
            support.wait_until(lambda: done() == until, 300, lambda: f"{done()} of {until} units", 0.5)
            sizes.append({pid: trials.resident(pid) for pid in [worker.pid, *worker.descendants()]})
        for pid, before in sizes[0].items():
            self.assertLess(sizes[-1][pid] - before, GROWTH_MOST if pid == worker.pid else CHILD_GROWTH_MOST, sizes)
        self.is_redis_tidy()


if __name__ == "__main__":
    unittest.main()
