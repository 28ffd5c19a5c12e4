#!/usr/bin/env python3
"""phasemill against phasic 0.32.1 on the two-locus ancestral recombination graph: both sides in one run, on one graph.

    python3 -m venv venv
    venv/bin/pip install phasic==0.32.1 jax
    venv/bin/python bench/bench_phasic.py [--phasemill build-bench/phasemill] [--n 5,6,7,8] [--theta 1024] [--cap 60]

phasic loads the file that `phasemill generate two-locus-arg` writes, and evaluates it in the two ways that it offers:
as a jitted jax.vmap batch of pmf_and_moments_from_graph, and as a loop of update_weights with moments or pdf. It
eliminates in its dynamic order (dyn_ordering), which is faster here than its preset; moments are timed with both. First
calls (compilation, phasic's own elimination) are shown apart and left out of the times for each theta; a part stops
after --cap seconds, and says so. Of phasic's wall and processor time the smaller one counts.

phasemill runs as a command, without a trace cache: its time is the best `seconds.evaluate` of several runs (wall time),
divided by the rows of theta, and `whole` is everything, from the start of the process to its end.

Each size runs in a process of its own, which gives phasic's peak memory.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time

BATCH = 32  # rows of theta in a vmap batch
N_TIMES = 100
T_END = 5.0
CHECK_TIMES = (9, 29, 59, 99)  # where pdf is compared with a matrix exponential
LOOP = 50  # rows of theta in an update_weights loop


def theta_rows(count):
    """Rows within 10 % of (2, 5), spread evenly (Weyl sequences)."""
    golden, root2 = 0.6180339887498949, 0.41421356237309515
    return [
        [2 * (0.9 + 0.2 * (i * golden % 1)), 5 * (0.9 + 0.2 * (i * root2 % 1))]
        for i in range(count)
    ]


def times():
    return [T_END * (i + 1) / N_TIMES for i in range(N_TIMES)]


# ---- phasic: a process for each size ---------------------------------------------------------------------------------


def load_phasic(path):
    import numpy as np
    import phasic

    with open(path) as f:
        data = json.load(f)
    for key, value in data.items():
        if isinstance(value, list):
            is_index = key in ("states", "vertex_indices")
            data[key] = np.array(value, dtype=np.int32 if is_index else np.float64)
    return phasic.Graph.from_serialized(data)


def repeat(call, cap, most):
    """Seconds of each call, at most `most` and about `cap` seconds in all.

    Of wall and processor time the smaller one: what another process on the machine takes does not count, nor does a
    second core that the call itself uses.
    """
    seconds, begin = [], time.perf_counter()
    while len(seconds) < most and time.perf_counter() - begin < cap:
        wall, processor = time.perf_counter(), time.process_time()
        call()
        seconds.append(min(time.perf_counter() - wall, time.process_time() - processor))
    return seconds


def median(values):
    values = sorted(values)
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def vmap_batch(graph, rows, at, cap):
    """2 moments and pdf at the times `at`, for a batch as large as the cap allows."""
    import jax
    import jax.numpy as jnp
    import phasic

    model = phasic.Graph.pmf_and_moments_from_graph(graph, nr_moments=2, discrete=False, theta_dim=2)
    batch = jax.jit(jax.vmap(lambda theta: model(theta, jnp.array(at))))
    one = jnp.array(rows[:1])
    first = repeat(lambda: jax.block_until_ready(batch(one)), cap, 1)[0]
    each = min(repeat(lambda: jax.block_until_ready(batch(one)), cap / 4, 3))
    size = max(1, min(len(rows), int(cap / 3 / each)))
    theta = jnp.array(rows[:size])
    out = jax.block_until_ready(batch(theta))
    seconds = repeat(lambda: jax.block_until_ready(batch(theta)), cap / 2, 3)
    return {
        "first": first,
        "each": min(seconds) / size,
        "rows": size,
        "capped": size < len(rows),
        "pdf": out[0].tolist(),
        "moments": out[1].tolist(),
    }


def update_loop(graph, rows, evaluate, cap):
    import numpy as np

    theta = iter(np.array(rows))
    results = []

    def step():
        graph.update_weights(next(theta))
        results.append(evaluate())

    first = repeat(step, cap, 1)[0]
    seconds = repeat(step, cap, len(rows) - 1)
    values = [r.tolist() if hasattr(r, "tolist") else list(r) for r in results]
    return {
        "first": first,
        "each": median(seconds),
        "rows": len(seconds),
        "capped": len(seconds) < len(rows) - 1,
        "values": values,
    }


def phasic_side(path, cap):
    import numpy as np

    rows, at = theta_rows(LOOP), times()
    result = {}
    graph = load_phasic(path)
    result["moments loop, preset"] = update_loop(graph, rows, lambda: graph.moments(2), cap / 2)
    graph = load_phasic(path)
    graph.dyn_ordering = True
    result["moments loop"] = update_loop(graph, rows, lambda: graph.moments(2), cap)
    result["pdf loop"] = update_loop(graph, rows, lambda: graph.pdf(np.array(at)), cap)
    result["vmap 1"] = vmap_batch(graph, rows[:BATCH], at[19:20], cap)
    result["vmap 100"] = vmap_batch(graph, rows[:BATCH], at, cap)
    result["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return result


# ---- a third party: scipy's matrix exponential -----------------------------------------------------------------------


def exact_pdf(path, theta):
    """pdf at CHECK_TIMES by scipy: the dense expm up to 1,100 states, the sparse expm_multiply above."""
    import numpy as np
    from scipy.linalg import expm
    from scipy.sparse import coo_array, diags_array
    from scipy.sparse.linalg import expm_multiply

    with open(path) as f:
        data = json.load(f)
    edges = np.array(data["param_edges"])
    n = data["n_vertices"]
    weight = edges[:, 2:] @ np.array(theta)
    rates = coo_array((weight, (edges[:, 0].astype(int), edges[:, 1].astype(int))), shape=(n, n)).tocsr()
    leave = np.asarray(rates.sum(axis=1)).ravel()
    inner = np.flatnonzero(leave > 0)
    sub = (rates - diags_array(leave)).tocsr()[inner][:, inner]
    exits = -np.asarray(sub.sum(axis=1)).ravel()
    start = np.zeros(n)
    for to, probability in data["start_edges"]:
        start[int(to)] += probability
    start = start[inner]
    at = [times()[i] for i in CHECK_TIMES]
    if n <= 1100:
        dense = sub.toarray()
        return [float(start @ expm(dense * t) @ exits) for t in at]
    flow = sub.T.tocsr()
    return [float(expm_multiply(flow * t, start, traceA=float(-leave.sum() * t)) @ exits) for t in at]


# ---- phasemill: its command ------------------------------------------------------------------------------------------


def run_phasemill(program, path, folder, rows, options):
    """The result object, seconds of the whole process, and its peak memory."""
    theta = os.path.join(folder, "theta.csv")
    with open(theta, "w") as f:
        f.writelines("%r,%r\n" % tuple(row) for row in rows)
    output = os.path.join(folder, "result.json")
    command = [program, "run", path, "--theta", theta, "--no-cache", "--quiet", "--output", output]
    begin = time.perf_counter()
    child = subprocess.Popen(command + options)
    _, status, usage = os.wait4(child.pid, 0)
    whole = time.perf_counter() - begin
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit("phasemill failed: " + " ".join(command + options))
    with open(output) as f:
        return json.load(f), whole, usage.ru_maxrss * 1024


def phasemill_side(program, path, folder, n, count):
    """Seconds for each theta by (what, threads); the best of up to 7 runs, as another process may disturb one."""
    at = ["--times", ",".join("%r" % t for t in times())]
    fewer = max(64, count // (4 if n < 7 else 16))
    parts = {
        "2 moments": (["--moments", "2"], count),
        "2 moments, 1 time": (["--moments", "2", "--pdf", "--times", "%r" % times()[19]], fewer),
        "pdf at 100 times": (["--pdf"] + at, fewer),
        "2 moments, 100 times": (["--moments", "2", "--pdf"] + at, fewer),
    }
    results = {}
    for what, (options, n_rows) in parts.items():
        for threads in (1, 2):
            best, spent = None, 0
            for _ in range(7):
                result, whole, peak = run_phasemill(
                    program, path, folder, theta_rows(n_rows), options + ["--threads", str(threads)]
                )
                each = result["seconds"]["evaluate"] / n_rows
                spent += whole
                if best is None or each < best["each"]:
                    best = {"each": each, "whole": whole, "peak": peak, "rows": n_rows, "result": result}
                if spent > 15:
                    break
            results[what, threads] = best
    return results


# ---- side by side ----------------------------------------------------------------------------------------------------


def milliseconds(seconds):
    return "%.3g ms" % (1e3 * seconds) if seconds >= 1e-4 else "%.3g us" % (1e6 * seconds)


def print_row(n, label, theirs, ours, what):
    one, two = ours[what, 1], ours[what, 2]
    note = " (capped)" if theirs["capped"] else ""
    print(
        "| %d | %s | %s | %d%s | %s | %s | %s | %d | %.2f s | %.0fx | %.0fx |"
        % (
            n,
            label,
            milliseconds(theirs["first"]),
            theirs["rows"],
            note,
            milliseconds(theirs["each"]),
            milliseconds(one["each"]),
            milliseconds(two["each"]),
            two["rows"],
            two["whole"],
            theirs["each"] / one["each"],
            theirs["each"] / two["each"],
        )
    )


def worst(theirs, ours, relative_to):
    return max(abs(a - b) / relative_to(row) for row, other in zip(ours, theirs) for a, b in zip(row, other))


def compare(n, path, theirs, ours):
    """How far the numbers agree: moments, pdf, and both pdfs with scipy's."""
    moments = ours["2 moments", 1]["result"]["moments"]
    result = ours["2 moments, 100 times", 1]["result"]
    pdf, relative = result["pdf"], max(
        abs(a / b - 1) for row, other in zip(moments, theirs["moments loop"]["values"]) for a, b in zip(row, other)
    )
    batch = theirs["vmap 100"]
    vmap = max(abs(a / b - 1) for row, other in zip(moments, batch["moments"]) for a, b in zip(row, other))
    off = worst(batch["pdf"], pdf, max)
    exact = exact_pdf(path, theta_rows(1)[0])
    our_error = max(abs(pdf[0][i] - e) for i, e in zip(CHECK_TIMES, exact)) / max(pdf[0])
    their_error = max(abs(batch["pdf"][0][i] - e) for i, e in zip(CHECK_TIMES, exact)) / max(pdf[0])
    return "| %d | %.1e | %.1e | %.1e | %.1e | %.1e | %.2f GB | %.0f MB | %.0f MB |" % (
        n,
        relative,
        vmap,
        off,
        our_error,
        their_error,
        theirs["peak"] / 1e9,
        ours["2 moments", 1]["peak"] / 1e6,
        ours["2 moments, 100 times", 2]["peak"] / 1e6,
    )


def print_versions(program):
    from importlib.metadata import version

    with open("/proc/cpuinfo") as f:
        model = next((line.split(":")[1].strip() for line in f if line.startswith("model name")), platform.machine())
    print("processor: %s, %d cores, load %.2f" % (model, os.cpu_count(), os.getloadavg()[0]))
    print("python %s, phasic %s, jax %s" % (platform.python_version(), version("phasic"), version("jax")))
    print(subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout)


def phasic_in_child(path, cap):
    child = subprocess.run(
        [sys.executable, os.path.abspath(__file__), "--child", path, "--cap", str(cap)], stdout=subprocess.PIPE
    )
    if child.returncode != 0:
        sys.exit("phasic failed on %s with status %d" % (path, child.returncode))
    return json.loads(child.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phasemill", default="build-bench/phasemill", help="the program (build-bench/phasemill)")
    parser.add_argument("--n", default="5,6,7,8", help="numbers of lineages (5,6,7,8)")
    parser.add_argument("--theta", type=int, default=1024, help="rows of theta for phasemill (1024; densities: fewer)")
    parser.add_argument("--cap", type=float, default=60, help="seconds for each part of phasic (60)")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(phasic_side(args.child, args.cap)))
        return
    print_versions(args.phasemill)
    print("| n | what | phasic, first call | rows | for each theta | phasemill, 1 thread | 2 threads | rows "
          "| whole, 2 threads | ratio, 1 thread | ratio, 2 threads |")
    print("|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
    agreement = []
    with tempfile.TemporaryDirectory() as folder:
        for n in map(int, args.n.split(",")):
            path = os.path.join(folder, "arg%d.json" % n)
            subprocess.run(
                [args.phasemill, "generate", "two-locus-arg", "n=%d" % n, "--output", path], check=True
            )
            theirs = phasic_in_child(path, args.cap)
            ours = phasemill_side(args.phasemill, path, folder, n, args.theta)
            print_row(n, "update_weights + moments(2)", theirs["moments loop"], ours, "2 moments")
            print_row(n, "the same, phasic's preset order", theirs["moments loop, preset"], ours, "2 moments")
            print_row(n, "update_weights + pdf, 100 times", theirs["pdf loop"], ours, "pdf at 100 times")
            print_row(n, "vmap, 2 moments + pdf, 1 time", theirs["vmap 1"], ours, "2 moments, 1 time")
            print_row(n, "vmap, 2 moments + pdf, 100 times", theirs["vmap 100"], ours, "2 moments, 100 times")
            sys.stdout.flush()
            agreement.append(compare(n, path, theirs, ours))
    print("\n| n | moments, loop | moments, vmap | pdf | phasemill's pdf from scipy's | phasic's pdf from scipy's "
          "| phasic, memory | phasemill, moments | with pdf |")
    print("|---|---|---|---|---|---|---|---|---|")
    print("\n".join(agreement))


if __name__ == "__main__":
    main()
