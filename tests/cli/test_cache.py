"""`cache`, and `inspect` on keys, trace files and graphs."""
import json
import os
import re
import unittest

from support import CANTCREAT, DATA, NOINPUT, UNAVAILABLE, USAGE, ProgramCase, changed, kingman3, loop


class WithTraces(ProgramCase):
    def setUp(self):
        super().setUp()
        self.ok("generate", "two-locus-arg", "--n", "4", "--output", "arg.json")
        self.sccs = self.json("run", "arg.json", "--theta", "2,5")["sccs"]

    def keys(self, *args):
        return [entry["key"] for entry in self.json("cache", "list", "--json", *args)]


class Cache(WithTraces):
    def test_stat(self):
        stat = self.json("cache", "stat", "--json")
        self.assertEqual(stat["entries"], self.sccs["distinct"])
        self.assertGreater(stat["value_bytes"], 0)
        self.assertGreaterEqual(stat["file_bytes"], stat["value_bytes"])
        self.assertEqual(stat["limit"], 1 << 30)
        self.assertIn(str(stat["entries"]), self.ok("cache", "stat").decode())
        self.assertEqual(self.json("cache", "stat", "--json", "--cache-limit", "5M")["limit"], 5 << 20)

    def test_list_and_show(self):
        listed = self.json("cache", "list", "--json")
        self.assertEqual(len(listed), self.sccs["distinct"])
        for entry in listed:
            self.assertRegex(entry["key"], "^[0-9a-f]{64}$")
            self.assertFalse(entry["damaged"])
            self.assertRegex(entry["last_used"], r"^20\d\d-\d\d-\d\dT")
            shown = self.json("cache", "show", entry["key"], "--json")
            self.assertEqual([shown["key"], shown["states"]], [entry["key"], entry["states"]])
            self.assertEqual(shown["bytes"], entry["bytes"])
            self.assertGreaterEqual(shown["l_entries"] + shown["u_entries"], shown["edges"])
        lines = self.ok("cache", "list").decode().splitlines()
        self.assertEqual([line.split()[0] for line in lines[1:]], [e["key"] for e in listed])

    def test_show_refuses(self):
        self.refused(NOINPUT, ["0" * 64, "cache list"], "cache", "show", "0" * 64)
        self.refused(USAGE, ["64 hexadecimal"], "cache", "show", "abc")
        self.refused(USAGE, ["KEY"], "cache", "show")

    def test_verify_and_clear(self):
        n = self.sccs["distinct"]
        self.assertEqual(self.ok("cache", "verify").decode(), f"{n} traces, all sound\n")
        self.assertEqual(self.ok("cache", "clear").decode(), f"{n} traces removed\n")
        self.assertEqual(self.keys(), [])
        self.assertEqual(self.json("run", "arg.json", "--theta", "2,5")["sccs"]["recorded"], n)

    def test_export_and_import(self):
        n, keys = self.sccs["distinct"], self.keys()
        self.assertEqual(self.ok("cache", "export", "traces").decode(), f"{n} traces written\n")
        self.assertEqual(sorted(os.listdir(self.dir / "traces")), sorted(f"{k}.trace" for k in keys))
        other = ["--cache-dir", "other"]
        self.assertEqual(self.ok("cache", "import", "traces", *other).decode(), f"{n} traces imported\n")
        self.assertEqual(self.keys(*other), keys)
        sccs = self.json("run", "arg.json", "--theta", "2,5", *other)["sccs"]
        self.assertEqual((sccs["recorded"], sccs["cached"]), (0, n))
        single = ["--cache-dir", "single"]
        self.ok("cache", "import", f"traces/{keys[0]}.trace", *single)
        self.assertEqual(self.keys(*single), keys[:1])

    def test_import_of_a_bad_file_takes_nothing(self):
        self.ok("cache", "export", "traces")
        names = sorted(os.listdir(self.dir / "traces"))
        path = self.dir / "traces" / names[-1]
        whole = path.read_bytes()
        other = ["--cache-dir", "other"]
        bad = [whole[:-1], whole + b"x", b"", bytes([whole[0] ^ 1]) + whole[1:], whole[:-40] + b"\0" + whole[-39:]]
        for content in bad:
            path.write_bytes(content)
            self.refused(DATA, [names[-1]], "cache", "import", "traces", *other)
            self.assertEqual(self.keys(*other), [])
        self.refused(NOINPUT, ["none.trace"], "cache", "import", "none.trace", *other)
        os.mkdir(self.dir / "empty")
        self.refused(NOINPUT, ["empty"], "cache", "import", "empty", *other)

    def test_export_refuses(self):
        self.refused(CANTCREAT, ["missing/folder"], "cache", "export", "missing/folder")
        self.write("file", "")
        self.refused(CANTCREAT, ["file"], "cache", "export", "file")

    def test_usage(self):
        self.refused(USAGE, ["stat, list, show"], "cache")
        self.refused(USAGE, ['"drop"', "stat, list, show"], "cache", "drop")
        self.refused(USAGE, ["one operand too many"], "cache", "stat", "x")
        self.refused(USAGE, ["--json is for"], "cache", "clear", "--json")
        self.refused(USAGE, ["--remove is for"], "cache", "list", "--remove")
        self.write("file", "")
        self.refused(CANTCREAT, ["file/cache"], "cache", "stat", "--cache-dir", "file/cache")
        del self.env["XDG_CACHE_HOME"], self.env["HOME"]
        self.refused(UNAVAILABLE, ["--cache-dir"], "cache", "stat")

    def damage(self):
        """Changes one byte inside the last trace of the cache's file."""
        files = [p for p in (self.dir / "cache").rglob("*") if p.is_file()]
        data = next(p for p in files if b"phasemill.trace" in p.read_bytes())
        content = bytearray(data.read_bytes())
        at = content.rindex(b"phasemill.trace") + 100
        content[at] ^= 0x40
        data.write_bytes(content)

    def test_damage_is_noticed_logged_and_recorded_again(self):
        self.damage()
        self.refused(DATA, ["checksum", "1 of "], "cache", "verify")
        done = self.phasemill("run", "arg.json", "--theta", "2,5")
        self.assertEqual(done.returncode, 0)
        sccs = json.loads(done.stdout)["sccs"]
        self.assertEqual((sccs["recorded"], sccs["cached"]), (1, sccs["distinct"] - 1))
        self.assertIn(b"error: ", done.stderr)
        self.ok("cache", "verify")

    def test_damage_fails_a_strict_run(self):
        self.damage()
        self.refused(DATA, ["damaged"], "run", "arg.json", "--theta", "2,5", "--strict-cache")

    def test_verify_removes_on_request(self):
        self.damage()
        self.refused(DATA, ["were removed"], "cache", "verify", "--remove")
        self.assertEqual(len(self.keys()), self.sccs["distinct"] - 1)
        self.ok("cache", "verify")


class Inspect(WithTraces):
    def test_key_and_file(self):
        key = self.keys()[0]
        shown = self.json("cache", "show", key, "--json")
        self.assertEqual(self.json("inspect", key, "--json"), shown)
        self.ok("cache", "export", "traces")
        self.assertEqual(self.json("inspect", f"traces/{key}.trace", "--json"), shown)
        os.rename(self.dir / "traces" / f"{key}.trace", self.dir / "renamed")
        self.assertEqual(self.json("inspect", "renamed", "--json"), shown)
        self.assertIn(key, self.ok("inspect", "renamed").decode())
        self.refused(NOINPUT, ["f" * 64], "inspect", "f" * 64)
        self.write("bad.trace", "nothing")
        self.refused(DATA, ["bad.trace"], "inspect", "bad.trace")

    def test_graph(self):
        out = self.json("inspect", "arg.json", "--json")
        graph = json.loads((self.dir / "arg.json").read_text())
        self.assertEqual(out["graph"]["states"], graph["n_vertices"])
        self.assertEqual(out["graph"]["edges"], len(graph["param_edges"]) + len(graph["edges"]))
        self.assertEqual(out["graph"]["parameters"], 2)
        self.assertEqual((out["sccs"]["total"], out["sccs"]["nontrivial"]), (27, 24))
        self.assertEqual(out["sccs"]["distinct"], self.sccs["distinct"])
        self.assertEqual(out["sccs"]["recorded"], 0)
        sizes = out["scc_sizes"]
        self.assertEqual(sum(s["count"] for s in sizes if s["from"] > 1), 24)
        self.assertGreaterEqual(out["replay"]["fill"], out["replay"]["edges_inside"])
        for key in ["flops", "trace_bytes", "lane_bytes", "lanes", "expected_bytes", "expected_seconds_per_theta"]:
            self.assertGreater(out["replay"][key], 0, key)
        text = self.ok("inspect", "arg.json").decode()
        self.assertRegex(text, r"states +110\n")
        self.assertIn(out["job"], text)

    def test_sizes_of_known_graphs(self):
        self.write("loop.json", loop())
        out = self.json("inspect", "-", "--json", stdin=(self.dir / "loop.json").read_bytes())
        self.assertEqual(out["sccs"]["largest"], 2)
        self.assertEqual((out["replay"]["edges_inside"], out["replay"]["fill"]), (2, 2))
        self.assertEqual(out["scc_sizes"], [{"from": 2, "to": 3, "count": 1}])
        lonely = changed(kingman3(), states=[[0], [3], [2], [1], [9]], n_vertices=5, vertex_indices=None,
                         edges=[[4, 3, 1.0]])
        self.write("lonely.json", lonely)
        out = self.json("inspect", "lonely.json", "--json", "--no-cache")
        self.assertEqual([out["graph"][k] for k in ["transient", "absorbing", "unreachable"]], [2, 1, 1])

    def test_isa_can_be_forced(self):
        if os.uname().machine != "x86_64":
            self.skipTest("the names are those of x86-64")
        self.env["PHASEMILL_ISA"] = "x86-64-v2"
        self.assertEqual(self.json("inspect", "arg.json", "--json")["isa"], "x86-64-v2")
        self.assertEqual(self.json("run", "arg.json", "--theta", "2,5")["method"]["isa"], "x86-64-v2")
        self.assertTrue(re.search(rb"(?m)^kernels x86-64-v2$", self.ok("--version")))


if __name__ == "__main__":
    unittest.main()
