"""`run`: requests that are refused, each with its exit code and what is wrong."""
import unittest

import numpy as np

from support import CANTCREAT, DATA, NOINPUT, OSERR, UNAVAILABLE, USAGE, ProgramCase, geometric, kingman3, loop


class Requests(ProgramCase):
    def setUp(self):
        super().setUp()
        self.write("g.json", kingman3())
        self.args = ["run", "g.json", "--theta", "1"]

    def test_strategies_of_others(self):
        self.refused(UNAVAILABLE, ["cluster", "brokers", "Redis"], *self.args, "--strategy", "cluster")
        self.refused(USAGE, ["vmap", "--strategy sequential"], *self.args, "--strategy", "vmap")
        self.refused(USAGE, ["pmap", "--strategy threads", "--threads"], *self.args, "--strategy", "pmap")
        self.refused(USAGE, ["sequential, threads, cluster or auto"], *self.args, "--strategy", "gpu")

    def test_combinations(self):
        refused = [
            (["--pdf"], "--times"),
            (["--cdf"], "--times"),
            (["--times", "1"], "--pdf or --cdf"),
            (["--tail-accuracy"], "--pdf or --cdf"),
            (["--tolerance", "1e-6"], "--pdf or --cdf"),
            (["--factorial"], "continuous"),
            (["--pdf", "--times", "1", "--factorial"], "--moments"),
            (["--method", "euler"], "expected auto, uniformization, contour or parabola"),
            (["--covariance", "--gradient"], "--gradient needs"),
            (["--invalid-rows", "skip"], "error or nan"),
            (["--no-cache", "--strict-cache"], "--no-cache contradicts"),
            (["--format", "json", "--format", "csv"], "one of table, json and csv"),
            (["--format", "phasic", "--format", "phasic-0.21"], "expected one"),
            (["--format", "xml"], '"xml"'),
            (["--moments", "0"], "from 1 to"),
            (["--moments", "two"], '"two"'),
            (["--threads", "0"], "--threads"),
            (["--tolerance", "0", "--pdf", "--times", "1"], "--tolerance"),
            (["--tolerance", "1e-6x", "--pdf", "--times", "1"], "--tolerance"),
            (["--memory", "2Q"], "--memory"),
            (["--memory", "99999999999T"], "--memory"),
            (["--effort", "most"], "fast, balanced or best"),
        ]
        for args, part in refused:
            self.refused(USAGE, part, *self.args, *args)
        self.write("d.json", geometric())
        self.refused(USAGE, "stepping", "run", "d.json", "--method", "uniformization", "--pdf", "--times", "1")

    def test_theta_written_out(self):
        run = ["run", "g.json"]
        self.refused(USAGE, ["--theta is missing", "1 parameters"], *run)
        self.refused(USAGE, ["rows of 2 values, expected 1"], *run, "--theta", "1,2")
        self.refused(USAGE, ["row 1, value 0", '"x"'], *run, "--theta", "1;x")
        self.refused(USAGE, ["row 0, value 0", '"nan"'], *run, "--theta", "nan")
        self.refused(USAGE, ["1e999"], *run, "--theta", "1e999")
        self.refused(USAGE, ["step"], *run, "--theta", "0:1:0")
        self.refused(USAGE, [".csv or .npy"], *run, "--theta", "thetas.txt")
        self.write("l.json", loop())
        self.refused(USAGE, ["leave --theta out"], "run", "l.json", "--theta", "1")

    def test_theta_in_files(self):
        self.refused(NOINPUT, ["none.csv"], "run", "g.json", "--theta", "none.csv")
        tables = [
            ("1\n2,x\n", ["line 2, column 2", '"x"']),
            ("1,2\n", ["rows of 2 values, expected 1"]),
            ("", ["t.csv", "empty"]),
        ]
        for text, parts in tables:
            self.write("t.csv", text)
            self.refused(DATA, parts, "run", "g.json", "--theta", "t.csv")
        arrays = [
            (np.array([[1.0], [np.inf]]), ["t.npy", "row 1, column 0"]),
            (np.array([["a"]]), ["t.npy", "type"]),
            (np.zeros((1, 1, 1)), ["t.npy", "dimensions"]),
        ]
        for array, parts in arrays:
            np.save(self.dir / "t.npy", array)
            self.refused(DATA, parts, "run", "g.json", "--theta", "t.npy")
        self.write("t.npy", b"not an array")
        self.refused(DATA, ["t.npy", "byte 0"], "run", "g.json", "--theta", "t.npy")

    def test_theta_that_makes_a_negative_weight(self):
        self.refused(DATA, ["theta row 1", "edge"], "run", "g.json", "--theta", "1;-1")

    def test_times(self):
        density = [*self.args, "--pdf", "--times"]
        self.refused(DATA, ["-1"], *density, "1,-1")
        self.refused(USAGE, ["row 0, value 0"], *density, "")
        np.save(self.dir / "t.npy", np.zeros((1, 0)))
        self.refused(DATA, ["no times"], *density, "t.npy")
        self.refused(USAGE, ["3 rows"], *density, "1;2;3")
        self.write("d.json", geometric())
        self.refused(DATA, ["1.5"], "run", "d.json", "--pdf", "--times", "1,1.5")

    def test_rewards(self):
        self.refused(USAGE, ["rows of 2 values", "vectors of 4"], *self.args, "--rewards", "1,2")
        self.write("r.csv", "1,2,3\n")
        self.refused(DATA, ["rows of 3 values", "vectors of 4"], *self.args, "--rewards", "r.csv")
        self.write("r.csv", "1,2,3,a\n")
        self.refused(DATA, ["r.csv", "line 1, column 4"], *self.args, "--rewards", "r.csv")

    def test_memory_that_does_not_do(self):
        self.write("big.json", self.ok("generate", "tandem", "--k1", "40", "--k2", "40"))
        run = ["run", "big.json", "--theta", "1,2,3,1", "--no-cache"]
        message = self.refused(OSERR, ["1600 states", "--memory"], *run, "--memory", "4K")
        self.assertRegex(message, r"predicted .* bytes of trace and .* bytes of replay")

    def test_cache_folder_that_cannot_be_made(self):
        self.write("file", "")
        self.refused(CANTCREAT, "file/cache", *self.args, "--cache-dir", "file/cache")


if __name__ == "__main__":
    unittest.main()
