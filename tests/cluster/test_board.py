"""The board in Redis: bad values that cost their own job only and are mended, clocks, traces that do not fit, and what a
look at it costs."""
import os
import re
import signal
import time
import unittest

import msgpack

from harness import forge, preload, support, trials

DATA, UNAVAILABLE, TEMPORARY = 65, 69, 75
DAY = 86400


class BoardCase(trials.TrialCase):
    def setUp(self):
        super().setUp()
        self.file = self.graph("random", "--sccs", 12, "--size", 60)

    def submit(self, graph=None, *args):
        return self.cluster.submit(graph or self.file, "--no-cache", "--min-size", 0, *args)

    def state(self, job, shown=None):
        """The state that the list of all jobs shows of one."""
        return {j["job"]: j for j in (shown or self.cluster.status())["jobs"]}[job]["state"]

    def collected(self, job, graph=None, *args):
        """Collects the job; its result is right, and its log is returned."""
        done = self.cluster.phasemill("collect", job, "--theta", "1,2", "--no-cache", "--timeout", 60, *args)
        log = done.stderr.decode(errors="replace")
        self.assertEqual(done.returncode, 0, log)
        self.assertEqual(trials.result(done.stdout), self.expected(graph or self.file, "--theta", "1,2"))
        return log


class BadValues(BoardCase):
    def put(self, key, kind, value=b"junk"):
        """A value of a type in the key's place."""
        add = {"string": ("SET", key, value), "list": ("RPUSH", key, "x"), "set": ("SADD", key, "x"),
               "hash": ("HSET", key, "x", "y"), "zset": ("ZADD", key, 1, "x"), "stream": ("XADD", key, "*", "x", "y")}
        self.board.redis.pipeline([("DEL", key), add[kind], ("EXPIRE", key, 3600)])

    def test_each_costs_its_own_job_and_submitting_mends_it(self):
        self.cluster.worker(slots=2)
        other = self.graph("random", "--sccs", 3, "--size", 60)
        others = self.submit(other)
        job = self.submit()
        self.collected(job)
        self.collected(others, other)
        unit = next(iter(self.board.units(bytes.fromhex(job))))
        newer = forge.envelope("phasemill.job", {}, 2)
        huge = b"\xff" * (8 << 20)
        cases = [(space, id, kind, value)
                 for space, id, kinds in [("job", job, "string list"), ("failed", job, "string set"),
                                          ("job-units", job, "hash"), ("job-done", job, "string"),
                                          ("tally", job, "list"), ("unit", unit, "string zset"),
                                          ("outcome", unit, "string"), ("attempts", unit, "stream")]
                 for kind in kinds.split() for value in [b"junk"]]
        cases += [("job", job, "string", newer), ("job", job, "string", huge), ("failed", job, "string", huge)]
        for space, id, kind, value in cases:
            with self.subTest(space=space, kind=kind, size=len(value)):
                key = self.board.key(space, id)
                # the job has something left to do
                lost = self.board.keys("trace")[0]
                self.board.redis("DEL", self.board.key("trace", lost))
                self.put(key, kind, value)
                shown = self.cluster.status()
                self.assertEqual(self.state(others, shown), "done")
                if space in ("job", "failed", "job-units", "job-done", "tally"):
                    fault = {j["job"]: j for j in shown["jobs"]}[job]["fault"]
                    self.assertEqual(self.state(job, shown), "unreadable")
                    self.assertIn(key, fault)
                    self.assertIn(key, self.cluster.ok("status").decode())
                self.cluster.ok("status", job, "--json")
                self.assertEqual(self.submit(), job)
                self.collected(job)
                self.assertIn(self.state(job), ("done", "running"))
                self.assertIsNone({j["job"]: j for j in self.cluster.status()["jobs"]}[job]["fault"])

    def test_a_collector_goes_on(self):
        """Without a new submission, too."""
        job = self.submit()
        unit = next(iter(self.board.units(bytes.fromhex(job))))
        for space, id, kind in [("job", job, "list"), ("failed", job, "string"), ("job-units", job, "string"),
                                ("unit", unit, "list"), ("outcome", unit, "string")]:
            self.put(self.board.key(space, id), kind)
        self.cluster.worker(slots=2)
        log = self.collected(job)
        self.assertIn(self.board.key("failed", job), log)

    def test_lists_of_all(self):
        """The lists of workers and of jobs: strange members are left out, another type is mended by the next to write."""
        worker = self.cluster.worker(slots=2)
        support.wait_until(self.board.workers, 30)
        job = self.submit()
        workers, jobs = f"{self.cluster.name}:workers", f"{self.cluster.name}:jobs"
        self.board.redis.pipeline([("ZADD", workers, time.time(), "a b"), ("ZADD", workers, time.time(), b"\xff\0"),
                                   ("ZADD", jobs, time.time(), "short")])
        shown = self.cluster.status()
        self.assertEqual(len(shown["workers"]), 1)
        self.assertEqual([j["job"] for j in shown["jobs"]], [job])
        run = self.cluster.phasemill("run", self.file, "--theta", "1,2", "--no-cache", "--strategy", "cluster")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("is left out", run.stderr.decode())
        self.put(workers, "string")
        self.put(jobs, "list")
        self.refused(DATA, jobs, "status")
        self.assertEqual(self.submit(), job)
        self.collected(job)
        self.assertEqual([j["job"] for j in self.cluster.status()["jobs"]], [job])
        support.wait_until(lambda: self.cluster.status()["workers"], 15)
        self.assertTrue(worker.running())

    def test_manifests(self):
        """Cut, of another type, in chunks that are not there or are no strings, larger than allowed."""
        self.cluster.worker(slots=2)
        job = self.submit()
        self.collected(job)
        key = self.board.key("manifest", job)
        right = self.board.redis("GET", key)
        inner = forge.opened(right)["bytes"]
        chunked = forge.envelope("phasemill.blob", {"digest": forge.sha256(b"x"), "size": 3 << 20, "chunks": 3, "bytes": b""})
        for value in (right[: len(right) // 2], forge.blob(inner[: len(inner) // 2]), chunked, b"\xff" * (4 << 20)):
            with self.subTest(size=len(value)):
                self.put(key, "string", value)
                self.refused_any((65, 66), [job, "submit"], "collect", job, "--theta", "1,2", "--timeout", 20)
                self.assertEqual(self.submit(), job)
                self.collected(job)
        self.put(key, "set")
        self.refused_any((65, 66), [job, "submit"], "collect", job, "--theta", "1,2", "--timeout", 20)
        self.assertEqual(self.submit(), job)
        self.refused_any((65, 71), ["manifest", "--memory"], "collect", job, "--theta", "1,2", "--memory", 1000)

    def refused_any(self, codes, parts, *args):
        done = self.cluster.phasemill(*args)
        self.assertIn(done.returncode, codes, done.stderr)
        for part in parts:
            self.assertIn(part, done.stderr.decode(errors="replace"))


class Clocks(BoardCase):
    def test_a_worker_days_ahead_takes_nobody_off_the_list(self):
        self.topics()
        library = preload.skew(self.cluster.run)
        right = self.cluster.worker(slots=1)
        self.cluster.worker(slots=1, LD_PRELOAD=library, SKEW_SECONDS=str(3 * DAY))
        self.settled(2)
        now = float(self.board.redis("TIME")[0])
        for score in self.board.redis("ZREVRANGE", f"{self.cluster.name}:workers", 0, -1, "WITHSCORES")[1::2]:
            self.assertLess(abs(float(score) - now), 10)
        for beat in self.board.workers().values():
            self.assertLess(abs(beat["time"] - now), 10)
            self.assertTrue(-60 < beat["started"] - now <= 10)
        shown = self.cluster.status()
        self.assertEqual(len(shown["workers"]), 2)
        text = self.cluster.ok("status").decode()
        ages = [float(line.split()[-1]) for line in text.splitlines() if re.search(" (running|starting) .* \\d/", line)]
        self.assertEqual(len(ages), 2, text)
        for age in ages:
            self.assertTrue(0 <= age < 60, text)
        self.assertTrue(right.running())

    def test_a_record_of_the_future_is_not_held_for_ever(self):
        """A unit that was being sent by a machine whose clock was two hours ahead, and that nobody sends."""
        job = self.submit()
        for unit, record in self.board.units(bytes.fromhex(job)).items():
            record |= {"offset": -1, "time": record["time"] + 7200.0}
            self.board.redis("SET", self.board.key("unit", unit), forge.envelope("phasemill.unit-record", record), "EX", 3600)
        self.cluster.topics.delete(self.board.topic("units"))
        support.wait_until(lambda: self.board.topic("units") not in self.cluster.topics.names(), 30)
        self.cluster.worker(slots=2)
        self.assertEqual(self.submit(), job)
        self.collected(job)

    def test_times_are_those_of_redis(self):
        job = self.submit()
        seconds, micros = self.board.redis("TIME")
        now = float(seconds)
        self.assertLess(abs(self.board.message("job", job)["created"] - now), 30)
        for record in self.board.units(bytes.fromhex(job)).values():
            self.assertLess(abs(record["time"] - now), 30)


class Alive(BoardCase):
    """Nobody is said to be dead before a heartbeat's time is over."""

    def test_right_after_redis_was_emptied(self):
        self.topics()
        self.cluster.workers(2, slots=1)
        self.settled(2)
        expected = self.expected(self.file, "--theta", "1,2")
        for turn in range(int(os.environ.get("PM_FLUSHES", 3))):
            self.board.redis.flushall()
            done = self.cluster.phasemill("run", self.file, "--theta", "1,2", "--no-cache", "--strategy", "cluster")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(trials.result(done.stdout), expected)
            self.board.redis.flushall()
            self.cluster.ok("probe", "--units", 3)

    def test_right_after_redis_came_back(self):
        self.topics()
        self.cluster.worker(slots=2)
        self.settled(1)
        self.cluster.servers.signal("redis", signal.SIGSTOP)
        time.sleep(17)  # heartbeats have run out
        self.cluster.servers.signal("redis", signal.SIGCONT)
        self.cluster.ok("probe", "--units", 3)


class Fit(BoardCase):
    """A trace that is well made, and is not that of its SCC."""

    def permuted(self, value):
        """The trace of a blob with its pivots in another order, checksum and all."""
        name, version, payload, _ = msgpack.unpackb(forge.opened(value)["bytes"])
        fields = msgpack.unpackb(payload)
        pivots, width = fields["pivot"], fields["width"]
        fields["pivot"] = pivots[-width:] + pivots[width:-width] + pivots[:width]
        return forge.blob(forge.envelope(name, fields, version))

    def test_is_dropped_and_recorded_again(self):
        self.cluster.worker("--no-cache", slots=2)
        job = self.submit()
        self.collected(job)
        keys = self.board.keys("trace")[:3]
        for key in keys:
            where = self.board.key("trace", key)
            self.board.redis("SET", where, self.permuted(self.board.redis("GET", where)), "KEEPTTL")
        done = self.cluster.phasemill("collect", job, "--theta", "1,2", "--timeout", 60)  # with a disk
        log = done.stderr.decode()
        self.assertEqual(done.returncode, 0, log)
        self.assertEqual(trials.result(done.stdout), self.expected(self.file, "--theta", "1,2"))
        for key in keys:
            self.assertIn(key, log)
        for strategy in ("sequential", "threads"):
            done = self.cluster.phasemill("run", self.file, "--theta", "1,2", "--strategy", strategy)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertNotIn(b"damaged", done.stderr)
        self.assertNotIn(keys[0], self.collected(job))

    def test_results_that_are_no_numbers(self):
        self.cluster.worker(slots=2)
        job = self.submit()
        args = ["collect", job, "--theta", "1,2", "--evaluate", "cluster", "--timeout", 60, "--no-cache"]
        right = trials.result(self.cluster.ok(*args))
        key, = self.board.keys("result")
        where = self.board.key("result", key)
        fields = forge.opened(forge.opened(self.board.redis("GET", where))["bytes"])
        fields["moments"] = forge.f64s([float("nan")] * (len(fields["moments"]) // 8))
        self.board.redis("SET", where, forge.blob(forge.envelope("phasemill.result", fields)), "KEEPTTL")
        done = self.cluster.phasemill(*args)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(trials.result(done.stdout), right)
        self.assertIn("not finite", done.stderr.decode())


class Size(BoardCase):
    """One look costs what it shows, and changes nothing. With PM_LONG_TESTS=1 the board has 10^7 items."""

    JOBS, UNITS, ITEMS = (100, 1000, 100) if os.environ.get("PM_LONG_TESTS") else (100, 100, 20)

    def fill(self):
        now = float(self.board.redis("TIME")[0])
        listing = f"{self.cluster.name}:jobs"
        for number in range(self.JOBS):
            job = forge.sha256(b"job %d" % number)
            record = {"job": job, "kind": "record", "source": f"{number}.json", "created": now - number, "effort": 1,
                      "states": 1000, "items": self.UNITS * self.ITEMS, "known": 0, "units": self.UNITS, "trace": ""}
            commands = [("SET", self.board.key("job", job), forge.envelope("phasemill.job", record), "EX", 3600),
                        ("ZADD", listing, now - number, job)]
            ids = [forge.sha256(job, b"%d" % u) for u in range(self.UNITS)]
            for u, id in enumerate(ids):
                unit = {"unit": id, "job": job, "kind": "record", "cost": 1, "partition": u % 24, "offset": u,
                        "time": now, "items": b"".join(forge.sha256(id, b"%d" % i) for i in range(self.ITEMS))}
                commands.append(("SET", self.board.key("unit", id), forge.envelope("phasemill.unit-record", unit), "EX", 3600))
            commands.append(("SADD", self.board.key("job-units", job), *ids))
            commands.append(("SADD", self.board.key("job-done", job), *ids[: self.UNITS // 4]))
            commands.append(("HSET", self.board.key("tally", job), "known", 0, "record.done", self.UNITS // 4 * self.ITEMS))
            self.board.redis.pipeline(commands)

    def test_a_look(self):
        self.topics()
        self.fill()
        redis = self.board.redis
        support.wait_until(lambda: redis.info("persistence")["aof_rewrite_in_progress"] == "0", 60)
        redis("CONFIG", "RESETSTAT")
        before = redis.info("persistence")["aof_current_size"]
        took = []
        for _ in range(5):
            begun = time.monotonic()
            shown = self.cluster.status("--most", self.JOBS)
            took.append(time.monotonic() - begun)
        calls = {name.split("_")[1]: int(value.split("calls=")[1].split(",")[0])
                 for name, value in redis.info("commandstats").items()}
        self.assertEqual(redis.info("persistence")["aof_current_size"], before)
        self.assertEqual(calls.keys() - {"auth", "time", "zrevrange", "exists", "getrange", "scard", "hmget", "info",
                                         "select", "config|resetstat", "ping"}, set())
        self.assertLess(sum(calls.values()), 5 * 10 * self.JOBS)
        self.assertLess(min(took), 1.0)  # 0.1 s on an idle machine
        self.assertEqual(len(shown["jobs"]), self.JOBS)
        one = shown["jobs"][0]
        self.assertEqual((one["items"], one["done"]), (self.UNITS * self.ITEMS, self.UNITS // 4 * self.ITEMS))
        self.assertEqual((one["units"], one["units_open"], one["counted"]), (self.UNITS, self.UNITS - self.UNITS // 4, True))
        print(f"a look at {self.JOBS} jobs of {self.UNITS} units of {self.ITEMS} items: {min(took):.3f} s at best of "
              f"{len(took)}, {sum(calls.values()) // len(took)} commands each")
        # one of them closely: looked up, and nothing is written then, either
        redis("CONFIG", "RESETSTAT")
        close = self.cluster.status(one["job"])["jobs"][0]
        self.assertEqual((close["done"], close["counted"]), (0, False))
        self.assertEqual(redis.info("persistence")["aof_current_size"], before)

    def test_counts_are_those_of_the_workers(self):
        """What is counted is what is there, through cancelling, submitting again, and slices."""
        job = self.submit()
        shown = lambda: self.cluster.status()["jobs"][0]
        self.assertEqual((shown()["done"], shown()["state"]), (0, "running"))
        self.assertEqual(shown()["units_open"], shown()["units"])
        self.cluster.worker(slots=2)
        done = support.wait_until(lambda: (s := shown())["state"] == "done" and s, 60)
        close = self.cluster.status(job)["jobs"][0]
        for name in ("done", "items", "units", "units_open", "slices", "slices_done"):
            self.assertEqual(done[name], close[name], name)
        self.cluster.ok("collect", job, "--theta", "1,2;2,3", "--evaluate", "cluster", "--no-cache", "--timeout", 60)
        support.wait_until(lambda: shown()["slices_done"] == shown()["slices"] > 0, 30)
        self.assertEqual(self.submit(), job)
        self.assertEqual((shown()["done"], shown()["state"]), (done["items"], "done"))
        # a small graph is recorded by its submitter
        small = self.graph("random", "--sccs", 2, "--size", 10)
        job = self.cluster.submit(small, "--no-cache")
        self.assertEqual((shown()["job"], shown()["state"], shown()["done"]), (job, "done", shown()["items"]))


class Orphans(BoardCase):
    def test_a_probe_whose_command_is_gone_can_be_cancelled(self):
        self.topics()
        worker = self.cluster.worker(slots=1)
        self.settled(1)
        probe = self.cluster.start("probe", "--units", 2, "--seconds", 300)
        running = lambda: [unit for w in self.cluster.status()["workers"] for unit in w["running"]]
        job = support.wait_until(running, 30)[0]["job"]
        probe.kill()
        self.assertEqual(self.cluster.ok("cancel", job[:8]).decode(), f"{job} cancelled\n")
        support.wait_until(lambda: not running(), 30)
        self.assertTrue(worker.running())

    def test_a_probe_that_gives_up_cancels(self):
        self.topics()
        self.cluster.worker(slots=1)
        self.settled(1)
        self.refused(TEMPORARY, "did not end", "probe", "--units", 2, "--seconds", 300, "--timeout", 3)
        support.wait_until(lambda: not [u for w in self.cluster.status()["workers"] for u in w["running"]], 30)


if __name__ == "__main__":
    unittest.main()
