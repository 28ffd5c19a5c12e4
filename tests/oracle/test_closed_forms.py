"""Moments that have closed forms, to 1e-13: population genetics and queues."""
import unittest

import graphs
from mpmath import mp, mpf
from program import Table, generate, run, theta_text
from reference import relative_error

mp.dps = 60
TOLERANCE = 1e-13


class ClosedForms(unittest.TestCase):
    def close(self, got, want, **context):
        with self.subTest(**context):
            self.assertLess(relative_error(got, want), TOLERANCE, f"got {got!r}, want {mp.nstr(mpf(want), 20)}")

    def test_kingman_time_to_the_common_ancestor(self):
        for n in (2, 3, 10, 50):
            got = run(generate("kingman", f"n={n}"), "--theta", "1", "--moments", 2)["moments"][0]
            mean = 2 * (1 - mpf(1) / n)
            variance = sum(mpf(4) / (k * k * (k - 1) ** 2) for k in range(2, n + 1))
            self.close(got[0], mean, n=n)
            self.close(got[1], variance + mean**2, n=n)

    def test_kingman_scales_with_theta(self):
        g = generate("kingman", "n=12")
        for theta in (1e-12, 0.3, 7.0, 1e6):
            got = run(g, "--theta", repr(theta), "--moments", 2)["moments"][0]
            self.close(got[0], 2 * (1 - mpf(1) / 12) / mpf(theta), theta=theta)

    def test_total_branch_length(self):
        for n in (2, 5, 20):
            g = generate("kingman", f"n={n}")
            lineages = [s[0] for s in g["states"]]
            with Table([lineages]) as rewards:
                got = run(g, "--theta", "1", "--moments", 2, "--rewards", rewards)["moments"][0][0]
            mean = 2 * sum(mpf(1) / i for i in range(1, n))
            self.close(got[0], mean, n=n)
            self.close(got[1], 4 * sum(mpf(1) / i**2 for i in range(1, n)) + mean**2, n=n)

    def test_site_frequency_spectrum_with_fu_covariances(self):
        for n in (4, 7, 10):
            g = generate("block-coalescent", f"n={n}")
            # lineages with i descendants: the i-th count of the state, i = 1..n-1
            with Table([[s[i] for s in g["states"]] for i in range(n - 1)]) as rewards:
                out = run(g, "--theta", "1", "--moments", 1, "--rewards", rewards, "--covariance")
            for i in range(1, n):
                self.close(out["moments"][0][i - 1][0], mpf(2) / i, n=n, i=i)
                for j in range(1, n):
                    self.close(out["covariance"][0][i - 1][j - 1], 4 * fu_sigma(n, max(i, j), min(i, j)), n=n, i=i, j=j)

    def test_two_loci_of_two_samples(self):
        # States: both pairs linked; one linked; none linked; one locus done (per locus); both done.
        both, one, none, first, second, done = range(6)
        for rho in (0.0, 0.1, 1.0, 10.0, 1e6):
            d = mpf(rho) ** 2 + 13 * mpf(rho) + 18
            edges = [(both, one, rho), (both, done, 1.0), (one, none, rho / 2), (one, both, 1.0), (one, first, 1.0),
                     (one, second, 1.0), (none, one, 4.0), (none, first, 1.0), (none, second, 1.0),
                     (first, done, 1.0), (second, done, 1.0)]
            # In state `first` locus one has coalesced, so time still counts for locus two alone.
            rewards_one = [0, 1, 1, 1, 0, 1, 0]
            rewards_two = [0, 1, 1, 1, 1, 0, 0]
            for start, covariance in ((both, (mpf(rho) + 18) / d), (one, 6 / d), (none, 4 / d)):
                g = graphs.graph(6, edges, start=start)
                if rho == 0.0 and start == both:
                    g["start_edges"] = [[both + 1, 1.0]]
                with Table([rewards_one, rewards_two]) as rewards:
                    out = run(g, "--moments", 1, "--rewards", rewards, "--covariance")
                self.close(out["moments"][0][0][0], 1, rho=rho, start=start)
                self.close(out["covariance"][0][0][0], 1, rho=rho, start=start)
                cross = out["covariance"][0][0][1]
                with self.subTest(rho=rho, start=start):
                    # The covariance is a difference: what rounding leaves is relative to E[T1 T2] = 1 + covariance.
                    self.assertLess(abs(mpf(cross) - covariance), TOLERANCE * (1 + covariance))

    def test_island_model(self):
        for demes in (2, 5):
            for rate in (1e-6, 0.5, 1e6):
                # same deme, different demes, coalesced; a pair migrates apart at 2 M/2
                m = mpf(rate)
                edges = [(0, 2, 1.0), (0, 1, rate), (1, 0, rate / (demes - 1))]
                within = run(graphs.graph(3, edges, start=0), "--moments", 2)["moments"][0]
                between = run(graphs.graph(3, edges, start=1), "--moments", 2)["moments"][0]
                back = mpf(rate / (demes - 1))
                self.close(within[0], 1 + m / back, demes=demes, rate=rate)
                self.close(between[0], 1 + m / back + 1 / back, demes=demes, rate=rate)
                if demes == 2:
                    self.close(within[1], 4 + 2 / m + 4, rate=rate)
                    self.close(between[1], 4 + 2 / m + 1 / m**2 + (2 + 1 / m) ** 2, rate=rate)

    def test_generated_islands_of_two_samples(self):
        g = generate("islands", "n=2")
        for m in (1e-9, 0.25, 1.0, 1e6):
            row = islands_theta(g, coalescence=1.0, migration=m / 2)
            got = run(g, "--theta", theta_text([row]), "--moments", 2)["moments"][0]
            self.close(got[0], 2, m=m)
            self.close(got[1], 4 + 2 / mpf(m) + 4, m=m)

    def test_first_passage_of_a_queue(self):
        for k, exact in ((10, 1234567900), (20, mpf("12345679012345679010"))):
            got = run(graphs.mm1k(1.0, 10.0, k), "--moments", 1)["moments"][0][0]
            self.close(got, exact, k=k)
        for k in (1, 7, 30):
            for arrival, service in ((0.3, 1.0), (2.0, 1.0), (1.0, 1e-9)):
                l, m = mpf(arrival), mpf(service)
                got = run(graphs.mm1k(arrival, service, k), "--moments", 1)["moments"][0][0]
                self.close(got, k / (l - m) - m / (l - m) ** 2 * (1 - (m / l) ** k), k=k, arrival=arrival)
            got = run(graphs.mm1k(0.7, 0.7, k), "--moments", 1)["moments"][0][0]
            self.close(got, mpf(k * (k + 1)) / (2 * mpf(0.7)), k=k)

    def test_gamblers_ruin(self):
        for n, p in ((10, 0.25), (20, 0.5 + 2.0**-20), (30, 0.75)):
            q = 1.0 - p  # exact: p has few binary digits
            r = mpf(q) / mpf(p)
            edges = [(i, i + 1, p) for i in range(1, n)] + [(i, i - 1, q) for i in range(1, n)]
            for i in (1, n // 2, n - 1):
                g = graphs.graph(n + 1, edges, start=i, discrete=True)
                win = (1 - r**i) / (1 - r**n)
                got = run(g, "--moments", 1)["moments"][0][0]
                self.close(got, i / (mpf(q) - p) - n / (mpf(q) - p) * win, n=n, p=p, i=i)

    def test_ruin_probability_as_a_reward(self):
        n, p, i = 12, 0.375, 5
        r = mpf(1 - p) / mpf(p)
        edges = [(k, k + 1, p) for k in range(1, n)] + [(k, k - 1, 1 - p) for k in range(1, n)]
        # expected visits of the last transient state times the chance to win from there
        g = graphs.graph(n + 1, edges, start=i, discrete=True)
        with Table([[0.0] * n + [p, 0.0]]) as rewards:
            got = run(g, "--moments", 1, "--rewards", rewards)["moments"][0][0][0]
        self.close(got, (1 - r**i) / (1 - r**n))

    def test_discrete_moments(self):
        geometric = graphs.graph(2, [(0, 1, 0.5)], discrete=True)
        got = run(geometric, "--moments", 3)["moments"][0]
        for a, b in zip(got, (2, 6, 26)):
            self.close(a, b)
        loop = graphs.graph(2, [(0, 1, 0.5), (0, 0, 0.5)], discrete=True)
        self.assertEqual(run(loop, "--moments", 3)["moments"], [got])
        got = run(geometric, "--moments", 3, "--factorial")["moments"][0]
        for a, b in zip(got, (2, 4, 12)):
            self.close(a, b)

    def test_erlang_and_hyperexponential_moments(self):
        got = run(graphs.erlang(50, 2.0), "--moments", 5)["moments"][0]
        want = mpf(1)
        for k, a in enumerate(got):
            want *= mpf(50 + k) / 2
            self.close(a, want, moment=k + 1)
        weights, rates = [0.25, 0.5, 0.25], [0.5, 4.0, 1e-3]
        got = run(graphs.hyperexponential(weights, rates), "--moments", 4)["moments"][0]
        for k, a in enumerate(got, start=1):
            self.close(a, mp.factorial(k) * sum(mpf(w) / mpf(r) ** k for w, r in zip(weights, rates)), moment=k)


def islands_theta(g, coalescence, migration):
    """A theta row for the generated island model, whichever number of parameters it has."""
    p = g["param_length"]
    return {2: [coalescence, migration], 4: [coalescence, coalescence, migration, migration]}[p]


def fu_sigma(n, i, j):
    """Fu (1995), equations 2 and 3: the covariance of the numbers of mutations of sizes i >= j, per theta^2."""
    def a(m):
        return sum(mpf(1) / k for k in range(1, m))

    def beta(i):
        return 2 * mpf(n) / ((n - i + 1) * (n - i)) * (a(n + 1) - a(i)) - mpf(2) / (n - i)

    if i == j:
        if 2 * i < n:
            return beta(i + 1)
        if 2 * i == n:
            return 2 * (a(n) - a(i)) / (n - i) - mpf(1) / i**2
        return beta(i) - mpf(1) / i**2
    if i + j < n:
        return (beta(i + 1) - beta(i)) / 2
    if i + j == n:
        return (a(n) - a(i)) / (n - i) + (a(n) - a(j)) / (n - j) - (beta(i) + beta(j + 1)) / 2 - mpf(1) / (i * j)
    return (beta(j) - beta(j + 1)) / 2 - mpf(1) / (i * j)


if __name__ == "__main__":
    unittest.main()
