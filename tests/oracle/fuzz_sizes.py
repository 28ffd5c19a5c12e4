"""The kind `size`: long chains, walks, wide stars and many start edges, against recursions in 200 bits."""
import gmpy2
from fuzz_exact import Graph
from fuzz_graphs import log_uniform
from fuzz_moments import CENTRED, RELATIVE

from gmpy2 import mpfr


def whole_graph(n, edges, start, discrete=False):
    return {"states": [[i] for i in range(n + 1)], "edges": [[a + 1, b + 1, w] for a, b, w in edges], "start_edges":
            [[b + 1, w] for b, w in start], "param_edges": [], "param_length": 0, "state_length": 1,
            "n_vertices": n + 1, "is_discrete": discrete}


def chain(rng, n):
    """A hypoexponential chain, or a discrete one: mean, second moment and variance are sums over its states."""
    discrete = rng.random() < 0.4
    same = rng.random() < 0.5
    if discrete:
        draw = rng.choice((lambda: 1.0, lambda: 1.0 - log_uniform(rng, -15, -2), lambda: log_uniform(rng, -3, 0)))
    else:
        scale = log_uniform(rng, -5, 5)
        draw = lambda: scale * log_uniform(rng, -2, 2)
    rates = [draw()] * n if same else [draw() for _ in range(n)]
    mean = sum((1 / mpfr(r) for r in rates), mpfr(0))
    variance = sum(((1 - mpfr(r) if discrete else mpfr(1)) / mpfr(r) ** 2 for r in rates), mpfr(0))
    return whole_graph(n + 1, [(i, i + 1, r) for i, r in enumerate(rates)], [(0, 1.0)], discrete), mean, variance


def walk(rng, n):
    """A birth-death walk from 0 until n: T_i, the time from i to i + 1, is E + B (T_(i-1) + T_i')."""
    symmetric = rng.random() < 0.4
    up = [1.0 if symmetric else log_uniform(rng, -1, 1) for _ in range(n)]
    down = [0.0] + [1.0 if symmetric else u * log_uniform(rng, -0.3, 0.02) for u in up[1:]]
    m = v = mean = variance = mpfr(0)
    for u, d in zip(up, down):
        u, d = mpfr(u), mpfr(d)
        # with p = u / (u + d): a geometric number of failures, each of a wait and T_(i-1), and a last wait
        wait, q = 1 / (u + d), d / u
        step_mean = wait + m
        v = wait ** 2 * (1 + q) + q * v + q * (1 + q) * step_mean ** 2
        m = wait * (1 + q) + q * m
        mean += m
        variance += v
    edges = [(i, i + 1, u) for i, u in enumerate(up)] + [(i, i - 1, d) for i, d in enumerate(down) if i]
    return whole_graph(n + 1, edges, [(0, 1.0)]), mean, variance


def star(rng, n):
    """A hub with n equal leaves and an exit: lumped, two states."""
    a, back, leave = log_uniform(rng, -6, 0), log_uniform(rng, -1, 1), log_uniform(rng, -3, 0)
    edges = [(0, 1 + i, a) for i in range(n)] + [(1 + i, 0, back) for i in range(n)] + [(0, n + 1, leave)]
    total, leave_, back_ = n * mpfr(a), mpfr(leave), mpfr(back)
    # from the hub: x = (1 + total y) / (total + leave), y = 1/back + x; the variance by the number of visits to leaves
    visits = total / leave_
    wait = 1 / (total + leave_)
    mean = wait * (1 + visits) + visits / back_
    variance = (1 + visits) * wait ** 2 + visits / back_ ** 2 + visits * (1 + visits) * (wait + 1 / back_) ** 2
    return whole_graph(n + 2, edges, [(0, 1.0)]), mean, variance


def mixture(rng, n):
    """n start edges to n states of their own: a hyperexponential distribution."""
    scale, decades = log_uniform(rng, -3, 3), rng.choice((0, 1, 2))
    rates = [scale * log_uniform(rng, -decades, decades) for _ in range(n)]
    weights = [rng.random() + 1e-3 for _ in range(n)]
    total = sum(weights)
    weights = [w / total for w in weights]
    whole = sum(map(mpfr, weights))
    first = sum((mpfr(w) / mpfr(r) for w, r in zip(weights, rates)), mpfr(0)) / whole
    second = sum((2 * mpfr(w) / mpfr(r) ** 2 for w, r in zip(weights, rates)), mpfr(0)) / whole
    return whole_graph(n + 1, [(i, n, r) for i, r in enumerate(rates)], list(enumerate(weights))), first, second - first ** 2


def fan(rng, n):
    """A state with n edges to absorbing states, and n parallel edges back to another: one rate, however it is split."""
    parts = [log_uniform(rng, -3, 0) for _ in range(n)]
    sideways = [log_uniform(rng, -3, 0) for _ in range(n)]
    back = log_uniform(rng, -1, 1)
    edges = [(0, 2 + i, w) for i, w in enumerate(parts)] + [(0, 1, w) for w in sideways] + [(1, 0, back)]
    leave, total = sum(map(mpfr, parts)), sum(map(mpfr, sideways))
    visits, wait = total / leave, 1 / (total + leave)
    mean = wait * (1 + visits) + visits / mpfr(back)
    variance = (1 + visits) * wait ** 2 + visits / mpfr(back) ** 2 + visits * (1 + visits) * (wait + 1 / mpfr(back)) ** 2
    return whole_graph(2 + n, edges, [(0, 1.0)]), mean, variance


def ring(rng, n):
    """A cycle of n states that is left from the last one: laps, and a geometric number of them."""
    scale, decades = log_uniform(rng, -3, 3), rng.choice((0, 0, 1))
    rates = [scale * log_uniform(rng, -decades, decades) for _ in range(n)]
    leave = rates[-1] * log_uniform(rng, -6, 1)
    waits = [1 / mpfr(r) for r in rates[:-1]] + [1 / (mpfr(rates[-1]) + mpfr(leave))]
    lap, spread = sum(waits), sum(w ** 2 for w in waits)
    p = mpfr(leave) / (mpfr(rates[-1]) + mpfr(leave))
    edges = [(i, (i + 1) % n, r) for i, r in enumerate(rates)] + [(n - 1, n, leave)]
    return whole_graph(n + 1, edges, [(0, 1.0)]), lap / p, spread / p + lap ** 2 * (1 - p) / p ** 2


def layers(rng, n):
    """States in order, each with a few edges ahead: mean and second moment by recursion from the end."""
    discrete, reach = rng.random() < 0.3, rng.choice((1, 3, 20, n))
    edges, first, second = [], [mpfr(0)] * (n + 1), [mpfr(0)] * (n + 1)
    for i in range(n - 1, -1, -1):
        ahead = [min(n, i + 1 + rng.randrange(reach)) for _ in range(rng.randrange(1, 5))]
        weights = [log_uniform(rng, -2, 0) / (8 if discrete else 1) for _ in ahead]
        edges += [(i, b, w) for b, w in zip(ahead, weights)]
        total = sum(map(mpfr, weights))
        m = sum((mpfr(w) * first[b] for b, w in zip(ahead, weights)), mpfr(0)) / total
        s = sum((mpfr(w) * second[b] for b, w in zip(ahead, weights)), mpfr(0)) / total
        wait, square = 1 / total, (2 - total if discrete else mpfr(2)) / total ** 2
        first[i], second[i] = wait + m, square + 2 * wait * m + s
    g = whole_graph(n + 1, edges, [(0, 1.0)], discrete)
    return g, first[0], second[0] - first[0] ** 2


FAMILIES = {"chain": chain, "walk": walk, "star": star, "mixture": mixture, "fan": fan, "ring": ring, "layers": layers}


def size(session, rng):
    family = rng.choice(list(FAMILIES))
    n = int(log_uniform(rng, 0.3, 3.3) if rng.random() < 0.98 else log_uniform(rng, 3.3, 4.7))
    g, mean, variance = FAMILIES[family](rng, max(n, 2))
    session.case(g, session.index)
    check_two(session, family, mean, variance)


def check_two(session, family, mean, variance):
    arguments = ["--moments", "2", "--covariance"]
    done = session.run(*arguments)
    if done is None:
        return
    if done.code != 0:
        session.finding("refused what fits", arguments, f"{family}: {done.err[:400]}")
        return
    got, where = done.result["moments"][0], f"{family}, {session.graph['n_vertices'] - 1} states:"
    session.compare("means", got[0], mean, RELATIVE, None, arguments, where)
    session.compare("second moments", got[1], variance + mean ** 2, RELATIVE, None, arguments, where)
    if done.result["covariance"][0][0][0] < 0:
        session.finding("a negative variance", arguments, f"{where} {done.result['covariance'][0][0][0]!r}")
    elif variance > 0:
        session.compare("variances", done.result["covariance"][0][0][0], variance, CENTRED, None, arguments, where)
