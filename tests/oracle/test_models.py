"""Every generated model, the graphs written by phasic, and rewards on them, against 150-digit elimination."""
import random
import unittest

from program import EXAMPLES, Table, checked, generate, run, theta_text
from reference import Chain, read, relative_error

TOLERANCE = 1e-13

# model, its arguments, rows of theta or how many decades random ones span (a queue's mean is their power)
MODELS = [
    ("kingman", ["n=12"], [[1.0], [1e-9], [3.7]]),
    ("block-coalescent", ["n=9"], [[1.0], [2.5e6]]),
    ("rabbits", ["n=12"], [[1.0, 2.0, 4.0], [1e6, 1e-12, 1e-12], [0.3, 10.0, 1e-4]]),
    ("two-locus-arg", ["n=5"], [[2.0, 5.0], [1e-12, 1e6], [1.0, 1e-9]]),
    ("isolation-migration", ["n1=3", "n2=3"], [[1.0, 0.5, 0.25], [1e-12, 1e6, 1e6]]),
    ("islands", ["n=10"], 18),
    ("jsfs", ["n1=3", "n2=2"], 18),
    ("tandem", ["k1=9", "k2=8"], 18),
    ("random", ["sccs=5", "size=12", "extra=2", "seed=3"], 18),
    ("erlang", ["k=20"], 18),
    ("mm1k", ["k=25"], 4),
    ("birth-death", ["n=15"], 12),
]


def thetas(g, given):
    """The rows given, or three drawn log-uniformly over one, six and `given` decades."""
    if isinstance(given, list):
        return given
    rng = random.Random(g["n_vertices"])
    return [[10 ** rng.uniform(-half, half) for _ in range(g["param_length"])] for half in (0.5, 3, given / 2)]


class Models(unittest.TestCase):
    def test_moments_of_every_generated_model(self):
        for name, arguments, rows in MODELS:
            g = generate(name, *arguments)
            rows = thetas(g, rows)
            got = run(g, "--theta", theta_text(rows), "--moments", 3)["moments"]
            for theta, moments in zip(rows, got):
                for k, (a, b) in enumerate(zip(moments, Chain(g, theta).moments(3)), start=1):
                    with self.subTest(model=name, theta=theta, moment=k):
                        self.assertLess(relative_error(a, b), TOLERANCE)

    def test_no_model_is_left_out(self):
        self.assertEqual(sorted(checked("generate", "--names").split()), sorted(name for name, *_ in MODELS))

    def test_recombination_by_count_differs_and_holds(self):
        g = generate("two-locus-arg", "n=3", "count=1")
        got = run(g, "--theta", "2,5", "--moments", 2)["moments"][0]
        for a, b in zip(got, Chain(g, [2, 5]).moments(2)):
            self.assertLess(relative_error(a, b), TOLERANCE)
        self.assertNotEqual(got, run(generate("two-locus-arg", "n=3"), "--theta", "2,5", "--moments", 2)["moments"][0])

    def test_files_written_by_phasic(self):
        for n in (3, 4):
            path = f"{EXAMPLES}/phasic-0.32.1-arg{n}.json"
            rows = [[2.0, 5.0], [1.0, 0.0], [1e-3, 1e3]]
            got = run(path, "--theta", theta_text(rows), "--moments", 4)["moments"]
            for theta, moments in zip(rows, got):
                for a, b in zip(moments, Chain(read(path), theta).moments(4)):
                    with self.subTest(n=n, theta=theta):
                        self.assertLess(relative_error(a, b), TOLERANCE)

    def test_values_published_by_phasic(self):
        """Two-locus ARG at theta = (2, 5), as phasic 0.32.1's own elimination gives them (right to 5e-16 there)."""
        published = {5: (1.2642720623023331, 2.1855944321379384), 6: (1.3007983196759683, 2.276566144297403),
                     7: (1.3310698446278866, 2.352913563004422), 8: (1.3498196069258042, 2.401959764907831)}
        for n, values in published.items():
            got = run(generate("two-locus-arg", f"n={n}"), "--theta", "2,5", "--moments", 2)["moments"][0]
            for a, b in zip(got, values):
                with self.subTest(n=n):
                    self.assertLess(abs(a - b) / b, 4e-15)


class Rewards(unittest.TestCase):
    def cases(self):
        rng = random.Random(11)
        for name, arguments, theta in (("two-locus-arg", ["n=3"], [2.0, 5.0]), ("rabbits", ["n=5"], [1.0, 2.0, 4.0]),
                                       ("block-coalescent", ["n=7"], [1.0])):
            g = generate(name, *arguments)
            n = g["n_vertices"]
            yield name, g, theta, [
                [1.0] * n,
                [0.0] * n,
                [float(rng.random() < 0.3) for _ in range(n)],
                [10 ** rng.uniform(-6, 6) for _ in range(n)],
                [rng.uniform(-1, 1) for _ in range(n)],
            ]

    def test_moments_of_rewards(self):
        for name, g, theta, rewards in self.cases():
            chain = Chain(g, theta)
            with Table(rewards) as file:
                got = run(g, "--theta", theta_text([theta]), "--moments", 4, "--rewards", file)["moments"][0]
            size = [chain.moments(4, [abs(v) for v in r]) for r in rewards]
            for f, r in enumerate(rewards):
                for k, (a, b) in enumerate(zip(got[f], chain.moments(4, r))):
                    # A signed reward's moment is a difference: its error is relative to that of the absolute reward.
                    scale = size[f][k] if min(r) < 0 else abs(b)
                    with self.subTest(model=name, reward=f, moment=k + 1):
                        self.assertLessEqual(abs(a - b), TOLERANCE * scale)

    def test_one_vector_of_ones_is_the_time(self):
        g = generate("rabbits", "n=5")
        with Table([[1.0] * g["n_vertices"]]) as file:
            got = run(g, "--theta", "1,2,4", "--moments", 3, "--rewards", file)["moments"][0][0]
        self.assertEqual(got, run(g, "--theta", "1,2,4", "--moments", 3)["moments"][0])

    def test_covariance(self):
        for name, g, theta, rewards in self.cases():
            with Table(rewards) as file:
                out = run(g, "--theta", theta_text([theta]), "--moments", 1, "--rewards", file, "--covariance")
            cov, _ = Chain(g, theta).covariance(rewards)
            _, cross = Chain(g, theta).covariance([[abs(v) for v in r] for r in rewards])
            for i in range(len(rewards)):
                for j in range(len(rewards)):
                    got = out["covariance"][0][i][j]
                    self.assertEqual(got, out["covariance"][0][j][i])
                    with self.subTest(model=name, i=i, j=j):
                        self.assertLessEqual(abs(got - cov[i, j]), TOLERANCE * max(cross[i, j], abs(cov[i, j])))

    def test_variance_of_the_time(self):
        g = generate("two-locus-arg", "n=4")
        out = run(g, "--theta", "2,5", "--covariance")
        cov, _ = Chain(g, [2.0, 5.0]).covariance([[1.0] * g["n_vertices"]])
        self.assertLess(relative_error(out["covariance"][0][0][0], cov[0, 0]), 1e-13)

    def test_rewards_of_a_discrete_chain(self):
        import graphs
        edges = [(0, 1, 0.5), (0, 0, 0.25), (1, 0, 0.125), (1, 2, 0.5), (2, 1, 0.75), (2, 3, 0.0625)]
        g = graphs.graph(4, edges, start={0: 0.75, 2: 0.25}, discrete=True)
        rewards = [[0, 1, 1, 1, 0], [0, 2.5, 0, 1e-3, 0], [0, 0, 3, 0, 0]]
        chain = Chain(g)
        with Table(rewards) as file:
            out = run(g, "--moments", 3, "--rewards", file, "--covariance")
        cov, _ = chain.covariance(rewards)
        for f, r in enumerate(rewards):
            for a, b in zip(out["moments"][0][f], chain.moments(3, r)):
                self.assertLess(relative_error(a, b), TOLERANCE)
            for h in range(len(rewards)):
                self.assertLess(relative_error(out["covariance"][0][f][h], cov[f, h]), 1e-12)


if __name__ == "__main__":
    unittest.main()
