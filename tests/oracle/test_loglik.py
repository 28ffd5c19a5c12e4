"""Log-likelihoods, and their derivatives against differences in 150-digit arithmetic."""
import json
import os
import random
import tempfile
import unittest

import mpmath
from graphs import courtois, graph
from mpmath import mp, mpf
from program import call, checked, generate, theta_text
from reference import DIGITS, Chain, relative_error
from test_gradients import discrete_graph, moving_start, with_parameters

TOLERANCE = 1e-10
INF = float("inf")


class Data:
    """A file of observations (time, upper, count)."""

    def __init__(self, rows):
        self.rows = rows

    def __enter__(self):
        handle, self.path = tempfile.mkstemp(suffix=".csv")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write("time,upper,count\n")
            for time, upper, count in self.rows:
                file.write(f"{time!r},{'' if upper == INF else repr(upper)},{count!r}\n")
        return self.path

    def __exit__(self, *_):
        os.unlink(self.path)


def loglik(g, rows, data, *options):
    with Data(data) as path:
        return json.loads(checked("loglik", "-", "--theta", theta_text(rows), "--data", path, *options,
                                  stdin=json.dumps(g)))


class Exact:
    """The log-likelihood in many digits."""

    def __init__(self, g, data):
        self.g, self.data = g, data
        self.discrete = bool(g.get("is_discrete") or g.get("was_dph"))
        self.times = sorted({t for time, upper, _ in data for t in (time, upper) if t != INF})
        self.has_atom = any(True for _ in self._absorbed_starts())

    def _absorbed_starts(self):
        leaves = {int(e[0]) for e in self.g["edges"] + self.g["param_edges"]}
        return (e for e in self.g["start_edges"] + self.g.get("start_param_edges", []) if int(e[0]) not in leaves)

    def terms(self, theta):
        """(logarithm of the likelihood, count) of each observation."""
        chain = Chain(self.g, theta)
        if self.discrete:
            pdf, cdf = chain.mass(int(max(self.times)))
            pdf, cdf = {t: pdf[int(t)] for t in self.times}, {t: cdf[int(t)] for t in self.times}
            survival = {t: 1 - cdf[t] for t in self.times}
        else:
            pdf, cdf, survival = (dict(zip(self.times, v)) for v in chain.density(self.times, digits=80))
        with mp.workdps(DIGITS):
            for time, upper, count in self.data:
                if upper == INF:
                    value = survival[time]
                elif upper > time:
                    value = cdf[upper] - (cdf[time] if time > 0 else 0)
                elif time == 0 and self.has_atom and not self.discrete:
                    value = chain.atom
                else:
                    value = pdf[time]
                yield mpmath.log(value), count

    def value(self, theta):
        with mp.workdps(DIGITS):
            return sum(count * value for value, count in self.terms(theta))

    def _at(self, theta, moves):
        """The terms at theta with each parameter p moved by moves[p] * 1e-18 of it."""
        with mp.workdps(DIGITS):
            step = mpf(10) ** -18
            return [v for v, _ in self.terms([mpf(t) * (1 + moves.get(p, 0) * step) for p, t in enumerate(theta)])]

    def derivatives(self, theta):
        """Gradient, hessian and information by central differences, whose error is below 1e-30 of their size."""
        n, counts = len(theta), [mpf(count) for _, _, count in self.data]

        def total(terms):
            return sum((c * v for c, v in zip(counts, terms)), mpf(0))

        with mp.workdps(DIGITS):
            h = [mpf(t) * mpf(10) ** -18 for t in theta]
            here = self._at(theta, {})
            sides = [(self._at(theta, {p: 1}), self._at(theta, {p: -1})) for p in range(n)]
            scores = [[(a - b) / (2 * h[p]) for a, b in zip(*sides[p])] for p in range(n)]
            hessian = [[None] * n for _ in range(n)]
            for p in range(n):
                above, below = sides[p]
                hessian[p][p] = (total(above) - 2 * total(here) + total(below)) / h[p] ** 2
                for q in range(p):
                    corners = sum(i * j * total(self._at(theta, {p: i, q: j})) for i in (1, -1) for j in (1, -1))
                    hessian[p][q] = hessian[q][p] = corners / (4 * h[p] * h[q])
            information = [[total([a * b for a, b in zip(x, y)]) for y in scores] for x in scores]
            return [total(x) for x in scores], hessian, information


CONTINUOUS = [(0.5, 0.5, 3.0), (0.25, 0.25, 1.0), (1.0, 2.0, 2.5), (1.5, INF, 1.0), (0.0, 0.3, 4.0), (0.5, 0.5, 2.0),
              (3.0, 3.5, 0.0), (4.0, 4.0, 1.0)]
WHOLE = [(2.0, 2.0, 3.0), (3.0, 3.0, 1.0), (1.0, 4.0, 2.0), (5.0, INF, 1.0), (0.0, 2.0, 4.0), (9.0, 9.0, 1.0)]


class Likelihoods(unittest.TestCase):
    def check(self, g, rows, data, tolerance=TOLERANCE, **label):
        found = loglik(g, rows, data, "--gradient", "--hessian", "--information")
        exact = Exact(g, data)
        for b, theta in enumerate(rows):
            with self.subTest(theta=theta, **label):
                self.assertLess(relative_error(found["loglik"][b], exact.value(theta)), tolerance)
                gradient, hessian, information = exact.derivatives(theta)
                # by logarithms of parameters, so that those of all sizes count alike
                scale = max(abs(x * mpf(t)) for x, t in zip(gradient, theta))
                for p, t in enumerate(theta):
                    self.assertLess(abs(found["gradient"][b][p] - gradient[p]) * t, tolerance * scale)
                scale = max(abs(x * mpf(t) * mpf(u)) for of, t in zip(hessian, theta) for x, u in zip(of, theta))
                for name, want in (("hessian", hessian), ("information", information)):
                    for p, t in enumerate(theta):
                        for q, u in enumerate(theta):
                            self.assertLess(abs(found[name][b][p][q] - want[p][q]) * t * u, tolerance * scale, name)
                            self.assertEqual(found[name][b][p][q], found[name][b][q][p])

    def test_generated_models(self):
        for name, arguments, theta in (("kingman", ["n=6"], [1.3]), ("islands", ["n=3"], [1.0, 0.8, 0.3, 0.4]),
                                       ("two-locus-arg", ["n=3"], [1.0, 2.0]), ("erlang", ["k=8"], [3.0])):
            g = generate(name, *arguments)
            self.check(g, [theta], CONTINUOUS, model=name)

    def test_discrete(self):
        for seed in range(4):
            self.check(discrete_graph(seed), [[0.3, 0.2], [0.05, 0.6]], WHOLE, seed=seed)

    def test_normalized_rows(self):
        for seed in range(2):
            self.check({**discrete_graph(seed), "was_dph": True}, [[0.3, 0.2]], WHOLE, seed=seed)

    def test_atoms(self):
        self.check(moving_start(), [[0.4 / 1.5, 0.6 / 1.5]], [(0.0, 0.0, 2.0), *CONTINUOUS])

    def test_stiff_chains(self):
        g = with_parameters(courtois(2, 3, 20.0, 1e-2, 1e-3, 4), 1)
        self.check(g, [[1.0, 1.0], [1.7, 0.3]], [(0.5, 0.5, 1.0), (3.0, 3.0, 1.0), (4.0, 8.0, 2.0), (9.0, INF, 1.0)])

    def test_far_in_the_tails(self):
        """Erlang of 8 stages: densities of 1e-40 on the left, 1e-40 and 1e-70 on the right."""
        g = generate("erlang", "k=8")
        self.check(g, [[3.0]], [(1e-6, 1e-6, 1.0), (40.0, 40.0, 1.0), (60.0, INF, 2.0), (0.0, 1e-5, 3.0)])

    def test_an_exponential(self):
        """n log(theta) - theta sum(t): a million observations of two thousand times."""
        rng = random.Random(3)
        data = [(rng.expovariate(2.0),) for _ in range(2000)]
        data = [(t, t, 500.0) for t, in data]
        g = graph(2, [(0, 1, [1.0])], params=1)
        found = loglik(g, [[2.5]], data, "--gradient", "--hessian")
        total = mpmath.fsum(mpf(t) for t, _, _ in data) * 500
        self.assertLess(relative_error(found["loglik"][0], 10**6 * mpmath.log(mpf(2.5)) - mpf(2.5) * total), 1e-12)
        self.assertLess(abs(found["gradient"][0][0] - (10**6 / mpf(2.5) - total)), 1e-11 * total)
        self.assertLess(relative_error(found["hessian"][0][0][0], -(10**6) / mpf(2.5) ** 2), 1e-10)

    def test_censoring_is_an_integral_of_the_density(self):
        g = generate("islands", "n=3")
        theta = [1.0, 0.8, 0.3, 0.4]
        with mp.workdps(30):
            chain = Chain(g, theta)
            pdf = lambda t: chain.density([float(t)], digits=40)[0][0]
            want = mpmath.log(mpmath.quad(pdf, [0.5, 1.25], maxdegree=4))
        self.assertLess(relative_error(loglik(g, [theta], [(0.5, 1.25, 1.0)])["loglik"][0], want), 1e-12)

    def test_the_same_bits_for_any_batch(self):
        g = generate("islands", "n=6")
        rng = random.Random(1)
        rows = [[10 ** rng.uniform(-1, 1) for _ in range(4)] for _ in range(19)]
        options = ["--gradient", "--hessian", "--information"]
        whole = loglik(g, rows, CONTINUOUS, *options, "--threads", 2)
        for i in (0, 7, 18):
            alone = loglik(g, rows[i:i + 1], CONTINUOUS, *options, "--threads", 1)
            for name in ("loglik", "gradient", "hessian", "information"):
                self.assertEqual(alone[name][0], whole[name][i], name)


class Refused(unittest.TestCase):
    def refused(self, words, g, theta, data):
        with Data(data) as path:
            done = call("loglik", "-", "--theta", theta, "--data", path, stdin=json.dumps(g))
        self.assertEqual(done.returncode, 65, done.stderr)
        self.assertIn(words, done.stderr)

    def test_what_cannot_have_been_observed(self):
        self.refused("observation 1 (time 0) has a likelihood of 0", generate("erlang", "k=3"), "1",
                     [(1.0, 1.0, 1.0), (0.0, 0.0, 1.0)])

    def test_intervals_that_hold_nothing_but_rounding(self):
        self.refused("too few digits", generate("kingman", "n=4"), "1", [(1.0, 1.0 + 1e-9, 1.0)])

    def test_parts_of_a_step(self):
        self.refused("observation 1: 1.5, expected a whole number", discrete_graph(0), "0.3,0.2",
                     [(1.0, 1.0, 1.0), (1.5, INF, 1.0)])


if __name__ == "__main__":
    unittest.main()
