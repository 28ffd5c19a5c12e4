"""No command outlives its --timeout, whatever Redis or Kafka do, and each says what it waited for."""
import contextlib
import signal
import socket
import threading
import time
import unittest

from harness import board, preload, support

TIMEOUT = 3
SLACK = 2.0  # seconds that a command may take longer
LOAD = 1.5   # and the machine, for starting ten at once
UNAVAILABLE, TEMPORARY = 69, 75


class Fake:
    """A server on loopback that accepts, and answers whatever comes with the same words; none: it says nothing. With
    `more`, it then says that for ever, every so many seconds."""

    def __init__(self, words=b"", more=b"", every=0.0):
        self._words, self._more, self._every = words, more, every
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self._listener.getsockname()[1]
        self._open = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                one, _ = self._listener.accept()
                self._open.append(one)
                one.settimeout(60)
                threading.Thread(target=self._answer, args=[one], daemon=True).start()

    def _answer(self, one):
        with contextlib.suppress(OSError), one:
            while one.recv(1 << 16):
                if self._words:
                    one.sendall(self._words)
                while self._more:
                    one.sendall(self._more)
                    time.sleep(self._every)

    def close(self):
        self._listener.close()
        for one in self._open:
            one.close()


class WaitCase(support.ClusterCase):
    def setUp(self):
        super().setUp()
        self.board = board.Board(self.cluster)
        self.addCleanup(self.board.close)
        self.graph = self.cluster.run / "g.json"
        self.cluster.ok("generate", "random", "--sccs", 20, "--size", 60, "--output", self.graph)
        other = self.cluster.run / "other.json"
        self.cluster.ok("generate", "random", "--sccs", 21, "--size", 60, "--output", other)
        self.job = self.cluster.submit(other, "--no-cache")
        self.addCleanup(self.cluster.servers.wait_ready)

    def commands(self, *names, **env):
        """Starts commands at once; {name: (exit code, log, seconds)} when all have ended in time."""
        all_of_them = {
            "submit": ["submit", self.graph, "--no-cache"],
            "wait": ["submit", self.graph, "--no-cache", "--wait"],
            "collect": ["collect", self.job, "--theta", "1,2", "--no-cache"],
            "run": ["run", self.graph, "--theta", "1,2", "--no-cache", "--strategy", "cluster"],
            "cancel": ["cancel", "ab" * 32],
            "probe": ["probe", "--units", 3],
            "status": ["status"],
            "letters": ["dead-letters", "list"],
            "replay": ["dead-letters", "replay", "--all"],
            "topics": ["topics"],
        }
        begun = time.monotonic()
        started = {name: self.cluster.start(*all_of_them[name], "--timeout", TIMEOUT, name=name, **env)
                   for name in names or all_of_them}
        done = {}
        while len(done) < len(started):
            for name, program in started.items():
                if name not in done and not program.running():
                    done[name] = (program.wait(), program.log + program.out, time.monotonic() - begun)
            late = sorted(started.keys() - done.keys())
            self.assertLess(time.monotonic() - begun, TIMEOUT + SLACK + LOAD, lambda: f"{late} still run" if late else "")
            time.sleep(0.02)
        return done

    def all_wait_for(self, words, but=(), codes=(UNAVAILABLE, TEMPORARY), **env):
        """All commands end in time, and say these words, but for those that do not need the server."""
        for name, (code, log, seconds) in self.commands(**env).items():
            with self.subTest(command=name, seconds=round(seconds, 1)):
                if name in but:
                    self.assertIn(code, (0, *codes), log)
                else:
                    self.assertIn(code, codes, log)
                    self.assertRegex(log, words)


class Redis(WaitCase):
    alone = ("letters", "topics")  # ask Kafka only

    def test_full(self):
        self.board.redis.config_set("maxmemory", "1mb")
        reading = (*self.alone, "status")
        self.all_wait_for("OOM", but=reading)

    def test_full_meets_a_collector_that_waits(self):
        collector = self.cluster.start("collect", self.job, "--theta", "1,2", "--no-cache", "--timeout", 8)
        time.sleep(2)
        self.board.redis.config_set("maxmemory", "1mb")
        self.assertEqual(collector.wait(8 + SLACK + LOAD), TEMPORARY)
        self.assertRegex(collector.log, "waiting for Kafka or Redis: .*OOM")
        self.assertNotIn("no worker has been alive", collector.log)

    def test_auto_takes_this_machine(self):
        """`run` by itself does not wait for a cluster that it was not asked to use."""
        path = self.cluster.run / "large.msgpack"
        self.cluster.ok("generate", "random", "--sccs", 110000, "--size", 12, "--output", path)
        self.board.redis.config_set("maxmemory", "1mb")
        done = self.cluster.phasemill("run", path, "--theta", "1,2", "--no-cache", "--threads", 1, timeout=100)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr.decode(), "cannot be used: time is over.*OOM|cannot be used: waited.*OOM")

    def test_read_only(self):
        self.board.redis("REPLICAOF", "127.0.0.1", 1)
        try:
            self.all_wait_for("READONLY", but=(*self.alone, "status"))
        finally:
            self.board.redis("REPLICAOF", "NO", "ONE")

    def test_stopped(self):
        self.cluster.servers.signal("redis", signal.SIGSTOP)
        try:
            self.all_wait_for("Redis", but=self.alone)
        finally:
            self.cluster.servers.signal("redis", signal.SIGCONT)

    def test_gone(self):
        self.cluster.servers.kill("redis")
        try:
            self.all_wait_for("Connection refused; check redis.address", but=self.alone)
        finally:
            self.cluster.servers.start("redis")

    def test_at_the_port_of_kafka(self):
        brokers = self.cluster.servers.environment()["PHASEMILL_KAFKA_BROKERS"]
        self.all_wait_for("a server that is no Redis|no answer within", but=self.alone,
                          PHASEMILL_REDIS_ADDRESS=brokers.split(",")[0])

    def test_fakes(self):
        for words, said in [(b"", "no answer within .*check redis.address"),
                            (b"-LOADING Redis is loading the dataset in memory\r\n", "LOADING"),
                            (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no Redis.*check redis.address")]:
            fake = Fake(words)
            try:
                self.all_wait_for(said, but=self.alone, PHASEMILL_REDIS_ADDRESS=fake.address)
            finally:
                fake.close()

    def test_answers_without_end(self):
        """A byte now and then, as many as there is room for, a list that takes all memory."""
        for words, more, every in [(b"+", b"x", 0.2), (b"+", b"x" * 65536, 0), (b"$500000000\r\n", b"x" * 65536, 0),
                                   (b"*1000000000\r\n", b"", 0)]:
            fake = Fake(words, more, every)
            try:
                with self.subTest(words=words, more=more[:1]):
                    self.all_wait_for("time is over|at most 16777216; check redis.address", but=self.alone,
                                      PHASEMILL_REDIS_ADDRESS=fake.address)
            finally:
                fake.close()

    def test_a_worker_leaves_a_server_that_crawls(self):
        fake = Fake(b"+", b"x", 0.2)
        self.addCleanup(fake.close)
        worker = self.cluster.worker("--drain-timeout", 2, PHASEMILL_REDIS_ADDRESS=fake.address)
        worker.wait_log("Redis.*(no whole answer|no answer) within", 60)
        begun = time.monotonic()
        worker.terminate(20)
        self.assertLess(time.monotonic() - begun, 2 + SLACK + LOAD)


class Kafka(WaitCase):
    alone = ("cancel",)  # asks Redis only

    def setUp(self):
        super().setUp()
        self.codes = (UNAVAILABLE, TEMPORARY)

    def test_gone(self):
        self.cluster.servers.kill("broker-1")
        try:
            self.all_wait_for("Kafka", but=("cancel",), codes=(66, UNAVAILABLE, TEMPORARY))
        finally:
            self.cluster.servers.start("broker-1")

    def test_half_open(self):
        self.cluster.servers.signal("broker-1", signal.SIGSTOP)
        try:
            self.all_wait_for("Kafka", but=("cancel",), codes=(66, UNAVAILABLE, TEMPORARY))
        finally:
            self.cluster.servers.signal("broker-1", signal.SIGCONT)

    def test_that_stops_while_a_command_waits(self):
        """Also closing its handles ends."""
        waits = self.cluster.start("collect", self.job, "--theta", "1,2", "--no-cache", "--timeout", 6)
        time.sleep(2)
        self.cluster.servers.signal("broker-1", signal.SIGSTOP)
        try:
            self.assertEqual(waits.wait(6 + SLACK + LOAD), TEMPORARY)
        finally:
            self.cluster.servers.signal("broker-1", signal.SIGCONT)
        self.assertIn("time is over (--timeout)", waits.log)

    def test_that_says_nothing(self):
        fake = Fake()
        try:
            self.all_wait_for("Kafka", but=("cancel",), codes=(66, UNAVAILABLE, TEMPORARY),
                              PHASEMILL_KAFKA_BROKERS=fake.address)
        finally:
            fake.close()


    def test_names_that_nobody_resolves(self):
        """A name server that is silent: the thread that asks it does not end when told to."""
        library = preload.slow_names(self.cluster.run)
        brokers = f"{preload.SLOW_NAME}:9092"
        for name, (code, log, seconds) in self.commands(LD_PRELOAD=library, PHASEMILL_KAFKA_BROKERS=brokers).items():
            with self.subTest(command=name):
                self.assertIn(code, (66, UNAVAILABLE, TEMPORARY), log)
                self.assertLess(seconds, TIMEOUT + SLACK - 0.3)
                if name in ("letters", "topics"):
                    self.assertIn(f"no broker of Kafka answered at {brokers}", log)


class Words(WaitCase):
    def test_what_is_missing_after_how_long(self):
        """Time counts from the command's begin, also when opening took all of it."""
        message = self.refused(TEMPORARY, "missing after", "collect", self.job, "--theta", "1,2", "--timeout", 1)
        seconds = float(message.split("missing after ")[1].split(" s")[0])
        self.assertGreaterEqual(seconds, 1.0)

    def test_a_job_that_is_unknown_makes_no_topics(self):
        self.refused(66, "submit", "collect", "ab" * 32, "--theta", "1", PHASEMILL_KAFKA_TOPIC_PREFIX="nobodys")
        self.assertEqual([t for t in self.cluster.topics.names() if t.startswith("nobodys")], [])

    def test_a_full_redis_is_said_once(self):
        """It takes a small value now and then, and refuses the next: that is no end of it."""
        worker = self.cluster.worker(slots=2)
        support.wait_until(self.board.workers, 30)
        used = int(self.board.redis.info("memory")["used_memory"])
        for turn in range(6):
            self.board.redis.config_set("maxmemory", str(used // 2 if turn % 2 == 0 else 4 * used))
            time.sleep(1.0)
        self.board.redis.config_set("maxmemory", "768mb")
        worker.wait_log("Redis is back after", 60)
        time.sleep(1)
        self.assertEqual(worker.log.count("waiting for Redis"), 1, worker.log)
        self.assertEqual(worker.log.count("Redis is back"), 1, worker.log)


if __name__ == "__main__":
    unittest.main()
