"""What the tests on real servers share: the servers, phasemill started against them, and waiting.

    class Something(support.ClusterCase):
        def test_it(self):
            worker = self.cluster.worker(slots=2)
            job = self.cluster.submit(graph)

Everything works below the folder of the servers, and the guardian (guardian.py) ends what works there when the tests
are gone, however they went.
"""
import atexit
import json
import os
import pathlib
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from harness import guardian, processes, redis_server, server_set, topics

ROOT = pathlib.Path(__file__).resolve().parents[3]
PROGRAM = os.path.abspath(os.environ.get("PHASEMILL", ROOT / "build" / "phasemill"))
EXAMPLES = ROOT / "examples"


class Timeout(AssertionError):
    """What was waited for did not come."""


def wait_until(predicate, seconds=30.0, what="", every=0.05):
    """The first true value of the predicate."""
    deadline = time.monotonic() + seconds
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            text = what() if callable(what) else what
            raise Timeout(f"not within {seconds:.0f} s: {text or predicate.__doc__ or 'the condition'}")
        time.sleep(every)


class Program:
    """phasemill in the background, its output in files."""

    def __init__(self, command, folder, environment):
        self.folder = folder
        folder.mkdir(parents=True)
        with open(folder / "out", "wb") as out, open(folder / "log", "wb") as log:
            self.process = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=out,
                                            stderr=log, start_new_session=True)
        self.pid = self.process.pid

    @property
    def log(self):
        return (self.folder / "log").read_text(errors="replace")

    @property
    def out(self):
        return (self.folder / "out").read_text(errors="replace")

    def running(self):
        return self.process.poll() is None

    def descendants(self):
        """Process ids of its children and theirs, at this moment."""
        return sorted(pid for pid in processes.below(self.folder) if pid != self.pid)

    def send(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.send(signal.SIGSTOP)

    def cont(self):
        self.send(signal.SIGCONT)

    def wait(self, seconds=60.0):
        """The exit status."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Timeout(f"{self.process.args} runs after {seconds:.0f} s; its log ends:\n{self.log[-2000:]}") from None

    def terminate(self, seconds=60.0):
        """SIGTERM; the exit status."""
        self.send(signal.SIGTERM)
        return self.wait(seconds)

    def wait_log(self, pattern, seconds=30.0):
        """Waits until the log has a match of the expression; returns the match."""
        what = lambda: f"{pattern!r} in the log:\n{self.log[-3000:]}"
        return wait_until(lambda: re.search(pattern, self.log), seconds, what)


class Cluster:
    """Servers, and programs started against them. Options as of server_set.create()."""

    def __init__(self, **options):
        self._options = options
        self._programs = []
        self.extra = {}

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.gettempdir()) / f"phasemill-cluster-{secrets.token_hex(6)}"
        self._guardian = guardian.Guardian(self.folder, os.getpid())
        try:
            self.servers = server_set.create(self.folder, **self._options)
        except BaseException:
            self._guardian.abandon()
            raise
        self._guardian.up()
        self.topics = topics.Topics(self.servers)
        self.fresh("first")
        return self

    def __exit__(self, *_):
        self.stop_all()
        self._guardian.remove()

    def fresh(self, name):
        """Ends all programs, mends the servers, and gives the programs to come topics, keys and folders of their own."""
        self.stop_all()
        self.mend()
        self.name = f"{re.sub('[^a-z0-9]+', '-', name.lower())[-40:]}-{secrets.token_hex(3)}"
        self.run = self.folder / "run" / self.name
        self.run.mkdir()
        self.extra = {}

    def mend(self):
        """All servers run, Redis is empty and as configured, Kafka without the topics of earlier tests."""
        for name in self.servers.names:
            state = self.servers.state(name)
            if state == "stopped":
                self.servers.signal(name, signal.SIGCONT)
            elif state == "down":
                self.servers.launch(name)
        self.servers.wait_ready()
        with self.redis() as redis:
            for words in redis_server.configured(self.servers.settings):
                redis.config_set(words[0], words[1])
            redis.flushall()
        old = [name for name in self.topics.names() if not name.startswith("__")]
        if old:
            self.topics.delete(*old)

    def environment(self, folder):
        """Of a program at work in the folder, which also holds its cache of traces."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PHASEMILL_")}
        return {
            **kept,
            **self.servers.environment(),
            "PHASEMILL_KAFKA_TOPIC_PREFIX": self.name,
            "PHASEMILL_KAFKA_GROUP": self.name,  # members that were killed are missed only after a session timeout
            "PHASEMILL_REDIS_PREFIX": self.name,
            "HOME": str(folder),
            "XDG_CACHE_HOME": str(folder / "cache"),
            **self.extra,
        }

    def redis(self, **options):
        return self.servers.redis(**options)

    def start(self, *args, name=None, wrap=(), **env):
        """phasemill in the background. `wrap` goes before the program; keywords are variables of the environment."""
        folder = self.run / f"{name or args[0]}-{len(self._programs)}"
        command = [*wrap, PROGRAM, *map(str, args)]
        program = Program(command, folder, {**self.environment(folder), **env})
        self._programs.append(program)
        return program

    def worker(self, *args, slots=1, **options):
        return self.start("worker", "--slots", slots, *args, **options)

    def workers(self, count, *args, **options):
        return [self.worker(*args, **options) for _ in range(count)]

    def stop_all(self):
        """Ends all programs that were started, and what they started."""
        for program in self._programs:
            if program.running():
                program.kill()
        self._programs.clear()
        if hasattr(self, "run"):
            processes.kill_below(self.run)

    def phasemill(self, *args, stdin=b"", timeout=120, **env):
        """A finished run, in a folder that all such runs of a test share."""
        folder = self.run / "here"
        folder.mkdir(exist_ok=True)
        return subprocess.run([PROGRAM, *map(str, args)], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              cwd=folder, env={**self.environment(folder), **env}, timeout=timeout)

    def ok(self, *args, **options):
        """Standard output of a run that must succeed."""
        done = self.phasemill(*args, **options)
        if done.returncode != 0:
            raise AssertionError(f"phasemill {' '.join(map(str, args))} ended with {done.returncode}:\n"
                                 f"{done.stderr.decode(errors='replace')[-4000:]}")
        return done.stdout

    def json(self, *args, **options):
        return json.loads(self.ok(*args, **options))

    def submit(self, graph, *args, **options):
        """The job's id."""
        return self.ok("submit", graph, *args, **options).decode().strip()

    def collect(self, job, *args, **options):
        """The result, as text: to be compared to the bit."""
        return self.ok("collect", job, *args, **options)

    def status(self, *args, **options):
        return self.json("status", *args, "--json", **options)


class _Shared:
    """The one cluster that the tests of a run share, one after the other, as long as they ask for the same."""

    def __init__(self):
        self._options = self._cluster = None
        atexit.register(self.end)

    def get(self, options):
        if self._cluster is None or self._options != options:
            self.end()
            self._cluster, self._options = Cluster(**options).__enter__(), dict(options)
        return self._cluster

    def end(self):
        if self._cluster is not None:
            cluster, self._cluster = self._cluster, None
            cluster.__exit__(None, None, None)


_shared = _Shared()


class ClusterCase(unittest.TestCase):
    """Tests that share servers (of these options) with others; each has topics, keys and folders of its own."""

    maxDiff = None
    options = {}

    @classmethod
    def setUpClass(cls):
        cls.cluster = _shared.get(cls.options)

    def setUp(self):
        self.cluster.fresh(self._testMethodName)
        self.addCleanup(self.cluster.stop_all)
        self.addCleanup(lambda: self._started.extend(self.cluster._programs))  # before they are forgotten

    def run(self, result=None):
        """After a failure, the ends of the programs' logs."""
        before = _bad(result)
        self._started = []
        done = super().run(result)
        if result is not None and _bad(result) > before:
            for program in self._started:
                print(f"--- log of {program.folder.name}:\n{program.log[-3000:]}", file=sys.stderr)
        return done

    def refused(self, code, parts, *args, **options):
        """A run that must fail: its exit code, and all parts in the message, which is returned."""
        done = self.cluster.phasemill(*args, **options)
        message = done.stderr.decode(errors="replace")
        self.assertEqual(done.returncode, code, f"{args}: {message or done.stdout[:200]}")
        for part in [parts] if isinstance(parts, str) else parts:
            self.assertIn(part, message, args)
        return message


def _bad(result):
    return len(result.failures) + len(result.errors) if result is not None else 0
