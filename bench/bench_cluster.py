#!/usr/bin/python3
"""What the cluster costs, on real servers of its own: units and SCCs a second, the way there and back, slots, and beside
it Celery and RQ on the same Redis.

    python3 -m venv venv
    venv/bin/pip install celery redis rq packaging
    bench/bench_cluster.py [--phasemill build/phasemill] [--peers venv/bin/python] [PART...]

Parts: units, latency, seals, slots, sccs, strategies, peers (all of them when none is named). The tests' harness
starts one Kafka broker and one Redis, and stops them at the end. Each part prints one table; times are wall times.
"""

import argparse
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "cluster"))
from harness import support


class Bench:
    """The servers and programs of the tests' harness, and a folder for graphs."""

    def __init__(self, arguments, cluster, folder):
        self.peers = arguments.peers
        self.rounds = arguments.rounds
        self.cluster = cluster
        self.folder = folder
        self.workers = []

    def start_workers(self, count, slots, *options):
        """Returns when all have beaten, and units come back."""
        self.workers = self.cluster.workers(count, "--no-cache", *options, slots=slots)
        support.wait_until(lambda: len(self.cluster.status()["workers"]) >= count, 60, f"{count} workers")
        self.probe("--units", "20", "--timeout", "60")

    def stop_workers(self):
        for worker in self.workers:
            worker.send(signal.SIGTERM)
        for worker in self.workers:
            worker.wait(60)
        self.workers = []

    def run(self, *arguments):
        return self.cluster.ok(*arguments, timeout=3600).decode()

    def probe(self, *arguments):
        return json.loads(self.run("probe", "--json", "--quiet", *arguments))


def title(text):
    print("\n" + text, flush=True)


# ---- parts ----------------------------------------------------------------------------------------------------------


def part_units(bench):
    title("no-op units: one worker, 2 slots")
    bench.start_workers(1, 2)
    for _ in range(bench.rounds):
        found = bench.probe("--units", "20000")
        print("20,000 units: %.0f units/s" % found["units_per_second"], flush=True)
    bench.stop_workers()


def part_latency(bench):
    title("one small unit at a time, there and back: one worker, 2 slots")
    bench.start_workers(1, 2)
    found = bench.probe("--sequential", "--units", "200")
    print("median %.1f ms, 95 %% %.1f ms" % (1e3 * found["round_trip"]["median"], 1e3 * found["round_trip"]["p95"]), flush=True)
    bench.stop_workers()


def part_seals(bench):
    """Rounds without and with a cluster.key, one after the other, so that both have the same machine. Processor seconds
    are those of phasemill's processes, which a busy machine changes least."""
    title("the cost of cluster.key: one worker, 2 slots, rounds in turn")
    key = os.path.join(bench.folder, "key")
    with open(os.open(key, os.O_CREAT | os.O_WRONLY, 0o600), "w") as f:
        f.write("0123456789abcdef" * 4)
    work = {}
    for count in (5000, 40000):
        path = generate(bench, f"seals-{count}", "random", "--sccs", str(count), "--size", "12", "--extra", "2")
        work[f"{count:,} no-op units"] = ["probe", "--json", "--units", str(count), "--timeout", "600"]
        work[f"{count:,} SCCs of 12 states"] = ["submit", path, "--wait", "--no-cache"]
    wall, processor = {}, {}
    for number in range(2 * bench.rounds):
        which = ("", key)[number % 2]
        for name, command in work.items():
            flush(bench)
            bench.cluster.extra["PHASEMILL_CLUSTER_KEY_FILE"] = which
            before = processor_seconds()
            bench.start_workers(1, 2)
            wall.setdefault((name, which), []).append(timed(bench, *command, "--quiet")[0])
            bench.stop_workers()
            processor.setdefault((name, which), []).append(processor_seconds() - before)
    bench.cluster.extra.clear()
    for name in work:
        for what, found in (("wall", wall), ("processor", processor)):
            ratios = sorted(b / a for a, b in zip(found[name, ""], found[name, key]))
            print("%s, %s: %.3f s without, %.3f s with; ratio of rounds: median %.3f (%s)" % (
                name, what, statistics.median(found[name, ""]), statistics.median(found[name, key]),
                statistics.median(ratios), " ".join("%.3f" % ratio for ratio in ratios)), flush=True)


def processor_seconds():
    """Of all processes that were started from here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def part_slots(bench):
    title("units of one length: 2 slots against 1")
    print("| unit, ms | units | 1 slot, s | 2 slots, s | of twice one slot |\n|---|---|---|---|---|")
    for milliseconds, units in ((10, 1000), (50, 300), (100, 150)):
        seconds = []
        for slots in (1, 2):
            bench.start_workers(1, slots)
            found = bench.probe("--units", str(units), "--seconds", str(milliseconds / 1e3))
            seconds.append(found["seconds"])
            bench.stop_workers()
        share = seconds[0] / seconds[1] / 2
        print("| %d | %d | %.2f | %.2f | %.0f %% |" % (milliseconds, units, *seconds, 100 * share), flush=True)


def generate(bench, name, *arguments):
    path = os.path.join(bench.folder, name + ".msgpack")
    bench.run("generate", *arguments, "--output", path)
    return path


def timed(bench, *arguments):
    start = time.monotonic()
    out = bench.run(*arguments)
    return time.monotonic() - start, out


def part_sccs(bench):
    count = 100000
    for what, size, extra in (("all different, of 6 states", 6, 3), ("of 4 states, which repeat", 4, 1)):
        title("small SCCs, %s, end to end: submit --wait, one worker, 2 slots" % what)
        path = generate(bench, "small", "random", "--sccs", str(count), "--size", str(size), "--extra", str(extra))
        for _ in range(bench.rounds):
            flush(bench)
            bench.start_workers(1, 2)
            seconds, _ = timed(bench, "submit", path, "--wait", "--no-cache", "--quiet")
            print("%d SCCs: %.2f s, %.0f SCCs/s" % (count, seconds, count / seconds), flush=True)
            bench.stop_workers()


def flush(bench):
    with bench.cluster.redis() as redis:
        redis.flushall()


def part_strategies(bench):
    title("recording by threads and by the cluster (2 workers of 1 slot), no cache, wall seconds of the whole command")
    models = [
        ("ARG 6", ["two-locus-arg", "--n", "6"]),
        ("ARG 8", ["two-locus-arg", "--n", "8"]),
        ("jsfs 5+5", ["jsfs", "--n1", "5", "--n2", "5"]),
        ("tandem 100x100", ["tandem", "--k1", "100", "--k2", "100"]),
        ("random, 2,000 SCCs of 50", ["random", "--sccs", "2000", "--size", "50", "--extra", "1"]),
    ]
    print("| graph | threads, s | cluster, s | cluster again, s |\n|---|---|---|---|")
    for name, arguments in models:
        path = generate(bench, "graph", *arguments)
        theta = json.loads(bench.run("inspect", path, "--json", "--no-cache", "--quiet"))["graph"]["parameters"]
        given = ["--theta", ",".join(["1"] * theta)] if theta else []
        common = ["run", path, *given, "--moments", "1", "--no-cache", "--quiet", "--strategy"]
        threads = min(timed(bench, *common, "threads")[0] for _ in range(bench.rounds))
        cold, warm = [], []
        for _ in range(bench.rounds):
            flush(bench)
            bench.start_workers(2, 1)
            cold.append(timed(bench, *common, "cluster")[0])
            warm.append(timed(bench, *common, "cluster")[0])
            bench.stop_workers()
        print("| %s | %.2f | %.2f | %.2f |" % (name, threads, min(cold), min(warm)), flush=True)


CELERY_APP = """
import celery
app = celery.Celery("tasks", broker=BROKER, backend=BROKER)
app.conf.worker_prefetch_multiplier = 64
app.conf.task_ignore_result = False
@app.task
def noop():
    return None
"""

CELERY_DRIVER = """
import sys, time
from tasks import noop
def batch(n):
    start = time.monotonic()
    results = [noop.delay() for _ in range(n)]
    for r in results:
        r.get(timeout=600, interval=0.001)
    return n / (time.monotonic() - start)
def one():
    start = time.monotonic()
    noop.delay().get(timeout=60, interval=0.001)
    return time.monotonic() - start
batch(20)
rate = batch(int(sys.argv[1]))
times = sorted(one() for _ in range(200))
print(rate, times[100])
"""

RQ_TASKS = """
def noop():
    return None
"""

RQ_DRIVER = """
import sys, time
import redis, rq
from rqtasks import noop
connection = redis.Redis.from_url(BROKER)
queue = rq.Queue(connection=connection)
def wait(jobs):
    pending = jobs
    while pending:
        pending = [j for j in pending if j.get_status(refresh=True) not in ("finished", "failed")]
        time.sleep(0.001)
def batch(n):
    start = time.monotonic()
    wait([queue.enqueue(noop) for _ in range(n)])
    return n / (time.monotonic() - start)
def one():
    start = time.monotonic()
    wait([queue.enqueue(noop)])
    return time.monotonic() - start
batch(20)
rate = batch(int(sys.argv[1]))
times = sorted(one() for _ in range(100))
print(rate, times[50])
"""


def peer_run(bench, name, files, worker, driver, tasks):
    folder = os.path.join(bench.folder, name)
    os.makedirs(folder, exist_ok=True)
    servers = bench.cluster.servers
    url = "redis://:%s@%s:%d/3" % (servers.password, servers.settings["host"], servers.settings["redis"])
    for file, text in files.items():
        with open(os.path.join(folder, file), "w") as f:
            f.write("BROKER = %r\n" % url + text)
    environment = dict(os.environ, PYTHONPATH=folder)
    bin_folder = os.path.dirname(os.path.abspath(bench.peers))
    log = open(os.path.join(folder, "log"), "wb")
    workers = [
        subprocess.Popen([os.path.join(bin_folder, w[0]), *w[1:]], cwd=folder, env=environment, stdout=log, stderr=log)
        for w in worker(url)
    ]
    try:
        out = subprocess.run(
            [bench.peers, driver, str(tasks)], cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True
        ).stdout.split()
    finally:
        for w in workers:
            w.terminate()
        for w in workers:
            w.wait(60)
    return float(out[0]), 1e3 * float(out[1])


def part_peers(bench):
    title("no-op units: phasemill, Celery and RQ, two processes each, the same Redis")
    if bench.peers is None:
        sys.exit("bench_cluster: --peers PYTHON of an environment with celery, redis and rq is missing")
    bench.start_workers(1, 2)
    ours = statistics.median(bench.probe("--units", "20000")["units_per_second"] for _ in range(bench.rounds))
    latency = bench.probe("--sequential", "--units", "200")["round_trip"]["median"]
    bench.stop_workers()
    celery = peer_run(
        bench, "celery", {"tasks.py": CELERY_APP, "driver.py": CELERY_DRIVER},
        lambda url: [["celery", "-A", "tasks", "worker", "-c", "2", "--loglevel", "ERROR"]], "driver.py", 10000,
    )
    rq = peer_run(
        bench, "rq", {"rqtasks.py": RQ_TASKS, "driver.py": RQ_DRIVER},
        lambda url: [["rq", "worker", "--url", url, "--quiet"]] * 2, "driver.py", 1000,
    )
    print("| | units/s | median there and back, ms |\n|---|---|---|")
    for name, rate, milliseconds in (("phasemill", ours, 1e3 * latency), ("Celery", *celery), ("RQ", *rq)):
        print("| %s | %.0f | %.1f |" % (name, rate, milliseconds), flush=True)


PARTS = {
    "units": part_units,
    "latency": part_latency,
    "seals": part_seals,
    "slots": part_slots,
    "sccs": part_sccs,
    "strategies": part_strategies,
    "peers": part_peers,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phasemill", default="build/phasemill")
    parser.add_argument("--peers", help="python of an environment with celery, redis and rq")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("parts", nargs="*", metavar="PART", default=[])
    arguments = parser.parse_args()
    support.PROGRAM = os.path.abspath(arguments.phasemill)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with support.Cluster() as cluster, tempfile.TemporaryDirectory(prefix="phasemill-bench-") as folder:
        for part in arguments.parts or PARTS:
            PARTS[part](Bench(arguments, cluster, folder))


if __name__ == "__main__":
    main()
