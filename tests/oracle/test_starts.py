"""Start distributions of any size, rescaled: only what they are divided to has to fit a double."""
import json
import unittest
from fractions import Fraction

from mpmath import exp, mp, mpf

import graphs
from program import call, run
from reference import relative_error

mp.dps = 50


def chain(weights, param_weights=(), discrete=False):
    """States left at 1/2, 1/4 and 1/8, and the absorbing one."""
    g = graphs.graph(4, [(0, 3, 0.5), (1, 3, 0.25), (2, 3, 0.125)], start={}, params=1, discrete=discrete)
    g["start_edges"] = [[i + 1, w] for i, w in weights]
    g["start_param_edges"] = [[i + 1, w] for i, w in param_weights]
    return g


def start_of(g, theta):
    weight = [Fraction(0)] * 4
    for row, w in g["start_edges"]:
        weight[row - 1] += Fraction(w)
    for row, w in g["start_param_edges"]:
        weight[row - 1] += Fraction(w) * Fraction(theta)
    return [w / sum(weight) for w in weight]


CASES = [
    ([(0, 1e308), (1, 1e308)], [], 1.0),
    ([(0, 1.5e308), (1, 0.5e308), (3, 1.7e308), (2, 1e300)], [], 1.0),
    ([], [(0, 1e200), (1, 3e200), (2, 1e190)], 1e200),
    ([], [(0, 1e-200), (1, 3e-200), (3, 1e-210)], 1e-200),
    ([], [(0, 1e-160), (1, 3e-162), (3, 1e-150)], 1e-160),
    ([(0, 1e-310), (1, 3e-310), (2, 5e-324)], [], 1.0),
    ([(0, 1e308)], [(1, 1e200), (2, 1.0)], 1e108),
    ([(0, 1e-320)], [(1, 1e-120), (2, 7e-120)], 1e-200),
    ([(0, 1.0)], [(1, 1e-200)], 1e-150),
]


class Starts(unittest.TestCase):
    def test_of_any_size(self):
        for weights, param_weights, theta in CASES:
            for discrete in (False, True):
                g = chain(weights, param_weights, discrete)
                start = start_of(g, theta)
                with self.subTest(weights=weights, param=param_weights, theta=theta, discrete=discrete):
                    self.check(g, theta, start, discrete)

    def check(self, g, theta, start, discrete):
        rates = [Fraction(1, 2), Fraction(1, 4), Fraction(1, 8)]
        mean = sum(p / r for p, r in zip(start, rates))
        second = sum(p * (2 - r if discrete else 2) / r**2 for p, r in zip(start, rates))
        if discrete:
            pdf = sum(p * r * (1 - r) for p, r in zip(start, rates))
        else:
            pdf = sum(mpf(p.numerator) / p.denominator * float(r) * exp(-2 * mpf(float(r)))
                      for p, r in zip(start, rates))
        out = run(g, "--theta", repr(theta), "--normalize-start", "--moments", 2, "--pdf", "--times", 2)
        wants = [(out["moments"][0][0], mean), (out["moments"][0][1], second), (out["pdf"][0][0], pdf)]
        if start[3]:
            wants.append((out["atom"][0], start[3]))
        for got, want in wants:
            want = mpf(want.numerator) / want.denominator if isinstance(want, Fraction) else want
            self.assertLess(relative_error(got, want), 1e-13)
        lossy = run(g, "--theta", repr(theta), "--normalize-start", "--moments", 1, "--defective")
        self.assertLess(relative_error(lossy["moments"][0][0], mpf(mean.numerator) / mean.denominator), 1e-13)

    def test_a_batch_is_its_rows(self):
        g = chain([], [(0, 1e200), (1, 3e200)])
        theta = ["1e200", "1", "1e-200", "1e-320"]
        both = run(g, "--theta", ";".join(theta), "--normalize-start", "--moments", 2, "--pdf", "--times", 1)
        for row, value in enumerate(theta):
            one = run(g, "--theta", value, "--normalize-start", "--moments", 2, "--pdf", "--times", 1)
            self.assertEqual((one["moments"][0], one["pdf"][0]), (both["moments"][row], both["pdf"][row]))

    def test_what_is_refused(self):
        cases = [
            (chain([(0, 1e308), (1, 1e308)]), "1", [], "sums to more than 1.797"),
            (chain([], [(0, 1e200)]), "1e200", [], "sums to more than 1.797"),
            (chain([], [(0, 1e-200)]), "1e-200", [], "sums to less than 2.22"),
            (chain([(0, 0.0)]), "1", ["--normalize-start"], "sums to 0, expected 1"),
            (chain([(1, 1.0)], [(0, -1e200)]), "1e200", ["--normalize-start"], "start edge to row 1 has weight -inf"),
            (chain([(1, 1.0)], [(0, -1e-200)]), "1e-200", ["--normalize-start"], "start edge to row 1 has weight -"),
        ]
        for g, theta, options, text in cases:
            for quantity in (["--moments", "1"], ["--pdf", "--times", "1"]):
                with self.subTest(text=text, quantity=quantity):
                    done = call("run", "-", "--no-cache", "--theta", theta, *options, *quantity, stdin=json.dumps(g))
                    self.assertEqual((done.returncode, done.stdout), (65, ""), done.stderr)
                    self.assertIn("theta row 0: ", done.stderr)
                    self.assertIn(text, done.stderr)

    def test_rates_still_have_to_fit(self):
        """The same weight out of the start vertex and out of a state: there it is refused."""
        g = graphs.graph(2, [(0, 1, [1e200])], start={}, params=1)
        g["start_param_edges"] = [[1, 1e200]]
        done = call("run", "-", "--no-cache", "--theta", "1e200", "--normalize-start", "--pdf", "--times", 1,
                    stdin=json.dumps(g))
        self.assertEqual((done.returncode, done.stdout), (65, ""), done.stderr)
        self.assertIn("weight inf is not finite", done.stderr)


if __name__ == "__main__":
    unittest.main()
