"""What the machine, and a container on it, lets `run` have. Control groups of version 1 are made where this user may."""
import os
import pathlib
import subprocess
import unittest

from support import PROGRAM, ProgramCase, kingman3

MEMORY = pathlib.Path("/sys/fs/cgroup/memory/phasemill-test-%d" % os.getpid())
CPU = pathlib.Path("/sys/fs/cgroup/cpu/phasemill-test-%d" % os.getpid())


class Machine(ProgramCase):
    def group(self, folder, values):
        """Makes a control group that goes with the test."""
        try:
            folder.mkdir()
        except OSError as error:
            self.skipTest("no control groups of version 1 to make here: %s" % error)
        self.addCleanup(folder.rmdir)
        for name, value in values.items():
            (folder / name).write_text(value)

    def in_group(self, folder, *args):
        def enter():
            (folder / "tasks").write_text(str(os.getpid()))
        return subprocess.run([PROGRAM, *args], cwd=self.dir, env=self.env, capture_output=True, text=True,
                              preexec_fn=enter)

    def test_threads_of_openmp(self):
        self.write("g.json", kingman3())
        self.env["OMP_NUM_THREADS"] = "1"
        args = ["run", "g.json", "--theta", "1", "--no-cache"]
        self.assertEqual(self.json(*args)["method"]["threads"], 1)
        self.assertEqual(self.json(*args, "--threads", "2")["method"]["threads"], 2)

    def test_quota_of_a_container(self):
        self.write("g.json", kingman3())
        self.group(CPU, {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "90000"})
        out = self.in_group(CPU, "run", "g.json", "--theta", "1", "--no-cache")
        self.assertEqual(out.returncode, 0, out.stderr)
        self.assertIn('"threads": 1}', out.stdout)

    def test_memory_of_a_container(self):
        """More lanes would fit the machine; in the group they would be killed."""
        self.ok("generate", "tandem", "k1=100", "k2=100", "--output", "t.msgpack")
        self.write("theta.csv", "0.8,1,1.2,0.9\n" * 64)
        self.group(MEMORY, {"memory.limit_in_bytes": str(60 << 20)})
        out = self.in_group(MEMORY, "run", "t.msgpack", "--theta", "theta.csv", "--moments", "2", "--threads", "2",
                            "--quiet")
        self.assertEqual(out.returncode, 0, out.stderr)


if __name__ == "__main__":
    unittest.main()
