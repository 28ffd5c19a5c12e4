"""The same graph recorded many times: the same key has the same bytes, whatever threads and workers take first.

usage: repeat COUNT [--sccs N] [--size N] [--seed N] [--only runs|submits]

`runs` are of two threads, each with a new cache. `submits` go to real servers with a worker of two slots; before each
Redis is emptied and the cache is new, so that everything is recorded again. Counted are the distinct moments, to the bit,
and the distinct sets of traces."""
import argparse
import hashlib
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

from harness import support

EVALUATION = ("--theta", "1,0.5", "--moments", "2", "--format", "json", "--quiet")


def traces_of(cache, count):
    """SHA-256 of all traces in the cache; as many as were recorded."""
    exported = cache.with_name(cache.name + "-traces")
    subprocess.run([support.PROGRAM, "cache", "export", exported, "--cache-dir", cache, "--quiet"],
                   stdout=subprocess.DEVNULL, check=True)
    files = sorted(exported.glob("*.trace"))
    if len(files) != count:
        raise AssertionError(f"{len(files)} traces in the cache, expected {count}")
    digest = hashlib.sha256(b"".join(file.name.encode() + file.read_bytes() for file in files)).hexdigest()
    shutil.rmtree(exported)
    return digest


def once(command, cache, environment=None):
    """The moments, to the bit, and the digest of the traces that they were computed from."""
    done = subprocess.run([support.PROGRAM, *map(str, command), *EVALUATION, "--cache-dir", cache], env=environment,
                          stdout=subprocess.PIPE, check=True, timeout=600)
    result = json.loads(done.stdout)
    found = json.dumps(result["moments"]), traces_of(cache, result["sccs"]["distinct"])
    shutil.rmtree(cache)
    return found


def run_many(graph, folder, count):
    for i in range(count):
        yield once(["run", graph, "--threads", "2"], folder / f"cache-{i}")


def submit_many(graph, folder, count):
    with support.Cluster() as cluster:
        cluster.worker(slots=2)
        for i in range(count):
            with cluster.redis() as redis:
                redis.flushall()
            yield once(["submit", graph, "--wait", "--timeout", "300"], folder / f"cache-{i}",
                       cluster.environment(cluster.run))


def show(name, results):
    """Counts, and whether all were the same."""
    moments, traces = (len(set(part)) for part in zip(*results))
    print(f"{name} {len(results)}, distinct moments {moments}, distinct traces {traces}", flush=True)
    return moments == 1 and traces == 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int)
    parser.add_argument("--sccs", type=int, default=40)
    parser.add_argument("--size", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--only", choices=("runs", "submits"))
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        graph = folder / "graph.msgpack"
        subprocess.run([support.PROGRAM, "generate", "random", "--sccs", str(options.sccs), "--size", str(options.size),
                        "--seed", str(options.seed), "--output", graph], check=True)
        for kind, repeat in (("runs", run_many), ("submits", submit_many)):
            if options.only in (None, kind):
                of_kind = list(repeat(graph, folder, options.count))
                show(kind, of_kind)
                results += of_kind
    return 0 if show("all", results) else 1


if __name__ == "__main__":
    sys.exit(main())
