"""What the tests of the program share. Run them all with

    PHASEMILL=build/phasemill /usr/bin/python3 -m unittest discover -s tests/cli -t tests/cli
"""
import copy
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.path.abspath(os.environ.get("PHASEMILL", ROOT / "build" / "phasemill"))

USAGE, DATA, NOINPUT, UNAVAILABLE, OSERR, CANTCREAT, IO = 64, 65, 66, 69, 71, 73, 74


def kingman3():
    """Kingman's coalescent of three lineages as phasic writes it: rates 3 theta and theta."""
    return {
        "states": [[0], [3], [2], [1]],
        "vertex_indices": [0, 1, 2, 3],
        "edges": [],
        "constant_edges": [],
        "start_edges": [[1.0, 1.0]],
        "param_edges": [[1.0, 2.0, 3.0], [2.0, 3.0, 1.0]],
        "start_param_edges": [],
        "param_length": 1,
        "state_length": 1,
        "n_vertices": 4,
        "weight_mode": "linear",
        "dyn_ordering": False,
        "is_discrete": False,
        "was_dph": False,
    }


def loop():
    """Two transient states that lead to each other, without parameters: a -> b 2, b -> a 1, b -> end 3."""
    return {
        "states": [[0], [1], [2], [3]],
        "edges": [[1, 2, 2.0], [2, 1, 1.0], [2, 3, 3.0]],
        "start_edges": [[1, 1.0]],
        "param_edges": [],
        "start_param_edges": [],
        "param_length": 0,
        "state_length": 1,
        "n_vertices": 4,
    }


def geometric():
    """A discrete chain that leaves its one state with probability 1/4."""
    return {
        "states": [[0], [1], [2]],
        "edges": [[1, 2, 0.25]],
        "start_edges": [[1, 1.0]],
        "param_edges": [],
        "start_param_edges": [],
        "param_length": 0,
        "state_length": 1,
        "n_vertices": 3,
        "is_discrete": True,
    }


def changed(graph, **changes):
    """A copy with keys replaced; a value of None takes the key out."""
    out = copy.deepcopy(graph)
    for key, value in changes.items():
        if value is None:
            out.pop(key, None)
        else:
            out[key] = value
    return out


class ProgramCase(unittest.TestCase):
    """A test with a folder of its own, which is also the current one and holds the cache."""

    maxDiff = None

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name)
        self.env = {**os.environ, "XDG_CACHE_HOME": str(self.dir / "cache"), "HOME": str(self.dir)}

    def phasemill(self, *args, stdin=b"", stdout=subprocess.PIPE):
        return subprocess.run(
            [PROGRAM, *(a if isinstance(a, bytes) else str(a) for a in args)],
            input=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            cwd=self.dir,
            env=self.env,
            timeout=120,
        )

    def ok(self, *args, **kwargs):
        """Standard output of a run that must succeed."""
        done = self.phasemill(*args, **kwargs)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return done.stdout

    def json(self, *args, **kwargs):
        text = self.ok(*args, **kwargs)
        self.assertEqual(text.count(b"\n"), 1, "one object on one line")
        return json.loads(text, parse_constant=self.fail)

    def refused(self, code, parts, *args, **kwargs):
        """A run that must fail: its exit code, nothing on standard output, all parts in the message."""
        done = self.phasemill(*args, **kwargs)
        message = done.stderr.decode()
        self.assertEqual(done.returncode, code, f"{args}: {message or done.stdout[:200]}")
        if kwargs.get("stdout") is None:
            self.assertEqual(done.stdout, b"", args)
        self.assertIn("phasemill: ", message)
        for part in [parts] if isinstance(parts, str) else parts:
            self.assertIn(part, message, args)
        return message

    def write(self, name, content):
        path = self.dir / name
        if isinstance(content, (dict, list)):
            content = json.dumps(content)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return name

    def files(self):
        return sorted(p.name for p in self.dir.iterdir() if p.is_file())
