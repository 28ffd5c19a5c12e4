"""Graphs in phasic's file layout, made from lists of edges, and the hard cases of the tests."""
import json
import random


def graph(n_states, edges, start=0, params=0, discrete=False):
    """A graph of `n_states` states, numbered from 0; row 0 of the file is the start vertex.

    edges: (from, to, weight), the weight a number or a list of `params` coefficients. start: a state, or a dict of
    probabilities.
    """
    start = {start: 1.0} if isinstance(start, int) else start
    plain = [[a + 1, b + 1, w] for a, b, w in edges if not isinstance(w, (list, tuple))]
    param = [[a + 1, b + 1, *w] for a, b, w in edges if isinstance(w, (list, tuple))]
    return {
        "states": [[0]] + [[i + 1] for i in range(n_states)],
        "edges": plain,
        "start_edges": [[b + 1, w] for b, w in start.items()],
        "param_edges": param,
        "start_param_edges": [],
        "param_length": params,
        "state_length": 1,
        "n_vertices": n_states + 1,
        "is_discrete": discrete,
    }


def relabelled(g, seed):
    """The same graph with its rows, but the start vertex, in random order, and its edges shuffled."""
    rng = random.Random(seed)
    order = list(range(1, g["n_vertices"]))
    rng.shuffle(order)
    place = {0: 0, **{old: new for new, old in enumerate(order, start=1)}}
    result = json.loads(json.dumps(g))
    for old, state in enumerate(g["states"]):
        result["states"][place[old]] = state
    for key in ("edges", "constant_edges", "param_edges"):
        if key in g:
            result[key] = [[place[int(a)], place[int(b)], *rest] for a, b, *rest in g[key]]
            rng.shuffle(result[key])
    for key in ("start_edges", "start_param_edges"):
        if key in g:
            result[key] = [[place[int(b)], *rest] for b, *rest in g[key]]
    result.pop("vertex_indices", None)
    return result, place


def exponential(rate):
    return graph(2, [(0, 1, rate)])


def erlang(k, rate):
    return graph(k + 1, [(i, i + 1, rate) for i in range(k)])


def hypoexponential(rates):
    return graph(len(rates) + 1, [(i, i + 1, r) for i, r in enumerate(rates)])


def hyperexponential(weights, rates):
    k = len(rates)
    return graph(k + 1, [(i, k, r) for i, r in enumerate(rates)], start=dict(enumerate(weights)))


def mm1k(arrival, service, k):
    """Queue length from 0 until it first reaches k."""
    return graph(k + 1, [(i, i + 1, arrival) for i in range(k)] + [(i, i - 1, service) for i in range(1, k)])


def ring(n, around, leave):
    """A cycle of n states, absorption from the last one."""
    return graph(n + 1, [(i, (i + 1) % n, around) for i in range(n)] + [(n - 1, n, leave)])


def two_islands(n, coalescence, migration):
    """Lineage counts (a, b) of the structured coalescent on two islands, all lineages on the first at the start."""
    states = [(a, b) for total in range(n, 0, -1) for a in range(total, -1, -1) for b in [total - a]]
    index = {s: i for i, s in enumerate(states)}
    edges = []
    for (a, b), i in index.items():
        if a + b == 1:
            continue
        if a > 1:
            edges.append((i, index[a - 1, b], coalescence * a * (a - 1) / 2))
        if b > 1:
            edges.append((i, index[a, b - 1], coalescence * b * (b - 1) / 2))
        if a:
            edges.append((i, index[a - 1, b + 1], migration * a))
        if b:
            edges.append((i, index[a + 1, b - 1], migration * b))
    return graph(len(states), edges)


def tandem(k1, k2, arrival, service1, service2, leave):
    """Two queues in series; absorbed at rate `leave` while both are full."""
    index = {(a, b): a * k2 + b for a in range(k1) for b in range(k2)}
    edges = []
    for (a, b), i in index.items():
        if a + 1 < k1:
            edges.append((i, index[a + 1, b], arrival))
        if a > 0 and b + 1 < k2:
            edges.append((i, index[a - 1, b + 1], service1))
        if b > 0:
            edges.append((i, index[a, b - 1], service2))
    edges.append((index[k1 - 1, k2 - 1], k1 * k2, leave))
    return graph(k1 * k2 + 1, edges)


def courtois(blocks, size, inside, coupling, leave, seed):
    """Blocks of complete graphs, weakly coupled in a ring, an even weaker exit: nearly completely decomposable."""
    rng = random.Random(seed)
    n = blocks * size
    edges = [(b * size + i, b * size + j, inside * rng.uniform(0.5, 1.5))
             for b in range(blocks) for i in range(size) for j in range(size) if i != j]
    edges += [(b * size + i, (b + 1) % blocks * size + i, coupling * rng.uniform(0.5, 1.5))
              for b in range(blocks) for i in range(size)]
    return graph(n + 1, edges + [(n - 1, n, leave)])


def random_sccs(sccs, size, extra, seed, low=-12.0, high=6.0):
    """Random strongly connected blocks, log-uniform rates between 10^low and 10^high, edges to later blocks."""
    rng = random.Random(seed)

    def rate():
        return 10.0 ** rng.uniform(low, high)

    edges, n = [], sccs * size
    for b in range(sccs):
        first = b * size
        order = [first + i for i in range(size)]
        rng.shuffle(order)
        for i in range(size):
            edges.append((order[i], order[(i + 1) % size], rate()))
            for _ in range(extra):
                to = first + rng.randrange(size)
                if to != order[i]:
                    edges.append((order[i], to, rate()))
        for _ in range(2):
            later = n if b + 1 == sccs else rng.randrange(first + size, n + 1)
            edges.append((first + rng.randrange(size), later, rate()))
    return graph(n + 1, edges, start=0)
