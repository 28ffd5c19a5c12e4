"""Chains that are never absorbed with some probability: `--defective`, against 150 digits and closed forms."""
import json
import os
import random
import unittest

from mpmath import mp, mpf

import graphs
from program import Table, call, run, theta_text
from reference import Chain, read, relative_error

DATA = os.path.join(os.path.dirname(__file__), "..", "data")


class Restricted(Chain):
    """The chain of a graph given absorption: by elimination with subtractions, then Doob's transform in 150 digits."""

    def _factor(self):
        out = {i: dict(self.rates[i]) for i in self.transient}
        ends = {j for row in out.values() for j in row if j not in out}
        good, grown = set(ends), True
        while grown:
            new = {i for i in out if i not in good and any(j in good for j in out[i])}
            good, grown = good | new, bool(new)
        states = [i for i in self.transient if i in good]
        absorb = {i: sum((w for j, w in out[i].items() if j in good and j not in out), mpf(0)) for i in states}
        total = self.total
        self.transient, self.rates = states, {i: {j: w for j, w in out[i].items() if j in good} for i in states}
        super()._factor()
        h = self.solve(absorb)
        for j in ends:
            h[j] = mpf(1)
        alpha = {i: w for i, w in self.start.items() if i in h or i not in total}
        self.h = {**{i: mpf(1) for i in alpha if i not in h}, **h}
        self.absorption = sum((w * self.h[i] for i, w in alpha.items()), mpf(0))
        self.rates = {i: {j: w * h[j] / h[i] for j, w in self.rates[i].items()} for i in states}
        self.total = {i: sum(self.rates[i].values()) for i in states}
        if self.absorption != 0:
            self.start = {i: w * self.h[i] / self.absorption for i, w in alpha.items()}
        super()._factor()


def random_graph(seed, discrete):
    """Some states lead to traps: single ones, pairs, and a cycle. State 0 starts, the last is absorbing."""
    rng = random.Random(seed)
    n, traps = rng.randint(2, 12), rng.randint(1, 4)
    edges = []

    def weight():
        return 10.0 ** rng.uniform(-3, 3) if not discrete else rng.uniform(0.01, 0.15)

    for i in range(n):
        for j in {*rng.sample(range(n), min(n, 2)), i + 1 if i + 1 < n else n + traps}:
            if j != i:
                edges.append((i, j, weight()))
        if rng.random() < 0.5:
            edges.append((i, n + rng.randrange(traps), weight()))
    edges.append((0, n, weight()))
    for t in range(traps):
        if traps > 1:
            edges.append((n + t, n + (t + 1) % traps, weight()))
    if traps == 1:  # a trap of one state would be an absorbing one: give it a twin
        edges += [(n, n + 2, weight()), (n + 2, n, weight())]
    return graphs.graph(n + traps + 1 + (traps == 1), edges, discrete=discrete)


class Defective(unittest.TestCase):
    def check(self, graph, theta=(), moments=3, tolerance=1e-13):
        options = ["--theta", theta_text([theta])] if theta else []
        out = run(graph, "--defective", "--moments", moments, "--covariance", *options)
        want = Restricted(graph, theta)
        self.assertLess(relative_error(out["absorption"][0], want.absorption), tolerance)
        for got, expected in zip(out["moments"][0], want.moments(moments)):
            self.assertLess(relative_error(got, expected), tolerance)
        return out, want

    def test_random_continuous_and_discrete_graphs(self):
        for seed in range(40):
            for discrete in (False, True):
                with self.subTest(seed=seed, discrete=discrete):
                    self.check(random_graph(seed, discrete))

    def test_rewards_and_covariances(self):
        for seed in range(10):
            g, rng = random_graph(seed, seed % 2 == 1), random.Random(seed)
            rewards = [[rng.uniform(0, 2) for _ in range(g["n_vertices"])] for _ in range(2)]
            with Table(rewards) as table, self.subTest(seed=seed):
                out = run(g, "--defective", "--rewards", table, "--moments", 2, "--covariance")
            chain = Restricted(g)
            cov, cross = chain.covariance(rewards)
            for f in range(2):
                for got, expected in zip(out["moments"][0][f], chain.moments(2, rewards[f])):
                    self.assertLess(relative_error(got, expected), 1e-13)
                for k in range(2):
                    self.assertLess(abs(out["covariance"][0][f][k] - cov[f, k]), 1e-13 * cross[f, k])

    def test_gamblers_ruin_given_that_the_bank_breaks(self):
        """From i with odds p against q, absorbed at n, caught at 0 for good: probability and mean (Feller, XIV.4)."""
        n, i, p = 12, 3, 0.375
        edges = [(k, k + 1, p) for k in range(1, n)] + [(k, k - 1, 1 - p) for k in range(1, n)]
        g = graphs.graph(n + 2, [*edges, (0, n + 1, 1.0), (n + 1, 0, 1.0)], start=i, discrete=True)
        out = run(g, "--defective", "--moments", 1)
        mp.dps = 50
        r, q = (1 - mpf(p)) / mpf(p), 1 - mpf(p)
        win = (r**i - 1) / (r**n - 1)
        mean = (n * (r**n + 1) / (r**n - 1) - i * (r**i + 1) / (r**i - 1)) / abs(mpf(p) - q)
        self.assertLess(relative_error(out["absorption"][0], win), 1e-14)
        self.assertLess(relative_error(out["moments"][0][0], mean), 1e-13)

    def test_densities_rise_to_the_probability_of_absorption(self):
        """Two rates out of one state, a into absorption and b into a trap: a exp(-(a+b) t)."""
        a, b = 0.75, 2.0
        g = graphs.graph(4, [(0, 1, a), (0, 2, b), (2, 3, 5.0), (3, 2, 0.5)])
        times = [0.1, 1.0, 5.0, 100.0]
        out = run(g, "--defective", "--moments", 2, "--pdf", "--cdf", "--tail-accuracy", "--times",
                  ",".join(map(repr, times)))
        mp.dps = 40
        self.assertLess(relative_error(out["absorption"][0], mpf(a) / (a + b)), 1e-15)
        self.assertLess(relative_error(out["moments"][0][0], 1 / mpf(a + b)), 1e-15)
        for k, t in enumerate(times):
            gone = 1 - mp.exp(-mpf(a + b) * t)
            self.assertLess(abs(out["pdf"][0][k] - a * mp.exp(-mpf(a + b) * t)), 1e-10 * a)
            self.assertLess(relative_error(out["cdf"][0][k], a / mpf(a + b) * gone), 1e-10)
            self.assertLess(relative_error(out["survival"][0][k], 1 - a / mpf(a + b) * gone), 1e-10)

    def test_steps_of_a_discrete_chain(self):
        g = graphs.graph(4, [(0, 1, 0.25), (0, 2, 0.5), (2, 3, 1.0), (3, 2, 1.0)], discrete=True)
        out = run(g, "--defective", "--moments", 1, "--pdf", "--cdf", "--times", "0,1,2,3,200")
        self.assertEqual(out["pdf"][0][:4], [0, 0.25, 0.0625, 0.015625])
        self.assertLess(abs(out["cdf"][0][4] - 1 / 3), 1e-15)
        self.assertLess(relative_error(out["absorption"][0], mpf(1) / 3), 1e-15)
        self.assertLess(relative_error(out["moments"][0][0], mpf(4) / 3), 1e-15)

    def test_a_joint_probability_graph_of_phasic(self):
        """The probabilities of all its outcomes and of its trash add up to one, at each theta of a batch."""
        g = read(f"{DATA}/phasic-0.32.1-joint-prob-graph.json")
        for theta in ([1.0, 1.0], [0.5, 3.0], [1e-3, 1e3], [2.0, 1e-6]):
            self.check(g, theta)
        ends = sorted({int(row[0]) for row in g["param_edges"] if row[1] == 38})
        parts = []
        for end in ends:
            one = json.loads(json.dumps(g))
            one["param_edges"] = [r if r[1] != 38 or r[0] == end else [r[0], 36.0, *r[2:]] for r in one["param_edges"]]
            parts.append(run(one, "--theta", "1,0.7", "--defective", "--moments", 1)["absorption"][0])
        whole = run(g, "--theta", "1,0.7", "--defective", "--moments", 1)["absorption"][0]
        self.assertLess(abs(sum(parts) - whole), 1e-14)
        batch = run(g, "--theta", "1,1;0.5,3;1,1", "--defective", "--moments", 2)
        self.assertEqual(batch["moments"][0], batch["moments"][2])
        self.assertEqual(batch["moments"][1], run(g, "--theta", "0.5,3", "--defective", "--moments", 2)["moments"][0])

    def test_zeros_at_one_theta(self):
        """What cannot be absorbed depends on theta: each row has its own."""
        g = graphs.graph(4, [(0, 1, [1.0, 0.0]), (0, 2, [0.0, 1.0]), (2, 0, 3.0), (2, 3, [1.0, 0.0]),
                             (1, 3, [0.0, 1.0])], params=2)
        rows = [[1.0, 2.0], [1.0, 0.0], [0.0, 1.0], [2.0, 1.0]]
        done = call("run", "-", "--theta", theta_text(rows), "--no-cache", stdin=json.dumps(g))
        self.assertEqual(done.returncode, 65)
        self.assertIn("--defective", done.stderr)
        for row in rows[:1] + rows[3:]:
            self.assertEqual(run(g, "--defective", "--theta", theta_text([row]), "--moments", 2)["absorption"], [1])
        done = call("run", "-", "--theta", theta_text(rows), "--defective", "--no-cache", stdin=json.dumps(g))
        self.assertEqual(done.returncode, 65)
        self.assertIn("theta row 1: absorption has probability 0", done.stderr)
        out = run(g, "--theta", theta_text(rows), "--defective", "--cdf", "--times", "1e3")
        self.assertEqual(out["absorption"], [1, 0, 0, 1])
        self.assertEqual([out["cdf"][b][0] for b in (1, 2)], [0, 0])

    def test_zeros_that_leave_a_trap(self):
        g = graphs.graph(3, [(0, 1, [1.0, 0.0]), (0, 2, [1.0, 1.0]), (1, 2, [0.0, 1.0])], params=2)
        out = run(g, "--theta", "1,1;1,0;3,0", "--defective", "--moments", 2, "--cdf", "--times", "1e3")
        self.assertEqual([v for v in out["absorption"]][1:], [0.5, 0.5])
        self.assertLess(abs(out["absorption"][0] - 1), 1e-15)
        for b, rate in ((1, 2), (2, 6)):
            self.assertLess(relative_error(out["moments"][b][0], mpf(1) / rate), 1e-15)
            self.assertLess(abs(out["cdf"][b][0] - 0.5), 1e-12)

    def test_all_in_the_trap_and_atoms(self):
        trap = [(1, 2, 1.0), (2, 1, 1.0)]
        g = graphs.graph(4, [(0, 3, 2.0), *trap], start=1)
        done = call("run", "-", "--defective", "--moments", "1", "--no-cache", stdin=json.dumps(g))
        self.assertEqual(done.returncode, 65)
        self.assertIn("absorption has probability 0", done.stderr)
        self.assertEqual(run(g, "--defective", "--pdf", "--cdf", "--times", "3")["cdf"], [[0]])
        g["start_edges"] = [[1, 0.25], [2, 0.5], [4, 0.25]]  # a state, the trap, and absorbed at once
        out = run(g, "--defective", "--moments", 2, "--cdf", "--times", "0,50")
        self.assertEqual((out["atom"], out["absorption"]), ([0.25], [0.5]))
        self.assertEqual(out["moments"], [[0.25, 0.25]])  # half of the mass is 0, half exponential of rate 2
        self.assertEqual(out["cdf"][0][0], 0.25)
        self.assertLess(abs(out["cdf"][0][1] - 0.5), 1e-12)
        g["start_edges"] = [[2, 0.5], [4, 0.5]]
        out = run(g, "--defective", "--moments", 2, "--covariance")
        self.assertEqual((out["absorption"], out["moments"], out["covariance"]), ([0.5], [[0, 0]], [[[0]]]))

    def test_absorption_that_hardly_ever_happens(self):
        """100 states, each a thousandth of the way on: 1e-300, whose moments are those of an Erlang time."""
        k, on, off = 100, 1.0, 999.0
        edges = [(i, i + 1, on) for i in range(k)] + [(i, k + 1, off) for i in range(k)] + [(k + 1, k + 2, 1.0), (k + 2, k + 1, 1.0)]
        out = run(graphs.graph(k + 3, edges), "--defective", "--moments", 2, "--covariance")
        mp.dps = 40
        self.assertLess(relative_error(out["absorption"][0], mpf(10) ** -300), 1e-13)
        self.assertLess(relative_error(out["moments"][0][0], mpf(k) / 1000), 1e-13)
        self.assertLess(relative_error(out["moments"][0][1], mpf(k) * (k + 1) / 10**6), 1e-13)

    def test_steps_that_are_nearly_sure(self):
        """From each of n states on, or into a trap, or, hardly ever, not at all: given absorption, n geometric times."""
        for stay in (1e-3, 1e-9, 1e-12, 1e-15):
            for lose in (0.5, 1e-3):
                for n in (1, 5, 50):
                    on = 1.0 - lose - stay
                    edges = [e for i in range(n) for e in ((i, i + 1, on), (i, n + 1, lose))]
                    g = graphs.graph(n + 3, [*edges, (n + 1, n + 2, 1.0), (n + 2, n + 1, 1.0)], discrete=True)
                    s = 1 - (mpf(on) + mpf(lose))
                    with self.subTest(stay=stay, lose=lose, n=n):
                        out = run(g, "--defective", "--moments", 2, "--factorial", "--covariance")
                        mean, variance = n / (1 - s), n * s / (1 - s) ** 2
                        self.assertLess(relative_error(out["moments"][0][0], mean), 1e-13)
                        self.assertLess(relative_error(out["moments"][0][1], variance + mean ** 2 - mean), 1e-13)
                        self.assertLess(relative_error(out["covariance"][0][0][0], variance), 1e-12)

    def test_nothing_changes_where_absorption_is_certain(self):
        """A symmetric walk from 0, which turns back there, to n: n^2 steps in the mean, with variance 2 n^2 (n^2-1)/3."""
        n = 77
        edges = [(0, 1, 1.0)] + [(i, i + d, 0.5) for i in range(1, n) for d in (1, -1)]
        g = graphs.graph(n + 1, edges, discrete=True)
        plain, defective = run(g, "--moments", 2), run(g, "--moments", 2, "--defective")
        self.assertEqual(plain["moments"], defective["moments"])
        self.assertEqual(defective["absorption"], [1])
        self.assertNotIn("absorption", plain)
        self.assertLess(relative_error(plain["moments"][0][0], n**2), 1e-13)

    def test_what_is_absorbed_too_seldom_for_a_double(self):
        """Weights given absorption that would become zero, and such a probability of absorption, are refused."""
        steps = [(i, i + 1, 1e-60) for i in range(1, 7)] + [(i, 8, 1.0) for i in range(1, 7)]
        traps = [(8, 9, 1.0), (9, 8, 1.0)]
        seldom = graphs.graph(11, [(0, 1, 1.0), (0, 10, 1.0), *steps, (7, 10, 1e-60), *traps])
        done = call("run", "-", "--defective", "--moments", "6", "--no-cache", stdin=json.dumps(seldom))
        self.assertEqual(done.returncode, 65)
        self.assertRegex(done.stderr, "weight from row 1 to row 2 is below the smallest double")
        hardly = graphs.graph(11, [(0, 1, 1e-60), (0, 8, 1.0), *steps, (7, 10, 1e-60), *traps])
        done = call("run", "-", "--defective", "--moments", "1", "--no-cache", stdin=json.dumps(hardly))
        self.assertEqual(done.returncode, 65)
        self.assertRegex(done.stderr, "absorption has a probability below the smallest double")

    def test_refused_without_it_and_on_a_cluster(self):
        g = json.dumps(random_graph(1, False))
        done = call("run", "-", "--no-cache", stdin=g)
        self.assertEqual(done.returncode, 65)
        self.assertIn("--defective", done.stderr)
        done = call("run", "-", "--defective", "--strategy", "cluster", stdin=g)
        self.assertEqual(done.returncode, 64)
        self.assertIn("on this machine only", done.stderr)


if __name__ == "__main__":
    unittest.main()
