#!/usr/bin/python3
"""Writes tests/oracle/data/density_methods.json: densities of the example models by uniformization in numpy's long doubles.

    PHASEMILL=build/phasemill tests/reference/density_methods.py

The program writes the graphs and nothing else. A step loses less than 1e-18, so that after 10^5 steps the values have 13
digits and more. Takes some minutes.
"""
import json
import os
import pathlib
import subprocess

import mpmath
import numpy

REAL = numpy.longdouble
DATA = pathlib.Path(__file__).parent.parent / "oracle" / "data" / "density_methods.json"
PARTS = (0.01, 0.05, 0.2, 0.45, 1.0)  # times, over the last one

CASES = [
    ("islands", ["n=20"], [1, 1, 1, 1], 16),
    ("islands", ["n=20"], [1, 1, 1e-3, 1e-3], 20),
    ("islands", ["n=60"], [1, 1, 30, 50], 16),
    ("jsfs", ["n1=4", "n2=4"], [1, 1, 1, 1], 16),
    ("jsfs", ["n1=4", "n2=4"], [1, 1, 300, 300], 14),
    ("rabbits", ["n=50"], [1, 0.01, 0.01], 960),
    ("rabbits", ["n=300", "count=1"], [1, 1, 1], 10),
    ("tandem", ["k1=30", "k2=30"], [1, 1, 1, 1], 1400),
    ("tandem", ["k1=30", "k2=30"], [3, 0.6, 0.6, 1], 60),
    ("tandem", ["k1=30", "k2=30"], [0.5, 0.75, 0.75, 1], 4e4),
    ("random", ["sccs=20", "size=50", "extra=1"], [1, 0.01], 4000),
]


class Steps:
    """A chain laid out for steps: in-edges sorted by the state that they lead to."""

    def __init__(self, graph, theta):
        theta = numpy.array(theta, dtype=REAL)
        edges = [(int(a), int(b), REAL(w)) for a, b, w in graph["edges"]]
        edges += [(int(a), int(b), (numpy.array(c, dtype=REAL) * theta).sum()) for a, b, *c in graph["param_edges"]]
        leaves = {a for a, _, _ in edges}
        number = {v: i for i, v in enumerate(sorted(leaves))}
        self.n = len(number)
        out = numpy.zeros(self.n, dtype=REAL)
        self.exits = numpy.zeros(self.n, dtype=REAL)
        inner = []
        for a, b, w in edges:
            out[number[a]] += w
            if b in number:
                inner.append((number[b], number[a], w))
            else:
                self.exits[number[a]] += w
        inner.sort(key=lambda e: e[:2])
        self.rate = out.max()
        self.stay = 1 - out / self.rate
        self.source = numpy.array([e[1] for e in inner])
        self.weight = numpy.array([e[2] for e in inner], dtype=REAL) / self.rate
        target = numpy.array([e[0] for e in inner])
        self.first = numpy.flatnonzero(numpy.r_[True, target[1:] != target[:-1]])
        self.target = target[self.first]
        self.start = numpy.zeros(self.n, dtype=REAL)
        for b, w in graph["start_edges"]:
            self.start[number[int(b)]] += REAL(w)

    def run(self, last):
        """The rate of absorption after each of `last` steps."""
        v, absorbed = self.start, numpy.zeros(last, dtype=REAL)
        for k in range(last):
            absorbed[k] = (v * self.exits).sum()
            new = v * self.stay
            new[self.target] += numpy.add.reduceat(v[self.source] * self.weight, self.first)
            v = new
        return absorbed


def poisson(x, last):
    """Pois(k; x) for k < last, from its mode."""
    mode = min(int(x), last - 1)
    log = mode * mpmath.log(x) - x - mpmath.loggamma(mode + 1)
    weights = numpy.zeros(last, dtype=REAL)
    weights[mode] = REAL(mpmath.nstr(mpmath.exp(log), 25))
    for k in range(mode, 0, -1):
        weights[k - 1] = weights[k] * (k / REAL(mpmath.nstr(x, 25)))
    for k in range(mode + 1, last):
        weights[k] = weights[k - 1] * (REAL(mpmath.nstr(x, 25)) / k)
    return weights


def densities(steps, times):
    largest = float(steps.rate) * max(times)
    absorbed = steps.run(int(largest + 12 * largest ** 0.5 + 60))
    total = numpy.concatenate([[REAL(0)], numpy.cumsum(absorbed)[:-1]]) / steps.rate
    result = []
    for t in times:
        weights = poisson(mpmath.mpf(t) * mpmath.mpf(str(steps.rate)), len(absorbed))
        result.append([float((weights * absorbed).sum()), float((weights * total).sum())])
    return result


def main():
    mpmath.mp.dps = 40
    cases = []
    for model, arguments, theta, last in CASES:
        done = subprocess.run([os.environ["PHASEMILL"], "generate", model, *arguments], capture_output=True, check=True)
        times = [last * part for part in PARTS]
        values = densities(Steps(json.loads(done.stdout), theta), times)
        print(model, arguments, theta, values[-1], flush=True)
        cases.append({"model": model, "arguments": arguments, "theta": theta, "times": times,
                      "pdf": [p for p, _ in values], "cdf": [c for _, c in values]})
    lines = ",\n".join(json.dumps(case) for case in cases)
    DATA.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
