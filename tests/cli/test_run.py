"""`run`: numbers against closed forms, and its inputs."""
import json
import math
import unittest

import numpy as np

from support import DATA, ProgramCase, changed, geometric, kingman3, loop


class Numbers(ProgramCase):
    def test_kingman_moments(self):
        self.write("g.json", kingman3())
        out = self.json("run", "g.json", "--theta", "1;2")
        for row, theta in zip(out["moments"], [1, 2]):
            mean = (1 / 3 + 1) / theta
            np.testing.assert_allclose(row, [mean, (1 / 9 + 1) / theta**2 + mean**2], rtol=1e-14)
        self.assertEqual(out["theta"], [[1], [2]])
        self.assertNotIn("atom", out)
        self.assertNotIn("pdf", out)

    def test_a_cycle_without_parameters(self):
        self.write("g.json", loop())
        out = self.json("run", "g.json", "--no-cache")
        inverse = np.linalg.inv(np.array([[2.0, -2.0], [-1.0, 4.0]]))
        expected = [inverse.sum(axis=1)[0], 2 * (inverse @ inverse).sum(axis=1)[0]]
        np.testing.assert_allclose(out["moments"], [expected], rtol=1e-14)
        self.assertEqual(out["theta"], [[]])
        self.assertEqual(out["sccs"]["nontrivial"], 1)
        self.assertEqual((out["sccs"]["recorded"], out["sccs"]["cached"]), (1, 0))

    def test_hypoexponential_density(self):
        self.write("g.json", kingman3())
        out = self.json("run", "g.json", "--theta", "1", "--pdf", "--cdf", "--times", "0:4:0.5")
        times = np.arange(9) * 0.5
        self.assertEqual(out["times"], list(times))
        np.testing.assert_allclose(out["pdf"], [1.5 * (np.exp(-times) - np.exp(-3 * times))], atol=1e-9)
        np.testing.assert_allclose(out["cdf"], [1 - 1.5 * np.exp(-times) + 0.5 * np.exp(-3 * times)], atol=1e-9)
        self.assertEqual(out["atom"], [0])
        self.assertEqual(out["method"]["densities"], "uniformization")
        self.assertLessEqual(out["method"]["error_bound"], 1e-9)
        self.assertNotIn("moments", out)

    def test_tail_accuracy_adds_survival(self):
        self.write("g.json", kingman3())
        out = self.json("run", "g.json", "--theta", "1", "--cdf", "--tail-accuracy", "--times", "40")
        survival = 1.5 * math.exp(-40) - 0.5 * math.exp(-120)
        self.assertAlmostEqual(out["survival"][0][0] / survival, 1, delta=1e-9)

    def test_geometric(self):
        self.write("g.json", geometric())
        p = 0.25
        out = self.json("run", "g.json", "--moments", "2", "--pdf", "--cdf", "--times", "1,2,5")
        np.testing.assert_allclose(out["moments"], [[1 / p, (2 - p) / p**2]], rtol=1e-14)
        np.testing.assert_allclose(out["pdf"], [[p * (1 - p) ** (k - 1) for k in (1, 2, 5)]], rtol=1e-12)
        np.testing.assert_allclose(out["cdf"], [[1 - (1 - p) ** k for k in (1, 2, 5)]], rtol=1e-12)
        self.assertEqual(out["method"]["densities"], "stepping")
        factorial = self.json("run", "g.json", "--moments", "3", "--factorial")
        expected = [1 / p, 2 * (1 - p) / p**2, 6 * (1 - p) ** 2 / p**3]
        np.testing.assert_allclose(factorial["moments"], [expected], rtol=1e-13)
        self.assertEqual(factorial["method"]["moment_kind"], "factorial")

    def test_rewards_and_covariance(self):
        self.write("g.json", kingman3())
        self.write("r.csv", "0,3,2,0\n0,1,0,0\n")
        out = self.json("run", "g.json", "--theta", "1;2", "--rewards", "r.csv", "--covariance", "--moments", "1")
        np.testing.assert_allclose(out["moments"], [[[3], [1 / 3]], [[1.5], [1 / 6]]], rtol=1e-14)
        # 3 X + 2 Y and X, of independent holding times X and Y with variances 1/9 and 1
        covariance = np.array([[5.0, 1 / 3], [1 / 3, 1 / 9]])
        np.testing.assert_allclose(out["covariance"], [covariance, covariance / 4], rtol=1e-13)

    def test_atom(self):
        self.write("g.json", changed(kingman3(), start_edges=[[1.0, 0.75], [3.0, 0.25]]))
        out = self.json("run", "g.json", "--theta", "1", "--moments", "1")
        self.assertEqual(out["atom"], [0.25])
        np.testing.assert_allclose(out["moments"], [[0.75 * 4 / 3]], rtol=1e-14)

    def test_normalize_start(self):
        self.write("g.json", changed(kingman3(), start_edges=[[1.0, 0.7]]))
        self.refused(DATA, ["g.json", "0.69999"], "run", "g.json", "--theta", "1")
        out = self.json("run", "g.json", "--theta", "1", "--moments", "1", "--normalize-start")
        np.testing.assert_allclose(out["moments"], [[4 / 3]], rtol=1e-14)

    def test_strategies_and_threads_give_the_same_bits(self):
        self.write("g.json", self.ok("generate", "two-locus-arg", "--n", "4"))
        args = ["run", "g.json", "--theta", "2,5;1,0.5;3,3", "--moments", "3", "--pdf", "--times", "0.5,1"]
        seen = set()
        for strategy, threads in [["sequential", 1], ["sequential", 2], ["threads", 2], ["auto", 2]]:
            out = self.json(*args, "--no-cache", "--strategy", strategy, "--threads", threads, "--min-size", "0")
            seen.add(json.dumps([out["moments"], out["pdf"]]))
        self.assertEqual(len(seen), 1)

    def test_second_run_takes_traces_from_the_cache(self):
        self.write("g.json", self.ok("generate", "two-locus-arg", "--n", "4"))
        first = self.json("run", "g.json", "--theta", "2,5")
        second = self.json("run", "g.json", "--theta", "2,5")
        self.assertEqual(first["sccs"]["recorded"], first["sccs"]["distinct"])
        self.assertGreater(first["sccs"]["distinct"], 1)
        self.assertEqual(second["sccs"]["recorded"], 0)
        self.assertEqual(second["sccs"]["cached"], first["sccs"]["distinct"])
        self.assertEqual(second["moments"], first["moments"])


class Inputs(ProgramCase):
    def setUp(self):
        super().setUp()
        self.write("g.json", kingman3())

    def test_theta_in_files(self):
        np.save(self.dir / "t.npy", np.array([[1.0], [2.0]]))
        np.save(self.dir / "f.npy", np.asfortranarray(np.array([[1.0], [2.0]], dtype=np.float32)))
        np.save(self.dir / "i.npy", np.array([[1], [2]]))
        self.write("t.csv", "1\n2.0e0\n")
        for name in ["t.npy", "f.npy", "i.npy", "t.csv"]:
            out = self.json("run", "g.json", "--moments", "1", "--theta", name)
            np.testing.assert_allclose(out["moments"], [[4 / 3], [2 / 3]], rtol=1e-14, err_msg=name)

    def test_times_for_each_theta(self):
        np.save(self.dir / "times.npy", np.array([[1.0, 2.0], [0.5, 1.0]]))
        out = self.json("run", "g.json", "--theta", "1;2", "--cdf", "--times", "times.npy")
        self.assertEqual(out["times"], [[1, 2], [0.5, 1]])
        np.testing.assert_allclose(out["cdf"][0], out["cdf"][1], atol=1e-9)

    def test_times_keep_their_order(self):
        out = self.json("run", "g.json", "--theta", "1", "--cdf", "--times", "2,1,2")
        self.assertEqual(out["times"], [2, 1, 2])
        self.assertEqual(out["cdf"][0][0], out["cdf"][0][2])
        self.assertLess(out["cdf"][0][1], out["cdf"][0][0])

    def test_empty_batch(self):
        np.save(self.dir / "none.npy", np.zeros((0, 1)))
        out = self.json("run", "g.json", "--theta", "none.npy", "--moments", "2", "--pdf", "--times", "1")
        self.assertEqual([out["theta"], out["moments"], out["pdf"], out["atom"]], [[], [], [], []])

    def test_standard_input(self):
        out = self.json("run", "-", "--theta", "1", stdin=json.dumps(kingman3()).encode())
        self.assertAlmostEqual(out["moments"][0][0], 4 / 3)

    def test_old_format_needs_its_name(self):
        self.write("old.json", changed(kingman3(), param_edges=[[1.0, 2.0, 0.0, 3.0], [2.0, 3.0, 0.0, 1.0]]))
        self.refused(DATA, "--format phasic-0.21", "run", "old.json", "--theta", "1")
        out = self.json("run", "old.json", "--theta", "1", "--format", "phasic-0.21", "--format", "json")
        self.assertAlmostEqual(out["moments"][0][0], 4 / 3)


if __name__ == "__main__":
    unittest.main()
