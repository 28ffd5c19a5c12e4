"""`run`: the four forms of its results, and where they go."""
import csv
import io
import json
import os
import unittest

import numpy as np

from support import CANTCREAT, DATA, IO, USAGE, ProgramCase, changed, kingman3


class Outputs(ProgramCase):
    def setUp(self):
        super().setUp()
        self.write("g.json", kingman3())
        self.args = ["run", "g.json", "--theta", "1;2"]

    def test_json_has_17_digits_and_all_parts(self):
        text = self.ok(*self.args)
        self.assertIn(b"1.3333333333333333", text)
        out = json.loads(text)
        self.assertRegex(out["job"], r"^[0-9a-f]{64}$")
        self.assertEqual(set(out["sccs"]), {"total", "nontrivial", "distinct", "recorded", "cached"})
        self.assertEqual(set(out["seconds"]), {"read", "split", "record", "stitch", "evaluate", "write"})
        self.assertEqual(out["method"]["moments"], "replay")
        self.assertTrue(all(s >= 0 for s in out["seconds"].values()))

    def test_job_is_that_of_the_graph(self):
        self.ok("convert", "g.json", "g.msgpack")
        other = self.json("run", "g.msgpack", "--theta", "3")
        self.assertEqual(other["job"], self.json(*self.args)["job"])

    def test_table(self):
        text = self.ok(*self.args, "--format", "table", "--pdf", "--moments", "2", "--times", "0,1").decode()
        for part in ["Moments of the time", "mean", "variance", "sd", "E[Y^2]", "density", "Unit of time", "1.33333333"]:
            self.assertIn(part, text)
        rows = [line.split() for line in text.splitlines() if line.lstrip().startswith(("0 ", "1 "))]
        self.assertAlmostEqual(float(rows[0][3]), 1 / 9 + 1, places=7)
        self.assertTrue(text.isascii())

    def test_csv_is_tidy(self):
        text = self.ok(*self.args, "--format", "csv", "--moments", "2", "--cdf", "--times", "1,2").decode()
        rows = list(csv.DictReader(io.StringIO(text)))
        self.assertEqual(
            list(rows[0]), ["theta_row", "theta_0", "quantity", "reward", "other_reward", "order", "time", "value"]
        )
        self.assertTrue(all(None not in row and None not in row.values() for row in rows))
        second = [r for r in rows if r["quantity"] == "moment" and r["theta_row"] == "1" and r["order"] == "1"]
        self.assertEqual(len(second), 1)
        self.assertAlmostEqual(float(second[0]["value"]), 2 / 3)
        self.assertEqual(sum(r["quantity"] == "cdf" for r in rows), 4)

    def test_npy(self):
        self.write("r.csv", "0,1,1,0\n0,1,0,0\n")
        cases = [
            (["--moments", "3"], (2, 3)),
            (["--moments", "3", "--rewards", "r.csv"], (2, 2, 3)),
            (["--covariance", "--rewards", "r.csv"], (2, 2, 2)),
            (["--pdf", "--times", "1,2,3,4"], (2, 4)),
            (["--cdf", "--times", "1,2,3,4"], (2, 4)),
        ]
        for args, shape in cases:
            self.assertEqual(self.ok(*self.args, *args, "--output", "out.npy"), b"")
            array = np.load(self.dir / "out.npy", allow_pickle=False)
            self.assertEqual((array.shape, array.dtype), (shape, np.dtype("<f8")), args)
            out = self.json(*self.args, *args)
            name = next(k for k in ["moments", "covariance", "pdf", "cdf"] if k in out)
            np.testing.assert_array_equal(array, np.array(out[name]))

    def test_npy_holds_one_quantity(self):
        self.refused(USAGE, "one quantity", *self.args, "--moments", "1", "--covariance", "--output", "o.npy")
        self.assertEqual(self.files(), ["g.json"])

    def test_output_files(self):
        self.ok(*self.args, "--output", "o.json")
        self.assertEqual(json.loads((self.dir / "o.json").read_text())["theta"], [[1], [2]])
        self.ok(*self.args, "--output", "o.csv")
        self.assertTrue((self.dir / "o.csv").read_text().startswith("theta_row,"))
        self.ok(*self.args, "--output", "o.txt", "--format", "table")
        self.assertIn("mean", (self.dir / "o.txt").read_text())
        self.assertEqual(self.files(), ["g.json", "o.csv", "o.json", "o.txt"])

    def test_output_keeps_permissions_and_links(self):
        self.write("real.json", "old")
        os.chmod(self.dir / "real.json", 0o640)
        os.symlink("real.json", self.dir / "link.json")
        self.ok(*self.args, "--output", "link.json")
        self.assertTrue((self.dir / "link.json").is_symlink())
        self.assertIn("moments", (self.dir / "real.json").read_text())
        self.assertEqual((self.dir / "real.json").stat().st_mode & 0o777, 0o640)

    def test_output_that_cannot_be_made(self):
        self.refused(CANTCREAT, ["missing/o.json", "No such file"], *self.args, "--output", "missing/o.json")
        os.mkdir(self.dir / "folder.json")
        self.refused(CANTCREAT, "folder.json", *self.args, "--output", "folder.json")
        self.refused(USAGE, "o.xyz", *self.args, "--output", "o.xyz")
        self.refused(USAGE, "contradicts", *self.args, "--output", "o.json", "--format", "csv")

    def test_missing_folder_is_seen_before_the_graph_is_read(self):
        self.refused(CANTCREAT, "missing/o.json", "run", "nothing.json", "--output", "missing/o.json")

    def test_old_file_survives_a_failure(self):
        self.write("o.json", "old")
        self.refused(DATA, "theta", "run", "g.json", "--theta", "-1", "--output", "o.json")
        self.assertEqual((self.dir / "o.json").read_text(), "old")
        self.assertEqual(self.files(), ["g.json", "o.json"])

    def test_full_disk(self):
        with open("/dev/full", "wb") as full:
            for form in ["json", "csv", "table"]:
                self.refused(IO, "No space left", *self.args, "--format", form, stdout=full)
        self.refused(IO, "/dev/full", *self.args, "--format", "json", "--output", "/dev/full")
        self.assertFalse(os.path.isfile("/dev/full"))

    def test_quiet_and_verbose(self):
        lonely = changed(
            kingman3(), states=[[0], [3], [2], [1], [9]], n_vertices=5, vertex_indices=None, edges=[[4, 3, 1.0]]
        )
        self.write("lonely.json", lonely)
        done = self.phasemill("run", "lonely.json", "--theta", "1")
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stderr, rb"phasemill: 1 of 5 states")
        quiet = self.phasemill("run", "lonely.json", "--theta", "1", "--quiet")
        self.assertEqual((quiet.returncode, quiet.stderr), (0, b""))
        verbose = self.phasemill(*self.args, "--verbose")
        self.assertIn(b"strategy sequential", verbose.stderr)
        self.refused(USAGE, "--quiet contradicts --verbose", *self.args, "--quiet", "--verbose")


if __name__ == "__main__":
    unittest.main()
