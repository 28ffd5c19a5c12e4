"""docker-compose.yml and Dockerfile, as far as they can be checked without containers: their settings are the ones that
the tests run, Redis's command is run as it stands, and the image has what the program links."""
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import tempfile
import unittest

import yaml

from harness import kafka_server, processes, redis_server, resp, support

COMPOSE = support.ROOT / "docker-compose.yml"
DOCKERFILE = support.ROOT / "Dockerfile"
SERVERS, ONE_SHOT, TOOLS = {"broker", "redis", "worker"}, {"topics"}, {"submit", "collect", "status", "cancel", "probe", "dead-letters"}
# variables of the image's own scripts
NOT_PROPERTIES = {"KAFKA_HEAP_OPTS"}


def property_name(variable):
    """The property that the image makes of a variable: _ is a dot, __ an underscore, ___ a dash."""
    name = variable.removeprefix("KAFKA_").lower().replace("_", ".")
    return name.replace("...", "-").replace("..", "_")


def properties(text):
    lines = (line.strip() for line in text.splitlines())
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def seconds(text):
    return int(re.fullmatch(r"(\d+)s", text)[1])


def size(text):
    number, unit = re.fullmatch(r"(\d+)(mb?|gb?)", text.lower()).groups()
    return int(number) << {"m": 20, "g": 30}[unit[0]]


class ComposeCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.compose = yaml.safe_load(COMPOSE.read_text())
        cls.services = cls.compose["services"]


class WithAKey(unittest.TestCase):
    """The file as the comment at its top has it changed for a cluster.key."""

    def test_every_program_gets_the_key_and_nothing_else_changes(self):
        text = COMPOSE.read_text()
        self.assertIn("sed -i 's/#key //' docker-compose.yml", text)
        lines = [line.replace("#key ", "", 1) for line in text.splitlines()]
        compose, without = yaml.safe_load("\n".join(lines)), yaml.safe_load(text)
        self.assertEqual(compose["secrets"].pop("cluster_key"), {"file": "./secrets/cluster_key"})
        for name in ONE_SHOT | TOOLS | {"worker"}:
            service = json.loads(json.dumps(compose["services"][name]))  # aliases are one object
            self.assertEqual(service["environment"].pop("PHASEMILL_CLUSTER_KEY_FILE"), "/run/secrets/cluster_key")
            service["secrets"].remove("cluster_key")
            self.assertEqual(service, without["services"][name])
        for name in SERVERS - {"worker"}:
            self.assertEqual(compose["services"][name], without["services"][name])


class Services(ComposeCase):
    def test_all_are_there_and_limited(self):
        self.assertEqual(set(self.services), SERVERS | ONE_SHOT | TOOLS)
        for name, service in self.services.items():
            with self.subTest(service=name):
                self.assertGreater(size(service["deploy"]["resources"]["limits"]["memory"]), 0)
                self.assertNotIn("ports", service, "nothing is reachable unless asked for")
                self.assertEqual(service.get("profiles"), ["tools"] if name in TOOLS else None)
                if name in SERVERS - {"worker"}:
                    self.assertTrue(service["healthcheck"]["test"])
                elif name != "worker":
                    self.assertTrue(service["healthcheck"]["disable"])
                for other in service.get("depends_on", {}):
                    self.assertIn(other, self.services)

    def test_images(self):
        self.assertEqual(self.services["broker"]["image"], f"apache/kafka:{kafka_server.version()}")
        self.assertRegex(self.services["redis"]["image"], r"^redis:7")
        built = {name for name, service in self.services.items() if "build" in service}
        self.assertEqual(built, {"worker"}, "one service builds the image, or each build leaves one behind")
        for name in {"worker"} | ONE_SHOT | TOOLS:
            self.assertEqual(self.services[name]["image"], "phasemill")

    def test_passwords_come_from_a_file(self):
        secret = self.compose["secrets"]["redis_password"]
        self.assertEqual(list(secret), ["file"])
        ignored = (support.ROOT / ".gitignore").read_text().splitlines()
        self.assertIn("/secrets/", ignored)
        allowed = {line[1:] for line in (support.ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
        self.assertNotIn("secrets", allowed)
        for name in {"worker"} | ONE_SHOT | TOOLS:
            with self.subTest(service=name):
                service = self.services[name]
                self.assertEqual(service["secrets"], ["redis_password"])
                self.assertEqual(service["environment"]["PHASEMILL_REDIS_PASSWORD_FILE"], "/run/secrets/redis_password")

    def test_worker_is_given_time_to_drain(self):
        worker = self.services["worker"]
        drain = int(worker["environment"]["PHASEMILL_WORKER_DRAIN_TIMEOUT"])
        self.assertGreater(seconds(worker["stop_grace_period"]), drain)
        self.assertNotIn("container_name", worker, "or it would not scale")

    def test_worker_fits_its_memory(self):
        worker = self.services["worker"]
        units = int(worker["environment"]["PHASEMILL_WORKER_SLOTS"]) * size(worker["environment"]["PHASEMILL_WORKER_UNIT_MEMORY"])
        cache = size(worker["command"][worker["command"].index("--cache-limit") + 1])
        self.assertLess(units + cache, size(worker["deploy"]["resources"]["limits"]["memory"]))

    def test_cache_fits_its_folder(self):
        default = 1 << 30
        for name in {"worker"} | ONE_SHOT | TOOLS:
            folder = next(t for t in self.services[name]["tmpfs"] if t.startswith("/var/cache/phasemill:"))
            self.assertGreater(size(re.search(r"size=(\w+)", folder)[1]), default)


class Kafka(ComposeCase):
    def test_settings_are_those_of_the_tests(self):
        environment = self.services["broker"]["environment"]
        given = {property_name(k): v for k, v in environment.items() if k.startswith("KAFKA_") and k not in NOT_PROPERTIES}
        text = kafka_server.properties({
            "NODE": 1,
            "VOTERS": "1@broker:9094",
            "LISTENERS": "CLIENT://:9092,BROKER://:9093,CONTROLLER://:9094",
            "ADVERTISED": "CLIENT://broker:9092,BROKER://broker:9093",
            "CLIENT_PROTOCOL": "PLAINTEXT",
            "LOG_DIRS": "/var/lib/kafka/data",
            "REPLICATION": 1,
            "MIN_INSYNC": 1,
        })
        self.assertEqual(given, properties(text))
        self.assertEqual(environment["KAFKA_HEAP_OPTS"].split(), kafka_server.HEAP)

    def test_data_is_in_a_volume(self):
        broker = self.services["broker"]
        self.assertEqual(broker["volumes"], [f"broker:{broker['environment']['KAFKA_LOG_DIRS']}"])
        self.assertIn("broker", self.compose["volumes"])

    def test_heap_fits_the_memory(self):
        broker = self.services["broker"]
        heap = size(re.search(r"-Xmx(\w+)", broker["environment"]["KAFKA_HEAP_OPTS"])[1])
        self.assertLess(heap, size(broker["deploy"]["resources"]["limits"]["memory"]))

    def test_the_image_reads_names_as_expected(self):
        for variable, name in [("KAFKA_ABC_DEF", "abc.def"), ("KAFKA_ABC___DEF", "abc-def"), ("KAFKA_ABC__DEF", "abc_def")]:
            self.assertEqual(property_name(variable), name)


class Redis(ComposeCase):
    """The command is run, with the image's entry point and the secret where this machine has them."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name)
        self.secret = self.dir / "secret"
        (self.port,) = processes.free_ports("127.0.0.1", 1, random.SystemRandom())
        stub = self.dir / "docker-entrypoint.sh"
        stub.write_text(f'#!/bin/sh\nshift\nexec redis-server --port {self.port} --bind 127.0.0.1 --dir {self.dir} "$@"\n')
        stub.chmod(0o755)

    def start(self):
        shell, option, script = self.services["redis"]["command"]
        script = script.replace("$$", "$").replace("/run/secrets/redis_password", str(self.secret))
        process = subprocess.Popen([shell, option, script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, env={**os.environ, "PATH": f"{self.dir}:{os.environ['PATH']}"})
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def test_settings_are_those_of_the_tests(self):
        self.secret.write_text("a pass word\n")
        process = self.start()
        support.wait_until(lambda: processes.listens(process.pid, self.port), 20, "Redis listens")
        with resp.Redis("127.0.0.1", self.port) as redis, self.assertRaisesRegex(resp.RedisError, "NOAUTH"):
            redis("PING")
        with resp.Redis("127.0.0.1", self.port, "a pass word") as redis:
            expected = {words[0]: words[1] for words in redis_server.directives(redis_server.SHARED.read_text())}
            expected["maxmemory"] = str(size(expected["maxmemory"]))
            self.assertEqual({name: redis.config_get(name) for name in expected}, expected)
            self.assertEqual(redis.config_get("requirepass"), "a pass word")
        arguments = pathlib.Path(f"/proc/{process.pid}/cmdline").read_bytes()
        self.assertNotIn(b"a pass word", arguments)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(20), 0, "Redis itself, not a shell, is told to stop")

    def test_no_other_settings(self):
        script = self.services["redis"]["command"][2]
        options = redis_server.options(re.search(r"redis-server (.*) - <<", script.replace("\\\n", " "))[1])
        self.assertEqual(options, redis_server.directives(redis_server.SHARED.read_text()))

    def test_no_password_no_redis(self):
        self.assertNotEqual(self.start().wait(20), 0)
        self.secret.write_text("\n")
        self.assertNotEqual(self.start().wait(20), 0)

    def test_memory(self):
        shared = {words[0]: words[1] for words in redis_server.directives(redis_server.SHARED.read_text())}
        limit = size(self.services["redis"]["deploy"]["resources"]["limits"]["memory"])
        self.assertGreaterEqual(limit, 2 * size(shared["maxmemory"]), "room to rewrite the append-only file")


class Image(unittest.TestCase):
    def setUp(self):
        self.stages = re.split(r"^FROM ", DOCKERFILE.read_text().replace("\\\n", " "), flags=re.M)[1:]

    def test_last_stage_runs_as_nobody_in_particular(self):
        self.assertEqual(len(self.stages), 2)
        last = self.stages[-1]
        self.assertRegex(last, r"(?m)^USER phasemill$")
        self.assertRegex(last, r'(?m)^HEALTHCHECK .*"phasemill", "worker", "check"')
        self.assertNotIn("-dev", last)
        self.assertNotIn("VOLUME", last, "a volume without a name is left behind by each container")

    def test_builds_without_the_network_but_for_packages(self):
        self.assertNotIn("syntax=", DOCKERFILE.read_text())

    def test_the_context_is_what_the_build_reads(self):
        lines = (support.ROOT / ".dockerignore").read_text().splitlines()
        self.assertIn("*", lines)
        self.assertEqual([line for line in lines if line.startswith("!") and not (support.ROOT / line[1:]).exists()], [])

    def test_last_stage_has_what_the_program_links(self):
        listed = set(re.search(r"--no-install-recommends(.*?)&&", self.stages[-1])[1].split())
        linked = subprocess.run(["ldd", support.PROGRAM], capture_output=True, text=True, check=True).stdout
        names = re.findall(r"^\s*(\S+) => /", linked, re.M)
        self.assertEqual(self.direct(names) - listed, {"libc6"})

    def direct(self, names):
        """Packages of the libraries, without those that come with another of them."""
        needed = subprocess.run(["readelf", "-d", support.PROGRAM], capture_output=True, text=True, check=True).stdout
        own = set(re.findall(r"\(NEEDED\).*\[(.*)\]", needed))
        found = set()
        for name in names:
            if name in own:
                done = subprocess.run(["dpkg-query", "-S", f"*/{name}"], capture_output=True, text=True, check=True)
                found |= {line.split(":")[0] for line in done.stdout.splitlines() if not line.startswith("libc6-")}
        return found


if __name__ == "__main__":
    unittest.main()
