"""The servers of one folder: started, signalled, found again, ended.

    FOLDER/servers.json    addresses and what else was asked for; written before anything starts
    FOLDER/redis-password  mode 0600
    FOLDER/broker-N/, FOLDER/redis/    current folder, settings, data and log of a server
    FOLDER/run/            for the programs of tests: ended with the servers (processes.py)
"""
import json
import os
import pathlib
import random
import secrets
import shutil
import signal
import subprocess
import time

from harness import kafka_protocol, kafka_server, processes, redis_server, resp

SETTINGS = "servers.json"
START_SECONDS = 90.0
STOP_SECONDS = 30.0
TRIES = 5


class ServerError(Exception):
    """What failed, and what to look at."""


class PortTaken(ServerError):
    """Somebody else took a port between its choice and its use."""


class ServerSet:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder).resolve()
        try:
            self.settings = json.loads((self.folder / SETTINGS).read_text())
        except FileNotFoundError:
            raise ServerError(f"{self.folder} holds no servers; tests/cluster/servers up makes some") from None

    @property
    def names(self):
        return [*self.brokers, "redis"]

    @property
    def brokers(self):
        return [f"broker-{n}" for n in range(1, len(self.settings["brokers"]) + 1)]

    @property
    def password(self):
        return pathlib.Path(self.settings["password_file"]).read_text().rstrip("\n")

    def environment(self):
        """What phasemill reads to find these servers."""
        host = self.settings["host"]
        return {
            "PHASEMILL_KAFKA_BROKERS": ",".join(f"{host}:{p['client']}" for p in self.settings["brokers"]),
            "PHASEMILL_REDIS_ADDRESS": f"{host}:{self.settings['redis']}",
            "PHASEMILL_REDIS_PASSWORD_FILE": self.settings["password_file"],
            "PHASEMILL_SERVERS_DIR": str(self.folder),
        }

    def redis(self, **options):
        return resp.Redis(self.settings["host"], self.settings["redis"], self.password, **options)

    def ports(self, name):
        if name == "redis":
            return {"redis": self.settings["redis"]}
        return self.settings["brokers"][int(name.removeprefix("broker-")) - 1]

    def pid(self, name):
        """The process of a server, or None."""
        return processes.of(self.folder / name)

    def state(self, name):
        """running, stopped (SIGSTOP) or down."""
        pid = self.pid(name)
        letter = processes.state(pid) if pid else None
        return {None: "down", "T": "stopped"}.get(letter, "running")

    def log(self, name, lines=20):
        try:
            return "\n".join((self.folder / name / "log").read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return ""

    def launch(self, name):
        """Starts the process of a server, and does not wait until it serves."""
        if self.pid(name):
            raise ServerError(f"{name} runs already (process {self.pid(name)})")
        taken = [port for port in self.ports(name).values() if not processes.port_is_free(self.settings["host"], port)]
        if taken:
            raise PortTaken(f"{name}: port {taken[0]} is taken by another program")
        folder = self.folder / name
        if name == "redis":
            redis_server.configure(folder, self.settings)
            command = redis_server.command(folder)
        else:
            command = kafka_server.command(folder)
        with open(folder / "log", "ab") as log:
            # a grandchild: whoever starts servers has no children to wait for
            subprocess.run(["sh", "-c", 'setsid "$@" &', "sh", *command], cwd=folder, stdin=subprocess.DEVNULL,
                           stdout=log, stderr=log, check=True)
        deadline = time.monotonic() + 5.0
        while not self.pid(name) and time.monotonic() < deadline:
            time.sleep(0.005)

    def wait_ready(self, names=None, seconds=START_SECONDS):
        """Waits until the servers answer, and are ours."""
        deadline = time.monotonic() + seconds
        for name in names or self.names:
            why = self._why_not(name)
            while why:
                if not self.pid(name):
                    text = self.log(name)
                    kind = PortTaken if "already in use" in text else ServerError
                    raise kind(f"{name} ended while it started:\n{text}")
                if time.monotonic() > deadline:
                    raise ServerError(f"{name} does not answer after {seconds:.0f} s ({why}):\n{self.log(name)}")
                time.sleep(0.05)
                why = self._why_not(name)

    def _why_not(self, name):
        """Why a server does not serve yet, or None."""
        pid = self.pid(name)
        for role, port in self.ports(name).items():
            if not pid or not processes.listens(pid, port):
                return f"does not listen at port {port} ({role})"
        try:
            return self._redis_why_not() if name == "redis" else self._broker_why_not(name)
        except (OSError, resp.RedisError) as error:
            return str(error)

    def _redis_why_not(self):
        with self.redis(timeout=5.0) as redis:
            return None if redis("PING") == b"PONG" else "no PONG"

    def _broker_why_not(self, name):
        node = int(name.removeprefix("broker-"))
        alive = {n for n in range(1, len(self.settings["brokers"]) + 1) if self.state(f"broker-{n}") == "running"}
        with kafka_protocol.Broker(self.settings["host"], self.ports(name)["client"], self.settings["sasl"]) as broker:
            seen = set(broker.nodes())
            if not (alive | {node}) <= seen:
                return f"knows of the brokers {sorted(seen)}"
            # also makes the topic of offsets, so that the first worker need not wait for it
            return None if broker.coordinator("first") else "no coordinator of groups"

    def start(self, name):
        """Starts a server again, with its ports and its data, and waits until it serves."""
        self.launch(name)
        self.wait_ready([name])

    def signal(self, name, number):
        pid = self.pid(name)
        if not pid or not processes.send(pid, number):
            raise ServerError(f"{name} does not run")

    def wait_gone(self, name, seconds=STOP_SECONDS):
        """Waits until a server's process has ended and its ports are free."""
        deadline = time.monotonic() + seconds
        while self.pid(name) or any(processes.listeners(p) for p in self.ports(name).values()):
            if time.monotonic() > deadline:
                raise ServerError(f"{name} (process {self.pid(name)}) did not end within {seconds:.0f} s")
            time.sleep(0.01)

    def kill(self, name):
        """SIGKILL; a process that is down already stays so."""
        pid = self.pid(name)
        if pid:
            processes.send(pid, signal.SIGKILL)
        self.wait_gone(name)

    def terminate(self, name):
        """SIGTERM, and waits for the end."""
        self.signal(name, signal.SIGTERM)
        self.wait_gone(name)

    def restart(self, name):
        if self.pid(name):
            self.terminate(name)
        self.start(name)


def create(folder, *, brokers=1, host="127.0.0.1", password=None, redis_options="", sasl=None):
    """Makes and starts the servers in a folder that is there and empty; returns when they serve."""
    folder = pathlib.Path(folder).resolve()
    redis_server.options(redis_options)
    kafka_server.libraries()
    secret = folder / "redis-password"
    secret.touch(mode=0o600)
    secret.write_text((password or secrets.token_hex(24)) + "\n")
    (folder / "run").mkdir()
    settings = {"host": host, "password_file": str(secret), "redis_options": redis_options, "sasl": sasl}
    for attempt in range(1, TRIES + 1):
        try:
            return _try(folder, settings, brokers)
        except PortTaken:
            _clear(folder)
            if attempt == TRIES:
                raise


def _try(folder, settings, brokers):
    ports = processes.free_ports(settings["host"], 3 * brokers + 1, random.SystemRandom())
    settings["redis"] = ports.pop()
    settings["brokers"] = [dict(zip(("client", "broker", "controller"), ports[3 * n : 3 * n + 3])) for n in range(brokers)]
    file = folder / SETTINGS
    file.touch(mode=0o600)
    file.write_text(json.dumps(settings, indent=1) + "\n")
    servers = ServerSet(folder)
    for node, name in enumerate(servers.brokers, 1):
        kafka_server.configure(folder / name, settings, node)
    servers.launch("redis")
    servers.wait_ready(["redis"])
    kafka_server.format_all([folder / name for name in servers.brokers])
    for name in servers.brokers:
        servers.launch(name)
    servers.wait_ready(servers.brokers)
    return servers


def _clear(folder):
    for name in os.listdir(folder):
        if name == "redis" or name.startswith("broker-"):
            processes.kill_below(folder / name)
            shutil.rmtree(folder / name)


def destroy(folder):
    """Ends all that works in the folder and removes it. Nothing happens when it is not there."""
    folder = pathlib.Path(folder).resolve()
    processes.kill_below(folder)
    # a process that was killed may have been writing
    for _ in range(10):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.05)
    shutil.rmtree(folder)
