"""Densities by every method: the error is below the tolerance, and below the bound that is printed.

References: Laplace transforms in closed form, inverted in hundreds of digits; the matrix exponential in 60; and for large
models uniformization in long doubles (tests/reference/density_methods.py).
"""
import json
import pathlib
import random
import unittest

import graphs
import mpmath
from mpmath import mp, mpc, mpf
from program import call, generate, run
from reference import Chain

TOLERANCES = (1e-6, 1e-9, 1e-12)
REFERENCE = json.loads((pathlib.Path(__file__).parent / "data" / "density_methods.json").read_text(encoding="utf-8"))
REFERENCE_ERROR = 1e-14  # of long doubles, relative


def listed(times):
    return ",".join(repr(float(t)) for t in times)


def talbot(transform, t, nodes):
    """pdf and cdf by Talbot's contour; digits are twice those of its largest term."""
    with mp.workdps(int(0.9 * nodes) + 30):
        t, r = mpf(t), mpf(2 * nodes) / (5 * mpf(t))
        pdf = mp.exp(r * t) * transform(r).real / 2
        cdf = mp.exp(r * t) * (transform(r) / r).real / 2
        for k in range(1, nodes):
            angle = k * mp.pi / nodes
            cot = mp.cot(angle)
            s = r * angle * mpc(cot, 1)
            weight = mp.exp(t * s) * mpc(1, angle + (angle * cot - 1) * cot)
            value = transform(s)
            pdf += (weight * value).real
            cdf += (weight * value / s).real
        return r / nodes * pdf, r / nodes * cdf


def inverted(transform, times, nodes=80):
    """Two contours that agree."""
    values = []
    for t in times:
        first, second = talbot(transform, t, nodes), talbot(transform, t, nodes + nodes // 4)
        for a, b in zip(first, second):
            if abs(a - b) > mpf("1e-18") * abs(b):
                raise AssertionError(f"no reference at {t}: {mp.nstr(a, 25)} or {mp.nstr(b, 25)}")
        values.append(second)
    return [v[0] for v in values], [v[1] for v in values]


def by_squaring(graph, last, halvings):
    """Times last / 2^h for h in `halvings`, pdf and cdf, by exp(Q t), which is squared again and again, in 60 digits; and
    the largest pdf on the way."""
    chain = Chain(graph)
    states = {v: i for i, v in enumerate(chain.transient)}
    n = len(states)
    with mp.workdps(60):
        exits = [sum(w for b, w in chain.rates[v].items() if b not in states) for v in states]
        doublings = max(0, int(mp.log(mpf(last) * max(chain.total.values()), 2))) + 8
        t = mpf(last) / 2 ** doublings
        q = [[chain.rates[a].get(b, mpf(0)) * t if a != b else -chain.total[a] * t for b in states] for a in states]
        term = [[mpf(i == j) for j in range(n)] for i in range(n)]
        total = [row[:] for row in term]
        for k in range(1, 30):
            term = [[x / k for x in row] for row in product(term, q)]
            total = [[x + y for x, y in zip(*rows)] for rows in zip(total, term)]
        values = {}
        for left in range(doublings, -1, -1):
            row = [sum(chain.start.get(v, 0) * total[i][j] for v, i in states.items()) for j in range(n)]
            values[left] = mp.fdot(row, exits), 1 - sum(row)
            if left > 0:
                total = product(total, total)
        peak = max(pdf for pdf, _ in values.values())
        exact = [values[h][0] for h in halvings], [values[h][1] for h in halvings]
        return [last / 2 ** h for h in halvings], exact, peak


def product(a, b):
    columns = list(zip(*b))
    return [[mp.fdot(row, column) for column in columns] for row in a]


class Methods(unittest.TestCase):
    def check(self, graph, times, exact, tolerances=TOLERANCES, methods=("auto",), arguments=(), peak=0, **context):
        """`peak`: of the pdf, where it may be far from the times. Returns the `method` of the last output."""
        pdf, cdf = exact
        scale = max(max(pdf), peak * mpf("1e-6"))
        method = None
        for tolerance in tolerances:
            for name in methods:
                with self.subTest(tolerance=tolerance, method=name, **context):
                    out = run(graph, "--pdf", "--cdf", "--times", listed(times), "--tolerance", tolerance, "--method", name,
                              *arguments)
                    method = out["method"]
                    error = max(max(abs(mpf(a) - b) for a, b in zip(out["pdf"][0], pdf)) / scale,
                                max(abs(mpf(a) - b) for a, b in zip(out["cdf"][0], cdf)))
                    self.assertLessEqual(error, method["error_bound"] + REFERENCE_ERROR)
                    self.assertLessEqual(method["error_bound"], tolerance)
        return method

    def every(self, graph, times, exact, **context):
        self.check(graph, times, exact, **context)
        self.check(graph, times, exact, tolerances=(1e-6, 1e-9), methods=("contour", "parabola"), **context)


class Cycles(Methods):
    """Oscillations that a contour may miss without a sign: of cycles, and of stages one after the other. Beside the first
    state, a switch: it makes the chain stiff, and its states are the same."""

    @staticmethod
    def first_stage(fast):
        return (lambda s: 1 / (s + 1 + fast * s / (s + fast))) if fast else (lambda s: 1 / (s + 1))

    def ring(self, n, leave, fast):
        edges = [(i, (i + 1) % n, 1.0) for i in range(n)] + [(n - 1, n + 1, leave)]
        edges += [(0, n, fast), (n, 0, fast)] if fast else []
        first = self.first_stage(fast)

        def transform(s):
            around = first(s) * (1 / (s + 1)) ** (n - 2)
            return around * leave / (s + 1 + leave - around)

        return graphs.graph(n + 2, edges), transform

    def stages(self, n, fast):
        edges = [(i, i + 1 if i + 1 < n else n + 1, 1.0) for i in range(n)] + [(0, n, fast), (n, 0, fast)]
        first = self.first_stage(fast)
        return graphs.graph(n + 2, edges), lambda s: first(s) * (1 / (s + 1)) ** (n - 1)

    def test_cycles_of_3_and_20_states(self):
        for n, leave, fast, times, nodes in ((3, 0.02, 0, (2, 60), 100), (20, 0.1, 0, (47, 190), 220),
                                             (20, 0.1, 1e9, (47, 190), 220)):
            g, transform = self.ring(n, leave, fast)
            self.every(g, times, inverted(transform, times, nodes), states=n, fast=fast)

    def test_a_cycle_of_50_states(self):
        times = (49, 160)
        for fast in (0, 1e4):
            g, transform = self.ring(50, 0.5, fast)
            self.every(g, times, inverted(transform, times, 220), fast=fast)

    def test_50_stages(self):
        times = (20, 50, 90)
        for fast in (1e4, 1e10):
            g, transform = self.stages(50, fast)
            self.every(g, times, inverted(transform, times, 150), fast=fast)


class Decades(Methods):
    """Rates over many decades: more steps than can be taken."""

    @staticmethod
    def star(toward, back, leave):
        """A centre with leaves that lead back to it: one SCC."""
        n = len(toward)
        edges = [(0, i + 1, a) for i, a in enumerate(toward)] + [(i + 1, 0, b) for i, b in enumerate(back)]

        def transform(s):
            return leave / (s + leave + sum(a * s / (s + b) for a, b in zip(map(mpf, toward), map(mpf, back))))

        return graphs.graph(n + 2, [*edges, (0, n + 1, leave)]), transform

    def test_stars_over_14_and_30_decades(self):
        for leaves, low, high, leave in ((40, -7, 7, 1e-3), (40, -15, 15, 1.0), (600, -7, 7, 1.0)):
            rng = random.Random(leaves)
            rates = [10.0 ** (low + (high - low) * i / (leaves - 1)) for i in range(leaves)]
            toward = [r * rng.uniform(0.5, 2.0) for r in rates]
            g, transform = self.star(toward, rates, leave)
            with mp.workdps(40):
                mean = float((1 + sum(a / b for a, b in zip(toward, rates))) / leave)
            times = [mean * part for part in (0.01, 0.3, 2.0)]
            exact = inverted(transform, times, 60)
            method = self.check(g, times, exact, tolerances=(1e-6, 1e-9), leaves=leaves, low=low)
            self.assertEqual(method.get("rows_contour"), 1)

    def test_hyperexponential_over_12_decades(self):
        rates = [10.0 ** (i - 6) for i in range(13)]
        g = graphs.hyperexponential([1 / 13] * 13, rates)
        times = [10.0 ** (i * 1.9 - 6) for i in range(7)]
        with mp.workdps(50):
            pdf = [sum(mpf(r) * mp.exp(-mpf(r) * mpf(t)) for r in rates) / 13 for t in times]
            cdf = [sum(-mp.expm1(-mpf(r) * mpf(t)) for r in rates) / 13 for t in times]
        self.check(g, times, (pdf, cdf))
        self.check(g, times, (pdf, cdf), tolerances=(1e-6, 1e-9), methods=("contour",))

    def test_random_components_over_nine_decades_and_more(self):
        for seed in range(4):
            g = graphs.random_sccs(1 + seed % 2, 7, 1 + seed % 3, seed, -5 - seed % 3, 4)
            times, exact, peak = by_squaring(g, float(2 * Chain(g).moments(1)[0]), (0, 2, 7))
            self.check(g, times, exact, peak=peak, seed=seed)
            self.check(g, times, exact, tolerances=(1e-6, 1e-9), methods=("contour",), peak=peak, seed=seed)


class Models(Methods):
    def test_example_models(self):
        for case in REFERENCE:
            g = generate(case["model"], *case["arguments"])
            theta = ["--theta", listed(case["theta"])]
            exact = [mpf(v) for v in case["pdf"]], [mpf(v) for v in case["cdf"]]
            context = {"model": case["model"], "theta": case["theta"]}
            few = case["model"] == "rabbits"  # up to 45,450 states: a run takes a second or more
            self.check(g, case["times"], exact, tolerances=TOLERANCES[1:2] if few else TOLERANCES, arguments=theta, **context)
            self.check(g, case["times"], exact, tolerances=(1e-9,), methods=("contour",), arguments=theta, **context)


class Refusals(unittest.TestCase):
    def test_a_forced_method_keeps_the_tolerance_or_says_that_it_does_not(self):
        g, _ = Decades.star([1e5, 1e-4, 2.0], [1e4, 1e-6, 3.0], 1e-3)
        done = call("run", "-", "--pdf", "--times", "1e4", "--method", "contour", "--tolerance", "1e-15", "--no-cache",
                    stdin=json.dumps(g))
        self.assertEqual(done.returncode, 65)
        self.assertIn("the error bound of contours is", done.stderr)


if __name__ == "__main__":
    unittest.main()
