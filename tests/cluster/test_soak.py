"""Two minutes of the soak (tests/cluster/soak), from a seed of its own, which a failure shows."""
import pathlib
import subprocess
import sys
import unittest

SOAK = pathlib.Path(__file__).resolve().parent / "soak.py"
MINUTES = 2


class Soak(unittest.TestCase):
    def test_two_minutes(self):
        done = subprocess.run([sys.executable, SOAK, str(MINUTES)], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=60 * (MINUTES + 6))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr[-20000:])
        for line in ("units lost 0", "results that differ 0"):
            self.assertIn(line, done.stdout)
        self.assertNotIn("units done 0\n", done.stdout)


if __name__ == "__main__":
    unittest.main()
