"""The forms that derivatives are written in, and rows that fail alone: shapes, columns, empty cells."""
import csv
import io
import json
import unittest

import numpy
from support import DATA, USAGE, ProgramCase, kingman3, loop


class Derivatives(ProgramCase):
    def setUp(self):
        super().setUp()
        self.graph = self.write("k3.json", kingman3())

    def test_json_has_one_more_dimension(self):
        """m1 = 1/(3 theta) + 1/theta."""
        gradient = self.json("run", self.graph, "--theta", "2;4", "--moments", "2", "--pdf", "--cdf", "--times",
                             "0,1,2", "--gradient")["gradient"]
        self.assertEqual(sorted(gradient), ["cdf", "moments", "pdf"])
        self.assertEqual([[len(row) for row in g] for g in gradient["moments"]], [[1, 1], [1, 1]])
        self.assertEqual([[len(row) for row in g] for g in gradient["pdf"]], [[1, 1, 1], [1, 1, 1]])
        self.assertAlmostEqual(gradient["moments"][0][0][0], -(4 / 3) / 4, places=15)
        self.assertAlmostEqual(gradient["moments"][1][0][0], -(4 / 3) / 16, places=15)

    def test_csv_has_a_column_for_the_parameter(self):
        text = self.ok("run", self.graph, "--theta", "2", "--moments", "1", "--pdf", "--times", "1", "--gradient",
                       "--format", "csv").decode()
        rows = list(csv.DictReader(io.StringIO(text)))
        found = [(r["quantity"], r["order"], r["time"], r["parameter"]) for r in rows]
        self.assertEqual(found, [("moment", "1", "", ""), ("atom", "", "", ""), ("pdf", "", "1", ""),
                                 ("moment_gradient", "1", "", "0"), ("pdf_gradient", "", "1", "0")])
        self.assertAlmostEqual(float(rows[3]["value"]), -1 / 3, places=15)

    def test_a_graph_without_parameters_has_empty_ones(self):
        result = self.json("run", self.write("loop.json", loop()), "--moments", "2", "--cdf", "--times", "1", "--gradient")
        self.assertEqual(result["gradient"], {"moments": [[[], []]], "cdf": [[[]]]})

    def test_what_has_none_is_refused(self):
        self.refused(USAGE, "--gradient needs", "run", self.graph, "--theta", "2", "--covariance", "--gradient")
        self.refused(USAGE, "write .json or .csv", "run", self.graph, "--theta", "2", "--gradient", "--moments", "1",
                     "--output", "g.npy")


class InvalidRows(ProgramCase):
    def setUp(self):
        super().setUp()
        self.graph = self.write("k3.json", kingman3())
        self.arguments = ["run", self.graph, "--theta", "2;-1;0;4", "--moments", "1", "--gradient"]

    def test_fail_the_run_unless_asked_otherwise(self):
        for more in ([], ["--invalid-rows", "error"]):
            self.refused(DATA, "theta row 1", *self.arguments, *more)

    def test_json(self):
        result = self.json(*self.arguments, "--invalid-rows", "nan")
        self.assertEqual([row["row"] for row in result["invalid"]], [1, 2])
        for row in result["invalid"]:
            self.assertEqual(row["code"], DATA)
            self.assertIn(f"theta row {row['row']}", row["error"])
        self.assertEqual(result["moments"][1:3], [[None], [None]])
        self.assertEqual(result["gradient"]["moments"][1:3], [[[None]], [[None]]])
        alone = self.json("run", self.graph, "--theta", "2;4", "--moments", "1")
        self.assertEqual([result["moments"][0], result["moments"][3]], alone["moments"])
        self.assertNotIn("invalid", alone)

    def test_a_budget_for_each_row(self):
        graph = self.write("k1000.json", json.loads(self.ok("generate", "kingman", "--n", "1000")))
        result = self.json("run", graph, "--theta", "1e-5;1", "--cdf", "--times", "20", "--tail-accuracy", "--row-seconds",
                           "1", "--invalid-rows", "nan")
        self.assertEqual([row["row"] for row in result["invalid"]], [1])
        self.assertIn("more than the 1 s that a row may take", result["invalid"][0]["error"])
        self.refused(USAGE, "--row-seconds needs", "run", self.graph, "--theta", "1", "--row-seconds", "1")

    def test_csv(self):
        text = self.ok(*self.arguments, "--invalid-rows", "nan", "--format", "csv").decode()
        rows = [r for r in csv.DictReader(io.StringIO(text)) if r["quantity"] == "moment"]
        self.assertEqual([r["value"] == "" for r in rows], [False, True, True, False])

    def test_npy(self):
        self.ok("run", self.graph, "--theta", "2;-1", "--moments", "1", "--invalid-rows", "nan", "--output", "m.npy")
        found = numpy.load(self.dir / "m.npy")
        self.assertEqual(numpy.isnan(found).tolist(), [[False], [True]])


if __name__ == "__main__":
    unittest.main()
