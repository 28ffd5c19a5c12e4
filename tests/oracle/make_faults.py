#!/usr/bin/python3
"""Writes data/faults.json: the right values of inputs that once gave wrong ones, in 200 bits and more.

    tests/oracle/make_faults.py FOLDER    (FOLDER: where the compiled reference is kept, such as build)

Each value comes with how it was computed. The program has no part in any of them.
"""
import json
import os
import sys

import gmpy2
import graphs
from fuzz_exact import Graph, load
from gmpy2 import mpfr

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")
ELIMINATION = "Gaussian elimination with subtractions, bits doubled until two answers agree to 32 digits (exact_moments.c)"
SQUARING = "scaling and squaring without negative entries, 280 bits and more (exact_density.c)"
STEPPING = "steps of the chain in 320 bits (exact_density.c)"


def text(x):
    return f"{mpfr(x):.38e}"


def read(name):
    with open(os.path.join(DATA, name), encoding="utf-8") as file:
        return json.load(file)


def chain(g, theta=()):
    return Graph(read(g) if isinstance(g, str) else g).at(list(theta))


def walk(levels, up, down):
    """Mean and second moment of an M/M/1 queue's first passage from 0 to `levels`: T_i is the time from i to i + 1."""
    up, down, m, v, mean, variance = mpfr(up), mpfr(down), mpfr(0), mpfr(0), mpfr(0), mpfr(0)
    for i in range(levels):
        d = down if i else mpfr(0)
        wait, q = 1 / (up + d), d / up
        v, m = wait ** 2 * (1 + q) + q * v + q * (1 + q) * (wait + m) ** 2, wait * (1 + q) + q * m
        mean += m
        variance += v
    return mean, variance + mean ** 2


def star(leaves, a, back, leave):
    """A hub with equal leaves, lumped to two states: mean, second moment (closed form by the number of visits)."""
    total, leave, back = leaves * mpfr(a), mpfr(leave), mpfr(back)
    visits, wait = total / leave, 1 / (total + leave)
    mean = wait * (1 + visits) + visits / back
    variance = (1 + visits) * wait ** 2 + visits / back ** 2 + visits * (1 + visits) * (wait + 1 / back) ** 2
    return mean, variance + mean ** 2


def lumped_star(leaves, a, back, leave):
    """The star as a chain of two states with the weight leaves * a, exactly: theta is the number of leaves."""
    return graphs.graph(3, [(0, 1, [a]), (1, 0, back), (0, 2, leave)], params=1), [float(leaves)]


def densities(g, theta, times):
    pdf, cdf, survival, _ = chain(g, theta).density(times)
    return {"how": SQUARING, "theta": theta, "times": times, "pdf": list(map(text, pdf)), "cdf": list(map(text, cdf)),
            "survival": list(map(text, survival))}


def moments(g, k, theta=(), factorial=False):
    return {"how": ELIMINATION, "moments": list(map(text, chain(g, theta).moments(k, None, factorial)))}


def star_rate(leaves):
    return 1.0 / leaves * 1.1


def faults():
    out = {}
    pdf, cdf, _, _ = chain("uniform64.json").mass([63, 64])
    out["uniform64"] = {"how": STEPPING, "times": [63, 64], "pdf": list(map(text, pdf)), "cdf": list(map(text, cdf))}
    out["mm1k"] = {"how": "recursion over levels, 200 bits", "cases": [
        [levels, up, down, *map(text, walk(levels, up, down))] for levels, up, down in
        [(680, 1e20, 3e20), (665, 1e9, 3e9), (1000, 1.0, 2.0), (1020, 1.0, 2.0), (1021, 1.0, 2.0), (1022, 1.0, 2.0),
         (600, 1e-5, 3e-5), (500, 1e200, 4e200), (1015, 1e-3, 2e-3), (100, 1e-280, 2e-280)]]}
    out["star"] = {"how": "lumped to two states, closed form, 200 bits",
                   "cases": [[n, *map(text, star(n, star_rate(n), 0.7, 0.3))] for n in
                             (1000, 10000, 60000, 100000, 199000, 1000000)]}
    g, theta = lumped_star(10000, star_rate(10000), 0.7, 0.3)
    out["star densities"] = densities(g, theta, [1e2, 1e3, 5e3])
    # a complete graph whose states are alike is one state
    out["complete 50"] = densities(graphs.exponential(0.001), [], [1e3, 1e4])
    for name, times in (("coherent_mix", [4e8, 4e7]), ("coherent_switch", [4e7, 1e5])):
        out[name] = densities(f"{name}.json", [], times)
    out["bound_random_2420"] = [densities("bound_random_2420.json", theta, times) for theta, times in (
        ([1e-3, 1.0, 1.0], [1e-13, 1e-10, 1e-9]), ([1e-9, 1e-6, 1e-6], [1e-5, 1e-4]), ([1e-2, 1.0, 3.0], [1e-12, 1e-10]))]
    out["unreached_fast"] = densities("unreached_fast.json", [1.0, 0.0], [1.0])
    theta = [1.011895750142515, 1.4846259057897564, 1.6138937805391058, 0.9939842122325212]
    out["weight_cancel"] = {**moments("weight_cancel.json", 2, theta), "theta": theta}
    out["rates 1e40"] = [densities(graphs.erlang(k, 10.0 ** e), [], [10.0 ** -e * k * x for x in (0.05, 0.5, 1.5)])
                         for k, e in ((60, 40), (90, 100), (20, 250), (100, -200))]
    for stay in ("1e-09", "1e-12"):
        g = read("disc_stay_1e-09.json")
        g["edges"][2][2] = 0.7 - float(stay)
        out[f"disc_stay_{stay}"] = {**moments(g, 4, (), True), "edge": g["edges"][2][2]}
    g = read("covcancel.json")
    out["covcancel"] = {"how": ELIMINATION, "covariance": text(chain(g).covariance()[0][0][0]), **moments(g, 2)}
    g = read("phasic-0.32.1-geometric-recipe.json")
    out["geometric"] = {"continuous": moments(g, 2, [1.0]), "discrete": moments({**g, "is_discrete": True}, 2, [1.0])}
    out["was_dph"] = {**moments(normalized(read("phasic-discretized-was-dph.json"), [0.1, 1.0]), 3), "theta": [0.1, 1.0]}
    return out


def normalized(g, theta):
    """The graph with every row divided by its sum at theta: theta a quotient of exact weights, by common denominators."""
    edges = [[a, b, gmpy2.mpq(w)] for a, b, w in g["constant_edges"]]
    edges += [[a, b, sum(gmpy2.mpq(c) * gmpy2.mpq(t) for c, t in zip(coefs, theta))] for a, b, *coefs in g["param_edges"]]
    sums = {}
    for a, _, w in edges:
        sums[a] = sums.get(a, 0) + w
    return {**g, "edges": [[a, b, float(w / sums[a])] for a, b, w in edges], "constant_edges": [], "param_edges": [],
            "param_length": 0}


if __name__ == "__main__":
    Graph.lib = load(sys.argv[1])
    with open(os.path.join(DATA, "faults.json"), "w", encoding="utf-8") as out_file:
        json.dump(faults(), out_file, indent=1)
        out_file.write("\n")
