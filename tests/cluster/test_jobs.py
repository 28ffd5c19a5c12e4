"""Jobs from submission to result: bits as on one machine, nothing recorded twice, whatever comes first."""
import json
import unittest

from harness import support

MODELS = {
    "arg7": (["two-locus-arg", "--n", 7], "2,5;1,0.5"),
    "jsfs55": (["jsfs", "--n1", 5, "--n2", 5], "1,2,0.5,0.25"),
    "random": (["random", "--sccs", 2000, "--size", 20, "--seed", 3], "1,2;0.5,3"),
}
QUANTITIES = ["--moments", 3, "--pdf", "--cdf", "--times", "0:4:0.5", "--threads", 2]
VOLATILE = "seconds"


def comparable(text):
    """A result without what may differ: how long it took, how many SCCs were recorded or known, and which rows took
    more digits, which workers do not tell."""
    result = json.loads(text)
    result.pop(VOLATILE)
    for name in ("rows_extended", "rows_squared"):
        result["method"].pop(name, None)
    counts = result.pop("sccs")
    return result, {k: v for k, v in counts.items() if k not in ("recorded", "cached")}


class Jobs(support.ClusterCase):
    def graph(self, *args, name="g"):
        path = self.cluster.run / f"{name}.msgpack"
        self.cluster.ok("generate", *args, "--output", path)
        return path

    def sequential(self, graph, theta, *args):
        return self.cluster.ok("run", graph, "--theta", theta, *(args or QUANTITIES), "--strategy", "sequential",
                               "--no-cache", "--format", "json")

    def same(self, a, b):
        self.assertEqual(comparable(a), comparable(b))

    def relabelled(self, graph):
        """The same chain with its rows in another order: another job, of the same SCCs."""
        text = self.cluster.ok("convert", graph, "-", "--to", "json")
        g = json.loads(text)
        n = g["n_vertices"]
        new = {v: v if v == 0 else n - v for v in range(n)}
        states = [None] * n
        for v, state in enumerate(g["states"]):
            states[new[v]] = state
        g["states"] = states
        for key in ("edges", "constant_edges", "param_edges"):
            g[key] = [[new[int(row[0])], new[int(row[1])], *row[2:]] for row in g.get(key) or []]
        for key in ("start_edges", "start_param_edges"):
            g[key] = [[new[int(row[0])], *row[1:]] for row in g.get(key) or []]
        path = self.cluster.run / "relabelled.json"
        path.write_text(json.dumps({k: v for k, v in g.items() if v is not None}))
        return path

    # ---- bits ----

    def test_three_workers_give_the_bits_of_sequential(self):
        self.cluster.workers(3)
        for name, (args, theta) in MODELS.items():
            with self.subTest(name):
                graph = self.graph(*args, name=name)
                expected = self.sequential(graph, theta)
                job = self.cluster.submit(graph, "--no-cache", "--min-size", 0)
                self.assertEqual(job, json.loads(expected)["job"])
                got = self.cluster.collect(job, "--theta", theta, *QUANTITIES, "--no-cache", "--timeout", 120)
                self.same(expected, got)
                self.same(expected, self.cluster.ok("run", graph, "--theta", theta, *QUANTITIES, "--no-cache",
                                                    "--strategy", "cluster"))

    def test_submit_and_wait_is_collect(self):
        self.cluster.worker()
        graph = self.graph("rabbits", "--n", 12)
        theta = "1,2,4"
        expected = self.sequential(graph, theta)
        self.same(expected, self.cluster.ok("submit", graph, "--wait", "--min-size", 0, "--theta", theta, *QUANTITIES))
        self.assertEqual(self.cluster.ok("submit", graph, "--wait").decode().strip(), json.loads(expected)["job"])

    # ---- nothing twice ----

    def submission(self, graph, *args):
        """(known, recorded here, units) of a submission, from its log."""
        done = self.cluster.phasemill("submit", graph, "--min-size", 0, "--no-cache", *args)
        text = done.stderr.decode()
        self.assertEqual(done.returncode, 0, text)
        words = text.split("distinct: ")[1].replace(",", "").split()
        return int(words[0]), int(words[2]), int(words[5])

    def test_what_is_known_is_not_recorded_again(self):
        self.cluster.workers(2)
        graph = self.graph(*MODELS["jsfs55"][0])
        known, here, units = self.submission(graph)
        self.assertEqual((known, here), (0, 0))
        self.assertGreater(units, 0)
        job = self.cluster.ok("submit", graph, "--wait", "--no-cache").decode().strip()
        distinct = self.submission(graph)[0]
        self.assertEqual(self.submission(graph), (distinct, 0, 0))
        self.assertGreater(distinct, 0)
        other = self.relabelled(graph)
        self.assertEqual(self.submission(other), (distinct, 0, 0))
        result = json.loads(self.cluster.collect(self.cluster.submit(other), "--theta", "1,2,0.5,0.25"))
        self.assertNotEqual(result["job"], job)
        self.assertEqual(result["sccs"]["recorded"], 0)

    def test_units_on_their_way_are_not_sent_again(self):
        graph = self.graph(*MODELS["random"][0])
        known, here, units = self.submission(graph)
        self.assertGreater(units, 1)
        self.assertEqual(self.submission(graph), (0, 0, 0))
        self.cluster.worker()
        self.cluster.collect(self.cluster.submit(graph), "--theta", "1,2", "--timeout", 120)

    def test_what_only_the_disk_has_is_uploaded(self):
        graph = self.graph("islands", "--n", 12)
        self.cluster.ok("run", graph, "--theta", "1,1,1,1", "--strategy", "threads")
        done = self.cluster.phasemill("submit", graph, "--min-size", 0)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(b" 0 units sent", done.stderr)
        job = done.stdout.decode().strip()
        expected = self.sequential(graph, "1,2,1,1")
        self.same(expected, self.cluster.collect(job, "--theta", "1,2,1,1", *QUANTITIES, "--no-cache", "--timeout", 20))

    def test_a_small_graph_is_recorded_by_its_submitter(self):
        graph = self.graph("islands", "--n", 4)
        done = self.cluster.phasemill("submit", graph)
        self.assertIn(b" 0 units sent", done.stderr)
        job = done.stdout.decode().strip()
        self.same(self.sequential(graph, "1,2,1,1"),
                  self.cluster.collect(job, "--theta", "1,2,1,1", *QUANTITIES, "--timeout", 20))

    # ---- whatever comes first ----

    def test_workers_before_topics(self):
        worker = self.cluster.worker()
        worker.wait_log("worker")
        graph = self.graph("rabbits", "--n", 12)
        job = self.cluster.submit(graph, "--min-size", 0, "--no-cache")
        self.cluster.collect(job, "--theta", "1,2,4", "--timeout", 60)

    def test_topics_before_workers(self):
        graph = self.graph("rabbits", "--n", 12)
        job = self.cluster.submit(graph, "--min-size", 0, "--no-cache")
        collector = self.cluster.start("collect", job, "--theta", "1,2,4", "--format", "json", "--timeout", 90)
        collector.wait_log("no worker has been alive", 30)
        self.cluster.worker()
        self.assertEqual(collector.wait(90), 0, collector.log)
        self.same(self.sequential(graph, "1,2,4", "--moments", 2, "--threads", 2),
                  self.cluster.collect(job, "--theta", "1,2,4", "--threads", 2))

    # ---- refusals ----

    def test_what_is_missing_is_named(self):
        graph = self.graph("rabbits", "--n", 12)
        self.refused(69, "no worker is alive", "run", graph, "--theta", "1,2,4", "--strategy", "cluster")
        self.refused(75, ["missing after", "0 workers are alive", "collect"], "submit", graph, "--min-size", 0,
                     "--no-cache", "--wait", "--timeout", 1)
        self.refused(66, ["submit"], "collect", "ab" * 32, "--theta", "1")
        self.refused(64, '"ab"', "collect", "ab", "--theta", "1")
        self.refused(64, ["--theta", "--wait"], "submit", graph, "--theta", "1,2,4")
        self.refused(64, ["--evaluate"], "run", graph, "--theta", "1,2,4", "--evaluate", "cluster")

    def test_auto_stays_here_when_that_is_quick(self):
        self.cluster.worker()
        graph = self.graph("rabbits", "--n", 12)
        done = self.cluster.phasemill("run", graph, "--theta", "1,2,4", "--verbose", "--no-cache")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(b"strategy threads", done.stderr)

    # ---- evaluation on the cluster ----

    def test_slices_give_the_same_bits_and_are_not_computed_twice(self):
        self.cluster.workers(2)
        graph = self.graph("two-locus-arg", "--n", 5)
        theta = self.cluster.run / "theta.csv"
        theta.write_text("".join(f"{1 + 0.01 * i},{5 / (i + 1)}\n" for i in range(400)))
        expected = self.sequential(graph, theta)
        job = self.cluster.submit(graph, "--min-size", 0, "--no-cache")
        args = [job, "--theta", theta, *QUANTITIES, "--evaluate", "cluster", "--no-cache", "--timeout", 120]
        first = self.cluster.phasemill("collect", *args)
        self.assertEqual(first.returncode, 0, first.stderr)
        self.same(expected, first.stdout)
        self.assertRegex(first.stderr.decode(), r"slices of theta: 0 results known, [1-9]")
        second = self.cluster.phasemill("collect", *args)
        self.same(expected, second.stdout)
        self.assertRegex(second.stderr.decode(), r"slices of theta: [1-9]\d* results known, 0 units sent")
        self.same(expected, self.cluster.ok("run", graph, "--theta", theta, *QUANTITIES, "--evaluate", "cluster",
                                            "--strategy", "cluster"))

    def test_a_row_that_cannot_be_evaluated_is_named_as_in_the_batch(self):
        self.cluster.worker()
        graph = self.graph("rabbits", "--n", 12)
        theta = self.cluster.run / "theta.csv"
        theta.write_text("1,2,4\n" * 70 + "1,-2,4\n" + "1,2,4\n" * 9)
        job = self.cluster.submit(graph, "--min-size", 0, "--no-cache")
        here = self.refused(65, "theta row 70", "run", graph, "--theta", theta)
        there = self.refused(65, "theta row 70", "collect", job, "--theta", theta, "--evaluate", "cluster",
                             "--timeout", 60)
        self.assertEqual(here.strip().split("theta row 70")[1], there.strip().split("theta row 70")[1])


if __name__ == "__main__":
    unittest.main()
