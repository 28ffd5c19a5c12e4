"""Inputs that once gave wrong numbers, needless refusals or long waits: each has its right value, or a clear refusal.

The values are those of data/faults.json, written by make_faults.py, which also says how; the rest are closed forms.
"""
import json
import os
import resource
import subprocess
import unittest
from fractions import Fraction

import graphs
from mpmath import mp, mpf
from program import PROGRAM, call, theta_text

mp.dps = 60
DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")
with open(os.path.join(DATA, "faults.json"), encoding="utf-8") as values_file:
    VALUES = json.load(values_file)
MOMENT, CENTRED = 1e-13, 1e-12
SOON = 2.0  # seconds of processor time
LARGE = 10.0  # the same for graphs of 10^5 states and more


def data(name):
    return os.path.join(DATA, name)


def plain_graph(n, edges, start=((1, 1.0),), discrete=False):
    """The text of a graph of n states after the start vertex; edges of (from, to, weight), rows counted from 0."""
    rows = ",".join(f"[{a},{b},{w!r}]" for a, b, w in edges)
    states = ",".join(f"[{i}]" for i in range(n + 1))
    return (f'{{"states":[{states}],"edges":[{rows}],"start_edges":{json.dumps(list(map(list, start)))},"param_edges":[],'
            f'"param_length":0,"state_length":1,"n_vertices":{n + 1},"is_discrete":{json.dumps(discrete)}}}')


def chain_text(n, weight, discrete=False):
    return plain_graph(n + 1, ((i, i + 1, weight) for i in range(1, n + 1)), discrete=discrete)


def star_text(n):
    a, back, leave = 1.0 / n * 1.1, 0.7, 0.3
    edges = [(1, 2 + i, a) for i in range(n)] + [(2 + i, 1, back) for i in range(n)] + [(1, n + 2, leave)]
    return plain_graph(n + 2, edges)


class Case(unittest.TestCase):
    def run_it(self, graph, *arguments, seconds=SOON, ok=True):
        """Runs on a file, a dict, or a text; returns the result, or the message of a refusal. Takes processor time."""
        if isinstance(graph, dict):
            graph = json.dumps(graph)
        text, path = (graph, "-") if graph.startswith("{") else (None, graph)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = call("run", path, "--no-cache", "--format", "json", "--quiet", *arguments, stdin=text)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        self.assertLess(took, seconds, f"took {took:.1f} s: {done.stderr[:300]}")
        if done.returncode != 0:
            self.assertFalse(ok is True, f"refused: {done.stderr[:500]}")
            self.assertIn(done.returncode, (64, 65, 71), done.stderr[:500])
            self.assertEqual(done.stdout, "")
            return done.stderr
        self.assertFalse(ok is False, f"accepted: {done.stdout[:500]}")
        return json.loads(done.stdout)

    def near(self, got, want, tolerance=MOMENT, **context):
        want = mpf(want)
        error = abs(mpf(got) - want) / abs(want)
        with self.subTest(**context):
            self.assertLessEqual(float(error), tolerance, f"got {got!r}, expected {mp.nstr(want, 20)}")

    def moments(self, graph, wants, *arguments, tolerance=MOMENT, seconds=SOON):
        out = self.run_it(graph, "--moments", len(wants), *arguments, seconds=seconds)
        values = out["moments"][0][0] if "--rewards" in arguments else out["moments"][0]
        for order, (got, want) in enumerate(zip(values, wants), start=1):
            self.near(got, want, tolerance, moment=order)

    def within_bound(self, graph, want, tails, *arguments, ok=True, tolerance=None):
        """pdf, cdf and survival at the times of `want` are within error_bound, which is within the tolerance."""
        tolerance = tolerance or (1e-10 if tails else 1e-9)
        theta = ("--theta", theta_text([want["theta"]])) if want.get("theta") else ()
        times = ",".join(repr(float(t)) for t in want["times"])
        out = self.run_it(graph, *theta, "--pdf", "--cdf", "--times", times, *(["--tail-accuracy"] if tails else []),
                          *arguments, ok=ok)
        if isinstance(out, str):
            self.assertRegex(out, "tolerance|steps")
            return
        bound = out["method"]["error_bound"]
        self.assertLessEqual(bound, tolerance)
        peak = max(mpf(v) for v in want["pdf"])
        for key in ("pdf", "cdf", "survival"):
            for t, got, value in zip(want["times"], out.get(key, [[]])[0], map(mpf, want.get(key, []))):
                scale = value if tails else peak if key == "pdf" else mpf(1)
                if tails and value < mpf("1e-290"):
                    self.assertLessEqual(got, 1e-290)
                    continue
                with self.subTest(quantity=key, time=t):
                    self.assertLessEqual(abs(mpf(got) - value), bound * scale + mpf(2) ** -53 * value,
                                         f"got {got!r}, expected {mp.nstr(value, 20)}, bound {bound!r}")


class EndsOfChunks(Case):
    """What is absorbed in the very step in which a chunk of steps ends."""

    def test_uniform_on_64_steps(self):
        self.within_bound(data("uniform64.json"), VALUES["uniform64"], False)
        self.within_bound(data("uniform64.json"), {"times": [64], "pdf": ["0.015625"]}, True)

    def test_64_sure_steps(self):
        self.within_bound(data("det64.json"), {"times": [64], "pdf": ["1"], "cdf": ["1"]}, True)
        self.within_bound(data("det64.json"), {"times": [63, 64, 65], "pdf": ["0", "1", "0"], "cdf": ["0", "1", "1"]}, False)

    def test_sure_steps_of_any_number(self):
        for n in [*range(1, 5), *range(60, 70), *range(126, 131), 192, 256, *range(510, 515), 576, 1023, 1024, 1025, 2048]:
            g = chain_text(n, 1.0, True)
            for more in ([], ["--tail-accuracy"]):
                for times in ([n], [n - 1, n, n + 1], [0, n]):
                    out = self.run_it(g, "--pdf", "--cdf", "--times", ",".join(map(str, times)), *more)
                    with self.subTest(n=n, times=times, options=more):
                        self.assertEqual(out["pdf"][0], [float(t == n) for t in times])
                        self.assertEqual(out["cdf"][0], [float(t >= n) for t in times])

    def test_uniform_on_any_number_of_steps(self):
        for n in (2, 63, 64, 65, 128, 512, 1024):
            edges = [(i + 1, n + 1, 1.0 / (n - i)) for i in range(n)] + [(i + 1, i + 2, 1 - 1.0 / (n - i)) for i in range(n - 1)]
            out = self.run_it(plain_graph(n + 1, edges, discrete=True), "--pdf", "--times", f"{n},{n - 1},1")
            for got in out["pdf"][0]:
                self.near(got, mpf(1) / n, 1e-12, n=n)


class LostPivots(Case):
    def queue(self, levels, up, down):
        done = call("generate", "mm1k", "--k", levels)
        return done.stdout, ("--theta", theta_text([[up, down]]))

    def test_queues_near_the_largest_double(self):
        for levels, up, down, mean, second in VALUES["mm1k"]["cases"]:
            g, theta = self.queue(levels, up, down)
            with self.subTest(levels=levels, up=up):
                if mpf(mean) < mpf("1.797e308"):
                    self.moments(g, [mean], *theta)
                else:
                    self.run_it(g, "--moments", 1, *theta, ok=False)
                self.run_it(g, "--moments", 2, *theta, ok=mpf(second) < mpf("1.797e308"))

    def test_queues_beyond_the_largest_double(self):
        for levels in (1023, 1024, 1050, 1070, 1080, 1100, 2200, 5000):
            g, theta = self.queue(levels, 1.0, 2.0)
            with self.subTest(levels=levels):
                self.assertIn("moment", self.run_it(g, "--moments", 1, *theta, ok=False))

    def test_time_at_the_top_of_such_queues(self):
        # absorption is from the top alone, at rate 1: the whole time spent there has mean 1 whatever lies below
        self.moments(data("mm1_overflow_2_1080.json"), [1], "--rewards", data("reward_top_1080.csv"))
        for levels in (1000, 1022, 1060, 1070, 1074, 1080, 1100, 1500):
            g, theta = self.queue(levels, 1.0, 2.0)
            with self.subTest(levels=levels):
                top = [0.0] * (levels + 2)
                top[levels] = 1.0
                self.moments(g, [1, 2], *theta, "--rewards", ",".join(map(str, top)))

    def test_two_states(self):
        self.moments(data("lost_pivot_2states.json"), [mpf(1) / mpf(1e-170)], "--rewards", "0,1,0,0")
        for rewards in ("0,1,1,0", "0,0,1,0"):  # 1e340
            self.run_it(data("lost_pivot_2states.json"), "--moments", 1, "--rewards", rewards, ok=False)

    def test_a_result_that_fits_though_a_state_on_the_way_does_not(self):
        g = graphs.graph(3, [(0, 2, 1.0), (0, 1, 1e-200), (1, 2, 1e-200)])
        a = mpf(1e-200)
        self.moments(g, [2 / (1 + a), (2 + 2 * a * (1 / a + (1 + a) / a ** 2)) / (1 + a) ** 2])


class Bounds(Case):
    """error_bound is one."""

    def test_coherent_rounding(self):
        for name in ("coherent_mix", "coherent_switch"):
            for tails in (False, True):
                self.within_bound(data(f"{name}.json"), VALUES[name], tails, ok=None)
                for k in (0, 1):
                    some = {key: [v[k]] if isinstance(v, list) and len(v) == 2 else v for key, v in VALUES[name].items()}
                    self.within_bound(data(f"{name}.json"), some, tails, ok=None)

    def test_random_chain(self):
        for want in VALUES["bound_random_2420"]:
            for tails in (False, True):
                self.within_bound(data("bound_random_2420.json"), want, tails, ok=None)

    def test_sums_of_many_terms(self):
        self.within_bound(star_text(10000), {**VALUES["star densities"], "theta": []}, True)
        pairs = [(i, j, 1.0) for i in range(1, 51) for j in range(1, 51) if i != j] + [(i, 51, 0.001) for i in range(1, 51)]
        complete = plain_graph(51, pairs, [(i, 0.02) for i in range(1, 51)])
        self.within_bound(complete, VALUES["complete 50"], True)
        self.within_bound(complete, VALUES["complete 50"], False)

    def test_rates_far_from_one(self):
        for want, (k, e) in zip(VALUES["rates 1e40"], ((60, 40), (90, 100), (20, 250), (100, -200))):
            for tails in (False, True):
                with self.subTest(stages=k, exponent=e, tails=tails):
                    self.within_bound(graphs.erlang(k, 10.0 ** e), want, tails)


class SameBits(Case):
    def test_threads_and_batches(self):
        edges = [[i, i + 1, 1.0] for i in range(1, 61)]
        g = {**graphs.erlang(60, 1.0), "edges": [], "param_edges": edges, "param_length": 1}
        for more in ([], ["--tail-accuracy"]):
            rows = ["1", "1.1", "3"]
            whole = {self.values(g, ";".join(rows), n, more) for n in (1, 2, 3, 4)}
            self.assertEqual(len(whole), 1)
            alone = tuple(self.values(g, r, 1, more)[0] for r in rows)
            self.assertEqual(whole, {alone})

    def values(self, g, theta, threads, more):
        out = self.run_it(g, "--theta", theta, "--pdf", "--cdf", "--times", "1,20", "--threads", threads, *more)
        return tuple(tuple(p + c) for p, c in zip(out["pdf"], out["cdf"]))


class Sizes(Case):
    """13 digits whatever the size."""

    def test_erlang(self):
        for n in (1000, 10000, 100000, 1000000):
            for rate in (1.0, 3.7):
                r = mpf(rate)
                with self.subTest(n=n, rate=rate):
                    out = self.run_it(chain_text(n, rate), "--moments", 2, "--covariance", seconds=LARGE)
                    self.near(out["moments"][0][0], n / r)
                    self.near(out["moments"][0][1], n * (n + 1) / r ** 2)
                    self.near(out["covariance"][0][0][0], n / r ** 2, CENTRED)

    def test_stages_that_may_all_be_the_last(self):
        """However rarely at this theta: the least of an Erlang and an exponential variable, by its Laplace transform."""
        n = 20000
        g = {"param_length": 2, "state_length": 1, "n_vertices": n + 2, "states": [[i] for i in range(n + 2)], "edges": [], "start_edges": [[1, 1.0]],
             "param_edges": [[i, j, *w] for i in range(1, n + 1) for j, w in ((i + 1, (1.0, 0.0)), (n + 1, (0.0, 1.0)))],
             "start_param_edges": []}
        for a, b in ((1.3, 1e-9), (0.7, 1e-6), (1.7, 0.01)):
            with self.subTest(a=a, b=b), mp.workdps(80):
                whole = (mpf(a) / (mpf(a) + mpf(b))) ** n
                mean = (1 - whole) / mpf(b)
                second = 2 * mean / mpf(b) - 2 * n * whole / (mpf(b) * (mpf(a) + mpf(b)))
                self.moments(g, [mean, second], "--theta", f"{a},{b!r}", seconds=LARGE)

    def test_stars(self):
        for n, mean, second in VALUES["star"]["cases"]:
            with self.subTest(leaves=n):
                self.moments(star_text(n), [mean, second], seconds=SOON if n < 50000 else LARGE)

    def test_a_million_start_edges(self):
        n = 10 ** 6
        rates = [1.0 + (i * 7919 % 10007) / 10007 for i in range(n)]
        start = [(i + 1, 1e-6) for i in range(n)]
        g = plain_graph(n + 1, ((i + 1, n + 1, r) for i, r in enumerate(rates)), start)
        # the rates come in 10,007 values, each so many times
        times = [n // 10007 + (i < n % 10007) for i in range(10007)]
        means = [mp.fsum(c * (1 / mpf(rates[i])) ** k for i, c in enumerate(times)) for k in (1, 2)]
        self.moments(g, [means[0] / n, 2 * means[1] / n], seconds=LARGE)

    def test_symmetric_walks(self):
        for n in (100, 1000, 100000, 1000000):
            edges = [(1, 2, 1.0)] + [e for i in range(2, n + 1) for e in ((i, i + 1, 0.5), (i, i - 1, 0.5))]
            with self.subTest(n=n):
                steps = 2 * mpf(n) ** 2 * (mpf(n) ** 2 - 1) / 3
                out = self.run_it(plain_graph(n + 1, edges), "--moments", 2, "--covariance", seconds=LARGE)
                self.near(out["moments"][0][0], n ** 2)
                self.near(out["moments"][0][1], steps + n ** 2 + mpf(n) ** 4)
                self.near(out["covariance"][0][0][0], steps + n ** 2, CENTRED)
                out = self.run_it(plain_graph(n + 1, edges, discrete=True), "--moments", 2, "--covariance", seconds=LARGE)
                self.near(out["moments"][0][1], steps + mpf(n) ** 4)
                self.near(out["covariance"][0][0][0], steps, CENTRED)


class Variances(Case):
    def test_sure_chains(self):
        for n in (1, 2, 10, 64, 1000, 100000):
            out = self.run_it(chain_text(n, 1.0, True), "--moments", 2, "--covariance", seconds=LARGE)
            with self.subTest(n=n):
                self.assertEqual(out["moments"][0], [float(n), float(n) ** 2])
                self.assertGreaterEqual(out["covariance"][0][0][0], 0.0)
                self.assertLessEqual(out["covariance"][0][0][0], 1e-28 * n ** 2)

    def test_nearly_sure_chains(self):
        for n in (10, 1000):
            for stay in (1e-3, 1e-9, 1e-15):
                p = 1.0 - stay
                with self.subTest(n=n, stay=stay):
                    out = self.run_it(chain_text(n, p, True), "--covariance")
                    self.near(out["covariance"][0][0][0], n * (1 - mpf(p)) / mpf(p) ** 2, CENTRED)

    def test_staying_far_below_rounding(self):
        """Probabilities of many digits that lack so little to one: a geometric number of steps."""
        for lack in (1e-17, 1e-20, 1e-24, 1e-28, 1e-33, 1e-36, 1e-40):
            left, weights = Fraction(1), []
            for k in range(1, 7):  # each leaves about 2^-25 of what was left; the last one the lack
                rest = Fraction(2) ** (-25 * k) * Fraction(1 / (k + 0.3)) if k < 6 else 0
                if left - rest > Fraction(lack):
                    weights.append(float(left - rest - Fraction(lack)))
                    left -= Fraction(weights[-1])
            self.assertGreater(left, 0)
            stay, p = mpf(left.numerator) / left.denominator, 1 - mpf(left.numerator) / left.denominator
            g = plain_graph(2, [(1, 2, w) for w in weights[3:] + weights[:3]], discrete=True)
            with self.subTest(lack=lack):
                out = self.run_it(g, "--covariance", "--moments", 2, "--factorial")
                self.near(out["covariance"][0][0][0], stay / p ** 2, CENTRED)
                self.near(out["moments"][0][1], 2 * stay / p ** 2)

    def test_rates_of_two_sizes(self):
        out = self.run_it(data("covcancel.json"), "--moments", 2, "--covariance")
        self.near(out["covariance"][0][0][0], VALUES["covcancel"]["covariance"], CENTRED)

    def test_covariance_of_parts_of_a_chain(self):
        n = 1000
        first = [float(i <= n // 2) for i in range(n + 2)]
        both = [1.0] * (n + 2)
        rewards = ";".join(",".join(map(str, r)) for r in (first, both))
        out = self.run_it(chain_text(n, 2.0), "--covariance", "--rewards", rewards)["covariance"][0]
        for a, b, want in ((0, 0, n / 8), (0, 1, n / 8), (1, 0, n / 8), (1, 1, n / 4)):
            self.near(out[a][b], want, CENTRED, row=a, column=b)


class Discrete(Case):
    def test_factorial_moments_of_a_chain_that_hardly_stays(self):
        for stay in ("1e-09", "1e-12"):
            want = VALUES[f"disc_stay_{stay}"]
            with open(data("disc_stay_1e-09.json"), encoding="utf-8") as file:
                g = json.load(file)
            g["edges"][2][2] = want["edge"]
            self.moments(g, want["moments"], "--factorial")

    def test_a_step_that_is_a_product(self):
        # probability c theta, rounded: the error of k steps is k times that of one
        for c, theta, k in ((0.1, 0.7, 100), (1 / 3, 0.999999, 1000), (0.3, 1e-4, 20000)):
            g = graphs.graph(2, [(0, 1, [c])], params=1, discrete=True)
            p = mpf(c) * mpf(theta)
            want = {"theta": [theta], "times": [k], "pdf": [p * (1 - p) ** (k - 1)], "cdf": [1 - (1 - p) ** k],
                    "survival": [(1 - p) ** k]}
            for tails in (False, True):
                with self.subTest(c=c, theta=theta, tails=tails):
                    self.within_bound(g, want, tails)


class Weights(Case):
    def test_a_weight_far_below_its_terms(self):
        want = VALUES["weight_cancel"]
        self.moments(data("weight_cancel.json"), want["moments"], "--theta", theta_text([want["theta"]]))

    def test_what_is_left_of_the_largest_terms(self):
        for left in (1e-20, 1e-150, 1e-250):
            g = graphs.graph(2, [(0, 1, [1e300, -1e300, left])], params=3)
            self.moments(g, [1 / mpf(left)], "--theta", "1,1,1")
            g = graphs.graph(2, [(0, 1, [-(2.0 ** -900), 2.0 ** 100, left])], params=3)
            self.moments(g, [1 / mpf(left)], "--theta", theta_text([[2.0 ** 500, 2.0 ** -500, 1.0]]))


class Waits(Case):
    """States that do not matter cost nothing; what takes too long is refused before the work."""

    def test_states_that_this_theta_does_not_reach(self):
        self.within_bound(data("unreached_fast.json"), VALUES["unreached_fast"], False)
        self.within_bound(data("unreached_fast.json"), VALUES["unreached_fast"], True)

    def test_absorption_that_hardly_ever_happens(self):
        g = call("generate", "mm1k", "--k", 1100).stdout
        out = self.run_it(g, "--theta", "1,2", "--cdf", "--times", "5e6", ok=None, seconds=LARGE)
        if isinstance(out, dict):
            self.assertLessEqual(out["cdf"][0][0], 1e-9)

    def test_more_steps_than_can_be_taken(self):
        switch = graphs.graph(3, [(0, 1, 0.37), (1, 0, 1.0), (0, 2, 1e-12)])
        arg5 = call("generate", "two-locus-arg", "--n", 5).stdout
        for g, theta, time in ((switch, (), "1e9"), (switch, (), "1e10"), (switch, (), "1e15"),
                               (arg5, ("--theta", "1e-7,1e3"), "1e7"), (arg5, ("--theta", "1e-12,1e6"), "1e12")):
            with self.subTest(time=time):
                for more in ([], ["--tail-accuracy"]):
                    text = self.run_it(g, *theta, "--cdf", "--times", time, *more, ok=None, seconds=LARGE)
                    if isinstance(text, str):
                        self.assertRegex(text, "steps")

    def test_one_stiff_row_in_a_batch(self):
        g = call("generate", "two-locus-arg", "--n", 5).stdout
        easy, stiff = "1,1", "1,300"
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        self.run_it(g, "--theta", stiff, "--cdf", "--times", "20", "--threads", 1, seconds=60)
        alone = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
        self.run_it(g, "--theta", ";".join([easy] * 15 + [stiff]), "--cdf", "--times", "20", "--threads", 1,
                    seconds=2 * alone + 0.5)

    def test_states_ahead_of_the_front(self):
        n = 100000
        self.within_bound(chain_text(n, 1.0), {"times": [n], "pdf": [mp.exp((n - 1) * mp.log(n) - n - mp.loggamma(n))]}, False)

    def test_levels_that_have_drained(self):
        lineages = 10000
        g = call("generate", "kingman", "--n", lineages).stdout
        out = self.run_it(g, "--theta", "1", "--cdf", "--times", "1,3")
        for t, got in zip((1, 3), out["cdf"][0]):
            want = 1 - mp.fsum((-1) ** k * (2 * k - 1) * kingman_factor(k, lineages) * mp.exp(-mpf(k * (k - 1)) / 2 * t)
                               for k in range(2, 60))
            self.assertLessEqual(abs(mpf(got) - want), 1e-9)

    def test_graphs_that_look_the_same_from_everywhere(self):
        for n in (50, 400):
            pairs = [(i, j, 1.0) for i in range(1, n + 1) for j in range(1, n + 1) if i != j] + [(1, n + 1, 1.0)]
            with self.subTest(complete=n):
                # hub 1 leaves at rate 1; from another state to 1: mean n - 1 + ... by symmetry a chain of two states
                y = mpf(1)  # the time from any other state to state 1, at rate 1
                self.moments(plain_graph(n + 1, pairs), [1 + (n - 1) * y])
        for n in (10000, 100000):
            g = call("generate", "mm1k", "--k", n).stdout
            with self.subTest(queue=n):
                mean = mp.fsum((1 - mpf("0.5") ** (i + 1)) * 2 for i in range(n)) if n <= 10000 else None
                out = self.run_it(g, "--theta", "2,1", "--moments", 1, seconds=SOON if n < 50000 else LARGE)
                if mean is not None:
                    self.near(out["moments"][0][0], mean / 2)


def kingman_factor(k, n):
    """n (n-1) .. (n-k+1) / (n (n+1) .. (n+k-1)): of the k-th exponential of the time to the common ancestor."""
    return mp.fprod(mpf(n - i) / (n + i) for i in range(k))


class FilesOfPhasic(Case):
    def test_a_graph_without_its_kind(self):
        recipe = data("phasic-0.32.1-geometric-recipe.json")
        self.moments(recipe, VALUES["geometric"]["continuous"]["moments"], "--theta", "1")
        self.moments(recipe, VALUES["geometric"]["discrete"]["moments"], "--theta", "1", "--discrete")
        self.moments(recipe, VALUES["geometric"]["continuous"]["moments"], "--theta", "1", "--continuous")
        done = subprocess.run([PROGRAM, "run", recipe, "--theta", "1", "--no-cache"], capture_output=True, text=True, check=True)
        self.assertRegex(done.stderr, "--discrete")

    def test_rows_that_are_normalized(self):
        self.moments(data("phasic-discretized-was-dph.json"), VALUES["was_dph"]["moments"], "--theta", "0.1,1")

    def test_states_that_are_never_absorbed(self):
        path = data("phasic-0.32.1-joint-prob-graph.json")
        text = self.run_it(path, "--theta", "1,1", "--moments", 1, ok=False)
        self.assertRegex(text, "absor")
        # sums over the paths of this acyclic graph in rational numbers
        out = self.run_it(path, "--theta", "1,1", "--moments", 1, "--defective")
        self.near(out["absorption"][0], mpf(6109) / 18000)
        self.near(out["moments"][0][0], mpf(309731) / 183270)


if __name__ == "__main__":
    unittest.main()
