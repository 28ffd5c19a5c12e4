"""What comes from elsewhere is escaped where it is shown: it neither steers a terminal nor forges a line."""
import json
import os
import re

from support import ProgramCase, kingman3

EVIL = "\x1b[2J\x07\x9b31m\u202egnp\u2066\u200f\u061c\u2028x\nphasemill: all is well\r\t\x7f"
SAFE = r"\x1b[2J\x07\u009b31m\u202egnp\u2066\u200f\u061c\u2028x\nphasemill: all is well\r\t\x7f"
STEERS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


class Shown(ProgramCase):
    def check(self, *args, lines=1):
        """Nothing of what is printed steers; standard error has so many lines, none of which was forged."""
        done = self.phasemill(*args)
        out, err = done.stdout.decode(), done.stderr.decode()
        self.assertIsNone(STEERS.search(out), repr(out))
        self.assertIsNone(STEERS.search(err), repr(err))
        self.assertNotRegex(err, "(?m)^phasemill: all is well")
        if lines is not None:
            self.assertEqual(err.count("\n"), lines, err)
        return done, out, err

    def test_names_on_the_command_line(self):
        for args in [(EVIL,), ("run", "--" + EVIL), ("generate", EVIL), ("help", EVIL), ("cache", EVIL), ("config", EVIL)]:
            with self.subTest(args):
                _, _, err = self.check(*args)
                self.assertIn(SAFE, err)

    def test_names_of_files(self):
        folder = self.dir / "f"
        folder.mkdir()
        path = folder / (EVIL.replace("/", "") + ".json")
        _, _, err = self.check("run", path, "--theta", "1")
        self.assertIn(SAFE, err)
        path.write_text(json.dumps(kingman3()))
        done, _, _ = self.check("run", path, "--theta", "1", "--format", "json", lines=None)
        self.assertEqual(done.returncode, 0)
        _, _, err = self.check("run", path, "--theta", "1", "--output", folder / EVIL / "x.json")
        self.assertIn(SAFE, err)

    def test_bytes_that_are_no_characters(self):
        name = os.fsencode(self.dir) + b"/\xff\xc3\x1b[m"
        _, _, err = self.check("run", name, "--theta", "1")
        self.assertIn(r"\xff\xc3\x1b[m", err)

    def test_keys_of_graphs(self):
        path = self.dir / "g.json"
        for key in [EVIL, "\u001b[2J\nphasemill: all is well"]:
            path.write_text(json.dumps({**kingman3(), key: 1}))
            _, _, err = self.check("run", path, "--theta", "1")
            self.assertIn(r"\x1b[2J", err)
        path.write_text(json.dumps({**kingman3(), "weight_mode": EVIL}))
        self.check("run", path, "--theta", "1")

    def test_cells_of_tables(self):
        path = self.dir / "t.csv"
        path.write_text('1\n"\x1b[2J\x9b"\n')
        graph = self.dir / "g.json"
        graph.write_text(json.dumps(kingman3()))
        self.check("run", graph, "--theta", path)

    def test_settings(self):
        path = self.dir / "c"
        path.write_bytes(b"[kafka]\nbrokers = a\x1b[2J\xc2\x9b:1\n")
        for form in [(), ("--json",)]:
            done, out, _ = self.check("config", "show", "--config", path, *form, lines=None)
            self.assertTrue(done.returncode or "9b" in out)
        self.env["PHASEMILL_REDIS_" + EVIL] = "1"
        self.check("config", "show")


if __name__ == "__main__":
    import unittest

    unittest.main()
