"""Files that `convert` and `generate` write, read by Python's own json and msgpack and held against the schema."""
import glob
import json
import os
import random
import struct
import subprocess
import tempfile
import unittest

import jsonschema
import msgpack

from program import EXAMPLES, PROGRAM, generate

SCHEMA = os.path.join(os.path.dirname(__file__), "..", "..", "schemas", "graph.schema.json")
OPTIONAL = {"constant_edges": [], "start_param_edges": [], "is_discrete": False, "weight_mode": "linear",
            "was_dph": False}
MEANINGLESS = ("vertex_indices", "dyn_ordering")


def converted(data, to):
    """The bytes that `convert` makes of a graph given as bytes."""
    done = subprocess.run([PROGRAM, "convert", "-", "-", "--to", to], input=data, capture_output=True, timeout=300,
                          check=False)
    if done.returncode != 0:
        raise AssertionError(done.stderr.decode())
    return done.stdout


def meaning(graph):
    """Every number as the bits of a double; what the file may leave out is there."""
    def bits(value):
        if isinstance(value, list):
            return [bits(v) for v in value]
        return value if isinstance(value, (bool, str)) else struct.pack("<d", value)

    return {k: bits(v) for k, v in {**OPTIONAL, **graph}.items() if k not in MEANINGLESS}


def random_graph(seed):
    rng = random.Random(seed)
    n, length, params = rng.randint(2, 30), rng.randint(0, 4), rng.randint(0, 3)

    def weight():
        return rng.choice([1.0, 0.1, 3.0, rng.random(), 10.0 ** rng.uniform(-320, 308), float(rng.randrange(1 << 60))])

    def pairs(count):
        return [rng.sample(range(1, n + 1), 2) for _ in range(count)]

    discrete = rng.random() < 0.5
    return {
        "states": [[0] * length] + [[rng.randint(-(1 << 31), (1 << 31) - 1) for _ in range(length)] for _ in range(n)],
        "edges": [[*p, weight()] for p in pairs(rng.randint(0, 5))],
        "constant_edges": [[*p, weight()] for p in pairs(rng.randint(0, 5))],
        "start_edges": [[rng.randint(1, n), weight()] for _ in range(rng.randint(1, 3))],
        "param_edges": [[*p, *[rng.choice([-1, 1]) * weight() for _ in range(params)]] for p in pairs(20)] if params else [],
        "start_param_edges": [[rng.randint(1, n), *[weight() for _ in range(params)]]] if params else [],
        "param_length": params, "state_length": length, "n_vertices": n + 1, "is_discrete": discrete,
        "was_dph": discrete and rng.random() < 0.5,
    }


class GraphFiles(unittest.TestCase):
    def setUp(self):
        with open(SCHEMA, encoding="utf-8") as file:
            self.schema = jsonschema.Draft202012Validator(json.load(file))

    def check(self, graph):
        want = meaning(graph)
        for data in (json.dumps(graph).encode(), msgpack.packb(graph)):
            as_json, as_msgpack = converted(data, "json"), converted(data, "msgpack")
            for written in (json.loads(as_json), msgpack.unpackb(as_msgpack)):
                self.schema.validate(written)
                self.assertEqual(meaning(written), want)
                self.assertEqual(written["vertex_indices"], list(range(graph["n_vertices"])))

    def test_files_of_phasic_keep_every_number(self):
        paths = glob.glob(os.path.join(EXAMPLES, "phasic-*.json"))
        self.assertTrue(paths)
        for path in paths:
            with open(path, encoding="utf-8") as file:
                self.check(json.load(file))

    def test_random_graphs_keep_every_number(self):
        for seed in range(40):
            with self.subTest(seed=seed):
                self.check(random_graph(seed))

    def test_generated_models_are_valid(self):
        for arguments in (["kingman", "n=5"], ["rabbits", "n=4"], ["two-locus-arg", "n=3"]):
            self.check(generate(*arguments))

    def test_a_file_and_its_msgpack_are_the_same_job(self):
        path = os.path.join(EXAMPLES, "phasic-0.32.1-arg3.json")
        jobs = []
        with open(path, "rb") as file:
            data = file.read()
        for document in (data, converted(data, "msgpack")):
            with tempfile.NamedTemporaryFile() as file:
                file.write(document)
                file.flush()
                done = subprocess.run([PROGRAM, "run", file.name, "--theta", "1,1", "--moments", "1", "--no-cache",
                                       "--quiet", "--format", "json"], capture_output=True, timeout=300, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            jobs.append(json.loads(done.stdout)["job"])
        self.assertEqual(jobs[0], jobs[1])


if __name__ == "__main__":
    unittest.main()
