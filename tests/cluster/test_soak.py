"""The soak (tests/cluster/soak) for two minutes, and for one with a cluster.key, from seeds of their own, which a failure
shows."""
import pathlib
import subprocess
import sys
import unittest

SOAK = pathlib.Path(__file__).resolve().parent / "soak.py"


class Soak(unittest.TestCase):
    def test_two_minutes(self):
        self.soak(2)

    def test_a_minute_with_a_key(self):
        self.soak(1, "--key")

    def soak(self, minutes, *options):
        done = subprocess.run([sys.executable, SOAK, str(minutes), *options], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60 * (minutes + 6))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr[-20000:])
        for line in ("units lost 0", "results that differ 0"):
            self.assertIn(line, done.stdout)
        self.assertNotIn("units done 0\n", done.stdout)


if __name__ == "__main__":
    unittest.main()
