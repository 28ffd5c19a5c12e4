"""Malformed graphs: exit code 65, nothing on standard output, a message that names the file and the place."""
import json
import unittest

from support import DATA, NOINPUT, ProgramCase, changed, geometric, kingman3, loop

K = kingman3()

# what is wrong, the graph, parts of the message
GRAPHS = [
    ("no key", changed(K, states=None), ["states"]),
    ("no n_vertices", changed(K, n_vertices=None), ["n_vertices"]),
    ("no param_length", changed(K, param_length=None), ["param_length"]),
    ("unknown key", {**K, "colour": 1}, ["colour"]),
    ("string for a count", changed(K, param_length="1"), ["param_length"]),
    ("map for an array", changed(K, edges={"0": 1}), ["edges"]),
    ("null", changed(K, n_vertices=0) | {"n_vertices": [4]}, ["n_vertices"]),
    ("flat states", changed(K, states=[0, 3, 2, 1]), ["states"]),
    ("ragged states", changed(K, states=[[0], [3], [2, 2], [1]]), ["states", "row 2"]),
    ("too few states", changed(K, states=[[0], [3], [2]]), ["states", "3", "4"]),
    ("state_length", changed(K, state_length=2), ["states", "2"]),
    ("fractional state", changed(K, states=[[0], [3], [2.5], [1]]), ["states", "row 2", "2.5"]),
    ("state beyond int32", changed(K, states=[[0], [3], [3000000000], [1]]), ["states", "row 2", "3000000000"]),
    ("too few columns", changed(K, param_edges=[[1.0, 2.0], [2.0, 3.0, 1.0]]), ["param_edges", "row 0"]),
    ("target out of range", changed(K, param_edges=[[1, 2, 3.0], [2, 4, 1.0]]), ["param_edges", "row 1", "4"]),
    ("fractional target", changed(K, param_edges=[[1, 2, 3.0], [2, 2.5, 1.0]]), ["param_edges", "row 1", "2.5"]),
    ("negative source", changed(K, param_edges=[[-1, 2, 3.0], [2, 3, 1.0]]), ["param_edges", "row 0", "-1"]),
    ("start target out of range", changed(K, start_edges=[[9, 1.0]]), ["start_edges", "row 0", "9"]),
    ("negative constant weight", changed(loop(), edges=[[1, 2, 2.0], [2, 3, -3.0]]), ["edges", "row 1", "-3"]),
    ("self-loop", changed(K, param_edges=[[1, 2, 3.0], [2, 2, 1.0], [2, 3, 1.0]]), ["row 1", "self"]),
    ("start that sums to 0.7", changed(K, start_edges=[[1.0, 0.7]]), ["0.69999", "--normalize-start"]),
    ("no way to absorption", changed(loop(), edges=[[1, 2, 2.0], [2, 1, 1.0]]), ["absor", "SCC"]),
    ("start vertex with in-edges", changed(K, param_edges=[[1, 2, 3.0], [2, 3, 1.0], [2, 0, 1.0]]), ["row 2", "start"]),
    ("no states", changed(K, states=[], n_vertices=0, vertex_indices=[], start_edges=[], param_edges=[]), ["states", "no rows"]),
    ("weight_mode log", changed(K, weight_mode="log"), ["weight_mode", "log", "linear"]),
    ("old format", changed(K, param_edges=[[1.0, 2.0, 0.0, 3.0], [2.0, 3.0, 0.0, 1.0]]), ["phasic-0.21"]),
    ("probabilities above one", changed(geometric(), edges=[[1, 2, 1.25]]), ["1.25"]),
    ("absorbing self-loop above one", changed(geometric(), edges=[[1, 2, 0.25], [2, 2, 5]]),
     ["theta row 0", "row 2 (state [2])", "add up to 5 ", "expected at most 1"]),
]

# JSON that json.dumps does not write, put in place of a number
NUMBERS = ["NaN", "Infinity", "-Infinity", "1e999", "0x10", "1.", ".5", "01", "--1", "null", "true", '"1"', "[1]", "{}"]


class Malformed(ProgramCase):
    def run_graph(self, text, parts, *args):
        self.write("bad.json", text)
        self.refused(DATA, ["bad.json", *parts], "run", "bad.json", *(args or self.theta(text)))

    def theta(self, text):
        return ["--theta", "1"] if b'"param_length": 1' in text else []

    def test_graphs(self):
        for what, graph, parts in GRAPHS:
            with self.subTest(what):
                self.run_graph(json.dumps(graph).encode(), parts)

    def test_numbers(self):
        for number in NUMBERS:
            text = json.dumps(K).replace("[2.0, 3.0, 1.0]", f"[2.0, 3.0, {number}]").encode()
            with self.subTest(number):
                self.run_graph(text, ["byte "])

    def test_not_json(self):
        for text in [b"", b" \n", b"hello", b"[1, 2]", b'"graph"', b"\x00\x01", b"<xml/>", b"\xff" * 9]:
            with self.subTest(text):
                self.run_graph(text, ["byte "], "--theta", "1")

    def test_anything_after_the_document(self):
        self.run_graph(json.dumps(K).encode() + b" {}", ["byte "])

    def test_key_twice(self):
        text = json.dumps(K)[:-1] + ', "param_length": 1}'
        self.run_graph(text.encode(), ["param_length"])

    def test_cut_at_every_byte(self):
        text = json.dumps(changed(loop(), states=[[0], [1], [2], [3]])).encode()
        for n in range(len(text)):
            done = self.phasemill("run", "-", stdin=text[:n])
            self.assertEqual((done.returncode, done.stdout), (DATA, b""), n)
            self.assertIn(b"byte ", done.stderr)

    def test_message_pack_cut_and_changed(self):
        self.write("g.json", loop())
        whole = self.ok("convert", "g.json", "-", "--to", "msgpack")
        for n in range(0, len(whole), 7):
            done = self.phasemill("run", "-", stdin=whole[:n])
            self.assertEqual((done.returncode, done.stdout), (DATA, b""), n)
            self.assertIn(b"byte ", done.stderr)

    def test_files_that_cannot_be_read(self):
        self.refused(NOINPUT, "none.json", "run", "none.json", "--theta", "1")
        self.refused(NOINPUT, "folder", "run", ".", "--theta", "1")
        for command in [["inspect", "none.json"], ["convert", "none.json", "-"]]:
            self.refused(NOINPUT, "none.json", *command)

    def test_convert_and_inspect_refuse_alike(self):
        self.write("bad.json", changed(K, weight_mode="log"))
        self.refused(DATA, ["bad.json", "weight_mode"], "convert", "bad.json", "-")
        self.refused(DATA, ["bad.json", "weight_mode"], "inspect", "bad.json")


if __name__ == "__main__":
    unittest.main()
