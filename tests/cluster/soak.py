"""tests/cluster/soak: jobs of all sizes while everything fails, at random from a seed."""
import argparse
import collections
import random
import secrets
import signal
import sys
import time

from harness import board, cut, faults, lanes, network, preload, processes, resp, server_set, support

WORKERS, LANES = 3, 3
WEIGHTS = {"child killed": 4, "worker killed": 3, "worker stopped": 2, "worker replaced": 3, "collector killed": 3,
           "broker killed": 1, "redis killed": 2, "redis emptied": 1, "redis full": 2, "messages twice": 2,
           "cable pulled": 1, "topic deleted": 1, "topic remade": 1, "messages refused": 1, "worker cut off": 1,
           "value spoiled": 2}
# what is found to be bad, and done again, by whoever comes upon it
SPOILED = ("trace", "job", "failed", "unit", "outcome", "job-units", "tally")
# seconds that a worker's clock is wrong by
CLOCKS = (0, 0, 0, 7200, -7200, 3 * 86400, -3 * 86400)


class Soak:
    def __init__(self, cluster, random, cable):
        self.cluster, self.random, self.cable = cluster, random, cable
        self.counts, self.injected, self.bad = collections.Counter(), collections.Counter(), collections.Counter()
        # when Redis last lost something, when a server was last down, when units were last refused
        self.emptied = self.away = self.refused = 0.0
        self.clock = preload.skew(cluster.run)
        self.is_ending = False
        self.undo = {}  # what is out of order: (when it is mended, how)
        self.workers, self.retired = [], []
        self.faults = {name: getattr(self, name.replace(" ", "_")) for name in WEIGHTS}
        cluster.ok("topics")
        for number in range(WORKERS):
            self.add_worker()
        self.lanes = [lanes.Lane(self, number) for number in range(LANES)]

    def wrong(self, kind, text):
        self.bad[kind] += 1
        print(f"WRONG: {kind}: {text}", file=sys.stderr, flush=True)

    # ---- workers ----

    def add_worker(self):
        far = self.cable is not None and not any(w.is_far for w in self.workers)
        flags = self.random.choice([[], [], ["--no-cache"]])
        way = None
        if not far and not any(w.way for w in self.workers):
            way = cut.Way(self.cluster.servers.settings["host"], self.cluster.servers.settings["redis"])
            flags = [*flags, "--redis-address", way.address]
        clock = {"LD_PRELOAD": self.clock, "SKEW_SECONDS": str(self.random.choice(CLOCKS))}
        worker = self.cluster.worker(*faults.QUICK, *flags, slots=self.random.choice([1, 2]),
                                     wrap=self.cable.wrap if far else (), **clock)
        worker.is_far, worker.is_stopped, worker.way = far, False, way
        self.workers.append(worker)

    def look_after_workers(self):
        for worker in self.workers:
            if not worker.running():
                self.wrong("workers that ended", f"{worker.process.returncode}:\n{worker.log[-3000:]}")
        self.workers = [w for w in self.workers if w.running()]
        for worker in [w for w in self.retired if not w.running()]:
            if worker.process.returncode != 0:
                self.wrong("workers that ended badly", f"{worker.process.returncode}:\n{worker.log[-3000:]}")
            self.retired.remove(worker)
        while len(self.workers) < WORKERS:
            self.add_worker()

    def a_worker(self):
        going = [w for w in self.workers if not w.is_stopped]
        return self.random.choice(going) if going else None

    # ---- faults: each returns False when there is nothing to do it to ----

    def later(self, name, least, most, mend):
        self.undo[name] = (time.monotonic() + self.random.uniform(least, most), mend)

    def child_killed(self):
        worker = self.a_worker()
        pids = faults.children(worker) if worker else []
        return bool(pids) and processes.send(self.random.choice(pids), signal.SIGKILL)

    def worker_killed(self):
        worker = self.a_worker()
        if worker is None:
            return False
        self.workers.remove(worker)
        worker.kill()
        return True

    def worker_stopped(self):
        worker = self.a_worker()
        if worker is None:
            return False
        worker.is_stopped = True
        worker.stop()
        self.later(worker, 0.5, faults.SESSION + 4, lambda: self.go_on(worker))
        return True

    def go_on(self, worker):
        worker.is_stopped = False
        worker.cont()
        return True

    def worker_replaced(self):
        worker = self.a_worker()
        if worker is None:
            return False
        self.workers.remove(worker)
        self.retired.append(worker)
        worker.send(signal.SIGTERM)
        return True

    def collector_killed(self):
        return self.random.choice(self.lanes).kill()

    def broker_killed(self):
        if any(name in self.undo for name in self.cluster.servers.brokers):
            return False
        return self.server_killed(self.random.choice(self.cluster.servers.brokers))

    def redis_killed(self):
        self.emptied = time.monotonic()  # the last second may be lost
        return "redis" not in self.undo and self.server_killed("redis")

    def server_killed(self, name):
        self.cluster.servers.kill(name)
        self.later(name, 0, 4, lambda: self.launch(name))
        return True

    def launch(self, name):
        self.cluster.servers.launch(name)
        self.undo[name] = (time.monotonic(), lambda: self.serves(name))

    def serves(self, name):
        """The server that was started serves; looked at again a little later otherwise."""
        try:
            self.cluster.servers.wait_ready([name], 0.0)
            return True
        except server_set.ServerError:
            if self.cluster.servers.pid(name) is None:
                raise
            self.undo[name] = (time.monotonic() + 0.3, lambda: self.serves(name))
            return False

    def ask_redis(self, *words):
        try:
            with self.cluster.redis(timeout=2.0) as redis:
                return redis(*words)
        except (OSError, resp.RedisError):
            return None

    def redis_emptied(self):
        self.emptied = time.monotonic()
        return "redis" not in self.undo and self.ask_redis("FLUSHALL") is not None

    def redis_full(self):
        if "redis" in self.undo or "maxmemory" in self.undo:
            return False
        if self.ask_redis("CONFIG", "SET", "maxmemory", "1mb") is None:
            return False
        self.later("maxmemory", 0.5, 4, self.redis_freed)
        return True

    def redis_freed(self):
        if "redis" not in self.undo and self.ask_redis("CONFIG", "SET", "maxmemory", "768mb") is None:
            self.later("maxmemory", 0.1, 0.2, self.redis_freed)
            return False
        return True

    def value_spoiled(self):
        """One value of one job is junk, or of another type."""
        space = self.random.choice(SPOILED)
        keys = sorted(self.ask_redis("KEYS", f"{self.cluster.name}:{space}:*") or [])
        if not keys:
            return False
        key = self.random.choice(keys)
        if self.random.random() < 0.5:
            return self.ask_redis("SET", key, b"junk", "EX", 3600) is not None
        self.ask_redis("DEL", key)
        return self.ask_redis("RPUSH", key, b"junk") is not None

    def messages_twice(self):
        if any(name in self.undo for name in self.cluster.servers.brokers):
            return False
        return faults.send_again(self.cluster)

    def cable_pulled(self):
        if self.cable is None or "cable" in self.undo:
            return False
        self.cable.cut()
        self.later("cable", 0.5, faults.SESSION + 4, self.cable_back)
        return True

    def cable_back(self):
        self.cable.join()
        return True

    def is_disturbed(self, what):
        return what in self.undo or any(name in self.undo for name in self.cluster.servers.brokers)

    def topic_deleted(self):
        """Whoever submits or collects makes it again."""
        return not self.is_disturbed("topic") and faults.delete_units(self.cluster)

    def topic_remade(self):
        if self.is_disturbed("topic") or not faults.delete_units(self.cluster):
            return False
        self.later("topic", 0, self.random.choice([0, 0, 0.5, 3]), self.topic_back)
        return True

    def topic_back(self):
        if self.cluster.phasemill("topics").returncode != 0:
            self.later("topic", 0.5, 1, self.topic_back)
            return False
        return True

    def messages_refused(self):
        name = self.random.choice(["units", "events", "dead-letters"])
        if self.is_disturbed("refusal") or not faults.refuse_messages(self.cluster, name):
            return False
        self.refused = float("inf") if name == "units" else self.refused
        self.later("refusal", 0.5, 4, lambda: self.accepted(name))
        return True

    def accepted(self, name):
        if not faults.accept_messages(self.cluster, name):
            self.later("refusal", 0.2, 0.5, lambda: self.accepted(name))
            return False
        self.refused = time.monotonic() if name == "units" else self.refused
        return True

    def worker_cut_off(self):
        worker = next((w for w in self.workers if w.way), None)
        if worker is None or "way" in self.undo:
            return False
        worker.way.cut()
        self.later("way", 0.5, 25, lambda: self.way_back(worker.way))
        return True

    def way_back(self, way):
        way.mend()
        return True

    # ---- all together ----

    def mend(self, at_once=False):
        for name, (when, mend) in list(self.undo.items()):
            if at_once or time.monotonic() >= when:
                del self.undo[name]
                mend()

    def spoil(self):
        name = self.random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        if self.faults[name]():
            self.injected[name] += 1

    def turn(self):
        self.mend(self.is_ending)
        if any(name in self.undo for name in self.cluster.servers.names):
            self.away = time.monotonic()
        self.look_after_workers()
        for lane in self.lanes:
            if not lane.is_over:
                lane.poll()
        time.sleep(0.05)

    def go(self, seconds):
        end, next_fault = time.monotonic() + seconds, time.monotonic() + 3.0
        while time.monotonic() < end:
            self.turn()
            if time.monotonic() >= next_fault:
                self.spoil()
                next_fault = time.monotonic() + self.random.uniform(0.3, 4.0)
        self.is_ending = True
        while not all(lane.is_over for lane in self.lanes):
            self.turn()

    def check(self):
        """After the end: what is left on the topic, and what is dead."""
        deadline = time.monotonic() + 60
        left = faults.unread(self.cluster)
        while left and time.monotonic() < deadline:
            self.turn()
            time.sleep(0.5)
            left = faults.unread(self.cluster)
        self.lost = sum(left.values())
        if left:
            self.wrong("units lost", f"not taken, by partition: {left}")
        for key, letters in board.Board(self.cluster).letters().items():
            headers = letters[-1][0]
            # an old unit that came once more, of a job that nobody asks for since Redis was emptied
            if self.emptied and "has no manifest of job" in headers["__dlq.errors.message"]:
                self.counts["dead letters of forgotten jobs"] += 1
            else:
                self.wrong("dead letters", f"{key.hex()}: {headers}")
        events = self.cluster.topics.read(f"{self.cluster.name}.events")
        self.units = sum(1 for m in events if (b"phasemill.event.done" in dict(m.headers() or []).values()))

    def report(self, seed):
        injected = ", ".join(f"{n} {name}" for name, n in sorted(self.injected.items()))
        print(f"seed {seed}\njobs done {self.counts['jobs']}\nunits done {self.units}\n"
              f"faults injected {sum(self.injected.values())}: {injected}\n"
              f"submitted again after Redis was emptied {self.counts['submitted again']}\n"
              f"begun again when no broker had answered {self.counts['began again']}\n"
              f"begun again when Kafka had refused units {self.counts['refused']}\n"
              f"dead letters of jobs that Redis had lost {self.counts['dead letters of forgotten jobs']}\n"
              f"units lost {self.lost}\n"
              f"results that differ {self.bad['results that differ']}")
        for kind in sorted(set(self.bad) - {"results that differ", "units lost"}):
            print(f"{kind} {self.bad[kind]}")
        return 1 if self.bad else 0


def arguments(argv):
    parser = argparse.ArgumentParser(prog="tests/cluster/soak", description=__doc__)
    parser.add_argument("minutes", type=float, metavar="MINUTES")
    parser.add_argument("--seed", type=int, help="of everything random (default: one drawn anew, printed)")
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=1, help="brokers of Kafka (default 1)")
    parser.add_argument("--key", action="store_true", help="all have a cluster.key")
    return parser.parse_args(argv)


def soak(options, seed, cable):
    where = {"host": cable.host} if cable else {}
    with support.Cluster(brokers=options.brokers, **where) as cluster:
        cluster.fresh("soak")
        if options.key:
            cluster.extra["PHASEMILL_CLUSTER_KEY"] = secrets.token_hex(32)
        run = Soak(cluster, random.Random(seed), cable)
        run.go(60 * options.minutes)
        run.check()
        return run.report(seed)


def main(argv):
    options = arguments(argv)
    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    reason = network.why_not()
    if reason:
        print(f"no cable is pulled: this machine permits no network namespaces: {reason}")
        return soak(options, seed, None)
    with network.Network() as cable:
        return soak(options, seed, cable)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
