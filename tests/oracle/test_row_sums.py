"""Rows of discrete graphs that add up to more than one: refused wherever they can be reached, and nowhere else."""
import json
import unittest
from fractions import Fraction

import graphs
from program import call, run, theta_text

QUANTITIES = (["--moments", "2", "--covariance"], ["--pdf", "--cdf", "--times", "1,3"],
              ["--moments", "2", "--defective"])


def geometric(loops, params=1):
    """Left with probability 1/4 to an absorbing state with these self-loops."""
    return graphs.graph(2, [(0, 1, 0.25), *[(1, 1, w) for w in loops]], params=params, discrete=True)


class RowSums(unittest.TestCase):
    def check_geometric(self, g, theta):
        """1/p, (2 - p)/p^2, p and p (1 - p)^2."""
        out = run(g, "--theta", theta_text(theta), "--moments", 2, "--pdf", "--times", "1,3")
        self.assertEqual(out["moments"], [[4, 28]] * len(theta))
        self.assertEqual(out["pdf"], [[0.25, float(Fraction(9, 64))]] * len(theta))
        self.assertEqual(run(g, "--theta", theta_text(theta), "--moments", 1, "--defective")["absorption"],
                         [1] * len(theta))

    def refused(self, g, theta, *parts):
        for quantity in QUANTITIES:
            done = call("run", "-", "--no-cache", "--theta", theta_text(theta), *quantity, stdin=json.dumps(g))
            self.assertEqual((done.returncode, done.stdout), (65, ""), done.stderr)
            for part in (*parts, "expected at most 1"):
                self.assertIn(part, done.stderr)

    def test_self_loops_of_an_absorbing_state_up_to_one(self):
        for loops in ([], [1], [0.5], [0.5, 0.5], [0.1] * 10, [0], [[1.0]], [[0.5], 0.5], [1 + 1e-13]):
            with self.subTest(loops):
                self.check_geometric(geometric(loops), [[1.0]])

    def test_self_loops_of_an_absorbing_state_above_one(self):
        for loops, total in (([5], "add up to 5 "), ([0.5, 0.75], "add up to 1.25 "), ([1 + 1e-11], "1.00000000001"),
                             ([1e308] * 2, "add up to inf "), ([[5.0]], "add up to 5 ")):
            with self.subTest(loops):
                self.refused(geometric(loops), [[1.0]], "theta row 0", "row 2 (state [2])", total)

    def test_where_theta_makes_it(self):
        g = geometric([[1.0]])
        self.check_geometric(g, [[1.0], [0.5], [0.0]])
        self.refused(g, [[1.0], [0.5], [2.0], [3.0]], "theta row 2", "add up to 2 ")

    def test_atom_on_the_state(self):
        g = geometric([5])
        g["start_edges"] = [[2, 1.0]]
        self.refused(g, [[1.0]], "row 2 (state [2])", "add up to 5 ")

    def test_rows_that_are_normalized(self):
        """All of a row's weight is its one way out, or its self-loop."""
        g = geometric([5])
        g["was_dph"] = True
        self.assertEqual(run(g, "--theta", "1", "--moments", 2)["moments"], [[1, 1]])

    def test_states_that_cannot_be_reached(self):
        g = graphs.graph(3, [(0, 1, 0.25), (2, 1, 2.5), (2, 2, 7.0)], params=1, discrete=True)
        self.check_geometric(g, [[1.0]])
        g = graphs.graph(4, [(0, 1, 0.25), (2, 2, 7.0), (3, 1, 0.5)], params=1, discrete=True)
        self.check_geometric(g, [[1.0]])

    def test_states_that_this_theta_does_not_reach(self):
        """One with an absorbing self-loop of five, one that is left with probability 2.5."""
        absorbing = [(0, 1, 0.25), (0, 2, [0.0, 0.5]), (2, 2, 5.0)]
        passing = [(0, 1, 0.25), (0, 2, [0.0, 0.5]), (2, 1, 2.5)]
        for edges, total in ((absorbing, "add up to 5 "), (passing, "add up to 2.5 ")):
            g = graphs.graph(3, edges, params=2, discrete=True)
            self.check_geometric(g, [[1.0, 0.0]])
            self.refused(g, [[1.0, 0.0], [1.0, 1.0]], "theta row 1", "row 3 (state [3])", total)

    def test_states_that_cannot_be_absorbed(self):
        """What --defective takes for lost, and what moves beside it."""
        pair = [(0, 1, 0.25), (0, 2, 0.25)]
        for edges, row in (([(2, 3, 5.0), (3, 2, 0.5)], "row 3"), ([(2, 3, 0.5), (3, 2, 0.5), (0, 0, 5.0)], "row 1")):
            g = graphs.graph(4, pair + edges, params=1, discrete=True)
            for quantity in (["--moments", "2"], ["--pdf", "--times", "1"]):
                done = call("run", "-", "--no-cache", "--defective", "--theta", "1", *quantity, stdin=json.dumps(g))
                self.assertEqual((done.returncode, done.stdout), (65, ""), done.stderr)
                self.assertIn(row, done.stderr)
        g = graphs.graph(4, pair + [(2, 3, 0.5), (3, 2, 0.5)], params=1, discrete=True)
        out = run(g, "--defective", "--theta", "1", "--moments", 1)
        self.assertEqual((out["absorption"], out["moments"]), ([0.5], [[2]]))


if __name__ == "__main__":
    unittest.main()
