"""Discrete graphs: what their file says they are, and rows that are normalized at every theta."""
import json
import os
import random
import unittest
from fractions import Fraction

from mpmath import mpf

import graphs
from program import call, run, theta_text
from reference import Chain, read, relative_error

DATA = os.path.join(os.path.dirname(__file__), "..", "data")


def random_graph(seed):
    """Rows of few and of many edges, parallel ones, self-loops, equal rows, negative coefficients, wide weights."""
    rng = random.Random(seed)
    n = rng.randint(2, 14)

    def coefs():
        a, b = 10.0 ** rng.uniform(-6, 6), rng.choice([0.0, 1.0, 3.0, 10.0 ** rng.uniform(-9, 9)])
        return [a, b] if rng.random() < 0.8 else [a, -a * 0.25]  # theta_1 stays below theta_0

    edges = []
    for i in range(n):
        edges.append((i, i + 1, coefs()))
        for _ in range(rng.choice([0, 1, 2, 30])):
            edges.append((i, rng.randint(0, n), rng.choice([coefs(), 1.0, [2.0, 0.0]])))
        if rng.random() < 0.2:
            edges.append(edges[-1])
    g = graphs.graph(n + 1, edges, params=2, discrete=True, start={0: rng.random() + 0.1, 1: 7.0})
    g["was_dph"] = True
    return g


class Normalized(unittest.TestCase):
    def test_a_discretized_coalescent(self):
        """n (n-1)/2 theta_0 against a mutation, then back: the closed form of its mean, and phasic's own."""
        g = read(f"{DATA}/phasic-0.32.1-discretized.json")
        for theta in ([0.1, 1.0], [2.0, 3.0], [1e-200, 1e-200], [1e200, 3e201], [1e-3, 1e5]):
            rates = [(6 * Fraction(theta[0]), Fraction(0.1) * Fraction(theta[1])),
                     (3 * Fraction(theta[0]), Fraction(0.1) * Fraction(theta[1])),
                     (Fraction(theta[0]), Fraction(0.1) * Fraction(theta[1]))]
            mean = sum(1 + 2 * m / c for c, m in rates)  # each mutation takes a step and one more back
            out = run(g, "--theta", theta_text([theta]), "--moments", 3, "--covariance")
            self.assertLess(relative_error(out["moments"][0][0], mpf(mean.numerator) / mean.denominator), 1e-13)
            for got, want in zip(out["moments"][0], Chain(g, theta).moments(3)):
                self.assertLess(relative_error(got, want), 1e-13)
        self.assertLess(abs(run(g, "--theta", "0.1,1", "--moments", 1)["moments"][0][0] - 6), 1e-14)

    def test_steps_of_a_discretized_coalescent(self):
        g = read(f"{DATA}/phasic-0.32.1-discretized.json")
        pmf, cdf = Chain(g, [0.1, 1.0]).mass(60)
        out = run(g, "--theta", "0.1,1", "--pdf", "--cdf", "--times", "0:60:1")
        for n in range(61):
            self.assertLess(abs(out["pdf"][0][n] - pmf[n]), 1e-13)
            self.assertLess(abs(out["cdf"][0][n] - cdf[n]), 1e-13)

    def test_random_graphs(self):
        for seed in range(30):
            g, rng = random_graph(seed), random.Random(seed)
            theta = [[1.0 + rng.random(), rng.random()] for _ in range(3)]
            with self.subTest(seed=seed):
                out = run(g, "--theta", theta_text(theta), "--moments", 2, "--pdf", "--times", "0:20:1")
                for b, row in enumerate(theta):
                    chain = Chain(g, row)
                    for got, want in zip(out["moments"][b], chain.moments(2)):
                        self.assertLess(relative_error(got, want), 1e-13)
                    pmf, _ = chain.mass(20)
                    for got, want in zip(out["pdf"][b], pmf):
                        self.assertLess(abs(got - want), 1e-12)

    def test_steps_that_cannot_be_taken_are_exactly_zero(self):
        """Rows of thirds and sevenths, left for certain: at most four steps, and not a trace of a fifth."""
        edges = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (1, 4)]
        g = graphs.graph(5, [(a, b, 1.0) for a, b in edges] + [(2, 3, 2.0), (2, 4, 5.0), (3, 4, 1.0)], discrete=True)
        g["was_dph"] = True
        out = run(g, "--pdf", "--cdf", "--tail-accuracy", "--times", "1:8:1")
        pmf, cdf = Chain(g).mass(8)
        self.assertEqual((out["pdf"][0][4:], out["survival"][0][3:]), ([0] * 4, [0] * 5))
        for n in range(1, 5):
            self.assertLess(relative_error(out["pdf"][0][n - 1], pmf[n]), 1e-14)
            self.assertLess(relative_error(out["survival"][0][n - 1], 1 - cdf[n]) if n < 4 else 0, 1e-14)

    def test_a_normalized_graph_is_its_quotients(self):
        g = graphs.graph(3, [(0, 1, 1.0), (0, 2, 3.0), (1, 2, 0.2)], discrete=True)
        same = graphs.graph(3, [(0, 1, 0.25), (0, 2, 0.75), (1, 2, 1.0)], discrete=True)
        g["was_dph"] = True
        a, b = (run(x, "--moments", 2, "--pdf", "--times", "0:3:1") for x in (g, same))
        self.assertEqual((a["moments"], a["pdf"]), (b["moments"], b["pdf"]))
        self.assertNotEqual(a["job"], b["job"])

    def test_a_row_of_zeros_stays(self):
        g = graphs.graph(3, [(0, 1, [1.0, 0.0]), (1, 2, [0.0, 1.0])], params=2, discrete=True)
        g["was_dph"] = True
        self.assertEqual(run(g, "--theta", "5,7", "--moments", 1)["moments"], [[2]])
        done = call("run", "-", "--theta", "5,0", "--no-cache", stdin=json.dumps(g))
        self.assertEqual(done.returncode, 65)
        self.assertIn("cannot reach absorption", done.stderr)

    def test_sums_that_no_double_holds(self):
        g = graphs.graph(3, [(0, 1, [1.0]), (0, 2, [1.0]), (1, 2, [1.0])], params=1, discrete=True)
        g["was_dph"] = True
        out = run(g, "--theta", "1;1e-310;1e308", "--moments", 2, "--covariance")
        self.assertEqual((out["moments"], out["covariance"]), ([[1.5, 2.5]] * 3, [[[0.25]]] * 3))
        for theta in ("1e-310", "1e308"):
            done = call("run", "-", "--theta", "1;" + theta, "--pdf", "--times", "1", "--no-cache",
                        stdin=json.dumps(g))
            self.assertEqual(done.returncode, 65, done.stdout)
            self.assertRegex(done.stderr, r"theta row 1: the weights out of row [12] \(state .* add up to (9.9.*e-311|inf),")

    def test_the_order_of_rows_and_batches_changes_no_bit(self):
        g = random_graph(5)
        rows = [[1.0 + i / 37, i / 41] for i in range(37)]
        alone = [run(g, "--theta", theta_text([row]), "--moments", 2)["moments"][0] for row in rows[:5]]
        self.assertEqual(run(g, "--theta", theta_text(rows), "--moments", 2)["moments"][:5], alone)


class RowsThatExceedOne(unittest.TestCase):
    """By rounding, or by less than 1e-12: they are divided by their sum."""

    def check(self, edges, n, rewards):
        g = graphs.graph(n, edges, params=0, discrete=True)
        chain = Chain(g)
        text = ";".join(",".join(repr(r) for r in row) for row in rewards)
        out = run(g, "--moments", 3, "--covariance", "--rewards", text)
        expected, _ = chain.covariance(rewards)
        for f, row in enumerate(rewards):
            for got, want in zip(out["moments"][0][f], chain.moments(3, row)):
                self.assertLess(relative_error(got, want), 1e-13)
            for h in range(len(rewards)):
                size = (expected[f, f] * expected[h, h]) ** 0.5
                self.assertLessEqual(abs(out["covariance"][0][f][h] - expected[f, h]), 1e-12 * size)

    def test_by_as_much_as_is_allowed(self):
        for excess in (2.0**-53, 1e-15, 9.9e-13):
            self.check([(0, 1, 0.25), (0, 2, 0.75 + excess), (1, 0, 0.5 + excess), (1, 3, 0.5), (2, 3, 1.0)], 4,
                       [[0.0, 1.0, 2.0, 3.0, 0.0], [0.0, 1e6, 0.0, 1e-6, 0.0]])

    def test_a_density_of_rows_that_exceed_one_is_refused_for_that(self):
        """Within the time in which mass grows beyond the tolerance."""
        g = graphs.graph(3, [(0, 1, 0.999 + 5e-13), (0, 2, 0.001), (1, 0, 1.0)])
        g["is_discrete"] = True
        done = call("run", "-", "--cdf", "--times", "5000", "--no-cache", stdin=json.dumps(g))
        self.assertEqual(done.returncode, 65)
        self.assertRegex(done.stderr, "a row's probabilities add up to 5e-13 more than one")

    def test_a_variance_of_the_size_of_the_excess(self):
        p = 3.3494661759868294e-15
        self.check([(0, 1, p), (0, 2, 0.9999999999999967), (1, 3, 1.0), (2, 3, 1.0)], 4,
                   [[0.0, 7.0, 2.0, 0.5, 0.0], [0.0, 0.0, 1.0, 0.25, 0.0]])

    def test_a_long_chain_with_such_a_row(self):
        edges = [(i, i + 1, 1.0) for i in range(8)] + [(8, 9, 0.9999999999999939), (8, 10, 1.2568853649937423e-14)]
        self.check([*edges, (9, 10, 0.9999999999999875), (10, 11, 1.0)], 12, [[1.0] * 13])


class Geometric(unittest.TestCase):
    """phasic's serialize() says nothing of being discrete: E[N^2] of a geometric time of 1/4 is 28, not 32."""

    def test_said_by_the_caller(self):
        g = read(f"{DATA}/phasic-0.32.1-geometric-unsaid.json")
        self.assertEqual(run(g, "--theta", "1", "--moments", 2, "--discrete")["moments"], [[4, 28]])
        self.assertEqual(run(g, "--theta", "1", "--moments", 2, "--continuous")["moments"], [[4, 32]])
        self.assertEqual(run({**g, "is_discrete": True}, "--theta", "1", "--moments", 2)["moments"], [[4, 28]])


if __name__ == "__main__":
    unittest.main()
