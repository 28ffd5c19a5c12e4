"""Densities and distribution functions against closed forms, scipy's expm and a Taylor series in many digits."""
import json
import math
import random
import unittest

import graphs
import numpy
from mpmath import binomial, exp, gammainc, mp, mpf, sqrt
from program import EXAMPLES, generate, run, theta_text
from reference import Chain, read
from scipy.linalg import expm

mp.dps = 60
DEFAULT_TOLERANCE = 1e-9


def listed(times):
    return ",".join(repr(float(t)) for t in times)


class Densities(unittest.TestCase):
    def within(self, g, times, pdf, cdf, tolerance=DEFAULT_TOLERANCE, peak=None, **context):
        """The program's pdf is within tolerance times the peak of the reference, and its cdf within tolerance."""
        out = run(g, "--times", listed(times), "--pdf", "--cdf", "--tolerance", repr(tolerance))
        peak = max(abs(v) for v in pdf) if peak is None else peak
        for t, a, b, c, d in zip(times, out["pdf"][0], pdf, out["cdf"][0], cdf):
            with self.subTest(t=t, **context):
                self.assertLessEqual(abs(mpf(a) - b), tolerance * peak)
                self.assertLessEqual(abs(mpf(c) - d), tolerance)
        return out

    def test_exponential(self):
        times = [0.0, 1e-300, 1e-3, 0.5, 1.0, 10.0, 500.0, 5e5]
        for tolerance in (1e-3, 1e-9, 1e-12):
            self.within(graphs.exponential(2.0), times, [2 * exp(-2 * mpf(t)) for t in times],
                        [-mp.expm1(-2 * mpf(t)) for t in times], tolerance)

    def test_erlang_50(self):
        times = [0.0, 1.0, 10.0, 20.0, 25.0, 30.0, 60.0, 1e6]
        rate = mpf(2)
        pdf = [rate**50 * mpf(t) ** 49 * exp(-rate * t) / mp.factorial(49) for t in times]
        cdf = [gammainc(50, 0, rate * mpf(t), regularized=True) for t in times]
        self.within(graphs.erlang(50, 2.0), times, pdf, cdf)

    def test_hypoexponential(self):
        rates = [0.5, 2.0, 8.0, 64.0]
        times = [0.0, 0.01, 0.5, 2.0, 10.0, 60.0]
        l = [mpf(r) for r in rates]
        c = [mp.fprod(b / (b - a) for b in l if b != a) for a in l]
        pdf = [sum(k * a * exp(-a * mpf(t)) for a, k in zip(l, c)) for t in times]
        cdf = [1 - sum(k * exp(-a * mpf(t)) for a, k in zip(l, c)) for t in times]
        self.within(graphs.hypoexponential(rates), times, pdf, cdf)

    def test_hyperexponential(self):
        weights, rates = [0.25, 0.5, 0.25], [0.5, 4.0, 100.0]
        times = [0.0, 1e-3, 0.1, 1.0, 20.0]
        pdf = [sum(w * r * exp(-mpf(r) * mpf(t)) for w, r in zip(weights, rates)) for t in times]
        cdf = [1 - sum(w * exp(-mpf(r) * mpf(t)) for w, r in zip(weights, rates)) for t in times]
        self.within(graphs.hyperexponential(weights, rates), times, pdf, cdf)

    def test_cycle_of_fifty(self):
        times = [0.0, 10.0, 49.0, 55.0, 90.0]
        for leave in (0.01, 1.0, 4.0):
            g = graphs.ring(50, 1.0, leave)
            pdf, cdf, _ = Chain(g).density(times)
            self.within(g, times, pdf, cdf, leave=leave)

    def test_atom_at_zero(self):
        g = graphs.graph(3, [(0, 1, 2.0), (1, 2, 1.0)], start={0: 0.5, 1: 0.25, 2: 0.25})
        times = [0.0, 0.3, 4.0]
        pdf, cdf, _ = Chain(g).density(times)
        out = self.within(g, times, pdf, cdf)
        self.assertEqual(out["cdf"][0][0], 0.25)
        self.assertEqual(out["atom"], [0.25])

    def test_models_against_scipy(self):
        cases = ((read(f"{EXAMPLES}/phasic-0.32.1-arg4.json"), [2.0, 5.0]), (generate("block-coalescent", "n=8"), [1.5]),
                 (generate("rabbits", "n=6"), [1.0, 2.0, 4.0]))
        for g, theta in cases:
            times = [0.0, 0.1, 0.5, 1.0, 2.0, 4.0, 8.0]
            out = run(g, "--theta", theta_text([theta]), "--times", listed(times), "--pdf", "--cdf")
            generator, alpha = dense(Chain(g, theta))
            for t, a, b in zip(times, out["pdf"][0], out["cdf"][0]):
                p = alpha @ expm(generator * t)
                with self.subTest(n=g["n_vertices"], t=t):
                    self.assertAlmostEqual(a, (p @ generator)[-1], delta=3e-9)
                    self.assertAlmostEqual(b, p[-1], delta=2e-9)

    def test_batches_and_one_row_of_times_each(self):
        g = generate("kingman", "n=6")
        theta = [[0.5], [1.0], [3.0], [1e-3], [40.0]]
        whole = run(g, "--theta", theta_text(theta), "--times", "0:3:0.25", "--pdf", "--cdf")
        for row, values in enumerate(theta):
            alone = run(g, "--theta", theta_text([values]), "--times", "0:3:0.25", "--pdf", "--cdf")
            self.assertEqual(whole["pdf"][row], alone["pdf"][0])
            self.assertEqual(whole["cdf"][row], alone["cdf"][0])

    def test_survival_of_a_pair_under_isolation_with_migration(self):
        m = mpf("0.5")
        s = sqrt(1 + 4 * m**2)
        plus, minus = (-(1 + 2 * m) + s) / 2, (-(1 + 2 * m) - s) / 2
        edges = [(0, 2, 1.0), (0, 1, 0.5), (1, 0, 0.5)]
        times = [0.0, 0.25, 1.0, 5.0, 30.0]
        for start, h in ((0, -1), (1, 0)):
            c = (h - minus) / (plus - minus)
            cdf = [1 - c * exp(plus * mpf(t)) - (1 - c) * exp(minus * mpf(t)) for t in times]
            pdf = [-c * plus * exp(plus * mpf(t)) - (1 - c) * minus * exp(minus * mpf(t)) for t in times]
            self.within(graphs.graph(3, edges, start=start), times, pdf, cdf, start=start)

    def test_cdf_rises_within_zero_and_one(self):
        for g, theta in ((graphs.ring(50, 1.0, 50.0), None), (graphs.erlang(50, 2.0), None),
                         (graphs.random_sccs(3, 10, 2, 5, -2, 1), None)):
            mean = float(Chain(g).moments(1)[0])
            times = [mean * 10 ** (k / 40) for k in range(-240, 80)] + [mean * (1 + k * 1e-9) for k in range(50)]
            times.sort()
            cdf = run(g, "--times", listed(times), "--cdf")["cdf"][0]
            self.assertTrue(all(0.0 <= v <= 1.0 for v in cdf))
            self.assertEqual(cdf, sorted(cdf))

    def test_order_of_times_is_kept(self):
        g = graphs.erlang(5, 1.0)
        out = run(g, "--times", "3,1,2,1", "--pdf", "--cdf")
        sorted_out = run(g, "--times", "1,2,3", "--pdf", "--cdf")
        self.assertEqual(out["times"], [3.0, 1.0, 2.0, 1.0])
        for key in ("pdf", "cdf"):
            a, b, c = sorted_out[key][0]
            for got, want in zip(out[key][0], (c, a, b, a)):
                self.assertAlmostEqual(got, want, delta=1e-9)


class Tails(unittest.TestCase):
    def relative(self, g, times, pdf, cdf, survival, **context):
        out = run(g, "--times", listed(times), "--pdf", "--cdf", "--tail-accuracy")
        for key, want in (("pdf", pdf), ("cdf", cdf), ("survival", survival)):
            for t, a, b in zip(times, out[key][0], want):
                if abs(b) < mpf(10) ** -300:
                    continue
                with self.subTest(t=t, quantity=key, **context):
                    self.assertLessEqual(abs(mpf(a) - b), mpf(10) ** -10 * abs(b), f"{a!r} for {mp.nstr(b, 17)}")

    def test_exponential(self):
        times = [1e-300, 1e-12, 1e-3, 1.0, 20.0, 340.0]
        self.relative(graphs.exponential(2.0), times, [2 * exp(-2 * mpf(t)) for t in times],
                      [-mp.expm1(-2 * mpf(t)) for t in times], [exp(-2 * mpf(t)) for t in times])

    def test_erlang_50(self):
        times = [1e-4, 0.1, 1.0, 10.0, 25.0, 60.0, 200.0, 330.0]
        rate = mpf(2)
        mp.dps = 60
        pdf = [rate**50 * mpf(t) ** 49 * exp(-rate * t) / mp.factorial(49) for t in times]
        cdf = [gammainc(50, 0, rate * mpf(t), regularized=True) for t in times]
        survival = [gammainc(50, rate * mpf(t), mp.inf, regularized=True) for t in times]
        self.relative(graphs.erlang(50, 2.0), times, pdf, cdf, survival)

    def test_series_in_many_digits(self):
        cases = ((graphs.ring(12, 1.0, 0.5), [1e-8, 0.01, 1.0, 30.0, 300.0]),
                 (graphs.random_sccs(3, 5, 1, 2, -1, 1), [1e-6, 0.01, 1.0, 10.0, 25.0]),
                 (graphs.two_islands(5, 1.0, 0.1), [1e-5, 0.1, 2.0, 20.0, 60.0]))
        for number, (g, times) in enumerate(cases):
            pdf, cdf, survival = Chain(g).density(times, digits=320)
            self.relative(g, times, pdf, cdf, survival, case=number)


class Discrete(unittest.TestCase):
    def test_geometric_and_negative_binomial(self):
        steps = list(range(0, 60))
        out = run(graphs.graph(2, [(0, 1, 0.25)], discrete=True), "--times", listed(steps), "--pdf", "--cdf")
        for k, a, b in zip(steps, out["pdf"][0], out["cdf"][0]):
            self.assertAlmostEqual(a, 0.25 * 0.75 ** (k - 1) if k else 0.0, delta=1e-15)
            self.assertAlmostEqual(b, 1 - 0.75**k, delta=1e-15)
        r, p = 7, 0.3
        g = graphs.graph(r + 1, [(i, i + 1, p) for i in range(r)], discrete=True)
        out = run(g, "--times", listed(steps), "--pdf")
        for k, a in zip(steps, out["pdf"][0]):
            want = binomial(k - 1, r - 1) * mpf(p) ** r * (1 - mpf(p)) ** (k - r) if k >= r else mpf(0)
            self.assertLessEqual(abs(mpf(a) - want), 1e-14)

    def test_random_chain_with_self_loops(self):
        edges = [(0, 1, 0.5), (0, 0, 0.25), (1, 0, 0.125), (1, 2, 0.5), (2, 1, 0.75), (2, 3, 0.0625)]
        g = graphs.graph(4, edges, start={0: 0.5, 2: 0.25, 3: 0.25}, discrete=True)
        pmf, cdf = Chain(g).mass(200)
        out = run(g, "--times", listed(range(201)), "--pdf", "--cdf")
        for k in range(201):
            self.assertLessEqual(abs(mpf(out["pdf"][0][k]) - pmf[k]), 1e-14)
            self.assertLessEqual(abs(mpf(out["cdf"][0][k]) - cdf[k]), 1e-14)
        got = run(g, "--moments", 4)["moments"][0]
        for a, b in zip(got, Chain(g).moments(4)):
            self.assertLess(abs(a - b) / b, 1e-13)
        got = run(g, "--moments", 4, "--factorial")["moments"][0]
        for a, b in zip(got, Chain(g).factorial_moments(4)):
            self.assertLess(abs(a - b) / b, 1e-13)


class Bounds(unittest.TestCase):
    """`error_bound` is a bound, and what is hard is right: rounding of one sign, many steps, cancelling weights."""

    def check(self, g, times, pdf, *arguments, relative=True, **context):
        out = run(g, "--times", listed(times), "--pdf", *arguments)
        bound, peak = mpf(out["method"]["error_bound"]), max(pdf)
        for t, a, b in zip(times, out["pdf"][0], pdf):
            with self.subTest(t=t, arguments=arguments, **context):
                scale = b if relative else peak
                self.assertLessEqual(abs(mpf(a) - b), bound * scale, f"{a!r} for {mp.nstr(b, 20)}")
        return out

    def test_rounding_of_one_sign(self):
        tiny, most, least = mpf(5.551115123125783e-17), mpf(0.999999999999), mpf(1e-12)
        g = graphs.graph(3, [(0, 2, float(tiny)), (1, 2, 1.0)], start={0: float(most), 1: float(least)})
        total = most + least
        for t in (4e7, 4e8, 1e10):
            want = (most * tiny * exp(-tiny * mpf(t)) + least * exp(-mpf(t))) / total
            for tails in ((), ("--tail-accuracy",)):
                out = self.check(g, [t], [want], *tails)
                self.assertLess(out["method"]["error_bound"], 1e-10 if tails else 1e-9)

    def test_a_switch_that_hardly_lets_go(self):
        tiny, on, off = mpf(5.551115123125783e-17), mpf(0.37), mpf(1)
        g = graphs.graph(3, [(0, 1, float(on)), (1, 0, 1.0), (0, 2, float(tiny))])
        a = mp.matrix([[-(on + tiny), on], [off, -off]])
        for t in (4e5, 4e7):
            values, left = mp.eig(a)
            weights = mp.lu_solve(left.T, mp.matrix([1, 0]))
            want = tiny * sum(weights[k] * exp(values[k] * mpf(t)) * left[0, k] for k in range(2))
            for tails in ((), ("--tail-accuracy",)):
                self.check(g, [t], [mp.re(want)], *tails)

    def test_a_complete_graph(self):
        """All states leave at the same rate, so that the time is exponential."""
        n, leave = 50, 1e-4
        edges = [(i, j, 1.0 + 0.01 * (i % 7)) for i in range(n) for j in range(n) if i != j]
        g = graphs.graph(n + 1, edges + [(i, n, leave) for i in range(n)])
        times = [100.0, 1e4]
        self.check(g, times, [mpf(leave) * exp(-mpf(leave) * mpf(t)) for t in times], "--tail-accuracy")

    def test_states_that_are_not_reached(self):
        g = graphs.graph(3, [(1, 2, 1e9), (0, 2, [1.0, 0.0]), (0, 1, [0.0, 1.0])], params=2)
        out = self.check(g, [1.0], [exp(mpf(-1))], "--theta", "1,0")
        self.assertLess(out["method"]["steps"], 100)

    def test_weights_that_cancel(self):
        coefs = [78097.20305595295, -57366.55610275293, 3805.4843012661377, 1.737087233075696e-13]
        theta = [1.011895750142515, 1.4846259057897564, 1.6138937805391058, 0.9939842122325212]
        rate = sum((mpf(c) * mpf(t) for c, t in zip(coefs, theta)), mpf(0))
        g = graphs.graph(2, [(0, 1, coefs)], params=4)
        self.check(g, [0.0, 1e29], [rate, rate * exp(-rate * mpf(1e29))], "--theta", listed(theta))

    def test_tails_of_large_rates(self):
        for rate in (1e40, 3e100):
            t = float((mp.log(mpf(rate)) + 270 * mp.log(10)) / mpf(rate))
            want = mpf(rate) * exp(-mpf(rate) * mpf(t))
            out = self.check(graphs.exponential(rate), [t], [want], "--tail-accuracy")
            self.assertGreater(out["pdf"][0][0], 1e-275)

    def test_absorbed_in_the_step_that_ends_a_chunk(self):
        for n in (1, 63, 64, 65, 128, 512, 1024):
            sure = graphs.graph(n + 1, [(i, i + 1, 1.0) for i in range(n)], discrete=True)
            for tails in ((), ("--tail-accuracy",)):
                out = run(sure, "--times", listed([n - 1, n, n + 1]), "--pdf", "--cdf", *tails)
                self.assertEqual(out["pdf"][0], [0.0, 1.0, 0.0])
                self.assertEqual(out["cdf"][0], [0.0, 1.0, 1.0])
                out = run(sure, "--times", str(n), "--pdf", *tails)
                self.assertEqual(out["pdf"][0], [1.0])

    def test_hardly_ever_staying(self):
        weights = [0.1, 0.2, 0.699999999]
        stay = 1 - sum(mpf(w) for w in weights)
        g = graphs.graph(2, [(0, 1, w) for w in weights], discrete=True)
        for k in (2, 10, 30):
            self.check(g, [k], [stay ** (k - 1) * (1 - stay)], "--tail-accuracy")

    def test_rows_of_one_but_for_a_rounding(self):
        """Uniform on n steps by rounded probabilities: a row lacks less than 2^-53 to one, or exceeds it."""
        for n in (2, 64, 100, 513):
            edges = [(i, n, 1.0 / (n - i)) for i in range(n)] + [(i, i + 1, 1 - 1.0 / (n - i)) for i in range(n - 1)]
            self.exactly(graphs.graph(n + 1, edges, discrete=True), n)
            if n > 100:
                continue
            theta = [(i, j, [w / 2, w / 4]) for i, j, w in edges]
            self.exactly(graphs.graph(n + 1, theta, params=2, discrete=True), n, "--theta", "1,2")

    def test_mass_that_rows_make(self):
        """Rows exceed one by 2^-53 in each of many steps: of cdf and survival one is a complement."""
        up = math.nextafter(0.5, 1)
        for n in (70, 600):
            edges = [(i, i + 1, w) for i in range(n) for w in (0.5, up)]
            self.exactly(graphs.graph(n + 1, edges, discrete=True), n)

    def exactly(self, g, n, *arguments):
        times = [n - 1, n, 1, n // 2]
        pmf, cdf = uniform_steps(g, n)
        for tails in ((), ("--tail-accuracy",)):
            out = run(g, "--times", listed(times), "--pdf", "--cdf", "--tolerance", "1e-11", *arguments, *tails)
            bound = mpf(out["method"]["error_bound"])
            for t, a, b in zip(times, out["pdf"][0], out["cdf"][0]):
                scale = pmf[t] if tails else max(pmf[u] for u in times)
                self.assertLessEqual(abs(mpf(a) - pmf[t]), bound * scale + scale * mpf(2) ** -53)
                self.assertLessEqual(abs(mpf(b) - cdf[t]), bound * (cdf[t] if tails else 1) + mpf(2) ** -52)
            self.assertLess(bound, 1e-12)

    def test_products_of_theta(self):
        p = mpf(0.1) * mpf(3.3)
        g = graphs.graph(2, [(0, 1, [0.1])], params=1, discrete=True)
        self.check(g, [1, 50, 1500], [p * (1 - p) ** (k - 1) for k in (1, 50, 1500)], "--theta", "3.3",
                   "--tail-accuracy")

    def test_a_row_has_the_same_bits_in_every_batch(self):
        rng = random.Random(5)
        for g in (graphs.erlang(60, 1.0), graphs.ring(9, 1.0, 0.3), graphs.random_sccs(2, 6, 1, 3, -1, 1)):
            g = json.loads(json.dumps(g))
            g["param_edges"], g["edges"], g["param_length"] = g["edges"], [], 1
            theta = [[rng.choice([1.0, 1.1, 3.0, 0.01, 40.0]) * rng.uniform(0.9, 1.1)] for _ in range(9)]
            alone = [run(g, "--theta", theta_text([v]), "--times", "1,7,30", "--pdf", "--cdf", "--tail-accuracy")
                     for v in theta]
            for threads in (1, 2, 3):
                order = list(range(len(theta)))
                rng.shuffle(order)
                out = run(g, "--theta", theta_text([theta[i] for i in order]), "--times", "1,7,30", "--pdf", "--cdf",
                          "--tail-accuracy", "--threads", threads)
                for key in ("pdf", "cdf", "survival"):
                    self.assertEqual(out[key], [alone[i][key][0] for i in order])
                for key in ("steps", "error_bound"):
                    self.assertEqual(out["method"][key], max(o["method"][key] for o in alone))


def uniform_steps(g, most):
    """pmf and cdf to `most` steps in 60 digits; parameters are 1 and 2, what a row lacks to one stays put."""
    n, weights = len(g["states"]) - 1, {}
    for i, j, *w in g["edges"]:
        weights.setdefault(int(i), []).append((int(j), mpf(w[0])))
    for i, j, *w in g["param_edges"]:
        weights.setdefault(int(i), []).append((int(j), mpf(w[0]) + 2 * mpf(w[1])))
    now, pmf, cdf = {1: mpf(1)}, [mpf(0)], [mpf(0)]
    for _ in range(most):
        after = {}
        for i, p in now.items():
            for j, w in weights[i]:
                after[j] = after.get(j, mpf(0)) + p * w
            stay = max(mpf(0), 1 - sum(w for _, w in weights[i]))
            after[i] = after.get(i, mpf(0)) + p * stay
        pmf.append(after.pop(n, mpf(0)))
        cdf.append(cdf[-1] + pmf[-1])
        now = after
    return pmf, cdf


def dense(chain):
    """The generator with one absorbing state last, and the start vector, as numpy arrays."""
    index = {i: k for k, i in enumerate(chain.transient)}
    size = len(index)
    a, alpha = numpy.zeros((size + 1, size + 1)), numpy.zeros(size + 1)
    for i, k in index.items():
        a[k, k] = -float(chain.total[i])
        for j, w in chain.rates[i].items():
            a[k, index.get(j, size)] += float(w)
    for i, w in chain.start.items():
        alpha[index.get(i, size)] += float(w)
    assert math.isclose(alpha.sum(), 1.0)
    return a, alpha


if __name__ == "__main__":
    unittest.main()
