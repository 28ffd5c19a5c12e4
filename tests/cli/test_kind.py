"""What a graph is: said by its file, or by --discrete and --continuous, and a warning where nobody says it."""
import json
import unittest

from support import DATA, ROOT, USAGE, ProgramCase, changed, geometric

UNSAID = json.loads((ROOT / "tests/data/phasic-0.32.1-geometric-unsaid.json").read_text())
DISCRETIZED = json.loads((ROOT / "tests/data/phasic-0.32.1-discretized.json").read_text())


class Kind(ProgramCase):
    def setUp(self):
        super().setUp()
        self.write("g.json", UNSAID)

    def warnings(self, *args):
        done = self.phasemill(*args)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [line for line in done.stderr.decode().splitlines() if "taken as continuous" in line]

    def test_one_warning_names_the_choice(self):
        lines = self.warnings("run", "g.json", "--theta", "1;2;0.5")
        self.assertEqual(len(lines), 1)
        for part in ["g.json: has no is_discrete", "--continuous", "--discrete"]:
            self.assertIn(part, lines[0])
        for args in [["--theta", "1", "--discrete"], ["--theta", "1", "--continuous"], ["--theta", "1;5"],
                     ["--theta", "1", "--quiet"]]:
            self.assertEqual(self.warnings("run", "g.json", *args), [], args)

    def test_constant_rows_are_seen_without_theta(self):
        constant = changed(geometric(), is_discrete=None)
        self.write("c.json", constant)
        for args in [["run", "c.json"], ["inspect", "c.json"]]:
            self.assertEqual(len(self.warnings(*args)), 1, args)
            self.assertEqual(self.warnings(*args, "--discrete"), [], args)
        self.assertEqual(self.warnings("inspect", "g.json"), [])

    def test_jobs_depend_on_what_is_said(self):
        job = {how: self.json("run", "g.json", "--theta", "1", *how)["job"] for how in [(), ("--discrete",), ("--continuous",)]}
        self.assertEqual(job[()], job["--continuous",])
        self.assertNotEqual(job[()], job["--discrete",])

    def test_contradictions(self):
        self.write("d.json", geometric())
        self.write("n.json", DISCRETIZED)
        self.write("c.json", changed(UNSAID, is_discrete=False))
        self.refused(USAGE, ["d.json", "is_discrete is true"], "run", "d.json", "--continuous")
        self.refused(USAGE, ["c.json", "is_discrete is false"], "inspect", "c.json", "--discrete")
        self.refused(USAGE, "is_discrete is true", "convert", "n.json", "o.json", "--continuous")
        self.refused(USAGE, "--discrete contradicts --continuous", "run", "d.json", "--continuous", "--discrete")
        self.write("n.json", changed(DISCRETIZED, is_discrete=False))
        self.refused(DATA, "was_dph is true and is_discrete false", "run", "n.json", "--theta", "1,1")

    def test_convert_says_what_was_said_and_no_more(self):
        def keys(*args):
            self.ok("convert", *args, "o.json")
            graph = json.loads((self.dir / "o.json").read_text())
            return {key: graph.get(key) for key in ["is_discrete", "was_dph"]}
        self.assertEqual(keys("g.json"), {"is_discrete": None, "was_dph": False})
        self.assertEqual(keys("g.json", "--discrete"), {"is_discrete": True, "was_dph": False})
        self.assertEqual(keys("g.json", "--continuous"), {"is_discrete": False, "was_dph": False})
        self.write("n.json", DISCRETIZED)
        self.assertEqual(keys("n.json"), {"is_discrete": True, "was_dph": True})
        self.assertEqual(keys("o.json"), {"is_discrete": True, "was_dph": True})

    def test_inspect(self):
        self.assertIn("Continuous phase-type distribution (its file does not say)", self.ok("inspect", "g.json").decode())
        self.write("n.json", DISCRETIZED)
        self.assertIn("Discrete phase-type distribution, rows normalized", self.ok("inspect", "n.json").decode())
        out = self.json("inspect", "n.json", "--json")
        self.assertEqual([out[k] for k in ["is_discrete", "is_kind_given", "normalizes_rows"]], [True, True, True])


if __name__ == "__main__":
    unittest.main()
