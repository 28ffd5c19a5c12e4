"""Moments of stiff chains against Gaussian elimination in 150 digits."""
import random
import unittest

import graphs
from program import run
from reference import Chain, relative_error

TOLERANCE = 1e-13


class StiffMoments(unittest.TestCase):
    def check(self, g, k=3, **context):
        got = run(g, "--moments", k)["moments"][0]
        want = Chain(g).moments(k)
        for order, (a, b) in enumerate(zip(got, want), start=1):
            with self.subTest(moment=order, **context):
                self.assertLess(relative_error(a, b), TOLERANCE)

    def test_two_islands_fast_migration_slow_coalescence(self):
        for coalescence, migration in ((1e-12, 1e6), (1e6, 1e-12), (1.0, 1e-10)):
            self.check(graphs.two_islands(20, coalescence, migration), coalescence=coalescence, migration=migration)

    def test_tandem_queue_with_drift_away_from_the_exit(self):
        self.check(graphs.tandem(15, 15, 0.3, 1.0, 1.0, 1.0))
        self.check(graphs.tandem(15, 15, 0.3, 1.0, 1.0, 1e-12))

    def test_nearly_decomposable_blocks(self):
        for inside, coupling, leave in ((1.0, 1e-10, 1e-12), (1e6, 1e-6, 1e-12), (1.0, 1e-3, 1e-6)):
            self.check(graphs.courtois(4, 12, inside, coupling, leave, seed=1), coupling=coupling)

    def test_random_components_with_rates_over_18_decades(self):
        for seed in range(12):
            self.check(graphs.random_sccs(8, 15, seed % 3 + 1, seed), seed=seed)

    def test_one_large_component_with_rates_over_18_decades(self):
        for seed in range(3):
            self.check(graphs.random_sccs(1, 120, 2, 100 + seed), seed=seed)

    def test_rates_at_the_ends_of_the_double_range(self):
        self.check(graphs.hypoexponential([1e-100, 1e100, 1.0]), k=2)
        self.check(graphs.two_islands(6, 1e-150, 1e-140), k=1)
        self.check(graphs.two_islands(6, 1e150, 1e140), k=1)

    def test_high_orders(self):
        self.check(graphs.random_sccs(4, 10, 1, 7, -2, 2), k=10)

    def test_self_loops_made_by_elimination_are_dropped_not_divided_out(self):
        # A state that returns to itself with probability 1 - 1e-15: 1 - p would keep no digit of it.
        rates = [(0, 1, 1.0), (1, 0, 1e15), (1, 2, 1.0)]
        self.check(graphs.graph(3, rates))


class OutOfRange(unittest.TestCase):
    def refused(self, g, *arguments):
        from program import call
        import json
        done = call("run", "-", "--format", "json", "--no-cache", *arguments, stdin=json.dumps(g))
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(done.stdout, "")
        return done.stderr

    def test_a_moment_beyond_double_precision_is_an_error(self):
        text = self.refused(graphs.exponential(1e-200), "--moments", 2)
        self.assertRegex(text, r"moment")

    def test_a_sum_that_overflows_is_an_error(self):
        self.refused(graphs.hypoexponential([1e-308] * 20), "--moments", 1)

    def test_a_moment_below_double_precision_is_an_error_or_right(self):
        from program import call
        import json
        done = call("run", "-", "--format", "json", "--no-cache", "--moments", 2, stdin=json.dumps(graphs.exponential(1e200)))
        if done.returncode == 0:
            self.fail("the second moment 2e-400 is not a double: " + done.stdout)


class RandomGraphs(unittest.TestCase):
    """Small graphs of any shape: several components, branches, parallel edges, states that repeat."""

    def test_many(self):
        for seed in range(40):
            rng = random.Random(seed)
            n = rng.randrange(2, 12)
            edges = [(i, rng.randrange(n), 10 ** rng.uniform(-3, 3)) for i in range(n - 1) for _ in range(rng.randrange(1, 4))]
            edges = [(a, b, w) for a, b, w in edges if a != b] + [(i, n - 1, 10 ** rng.uniform(-6, 0)) for i in range(n - 1)]
            start = {i: 1.0 / 4 for i in rng.sample(range(n), min(n, 4))}
            total = sum(start.values())
            start = {i: w / total for i, w in start.items()}
            g = graphs.graph(n, edges, start=start)
            got = run(g, "--moments", 3, "--normalize-start")["moments"][0]
            for a, b in zip(got, Chain(g).moments(3)):
                with self.subTest(seed=seed):
                    self.assertLess(relative_error(a, b), TOLERANCE)


if __name__ == "__main__":
    unittest.main()
