"""The kinds `bits` (the same bits in any batch, for any number of threads) and `relabel` (keys and results do not depend
on the order of states and edges)."""
import os

import fuzz_density
import fuzz_graphs
import graphs
from fuzz_exact import Graph
from fuzz_run import row_text, table_text, theta_arguments, usable

KEYS = ("moments", "covariance", "pdf", "cdf", "survival", "atom")
ROUNDING = 1e-12  # between instruction sets with and without fused multiply-add; densities: within their bounds


def family(rng):
    """A graph and many rows of theta: small random ones, long chains, walks, large sparse ones."""
    rows = rng.choice((2, 3, 5, 9, 17, 33))
    style = rng.random()
    if style < 0.5:
        g, thetas = fuzz_graphs.continuous(rng, decades=rng.choice((0, 1, 2, 80)), center=0, rows=rows, cancel=False,
                                           params=rng.choice((1, 2, 3)))
    elif style < 0.55:
        g, thetas = fuzz_graphs.discrete(rng, rows=rows)
    elif style < 0.65:
        g, thetas = fuzz_graphs.drained(rng, rng.choice((10, 30, 60)), rows)
    else:
        n = rng.choice((20, 60, 200)) if style < 0.95 else rng.choice((1000, 5000))
        shortcuts = style > 0.85 and n < 5000  # factors of 5,000 states with shortcuts fill in: minutes in wide numbers
        edges = [(i, i + 1, [1.0, rng.random()]) for i in range(n)]
        if style > 0.75:
            edges += [(i + 1, i, [0.0, rng.random()]) for i in range(n - 1)]
        if shortcuts:
            edges += [(i, rng.randrange(n), [0.1, 0.0]) for i in range(n)]
        g = graphs.graph(n + 1, [e for e in edges if e[0] != e[1]], params=2)
        thetas = fuzz_graphs.choose_thetas(rng, 2, rows)
        thetas = [[a or 1.0, b or 0.5] for a, b in thetas]
    return g, thetas


def rows_of(result, order=None):
    n = len(result["theta"])
    order = range(n) if order is None else order
    return [{k: result[k][i] for k in KEYS if k in result} for i in order]


def choose_work(rng, g, thetas):
    """Options, and the times (one row for all, or a row for each theta) if densities are asked for."""
    what = rng.random()
    if what < 0.3:
        f = fuzz_graphs.rewards(rng, g, 2) if g["n_vertices"] < 300 else None
        return ["--moments", "3", "--covariance", *(("--rewards", table_text(f)) if f else ())], None
    tails = ["--tail-accuracy"] if rng.random() < 0.4 else []
    if g.get("is_discrete"):
        times = sorted(rng.randrange(300) for _ in range(4))
    else:
        states = len(g["states"])
        mean = min(states, 40000 // states) * len(thetas) / (sum(map(max, thetas)) or 1.0)  # rates grow with theta
        times = [mean * fuzz_graphs.log_uniform(rng, -4, 0) for _ in range(rng.randrange(1, 5))]
    if rng.random() < 0.3 and not g.get("is_discrete"):
        times = [[t * fuzz_graphs.log_uniform(rng, -1, 0) for t in times] for _ in thetas]
    else:
        times = [times]
    return ["--pdf", "--cdf", *tails], times


def bits(session, rng):
    g, thetas = family(rng)
    session.case(g, session.index)
    graph = Graph(g)
    if g["n_vertices"] < 100:
        thetas, _ = usable(session, graph, thetas)
    if len(thetas) < 2:
        return session.note("too few thetas that are not refused")
    options, times = choose_work(rng, g, thetas)

    def ask(order, threads, env=None):
        some = [thetas[i] for i in order]
        when = () if times is None else ("--times", table_text(times if len(times) == 1 else [times[i] for i in order]))
        arguments = [*theta_arguments(some), *options, *when, "--threads", str(threads)]
        return session.run(*arguments, env=env), arguments

    everything = list(range(len(thetas)))
    whole, arguments = ask(everything, 1)
    if whole is None or whole.code != 0:
        return session.note("refused as a whole")
    whole_rows = rows_of(whole.result)
    for order, threads in orders(rng, everything):
        part, other = ask(order, threads)
        if part is None or part.code != 0:
            session.finding("refused in another batch", other, part.err[:300] if part else "")
            continue
        for place, i in enumerate(order):
            session.values += 1
            if rows_of(part.result)[place] != whole_rows[i]:
                session.finding("other bits", other, f"row {place}: {rows_of(part.result)[place]}\n  in the batch of "
                                f"{row_text(everything)} (row {i}) with one thread: {whole_rows[i]}\n  {arguments}"[:3000])
                break
    if rng.random() < 0.3:
        instruction_sets(session, ask, everything, whole, "-" in str(options[3:]))
    return None


def orders(rng, everything):
    """Batches to compare with: threads, single rows, another order, part of the rows, a row many times."""
    n = len(everything)
    yield everything, rng.choice((2, 2, 3, 4, 8))
    yield [rng.choice(everything)], rng.choice((1, 2))
    shuffled = rng.sample(everything, n)
    yield (shuffled if rng.random() < 0.5 else shuffled[:rng.randrange(1, n + 1)]), rng.choice((1, 2, 3))
    if rng.random() < 0.3:
        yield [rng.choice(everything)] * rng.randrange(2, 20), rng.choice((1, 2))


def instruction_sets(session, ask, everything, whole, signed):
    for isa in ("x86-64-v4", "x86-64-v3", "x86-64-v2"):
        if session.counts[f"{isa} is not there"]:
            continue
        done, other = ask(everything, 2, env={"PHASEMILL_ISA": isa})
        if done is None:
            continue
        if done.code == 69:
            session.note(f"{isa} is not there")
            continue
        if done.code != 0:
            session.finding(f"refused with {isa}", other, done.err[:300])
            continue
        same = rows_of(done.result) == rows_of(whole.result)
        if isa != "x86-64-v2" and whole.result["method"]["isa"] != "x86-64-v2" and not same:
            session.finding(f"other bits with {isa}", other, f"{rows_of(done.result)}\n  {rows_of(whole.result)}"[:2000])
        if not same and not signed:  # sums of both signs may cancel
            compare_rounding(session, done, whole, other)


def compare_rounding(session, done, whole, arguments):
    bound = 2 * (done.result["method"].get("error_bound", 0) + whole.result["method"].get("error_bound", 0)) + ROUNDING
    for a, b in zip(rows_of(done.result), rows_of(whole.result)):
        for key in a:
            for x, y in zip(flat(a[key]), flat(b[key])):
                scale = max(map(abs, flat(b[key])))
                session.values += 1
                if not abs(x - y) <= bound * scale:
                    session.finding("x86-64-v2 beyond rounding", arguments, f"{key}: {x!r} and {y!r}, allowed {bound:.3g}")
                    return


def flat(x):
    return [v for part in x for v in flat(part)] if isinstance(x, list) else [x]


def relabel(session, rng):
    """The keys of SCCs, and results within rounding, are those of the graph with its rows in another order."""
    if rng.random() < 0.7:
        g, thetas = fuzz_graphs.continuous(rng, decades=rng.choice((0, 0, 1, 4)), center=0, largest=rng.choice((8, 20)), cancel=False)
    else:
        g = graphs.random_sccs(rng.randrange(1, 6), rng.choice((2, 3, 8, 30)), rng.choice((0, 1, 3)), rng.randrange(10 ** 9), -2, 2)
        thetas = [[]]
    if g["states"][0] != [0]:
        return session.note("no start vertex")
    other, _ = graphs.relabelled(g, rng.randrange(10 ** 9))
    graph = Graph(g)
    session.case(g, session.index)
    kept, chains = usable(session, graph, thetas)
    if not chains:
        return session.note("no theta that is not refused")
    cache = os.path.join(session.work, f"cache-{session.index % 50}")
    arguments = [*theta_arguments(kept), "--moments", "3", "--cache-dir", cache]
    first = session.run(*arguments, cache=True)
    session.case(other, session.index)
    second = session.run(*arguments, cache=True)
    if first is None or second is None or first.code != second.code:
        return session.finding("another exit code", arguments, f"{first and first.err}, {second and second.err}")
    if first.code != 0:
        return session.note("refused")
    if first.result["sccs"]["distinct"] != second.result["sccs"]["distinct"] or second.result["sccs"]["recorded"]:
        session.finding("other keys", arguments, f"{first.result['sccs']}, relabelled {second.result['sccs']}")
    for a, b in zip(flat(first.result["moments"]), flat(second.result["moments"])):
        session.values += 1
        if not abs(a - b) <= 2e-13 * abs(a):
            return session.finding("another result", arguments, f"{a!r}, relabelled {b!r}")
    return None
