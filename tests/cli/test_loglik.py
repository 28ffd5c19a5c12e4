"""The command loglik: its forms, its options, and what it refuses."""
import csv
import io
import math
import unittest

from support import DATA, USAGE, ProgramCase, kingman3

INPUT = 66  # EX_NOINPUT


class Loglik(ProgramCase):
    def setUp(self):
        super().setUp()
        self.graph = self.write("k3.json", kingman3())
        self.data = str(self.dir / "data.csv")
        self.put("time,count\n0.5,2\n1,1\n")
        self.arguments = ["loglik", self.graph, "--theta", "2;4", "--data", self.data]

    def put(self, text):
        (self.dir / "data.csv").write_text(text, encoding="utf-8")

    def test_json(self):
        """Two steps in a row, of rates 3 theta and theta: 3/2 theta (exp(-theta t) - exp(-3 theta t))."""
        result = self.json(*self.arguments, "--gradient", "--hessian", "--information")
        self.assertEqual(sorted(result), ["gradient", "hessian", "information", "loglik", "observations"])
        for theta, found in zip((2.0, 4.0), result["loglik"]):
            want = sum(n * math.log(1.5 * theta * (math.exp(-theta * t) - math.exp(-3 * theta * t)))
                       for t, n in ((0.5, 2), (1.0, 1)))
            self.assertAlmostEqual(found, want, places=12)
        self.assertEqual([len(row) for row in result["gradient"]], [1, 1])
        self.assertEqual([[len(r) for r in row] for row in result["hessian"]], [[1], [1]])

    def test_csv_and_files(self):
        self.ok(*self.arguments, "--gradient", "--hessian", "--output", "l.csv")
        rows = list(csv.DictReader(io.StringIO((self.dir / "l.csv").read_text())))
        self.assertEqual([(r["theta_row"], r["quantity"], r["parameter"], r["other_parameter"]) for r in rows[:3]],
                         [("0", "loglik", "", ""), ("0", "gradient", "0", ""), ("0", "hessian", "0", "0")])
        self.ok(*self.arguments, "--output", "l.json")
        self.assertEqual(rows[0]["value"], f"{self.json(*self.arguments)['loglik'][0]:.17g}")

    def test_rows_fail_alone(self):
        self.refused(DATA, "theta row 1", "loglik", self.graph, "--theta", "2;-4", "--data", self.data)
        result = self.json("loglik", self.graph, "--theta", "2;-4;1e6", "--data", self.data, "--invalid-rows", "nan",
                           "--gradient")
        self.assertEqual([row["row"] for row in result["invalid"]], [1, 2])
        self.assertEqual((result["loglik"][1:], result["gradient"][1:]), ([None, None], [[None], [None]]))

    def test_what_is_wrong_is_told(self):
        self.refused(USAGE, "--data is missing", "loglik", self.graph, "--theta", "2")
        self.refused(USAGE, "--theta is missing", "loglik", self.graph, "--data", self.data)
        self.refused(USAGE, "rows of 2 values", "loglik", self.graph, "--theta", "2,3", "--data", self.data)
        self.refused(USAGE, "expected one of json and csv", *self.arguments, "--format", "csv", "--format", "json")
        self.refused(USAGE, "contradicts --format", *self.arguments, "--format", "csv", "--output", "a.json")
        self.refused(USAGE, "expected an ending", *self.arguments, "--output", "a.npy")
        self.refused(INPUT, "cannot be opened", "loglik", self.graph, "--theta", "2", "--data", "nowhere.csv")
        self.put("time,count\n0.5,two\n")
        self.refused(DATA, "data.csv\": line 2, column 2 (count)", *self.arguments)
        self.put("time\n")
        self.refused(DATA, "holds no observation", *self.arguments)

    def test_help(self):
        self.assertIn("right-censored", self.ok("loglik", "--help").decode())


if __name__ == "__main__":
    unittest.main()
