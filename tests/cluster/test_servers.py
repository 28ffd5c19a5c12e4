"""The servers of the tests themselves: they start, survive what is done to them, and leave nothing behind."""
import os
import pathlib
import re
import secrets
import shlex
import signal
import subprocess
import tempfile
import time
import unittest

from harness import kafka_protocol, kafka_server, network, processes, resp, server_set, support, topics

SERVERS = pathlib.Path(__file__).resolve().parent / "servers"
ENOUGH = 120


def setUpModule():
    kafka_server.libraries()  # so that the tests below can do without the network


class ServersCase(unittest.TestCase):
    def setUp(self):
        base = tempfile.TemporaryDirectory()
        self.addCleanup(base.cleanup)
        self.base = pathlib.Path(base.name)
        self.dir = pathlib.Path(tempfile.gettempdir()) / f"phasemill-cluster-{secrets.token_hex(6)}"
        self.addCleanup(server_set.destroy, self.dir)

    def servers(self, *args, code=0, **env):
        done = subprocess.run([SERVERS, *args], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              env={**os.environ, "PHASEMILL_SERVERS_DIR": str(self.dir), **env}, timeout=ENOUGH)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout if code == 0 else done.stderr

    def up(self, *args, **env):
        """The servers, from what `up` printed."""
        watch = [] if "--watch-pid" in args else ["--watch-pid", str(os.getpid())]
        printed = self.servers("up", "--dir", str(self.dir), *watch, *args, **env)
        lines = [re.fullmatch(r"export ([A-Z_]+)=(.*)", line) for line in printed.splitlines()]
        self.exported = {m[1]: shlex.split(m[2])[0] for m in lines}
        return server_set.ServerSet(self.exported["PHASEMILL_SERVERS_DIR"])

    def starting(self, *args):
        """`up` in the background, at a moment when some server runs already."""
        process = subprocess.Popen([SERVERS, "up", "--dir", str(self.dir), *args], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        support.wait_until(lambda: processes.of(self.dir / "redis"), ENOUGH, "Redis starts")
        return process

    def nothing_left(self, sockets=()):
        """Others may listen at the same ports by now."""
        self.assertFalse(self.dir.exists())
        self.assertEqual(processes.below(self.dir), {})
        self.assertEqual([port for port in sockets if processes.listeners(port) & sockets[port]], [])

    def all_sockets(self, servers):
        """{port: what listens there}."""
        ports = [port for name in servers.names for port in servers.ports(name).values()]
        return {port: processes.listeners(port) for port in ports}


class OneBroker(ServersCase):
    def test_up_faults_down(self):
        # a second `up` asks nobody for jars
        stub = self.base / "bin"
        stub.mkdir()
        (stub / "mvn").write_text("#!/bin/sh\nexit 1\n")
        (stub / "mvn").chmod(0o755)
        servers = self.up(PATH=f"{stub}:{os.environ['PATH']}")
        ports = self.all_sockets(servers).keys()
        password_file = pathlib.Path(self.exported["PHASEMILL_REDIS_PASSWORD_FILE"])
        self.assertEqual(password_file.stat().st_mode & 0o777, 0o600)
        self.assertEqual(self.exported, servers.environment())
        self.assertRegex(self.servers("status"), r"broker-1 +running +\d+ .*\nredis +running +\d+ ")

        host, port = self.exported["PHASEMILL_REDIS_ADDRESS"].split(":")
        with resp.Redis(host, int(port)) as redis, self.assertRaisesRegex(resp.RedisError, "NOAUTH"):
            redis("PING")
        with servers.redis() as redis:
            for name, value in [("appendonly", "yes"), ("maxmemory-policy", "noeviction"), ("appendfsync", "everysec")]:
                self.assertEqual(redis.config_get(name), value)
            redis("SET", "kept", b"\0\r\n")
        command_lines = [pathlib.Path(f"/proc/{pid}/cmdline").read_bytes() for pid in processes.below(self.dir)]
        self.assertEqual([c for c in command_lines if servers.password.encode() in c], [])

        self.servers("kill", "redis")
        self.servers("kill", "broker")
        self.assertRegex(self.servers("status"), r"broker-1 +down .*\nredis +down ")
        self.servers("start", "redis")
        self.servers("start", "broker", "1")
        with servers.redis() as redis:
            self.assertEqual(redis("GET", "kept"), b"\0\r\n")
        self.assertIn("runs already", self.servers("start", "redis", code=69))

        self.servers("stop", "redis")
        self.assertRegex(self.servers("status"), r"redis +stopped ")
        with self.assertRaises(TimeoutError):
            servers.redis(timeout=0.3)
        self.servers("cont", "redis")
        with servers.redis() as redis:
            self.assertEqual(redis("PING"), b"PONG")

        before = servers.pid("redis")
        self.servers("restart", "redis")
        self.assertNotEqual(before, servers.pid("redis"))
        sockets = self.all_sockets(servers)
        self.assertEqual(sockets.keys(), ports)

        self.servers("down")
        self.nothing_left(sockets)
        self.servers("down")
        self.assertIn("holds no servers", self.servers("status", code=69))

    def test_passwords_and_options(self):
        options = r"--user reader on '>two words' ~* +get --maxmemory 5mb"
        servers = self.up("--sasl", 'me:a"b\\c', "--redis-options", options, "--password", "pass word")
        port = servers.ports("redis")["redis"]
        with resp.Redis("127.0.0.1", port, "two words", "reader") as redis:
            self.assertIsNone(redis("GET", "x"))
            with self.assertRaisesRegex(resp.RedisError, "NOPERM"):
                redis("SET", "x", 1)
        with resp.Redis("127.0.0.1", port, "pass word") as redis:
            self.assertEqual(redis.config_get("maxmemory"), str(5 << 20))
        client = servers.ports("broker-1")["client"]
        with kafka_protocol.Broker("127.0.0.1", client, ("me", 'a"b\\c')) as broker:
            self.assertEqual(broker.nodes(), [1])
        with self.assertRaises(PermissionError):
            kafka_protocol.Broker("127.0.0.1", client, ("me", "wrong"))
        with kafka_protocol.Broker("127.0.0.1", client) as broker, self.assertRaises(ConnectionError):
            broker.nodes()

        kafka = topics.Topics(servers)
        kafka.create("kept", partitions=2, cleanup_policy="compact")
        self.assertEqual(kafka.settings("kept")["cleanup.policy"], "compact")
        self.assertEqual(kafka.send("kept", b"\0\1", b"key", [("name", b"value")], 1), (1, 0))
        self.assertEqual(kafka.again("kept"), [(1, 1)])
        read = [(m.partition(), m.offset(), m.key(), m.value(), m.headers()) for m in kafka.read("kept")]
        self.assertEqual(read, [(1, n, b"key", b"\0\1", [("name", b"value")]) for n in (0, 1)])
        self.assertEqual(kafka.ends("kept"), {0: (0, 0), 1: (0, 2)})


class ThreeBrokers(ServersCase):
    def test_one_of_three_dies_and_returns(self):
        servers = self.up("--brokers", "3")
        self.assertEqual(len(self.exported["PHASEMILL_KAFKA_BROKERS"].split(",")), 3)

        def nodes():
            with kafka_protocol.Broker("127.0.0.1", servers.ports("broker-2")["client"]) as broker:
                return broker.nodes()

        self.assertEqual(nodes(), [1, 2, 3])
        self.servers("kill", "broker", "1")
        support.wait_until(lambda: nodes() == [2, 3], 60, "the others miss it")
        self.servers("start", "broker", "1")
        support.wait_until(lambda: nodes() == [1, 2, 3], 60, "they see it again")
        self.assertIn("no broker-4", self.servers("kill", "broker", "4", code=64))


class Interrupted(ServersCase):
    def test_killed_while_starting(self):
        self.starting().kill()
        support.wait_until(lambda: not self.dir.exists(), 30, "the guardian removes the folder")
        self.nothing_left()

    def test_terminated_while_starting(self):
        process = self.starting()
        process.terminate()
        self.assertEqual(process.wait(30), 128 + signal.SIGTERM)
        self.nothing_left()

    def test_watched_process_killed(self):
        watched = subprocess.Popen(["sleep", "600"])
        self.addCleanup(watched.wait)
        self.addCleanup(watched.kill)
        servers = self.up("--watch-pid", str(watched.pid))
        program = subprocess.Popen(["sleep", "600"], cwd=self.dir / "run", start_new_session=True)
        sockets = self.all_sockets(servers)
        watched.kill()
        support.wait_until(lambda: not self.dir.exists(), 30, "the guardian removes the folder")
        self.nothing_left(sockets)
        self.assertEqual(program.wait(5), -signal.SIGKILL)

    def test_ended_from_inside(self):
        with support.Cluster() as cluster:
            folder, guard = cluster.folder, cluster._guardian._process
            program = cluster.start("--help", name="help")
            self.assertEqual(program.wait(), 0)
            self.assertIn("phasemill", program.out)
            self.assertIn(guard.pid, processes.below(folder))
        self.assertFalse(folder.exists())
        self.assertEqual(guard.returncode, 0)


class Shared(support.ClusterCase):
    """What a test did to the servers is undone before the next."""

    def test_one(self):
        self.spoil()

    def test_two(self):
        self.spoil()

    def spoil(self):
        cluster = self.cluster
        with cluster.redis() as redis:
            self.assertEqual(redis.keys(), [])
            self.assertEqual(redis.config_get("maxmemory"), str(768 << 20))
            redis("SET", "key", 1)
            redis.config_set("maxmemory", "1mb")
        self.assertEqual([name for name in cluster.topics.names() if not name.startswith("__")], [])
        cluster.topics.create(f"{cluster.name}.units")
        cluster.servers.kill("broker-1")
        cluster.servers.signal("redis", signal.SIGSTOP)
        # ends with the test
        self.assertTrue(cluster.start("1", wrap=["sh", "-c", "sleep 600"]).running())


class OtherNetwork(unittest.TestCase):
    def test_cable_pulled_and_put_back(self):
        reason = network.why_not()
        if reason:
            self.skipTest(f"this machine permits no network namespaces: {reason}")
        with network.Network() as other, support.Cluster(host=other.host) as cluster:
            port = cluster.servers.ports("redis")["redis"]
            ping = [*other.wrap, "timeout", "2", "redis-cli", "-h", other.host, "-p", str(port), "ping"]
            environment = {**os.environ, "REDISCLI_AUTH": cluster.servers.password}

            def answer():
                return subprocess.run(ping, capture_output=True, text=True, env=environment).stdout.strip()

            self.assertEqual(answer(), "PONG")
            with kafka_protocol.Broker(other.host, cluster.servers.ports("broker-1")["client"]) as broker:
                self.assertEqual(broker.nodes(), [1])
            other.cut()
            self.assertEqual(answer(), "")
            other.join()
            support.wait_until(lambda: answer() == "PONG", 20, "an answer after the cable is back")
            link = f"/sys/class/net/{other._link}"
            self.assertTrue(os.path.exists(link))
        self.assertFalse(os.path.exists(link))


class Refused(ServersCase):
    def test_wrong_requests(self):
        taken = self.base / "taken"
        taken.mkdir()
        (taken / "file").write_text("mine")
        self.assertIn("is not empty", self.servers("up", "--dir", str(taken), code=73))
        self.assertIn("holds no servers", self.servers("down", "--dir", str(taken), code=69))
        self.assertEqual(os.listdir(taken), ["file"])
        self.assertIn("invalid choice", self.servers("up", "--brokers", "2", code=64))
        self.assertIn('begin with "--"', self.servers("up", "--redis-options", "maxmemory 1", code=64))
        self.assertIn("USER:PASSWORD", self.servers("up", "--sasl", "nobody", code=64))
        self.assertIn("no process", self.servers("up", "--watch-pid", str(2**22 - 3), code=73))
        self.nothing_left()

    def test_a_server_that_refuses_its_settings(self):
        began = time.monotonic()
        message = self.servers("up", "--dir", str(self.dir), "--redis-options", "--nonsense 3", code=69)
        self.assertIn("redis ended while it started", message)
        self.assertIn("nonsense", message)
        self.assertLess(time.monotonic() - began, 60)
        self.nothing_left()


if __name__ == "__main__":
    unittest.main()
