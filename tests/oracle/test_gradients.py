"""Derivatives in theta against central differences in 150-digit arithmetic, whose error is far below 1e-40."""
import json
import random
import unittest

import mpmath
from graphs import courtois, graph, random_sccs
from mpmath import mp, mpf
from program import Table, call, generate, run, theta_text
from reference import DIGITS, Chain, relative_error
from test_models import MODELS, thetas

TOLERANCE = 1e-10


def derivative(quantities, theta, p):
    """d quantities(theta) / d theta_p of a function that gives a list of numbers."""
    with mp.workdps(DIGITS):
        h = (abs(mpf(theta[p])) or mpf(1)) * mpf(10) ** -35
        above, below = ([mpf(t) + (sign * h if q == p else 0) for q, t in enumerate(theta)] for sign in (1, -1))
        return [(a - b) / (2 * h) for a, b in zip(quantities(above), quantities(below))]


def with_parameters(g, seed, n_params=2):
    """The same chain with its rates shared out among parameters: constant edges become parametric ones."""
    rng = random.Random(seed)
    edges = []
    for a, b, w in g["edges"]:
        coefs = [0.0] * n_params
        coefs[rng.randrange(n_params)] = w
        edges.append([a, b, *coefs])
    return {**g, "edges": [], "param_edges": edges, "param_length": n_params}


class Moments(unittest.TestCase):
    def check(self, g, rows, k=3, rewards=None, factorial=False, **label):
        options = ["--theta", theta_text(rows), "--moments", k, "--gradient"]
        options += ["--factorial"] if factorial else []
        if rewards is None:
            found = run(g, *options)["gradient"]["moments"]
            found = [[row] for row in found]
        else:
            with Table(rewards) as path:
                found = run(g, *options, "--rewards", path)["gradient"]["moments"]
        for theta, of_row in zip(rows, found):
            for f, of_reward in enumerate(of_row):
                reward = None if rewards is None else rewards[f]
                for p in range(len(theta)):
                    def moments(at):
                        chain = Chain(g, at)
                        return chain.factorial_moments(k) if factorial else chain.moments(k, reward)

                    for order, want in enumerate(derivative(moments, theta, p)):
                        with self.subTest(theta=theta, reward=f, order=order + 1, parameter=p, **label):
                            got = of_reward[order][p]
                            # a parameter that changes a moment by less than 1e-25 of it is known no better than that
                            scale = abs(Chain(g, theta).moments(order + 1, reward)[order] / mpf(theta[p] or 1))
                            self.assertLess(abs(got - want), TOLERANCE * abs(want) + mpf("1e-25") * scale)

    def test_every_generated_model(self):
        for name, arguments, rows in MODELS:
            g = generate(name, *arguments)
            if g["param_length"] > 0:
                self.check(g, thetas(g, rows), model=name)

    def test_signed_rewards(self):
        rng = random.Random(5)
        for name, arguments, theta in (("islands", ["n=5"], [1.3, 0.7, 0.2, 0.5]), ("two-locus-arg", ["n=3"], [2.0, 5.0])):
            g = generate(name, *arguments)
            rewards = [[rng.uniform(-1, 2) for _ in range(g["n_vertices"])],
                       [float(rng.random() < 0.5) for _ in range(g["n_vertices"])]]
            self.check(g, [theta, [1e-3 * t for t in theta]], rewards=rewards, model=name)

    def test_stiff_chains(self):
        self.check(with_parameters(courtois(3, 5, 1e6, 1e-6, 1e-12, 4), 1), [[1.0, 1.0], [1.7, 0.3]], k=2)
        self.check(with_parameters(random_sccs(3, 8, 2, 9), 2, 3), [[1.0, 1.0, 1.0], [1e-5, 1e5, 1.0]], k=2)

    def test_discrete(self):
        for seed in range(4):
            g = discrete_graph(seed)
            self.check(g, [[0.3, 0.2], [0.05, 0.6]], seed=seed)
            self.check(g, [[0.3, 0.2]], factorial=True, seed=seed)
            rng = random.Random(seed)
            rewards = [[rng.choice([-1.0, 0.0, 0.5, 2.0]) for _ in range(g["n_vertices"])]]
            self.check(g, [[0.3, 0.2]], rewards=rewards, seed=seed)

    def test_normalized_rows(self):
        for seed in range(3):
            g = {**discrete_graph(seed), "was_dph": True}
            self.check(g, [[0.3, 0.2], [5.0, 0.01]], k=2, seed=seed)

    def test_start_distribution_that_depends_on_theta(self):
        g = moving_start()
        total = 1.5
        self.check(g, [[0.4 / total, 0.6 / total]], k=2)
        found = run(g, "--theta", "3,1", "--normalize-start", "--moments", 1, "--gradient")["gradient"]["moments"]
        want = [derivative(lambda at: Chain(g, at).moments(1), [3, 1], p)[0] for p in range(2)]
        for p in range(2):
            self.assertLess(relative_error(found[0][0][p], want[p]), TOLERANCE)

    def test_the_same_bits_for_any_batch(self):
        g = generate("islands", "n=6")
        rng = random.Random(1)
        rows = [[10 ** rng.uniform(-4, 4) for _ in range(4)] for _ in range(37)]
        whole = run(g, "--theta", theta_text(rows), "--moments", 2, "--gradient", "--threads", 2)["gradient"]
        for i in (0, 7, 16, 36):
            alone = run(g, "--theta", theta_text(rows[i:i + 1]), "--moments", 2, "--gradient", "--threads", 1)
            self.assertEqual(alone["gradient"]["moments"][0], whole["moments"][i])

    def test_long_chains(self):
        """Erlang's moments are products: d log m_k / d log rate = -k, for chains that doubles are too short for."""
        for k in (1000, 200000):
            g = generate("erlang", f"k={k}")
            row = run(g, "--theta", "2.5", "--moments", 2, "--gradient")
            for order in (1, 2):
                want = -order * mpf(row["moments"][0][order - 1]) / mpf(2.5)
                self.assertLess(relative_error(row["gradient"]["moments"][0][order - 1][0], want), 1e-12)


def discrete_graph(seed, n=5):
    """Transient rows 0..n-1 and the absorbing row n; probabilities are 0.4 theta_0 and 0.9 theta_1 shared out."""
    rng = random.Random(seed)
    edges = []
    for a in range(n):
        targets = rng.sample([b for b in range(n + 1) if b != a], 3)
        if a == n - 1 and n not in targets:
            targets[0] = n
        edges += [(a, targets[0], [0.4, 0.0]), (a, targets[1], [0.0, 0.9]), (a, targets[2], [0.2, 0.2])]
        if seed % 2 == 1:
            edges.append((a, a, [0.05, 0.05]))
    return graph(n + 1, edges, params=2, discrete=True)


def moving_start():
    """Starts in states 0, 1 and the absorbing 3 with probabilities theta_0, theta_1 and half of both."""
    g = graph(4, [(0, 1, [1.0, 0.0]), (1, 2, [0.5, 2.0]), (1, 0, [1.0, 0.0]), (2, 3, [1.0, 1.0])], params=2)
    return {**g, "start_edges": [], "start_param_edges": [[1, 1.0, 0.0], [2, 0.0, 1.0], [4, 0.5, 0.5]]}


class Densities(unittest.TestCase):
    def check(self, g, rows, times, tolerance=TOLERANCE, **label):
        discrete = g.get("is_discrete") or g.get("was_dph")
        result = run(g, "--theta", theta_text(rows), "--times", ",".join(map(repr, times)), "--pdf", "--cdf",
                     "--gradient", "--tail-accuracy")
        for b, theta in enumerate(rows):
            for p in range(len(theta)):
                def values(at):
                    chain = Chain(g, at)
                    if discrete:
                        pmf, cdf = chain.mass(int(max(times)))
                        pmf, cdf = [pmf[int(t)] for t in times], [cdf[int(t)] for t in times]
                        return [*pmf, *cdf, *[1 - c for c in cdf]]
                    pdf, cdf, survival = chain.density(times, digits=100)
                    return [*pdf, *cdf, *survival]

                want = derivative(values, theta, p)
                n = len(times)
                for q, name in enumerate(("pdf", "cdf", "survival")):
                    # a derivative passes through zero: its error is relative to what it is at the other times
                    scale = max(abs(w) for w in want[q * n:(q + 1) * n])
                    for t in range(n):
                        with self.subTest(theta=theta, parameter=p, quantity=name, time=times[t], **label):
                            got = result["gradient"][name][b][t][p]
                            self.assertLess(abs(got - want[q * n + t]), tolerance * scale)

    def test_generated_models(self):
        for name, arguments, theta in (("kingman", ["n=6"], [1.3]), ("islands", ["n=4"], [1.0, 0.8, 0.3, 0.4]),
                                       ("two-locus-arg", ["n=3"], [1.0, 2.0]), ("erlang", ["k=8"], [3.0]),
                                       ("birth-death", ["n=5"], None)):
            g = generate(name, *arguments)
            theta = theta or [1.0] * g["param_length"]
            self.check(g, [theta, [0.5 * t for t in theta]], [0.0, 0.25, 1.0, 3.0], model=name)

    def test_discrete(self):
        for seed in range(4):
            self.check(discrete_graph(seed), [[0.3, 0.2], [0.05, 0.6]], [0.0, 1.0, 2.0, 7.0, 40.0], seed=seed)

    def test_normalized_rows(self):
        for seed in range(2):
            self.check({**discrete_graph(seed), "was_dph": True}, [[0.3, 0.2]], [0.0, 1.0, 5.0, 20.0], seed=seed)

    def test_exponential_to_the_far_tail(self):
        """pdf = theta exp(-theta t), survival = exp(-theta t): relative accuracy at 1e-200."""
        g = graph(2, [(0, 1, [1.0])], params=1)
        times = [1e-12, 0.1, 1.0, 30.0, 200.0]
        row = run(g, "--theta", "2.5", "--times", ",".join(map(repr, times)), "--pdf", "--cdf", "--tail-accuracy",
                  "--gradient")["gradient"]
        for i, t in enumerate(times):
            x = mpf(2.5) * mpf(t)
            for name, want in (("pdf", (1 - x) * mpmath.exp(-x)), ("survival", -mpf(t) * mpmath.exp(-x)),
                               ("cdf", mpf(t) * mpmath.exp(-x))):
                with self.subTest(time=t, of=name):
                    self.assertLess(relative_error(row[name][0][i][0], want), TOLERANCE)

    def test_start_distribution_that_depends_on_theta(self):
        g = moving_start()
        self.check(g, [[0.4 / 1.5, 0.6 / 1.5]], [0.0, 0.5, 2.0])

    def test_millions_of_steps(self):
        """Two states that mix fast and are absorbed slowly: rounding that each step leaves must not add up."""
        g = graph(3, [(0, 1, [1.0, 0, 0, 0]), (1, 0, [0, 1.0, 0, 0]), (0, 2, [0, 0, 1.0, 0]), (1, 2, [0, 0, 0, 1.0])],
                  params=4)
        times = [0.01, 1.0, 3.0]

        def values(theta):
            a, b, c, d = theta
            found = []
            for t in map(mpf, times):
                x, y, z, w = -(a + c) * t, a * t, b * t, -(b + d) * t  # exp of [[x, y], [z, w]]
                mean, root = (x + w) / 2, mpmath.sqrt((x - w) ** 2 / 4 + y * z)
                cosh = (mpmath.exp(mean + root) + mpmath.exp(mean - root)) / 2
                sinh = (mpmath.exp(mean + root) - mpmath.exp(mean - root)) / 2 / root
                first, second = cosh + sinh * (x - mean), sinh * y
                found += [first * c + second * d, 1 - first - second]
            return found

        for theta in ([1.7e5, 3e4, 0.37, 0.71], [1.7e6, 3e5, 0.37, 0.71]):
            result = run(g, "--theta", theta_text([theta]), "--times", ",".join(map(repr, times)), "--pdf", "--cdf",
                         "--gradient")["gradient"]
            want = [derivative(values, theta, p) for p in range(4)]
            for q, name in enumerate(("pdf", "cdf")):
                scale = max(abs(want[p][2 * i + q]) * theta[p] for p in range(4) for i in range(3))
                for p in range(4):
                    for i in range(3):
                        with self.subTest(theta=theta, of=name, parameter=p, time=times[i]):
                            error = abs(result[name][0][i][p] - want[p][2 * i + q]) * theta[p]
                            self.assertLess(error, TOLERANCE * scale)

    def test_long_chains(self):
        """Erlang of 3,000 states at its mean: d pdf / d rate = pdf (k / rate - t), and most states hold nothing."""
        g = generate("erlang", "k=3000")
        row = run(g, "--theta", "2999", "--times", "0.97,1,1.03", "--pdf", "--gradient", "--tail-accuracy")
        want = []
        for t in map(mpf, (0.97, 1.0, 1.03)):
            x = 2999 * t
            want.append(2999 * mpmath.exp(2999 * mpmath.log(x) - x - mpmath.loggamma(3000)) * (mpf(3000) / 2999 - t))
        for found, right in zip(row["gradient"]["pdf"][0], want):
            self.assertLess(abs(found[0] - right), TOLERANCE * max(map(abs, want)))

    def test_starts_and_rates_at_the_ends_of_the_doubles(self):
        """Weights of the start distribution whose sum is beyond a double, or below one; rates near either end."""
        for size, rate, theta in ((1e10, 1.0, [1e300, 3e300]), (1e-200, 1.0, [1e-108, 3e-108])):
            g = graph(3, [(0, 2, [rate, 0.0]), (1, 2, [0.0, rate])], params=2)
            g = {**g, "start_edges": [], "start_param_edges": [[1, size, 0.0], [2, 0.0, size]]}
            time = 1 / theta[0]
            row = run(g, "--theta", theta_text([theta]), "--normalize-start", "--times", repr(time), "--cdf",
                      "--gradient")["gradient"]["cdf"][0][0]

            def cdf(at):
                return [sum(a * (1 - mpmath.exp(-a * mpf(time))) for a in at) / sum(at)]

            for p in range(2):
                with self.subTest(size=size, parameter=p):
                    self.assertLess(relative_error(row[p], derivative(cdf, theta, p)[0]), TOLERANCE)
        g = graph(2, [(0, 1, [1.0])], params=1)
        for rate in (1e-300, 1e300, 1e307):
            row = run(g, "--theta", repr(rate), "--times", repr(2 / rate), "--pdf", "--cdf", "--gradient")
            x = mpf(rate) * mpf(2 / rate)
            for found, want in ((row["pdf"][0][0], rate * mpmath.exp(-x)),
                                (row["gradient"]["pdf"][0][0][0], (1 - x) * mpmath.exp(-x)),
                                (row["gradient"]["cdf"][0][0][0], mpf(2 / rate) * mpmath.exp(-x))):
                with self.subTest(rate=rate, want=want):
                    self.assertLess(relative_error(found, want), TOLERANCE)

    def test_defective(self):
        """Absorbed with probability a / (a + b) at rate a + b: cdf = a (1 - exp(-(a + b) t)) / (a + b)."""
        g = graph(4, [(0, 3, [1.0, 0.0]), (0, 1, [0.0, 1.0]), (1, 2, [1.0, 0.0]), (2, 1, [1.0, 0.0])], params=2)
        row = run(g, "--theta", "2,3", "--times", "0.7", "--cdf", "--gradient", "--defective")["gradient"]["cdf"][0][0]

        def cdf(theta):
            a, b = theta
            return [a * (1 - mpmath.exp(-(a + b) * mpf(0.7))) / (a + b)]

        for p in range(2):
            self.assertLess(relative_error(row[p], derivative(cdf, [2, 3], p)[0]), TOLERANCE)


class Refused(unittest.TestCase):
    def test_what_has_no_derivatives(self):
        g = generate("kingman", "n=4")
        for options, text in ((["--covariance"], "--gradient needs"),
                              (["--moments", "1", "--defective"], "--gradient --defective"),
                              (["--moments", "1", "--output", "/tmp/none.npy"], "write .json or .csv")):
            done = call("run", "-", "--theta", "1", "--gradient", *options, stdin=json.dumps(g))
            self.assertEqual(done.returncode, 64)
            self.assertIn(text, done.stderr)

    def test_a_theta_where_no_derivative_is_defined(self):
        """Row 2 is not reached while theta_1 is 0, and cannot be absorbed then either."""
        g = graph(4, [(0, 3, [1.0, 0.0]), (0, 1, [0.0, 1.0]), (1, 2, [1.0, 0.0]), (2, 3, [0.0, 1.0])], params=2)
        done = call("run", "-", "--theta", "1,0", "--moments", "1", "--gradient", stdin=json.dumps(g))
        self.assertEqual(done.returncode, 65)
        self.assertIn("no derivative is defined", done.stderr)


if __name__ == "__main__":
    unittest.main()
