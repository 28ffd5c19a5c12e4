"""`generate` and `convert`."""
import json
import unittest

import msgpack

from support import CANTCREAT, ROOT, USAGE, ProgramCase, kingman3

PHASIC = sorted((ROOT / "examples").glob("phasic-*.json"))


class Generate(ProgramCase):
    def test_list_names_arguments_and_parameters(self):
        names = self.ok("generate", "--names").decode().split()
        text = self.ok("generate", "--list").decode()
        for name in names:
            self.assertRegex(text, rf"(?m)^{name}$")
        for name in ["kingman", "block-coalescent", "rabbits", "two-locus-arg", "isolation-migration", "islands", "jsfs",
                     "tandem", "random"]:
            self.assertIn(name, names)
        self.assertIn("theta: coalescence recombination", text)
        self.assertIn("--n ", self.ok("generate", "kingman", "--help").decode())

    def test_kingman(self):
        graph = json.loads(self.ok("generate", "kingman", "--n", "3"))
        self.assertEqual(graph["n_vertices"], 4)
        self.assertEqual(sorted(row[-1] for row in graph["param_edges"]), [1, 3])

    def test_published_sizes(self):
        for args, states, edges in [(["rabbits", "--n", "20"], 232, 841), (["two-locus-arg", "--n", "5"], 340, 2151)]:
            graph = json.loads(self.ok("generate", *args))
            rows = sum(len(graph[k]) for k in ["edges", "constant_edges", "param_edges", "start_edges"])
            self.assertEqual((graph["n_vertices"], rows), (states, edges), args)

    def test_arguments_both_ways_and_outputs(self):
        expected = self.ok("generate", "rabbits", "--n", "4")
        self.assertEqual(self.ok("generate", "rabbits", "n=4"), expected)
        self.assertEqual(self.ok("generate", "rabbits", "--n=4", "--output", "r.json"), b"")
        self.assertEqual((self.dir / "r.json").read_bytes(), expected)
        packed = msgpack.unpackb(self.ok("generate", "rabbits", "n=4", "--format", "msgpack"))
        self.assertEqual(packed, json.loads(expected))

    def test_refused(self):
        self.refused(USAGE, ["kingmann", "--list"], "generate", "kingmann")
        self.refused(USAGE, ["--list"], "generate")
        self.refused(USAGE, ["--n", "from 2 to"], "generate", "kingman", "--n", "1")
        self.refused(USAGE, ["--n", '"-5"'], "generate", "kingman", "n=-5")
        self.refused(USAGE, ["m=5", "n="], "generate", "kingman", "m=5")
        self.refused(USAGE, ["--m"], "generate", "kingman", "--m", "5")
        self.refused(USAGE, ["contradicts"], "generate", "kingman", "--output", "k.json", "--format", "msgpack")
        self.refused(CANTCREAT, ["missing/k.json"], "generate", "kingman", "--output", "missing/k.json")


class Convert(ProgramCase):
    def test_files_of_phasic_keep_every_number(self):
        self.assertTrue(PHASIC)
        for path in PHASIC:
            graph = json.loads(path.read_text())
            self.ok("convert", path, "g.msgpack")
            self.ok("convert", "g.msgpack", "g.json")
            for text in [(self.dir / "g.json").read_text()]:
                back = json.loads(text)
                packed = msgpack.unpackb((self.dir / "g.msgpack").read_bytes())
                for key in ["states", "edges", "start_edges", "param_edges", "param_length", "n_vertices"]:
                    self.assertEqual(back[key], graph[key], key)
                    self.assertEqual(packed[key], graph[key], key)

    def test_numbers_are_exact(self):
        odd = [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, 123456789.12345679]
        graph = kingman3()
        graph["states"] = [[0]] + [[i + 1] for i in range(6)]
        graph["n_vertices"] = 7
        graph["vertex_indices"] = list(range(7))
        graph["param_edges"] = [[i + 1, i + 2, w] for i, w in enumerate(odd)]
        self.write("odd.json", graph)
        for to in ["msgpack", "json"]:
            text = self.ok("convert", "odd.json", "-", "--to", to)
            back = msgpack.unpackb(text) if to == "msgpack" else json.loads(text)
            self.assertEqual([row[2] for row in back["param_edges"]], odd)

    def test_old_format_becomes_the_present_one(self):
        graph = kingman3()
        graph["param_edges"] = [[1, 2, 0.5, 3.0], [2, 3, 0.0, 1.0]]
        self.write("old.json", graph)
        self.ok("convert", "old.json", "new.json", "--format", "phasic-0.21")
        mean = self.json("run", "new.json", "--theta", "1", "--moments", "1")["moments"][0][0]
        self.assertAlmostEqual(mean, 1 / 3.5 + 1)

    def test_refused(self):
        self.write("g.json", kingman3())
        self.refused(USAGE, ["IN and OUT"], "convert", "g.json")
        self.refused(USAGE, ["g.txt", "--to"], "convert", "g.json", "g.txt")
        self.refused(USAGE, ["contradicts"], "convert", "g.json", "h.json", "--to", "msgpack")
        self.refused(USAGE, ["json or msgpack"], "convert", "g.json", "h.json", "--to", "xml")
        self.refused(CANTCREAT, ["missing/h.json"], "convert", "g.json", "missing/h.json")

    def test_a_file_may_become_itself(self):
        self.write("g.json", kingman3())
        self.ok("convert", "g.json", "g.json")
        self.assertEqual(json.loads((self.dir / "g.json").read_text())["n_vertices"], 4)


if __name__ == "__main__":
    unittest.main()
