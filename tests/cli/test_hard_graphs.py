"""Graphs on which a search for canonical forms is slow when it is done naively: the same key whatever the order of
rows and edges, in bounded time, and a second run that seeks and records nothing."""
import importlib.util
import json

from support import ROOT, ProgramCase

_SPEC = importlib.util.spec_from_file_location("hard_graphs", ROOT / "bench" / "hard_graphs.py")
hard_graphs = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(hard_graphs)

# recording, on a machine that does other work as well; nauty alone took 20 s for 450 states of "complete"
MOST_SECONDS = 15


class HardGraphs(ProgramCase):
    def run_of(self, name, shape, n, seed):
        path = self.dir / name
        path.write_text(json.dumps(hard_graphs.graph(shape, n, seed)))
        return json.loads(self.ok("run", path, "--moments", "1", "--format", "json", "--cache-dir", self.dir / shape))

    def check(self, shape, n):
        first = self.run_of("first.json", shape, n, None)
        self.assertEqual(first["sccs"]["recorded"], 1)
        self.assertLess(first["seconds"]["record"], MOST_SECONDS)
        # everybody leaves at rate 1/2, so that the time is exponential
        self.assertAlmostEqual(first["moments"][0][0], 2, delta=2e-12)
        same = self.run_of("first.json", shape, n, None)
        self.assertEqual(same["moments"], first["moments"])
        self.assertEqual((same["sccs"]["recorded"], same["sccs"]["cached"]), (0, 1))
        other = self.run_of("other.json", shape, n, 1)
        self.assertEqual((other["sccs"]["recorded"], other["sccs"]["cached"]), (0, 1))
        self.assertLess(other["seconds"]["record"], MOST_SECONDS)
        self.assertAlmostEqual(other["moments"][0][0], 2, delta=2e-12)

    def test_hub_of_100000_leaves(self):
        self.check("star", 100000)

    def test_complete_graph_of_500(self):
        self.check("complete", 500)

    def test_path_of_100000(self):
        self.check("path", 100000)

    def test_grid_of_100_by_100(self):
        self.check("grid", 100)

    def test_hypercube_of_10_dimensions(self):
        self.check("hypercube", 10)

    def test_rook_graph_of_20_by_20(self):
        self.check("rook", 20)

    def test_paley_graph_of_401(self):
        self.check("paley", 401)

    def test_latin_square_graph_of_16(self):
        self.check("latin", 16)

    def test_graphs_alike_in_all_counts(self):
        """Both are strongly regular with the same numbers; with the rook graph in place of the other the key differs."""
        self.check("shrikhande", 10)
        rooks = hard_graphs.beside_hub([hard_graphs.rook(4)] * 20)
        hard_graphs.SHAPES["rooks"] = lambda n: rooks
        self.addCleanup(hard_graphs.SHAPES.pop, "rooks")
        path = self.dir / "rooks.json"
        path.write_text(json.dumps(hard_graphs.graph("rooks", 10)))
        run = json.loads(self.ok("run", path, "--moments", "1", "--format", "json", "--cache-dir", self.dir / "shrikhande"))
        self.assertEqual((run["sccs"]["recorded"], run["sccs"]["cached"]), (1, 0))

    def test_cubes_but_for_one_edge(self):
        self.check("cubes", 60)

    def test_tree_of_60000_leaves(self):
        self.check("tree", 60000)

    def test_comb_of_50000(self):
        self.check("comb", 50000)

    def test_ring_of_100000(self):
        self.check("cycle", 100000)
