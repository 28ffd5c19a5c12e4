"""Chains whose first states drain long before the end, at rates that are far above those of the rest."""
import json
import resource
import unittest

import graphs
from mpmath import mp, mpf
from program import call, theta_text

mp.dps = 400
SOON = 2.0  # seconds of processor time


def coalescent(lineages, theta, times):
    """pdf and cdf of the time to the common ancestor of Kingman's coalescent: an alternating sum (Tavare 1984)."""
    factor, parts = mpf(1), []
    for k in range(lineages + 1):
        if k >= 2:
            parts.append(((-1) ** k * (2 * k - 1) * factor, mpf(k * (k - 1)) / 2 * mpf(theta)))
        factor *= mpf(lineages - k) / (lineages + k)
    return alternating(parts, times)


def death(rates, times):
    """The same of one exponential after the other, all rates different."""
    rates = [mpf(r) for r in rates]
    return alternating([(mp.fprod(s / (s - r) for s in rates if s != r), r) for r in rates], times)


def alternating(parts, times):
    """Sums of c exp(-r t), as far as terms count: rates ascend or descend."""
    pdf, survival = [], []
    for t in times:
        terms = [(c * mp.exp(-r * mpf(t)), r) for c, r in parts if r * mpf(t) < 1200]
        pdf.append(mp.fsum(c * r for c, r in terms))
        survival.append(mp.fsum(c for c, _ in terms))
    return pdf, [1 - s for s in survival]


def chain(rates, start=0):
    n = len(rates)
    return graphs.graph(n + 1, [(i, i + 1, float(r)) for i, r in enumerate(rates)], start=start)


class Drained(unittest.TestCase):
    def evaluate(self, graph, *arguments, seconds=SOON):
        text = graph if isinstance(graph, str) else json.dumps(graph)
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        done = call("run", "-", "--no-cache", "--format", "json", "--quiet", *arguments, stdin=text)
        took = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertLess(took, seconds)
        return json.loads(done.stdout)

    def check(self, out, row, wants, peak, what=("pdf", "cdf"), **context):
        """`peak`: a pdf below a millionth of it has no digits that count."""
        bound = out["method"]["error_bound"]
        self.assertLessEqual(bound, 1e-9)
        pdf, cdf = wants
        scales = {"pdf": max([*pdf, mpf(peak) / 10 ** 6]), "cdf": mpf(1)}
        for key, values in (("pdf", pdf), ("cdf", cdf)):
            for j, want in enumerate(values if key in what else []):
                got = mpf(out[key][row][j])
                with self.subTest(quantity=key, number=j, **context):
                    self.assertLessEqual(abs(got - want) / scales[key], bound + mpf(2) ** -53)

    def test_coalescent(self):
        peak = 0.45
        for lineages in (30, 300, 3000, 10000):
            g = call("generate", "kingman", "--n", lineages).stdout
            for times in ([1.0], [0.02], [40.0], [2.0, 0.5, 0.02, 0.5, 0.0], [0.05 * i for i in range(60)]):
                wants = coalescent(lineages, 1, times)
                for what in (("pdf", "cdf"), ("pdf",), ("cdf",)):
                    out = self.evaluate(g, "--theta", 1, *(f"--{w}" for w in what), "--times", ",".join(map(str, times)))
                    self.assertLess(out["method"]["steps"], 50000)
                    self.check(out, 0, wants, peak, what, lineages=lineages, times=times[:3])

    def test_rows_of_theta_are_alone(self):
        lineages, times = 1000, [1.0, 0.1, 3.0]
        thetas = [1.0, 0.01, 30.0, 1.0, 1e-9, 2.5e4, *(1.0 + i / 8 for i in range(12))]
        g = call("generate", "kingman", "--n", lineages).stdout
        arguments = ("--pdf", "--cdf", "--times", ",".join(map(str, times)))
        out = self.evaluate(g, "--theta", theta_text([[t] for t in thetas]), *arguments, "--threads", 2, seconds=20)
        for i, theta in enumerate(thetas):
            self.check(out, i, coalescent(lineages, theta, times), 0.45 * theta, theta=theta)
        for i in (0, 1, 3, 5, 17):
            alone = self.evaluate(g, "--theta", thetas[i], *arguments)
            for key in ("pdf", "cdf"):
                self.assertEqual(alone[key][0], out[key][i], (key, thetas[i]))

    def test_deaths(self):
        cases = {"squares": [(40 - i) ** 2 for i in range(40)], "powers": [2.0 ** (45 - i) for i in range(50)],
                 "three sizes": [1e9 + i for i in range(20)] + [1e4 + i for i in range(20)] + [1.0 + i / 8 for i in range(5)],
                 "a fast state late": [(60 - i) ** 4 for i in range(50)] + [1e7] + [3.0, 2.0]}
        for name, rates in cases.items():
            mean = sum(1 / r for r in rates)
            for times in ([mean], [mean / 30], [mean * 8], [mean * s for s in (0.1, 0.5, 1.0, 1.0, 2.0, 5.0)]):
                pdf, cdf = death(rates, times)
                peak = max(death(rates, [mean * i / 20 for i in range(1, 60)])[0])
                out = self.evaluate(chain(rates), "--pdf", "--cdf", "--times", ",".join(map(repr, times)))
                self.check(out, 0, (pdf, cdf), peak, name=name)

    def test_many_deaths(self):
        rates = [1.5 ** (300 - i) for i in range(700)]
        mean = sum(1 / r for r in rates)
        times = [0.3 * mean, mean, 4 * mean]
        out = self.evaluate(chain(rates), "--pdf", "--cdf", "--times", ",".join(map(repr, times)))
        late = rates[500:]  # the others take 10^-30 of the mean
        self.check(out, 0, death(late, times), 1 / mean)

    def test_start_on_the_way(self):
        rates = [(50 - i) ** 3 for i in range(50)]
        for start in (0, 20, 44, 49):
            rest = rates[start:]
            times = [sum(1 / r for r in rest) * s for s in (0.2, 1.0, 3.0)]
            out = self.evaluate(chain(rates, start), "--pdf", "--cdf", "--times", ",".join(map(repr, times)))
            self.check(out, 0, death(rest, times), 1 / times[1], start=start)

    def test_an_atom_and_an_early_exit(self):
        # one half is absorbed at once, a part leaves a fast state for good, the rest goes on slowly
        a, b, c = mpf(1e6), mpf(1e6), mpf(0.5)
        g = graphs.graph(3, [(0, 1, 1e6), (0, 2, 1e6), (1, 2, 0.5)], start={0: 0.5, 2: 0.5})
        times = [1e-7, 1e-6, 0.01, 1.0, 20.0]
        pdf, cdf = [], []
        for t in map(mpf, times):
            fast, slow = mp.exp(-(a + b) * t), mp.exp(-c * t)
            second = a / (a + b - c) * (slow - fast)
            pdf.append((b * fast + c * second) / 2)
            cdf.append(1 - (fast + second) / 2)
        out = self.evaluate(g, "--pdf", "--cdf", "--times", ",".join(map(repr, times)))
        self.check(out, 0, (pdf, cdf), 5e5)
        for j, t in enumerate(times):
            out = self.evaluate(g, "--pdf", "--cdf", "--times", repr(t))
            self.check(out, 0, ([pdf[j]], [cdf[j]]), 5e5, time=t)

    def test_tails_stay_as_they_were(self):
        rates = [(30 - i) ** 2 for i in range(30)]
        times = [0.1, 1.0, 50.0]
        out = self.evaluate(chain(rates), "--pdf", "--cdf", "--times", ",".join(map(repr, times)), "--tail-accuracy")
        for j, want in enumerate(death(rates, times)[0]):
            self.assertLessEqual(abs(mpf(out["pdf"][0][j]) - want) / want, 1e-10)


if __name__ == "__main__":
    unittest.main()
