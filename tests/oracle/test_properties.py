"""What must not change a result: labels, threads, instruction sets, the cache; and what must."""
import json
import random
import re
import tempfile
import unittest

import graphs
from program import EXAMPLES, Table, call, checked, generate, run, run_text, theta_text
from reference import Chain, read, relative_error

NUMBERS = ("moments", "covariance", "pdf", "cdf")


def numbers(text):
    """The parts of the result that are numbers, as text: what must agree bit for bit."""
    out = json.loads(text, parse_float=str, parse_int=str)
    return {key: out[key] for key in NUMBERS if key in out}


def graph_of_many_parts():
    return generate("two-locus-arg", "n=5")


class Labels(unittest.TestCase):
    def test_a_relabelled_graph_records_nothing(self):
        cases = ((read(f"{EXAMPLES}/phasic-0.32.1-arg4.json"), [2.0, 5.0]), (generate("rabbits", "n=12"), [1.0, 2.0, 4.0]),
                 (generate("isolation-migration", "n1=3", "n2=3"), [1.0, 0.5, 0.25]),
                 (generate("random", "sccs=20", "size=25", "extra=2", "seed=5"), None),
                 (generate("tandem", "k1=12", "k2=12"), None))
        for number, (g, theta) in enumerate(cases):
            theta = theta or [1.0 + i for i in range(g["param_length"])]
            with tempfile.TemporaryDirectory() as folder, self.subTest(case=number):
                options = ("--theta", theta_text([theta]), "--moments", 2)
                first = run(g, *options, cache=("--cache-dir", folder))
                self.assertGreater(first["sccs"]["recorded"], 0)
                self.assertEqual(first["sccs"]["cached"], 0)
                for seed in range(3):
                    other, _ = graphs.relabelled(g, seed)
                    second = run(other, *options, cache=("--cache-dir", folder))
                    self.assertEqual(second["sccs"]["recorded"], 0)
                    self.assertEqual(second["sccs"]["cached"], first["sccs"]["recorded"])
                    for key in ("total", "nontrivial", "distinct"):
                        self.assertEqual(second["sccs"][key], first["sccs"][key])
                    for a, b in zip(second["moments"][0], first["moments"][0]):
                        self.assertLess(abs(a - b), 1e-13 * b)

    def test_rewards_follow_their_rows(self):
        g = generate("two-locus-arg", "n=3")
        reward = [random.Random(i).random() for i in range(g["n_vertices"])]
        other, place = graphs.relabelled(g, 1)
        moved = [0.0] * len(reward)
        for old, value in enumerate(reward):
            moved[place[old]] = value
        with Table([reward]) as a, Table([moved]) as b:
            one = run(g, "--theta", "2,5", "--rewards", a)["moments"][0][0]
            two = run(other, "--theta", "2,5", "--rewards", b)["moments"][0][0]
        for x, y in zip(one, two):
            self.assertLess(abs(x - y), 1e-13 * x)

    def test_a_chain_listed_backwards(self):
        """A trace in plain row order gets this wrong by a factor of nine: it never carries times to the parents."""
        rates = [6.0, 3.0, 1.0]
        forward = graphs.hypoexponential(rates)
        backward = graphs.graph(4, [(3, 2, 6.0), (2, 1, 3.0), (1, 0, 1.0)], start=3)
        for g in (forward, backward):
            self.assertLess(abs(run(g, "--moments", 1)["moments"][0][0] - 1.5), 1e-15)

    def test_states_may_repeat(self):
        g = graphs.graph(4, [(0, 1, 1.0), (1, 2, 2.0), (2, 0, 3.0), (2, 3, 0.5)])
        want = run(g)["moments"]
        g["states"] = [[0]] + [[7]] * 4
        self.assertEqual(run(g)["moments"], want)
        g["states"] = [[0]] * 5  # and may be that of the start vertex
        self.assertEqual(run(g)["moments"], want)


class Keys(unittest.TestCase):
    def test_constants_are_never_baked_into_a_trace(self):
        """A cache whose key leaves constants out must not hand one graph the numbers of another."""
        with tempfile.TemporaryDirectory() as folder:
            for back, leave in ((3.0, 1.0), (30.0, 7.0), (0.5, 1e-6)):
                g = graphs.graph(3, [(0, 1, [1.0]), (1, 0, back), (1, 2, leave)], params=1)
                for theta in (1.0, 4.0):
                    got = run(g, "--theta", repr(theta), "--moments", 2, cache=("--cache-dir", folder))["moments"][0]
                    for a, b in zip(got, Chain(g, [theta]).moments(2)):
                        self.assertLess(relative_error(a, b), 1e-13)

    def test_same_inside_other_surroundings(self):
        """Two graphs with one and the same component, whose exits lead elsewhere, share its trace and nothing else."""
        inner = [(0, 1, 2.0), (1, 2, 3.0), (2, 0, 5.0)]
        one = graphs.graph(4, inner + [(2, 3, 1.0)])
        two = graphs.graph(6, inner + [(0, 3, 0.25), (1, 4, 7.0), (3, 5, 1.0), (4, 5, 9.0)])
        with tempfile.TemporaryDirectory() as folder:
            self.assertEqual(run(one, cache=("--cache-dir", folder))["sccs"]["recorded"], 1)
            out = run(two, "--moments", 2, cache=("--cache-dir", folder))
            self.assertEqual((out["sccs"]["recorded"], out["sccs"]["cached"]), (0, 1))
            for a, b in zip(out["moments"][0], Chain(two).moments(2)):
                self.assertLess(relative_error(a, b), 1e-13)

    def test_other_topology_other_trace(self):
        with tempfile.TemporaryDirectory() as folder:
            ring = graphs.graph(5, [(0, 1, 1.0), (1, 2, 1.0), (2, 3, 1.0), (3, 0, 1.0), (3, 4, 1.0)])
            chord = graphs.graph(5, [(0, 1, 1.0), (1, 2, 1.0), (2, 3, 1.0), (3, 0, 1.0), (0, 2, 1.0), (3, 4, 1.0)])
            self.assertEqual(run(ring, cache=("--cache-dir", folder))["sccs"]["recorded"], 1)
            self.assertEqual(run(chord, cache=("--cache-dir", folder))["sccs"]["recorded"], 1)

    def test_toy_pair_that_shares_one_key(self):
        pair = [(0, 1, 1.5), (1, 0, 0.7)]
        for leave in ((1.0, 1.0), (2.0, 2.5)):
            g = graphs.graph(5, pair + [(0, 4, leave[0]), (1, 4, leave[1]), (2, 3, 1.0), (3, 2, 2.0), (3, 0, 0.3)], start=2)
            out = run(g, "--moments", 2)
            self.assertEqual((out["sccs"]["nontrivial"], out["sccs"]["distinct"]), (2, 1))
            for a, b in zip(out["moments"][0], Chain(g).moments(2)):
                self.assertLess(relative_error(a, b), 1e-13)


class SameBits(unittest.TestCase):
    OPTIONS = ("--moments", 3, "--times", "0:5:0.5", "--pdf", "--cdf")

    def rows(self, count):
        return theta_text([[1.0 + 0.01 * i, 5.0 - 0.02 * i] for i in range(count)])

    def test_strategies_and_threads(self):
        for g, rows in ((graph_of_many_parts(), 37), (generate("two-locus-arg", "n=6"), 1)):
            base = ("--theta", self.rows(rows), *self.OPTIONS)
            want = numbers(run_text(g, *base, "--strategy", "sequential", "--threads", 1))
            for extra in (("--strategy", "threads"), ("--strategy", "threads", "--threads", 2),
                          ("--strategy", "threads", "--threads", 5), ("--strategy", "auto")):
                with self.subTest(rows=rows, options=extra):
                    self.assertEqual(numbers(run_text(g, *base, *extra)), want)

    def test_rewards_and_covariance_by_threads(self):
        g = graph_of_many_parts()
        rng = random.Random(3)
        with Table([[rng.uniform(-1, 1) for _ in g["states"]] for _ in range(3)]) as file:
            base = ("--theta", self.rows(9), "--moments", 2, "--rewards", file, "--covariance")
            want = numbers(run_text(g, *base, "--strategy", "sequential"))
            self.assertEqual(numbers(run_text(g, *base, "--strategy", "threads", "--threads", 3)), want)

    def test_a_row_does_not_depend_on_its_batch(self):
        g = graph_of_many_parts()
        whole = json.loads(run_text(g, "--theta", self.rows(21), *self.OPTIONS), parse_float=str)
        for row in (0, 7, 15, 16, 20):
            alone = run_text(g, "--theta", self.rows(21).split(";")[row], *self.OPTIONS)
            alone = json.loads(alone, parse_float=str)
            for key in ("moments", "pdf", "cdf"):
                self.assertEqual(whole[key][row], alone[key][0], f"row {row}, {key}")

    def test_cache_or_not(self):
        g = graph_of_many_parts()
        base = ("--theta", "2,5", *self.OPTIONS)
        with tempfile.TemporaryDirectory() as folder:
            first = run_text(g, *base, cache=("--cache-dir", folder))
            second = run_text(g, *base, cache=("--cache-dir", folder))
        self.assertEqual(numbers(first), numbers(second))
        self.assertEqual(numbers(first), numbers(run_text(g, *base)))
        self.assertEqual(json.loads(second)["sccs"]["recorded"], 0)

    def test_instruction_sets(self):
        """Sets with fused multiply-add agree in every bit; one without agrees to rounding."""
        g = graph_of_many_parts()
        base = ("--theta", self.rows(5), *self.OPTIONS)
        best = re.search(r"x86-64-v[234]|arm64", checked("--version")).group(0)
        results = {}
        for isa in ("x86-64-v2", "x86-64-v3", "x86-64-v4", "arm64"):
            env = {"PHASEMILL_ISA": isa}
            done = call("run", "-", "--format", "json", "--no-cache", *base, stdin=json.dumps(g), env=env)
            if done.returncode == 69:
                self.assertIn(isa, done.stderr)  # not on this processor, and says so
                continue
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(json.loads(done.stdout)["method"]["isa"], isa)
            results[isa] = done.stdout
        self.assertIn(best, results)
        if "x86-64-v3" in results and "x86-64-v4" in results:
            self.assertEqual(numbers(results["x86-64-v3"]), numbers(results["x86-64-v4"]))
        reference = json.loads(next(iter(results.values())))
        for text in results.values():
            other = json.loads(text)
            for a, b in zip(flat(other["moments"]), flat(reference["moments"])):
                self.assertLess(abs(a - b), 1e-14 * b)

    def test_unknown_instruction_set_is_refused(self):
        done = call("run", f"{EXAMPLES}/phasic-0.32.1-arg3.json", "--theta", "2,5", env={"PHASEMILL_ISA": "x86-64-v9"})
        self.assertEqual((done.returncode, done.stdout), (64, ""))
        self.assertIn("x86-64-v9", done.stderr)


def flat(value):
    if isinstance(value, list):
        for item in value:
            yield from flat(item)
    else:
        yield value


class ThetaErrors(unittest.TestCase):
    def test_a_negative_weight_names_row_and_edge(self):
        g = graphs.graph(3, [(0, 1, [1.0, -1.0]), (1, 2, [0.0, 1.0])], params=2)
        done = call("run", "-", "--theta", "3,1;2,2.5;4,1", "--no-cache", stdin=json.dumps(g))
        self.assertEqual((done.returncode, done.stdout), (65, ""))
        self.assertRegex(done.stderr, r"row 1\b")
        self.assertRegex(done.stderr, r"-0\.5")

    def test_negative_coefficients_with_positive_weights_are_right(self):
        g = graphs.graph(3, [(0, 1, [1.0, -1.0]), (1, 0, [0.0, 2.0]), (1, 2, [0.1, 1.0])], params=2)
        for theta in ([3.0, 1.0], [1.0 + 1e-12, 1.0]):
            got = run(g, "--theta", theta_text([theta]), "--moments", 2)["moments"][0]
            for a, b in zip(got, Chain(g, theta).moments(2)):
                self.assertLess(relative_error(a, b), 1e-13)

    def test_a_theta_that_closes_the_way_out(self):
        g = graphs.graph(3, [(0, 1, [1.0, 0.0]), (1, 0, [1.0, 0.0]), (1, 2, [0.0, 1.0])], params=2)
        done = call("run", "-", "--theta", "1,1;1,0", "--no-cache", stdin=json.dumps(g))
        self.assertEqual((done.returncode, done.stdout), (65, ""))
        self.assertRegex(done.stderr, r"row 1\b")


if __name__ == "__main__":
    unittest.main()
