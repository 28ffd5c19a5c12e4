"""Runs the built program on graphs held in memory."""
import json
import os
import subprocess
import tempfile

PROGRAM = os.environ["PHASEMILL"]
EXAMPLES = os.path.join(os.path.dirname(__file__), "..", "..", "examples")


def call(*arguments, stdin=None, env=None):
    """Runs phasemill; returns the finished process with its output as text."""
    return subprocess.run([PROGRAM, *map(str, arguments)], input=stdin, capture_output=True, text=True, timeout=300,
                          env={**os.environ, **(env or {})}, check=False)


def checked(*arguments, stdin=None, env=None):
    done = call(*arguments, stdin=stdin, env=env)
    if done.returncode != 0:
        line = " ".join(map(str, arguments))
        raise AssertionError(f"phasemill {line[:300]}: exit {done.returncode}\n{done.stderr}")
    return done.stdout


def run_text(graph, *arguments, env=None, cache=()):
    """The output of `run --format json` on a graph (a dict, or a path)."""
    options = ["--format", "json", "--quiet", *(cache or ["--no-cache"]), *arguments]
    if isinstance(graph, dict):
        return checked("run", "-", *options, stdin=json.dumps(graph), env=env)
    return checked("run", graph, *options, env=env)


def run(graph, *arguments, **keywords):
    return json.loads(run_text(graph, *arguments, **keywords))


def theta_text(rows):
    return ";".join(",".join(repr(float(v)) for v in row) for row in rows)


def generate(*arguments):
    return json.loads(checked("generate", *arguments))


class Table:
    """A CSV file of rows of numbers, there while the `with` block runs."""

    def __init__(self, rows):
        self.rows = rows

    def __enter__(self):
        handle, self.path = tempfile.mkstemp(suffix=".csv")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            for row in self.rows:
                file.write(",".join(repr(float(v)) for v in row) + "\n")
        return self.path

    def __exit__(self, *_):
        os.unlink(self.path)
