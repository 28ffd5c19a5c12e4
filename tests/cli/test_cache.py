"""`cache`, and `inspect` on keys, trace files and graphs."""
import hashlib
import json
import os
import re
import sqlite3
import time
import unittest

import msgpack

from support import CANTCREAT, DATA, NOINPUT, UNAVAILABLE, USAGE, ProgramCase, changed, kingman3, loop


class WithTraces(ProgramCase):
    def setUp(self):
        super().setUp()
        self.ok("generate", "two-locus-arg", "--n", "4", "--output", "arg.json")
        self.sccs = self.json("run", "arg.json", "--theta", "2,5")["sccs"]

    def keys(self, *args):
        """Of the traces."""
        return [entry["key"] for entry in self.json("cache", "list", "--json", *args) if entry["kind"] == "trace"]

    def n_entries(self, *args):
        return len(self.json("cache", "list", "--json", *args))


class Cache(WithTraces):
    def test_stat(self):
        stat = self.json("cache", "stat", "--json")
        self.assertEqual(stat["traces"], self.sccs["distinct"])
        self.assertEqual(stat["entries"], stat["traces"] + stat["classes"])
        self.assertGreater(stat["value_bytes"], 0)
        self.assertGreaterEqual(stat["file_bytes"], stat["value_bytes"])
        self.assertEqual(stat["limit"], 1 << 30)
        self.assertIn(str(stat["entries"]), self.ok("cache", "stat").decode())
        self.assertEqual(self.json("cache", "stat", "--json", "--cache-limit", "5M")["limit"], 5 << 20)

    def test_list_and_show(self):
        listed = [entry for entry in self.json("cache", "list", "--json") if entry["kind"] == "trace"]
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
        self.assertEqual([line.split()[0] for line in lines[1:] if line.split()[1] == "trace"],
                         [e["key"] for e in listed])

    def test_show_refuses(self):
        self.refused(NOINPUT, ["0" * 64, "cache list"], "cache", "show", "0" * 64)
        self.refused(USAGE, ["64 hexadecimal"], "cache", "show", "abc")
        self.refused(USAGE, ["KEY"], "cache", "show")

    def test_verify_and_clear(self):
        n = self.n_entries()
        self.assertEqual(self.ok("cache", "verify").decode(), f"{n} entries, all sound\n")
        self.assertEqual(self.ok("cache", "clear").decode(), f"{n} entries removed\n")
        self.assertEqual(self.n_entries(), 0)
        recorded = self.json("run", "arg.json", "--theta", "2,5")["sccs"]["recorded"]
        self.assertEqual(recorded, self.sccs["distinct"])

    def test_export_and_import(self):
        n, keys = self.n_entries(), self.keys()
        self.assertEqual(self.ok("cache", "export", "traces").decode(), f"{n} entries written\n")
        files = os.listdir(self.dir / "traces")
        self.assertEqual(sorted(f for f in files if f.endswith(".trace")), sorted(f"{k}.trace" for k in keys))
        self.assertEqual(len(files), n)
        other = ["--cache-dir", "other"]
        self.assertEqual(self.ok("cache", "import", "traces", *other).decode(), f"{n} entries imported\n")
        self.assertEqual(self.keys(*other), keys)
        sccs = self.json("run", "arg.json", "--theta", "2,5", *other)["sccs"]
        self.assertEqual((sccs["recorded"], sccs["cached"]), (0, self.sccs["distinct"]))
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
            self.assertEqual(self.n_entries(*other), 0)
        self.refused(NOINPUT, ["none.trace"], "cache", "import", "none.trace", *other)
        os.mkdir(self.dir / "empty")
        self.refused(NOINPUT, ["empty"], "cache", "import", "empty", *other)

    def test_export_refuses(self):
        self.refused(CANTCREAT, ["missing/folder"], "cache", "export", "missing/folder")
        self.write("file", "")
        self.refused(CANTCREAT, ["file"], "cache", "export", "file")

    def test_export_writes_nothing_outside_of_the_folder(self):
        os.mkdir(self.dir / "traces")
        self.write("precious", "mine")
        name = f"{self.keys()[0]}.trace"
        os.symlink("../precious", self.dir / "traces" / name)
        self.refused(CANTCREAT, [name, "no regular file"], "cache", "export", "traces")
        self.assertEqual((self.dir / "precious").read_text(), "mine")

    def test_import_waits_for_nobody(self):
        os.mkfifo(self.dir / "pipe.trace")
        self.refused(NOINPUT, ["pipe.trace", "no regular file"], "cache", "import", "pipe.trace")
        os.mkdir(self.dir / "traces")
        os.mkfifo(self.dir / "traces" / "pipe.trace")
        self.refused(NOINPUT, ["pipe.trace", "no regular file"], "cache", "import", "traces")

    def test_classes_are_kept_by_the_name_of_their_file(self):
        """An envelope is all that is asked of them here."""
        payload = b"payload"
        envelope = msgpack.packb(["phasemill.classes", 1, payload, hashlib.sha256(payload).digest()])
        key, other = "ab" * 32, ["--cache-dir", "other"]
        os.mkdir(self.dir / "in")
        (self.dir / "in" / f"{key}.classes").write_bytes(envelope)
        self.assertEqual(self.ok("cache", "import", "in", *other).decode(), "1 entries imported\n")
        entry, = self.json("cache", "list", "--json", *other)
        self.assertEqual([entry["key"], entry["kind"], entry["damaged"], entry["bytes"]],
                         [key, "classes", False, len(envelope)])
        self.assertEqual(self.json("cache", "stat", "--json", *other)["classes"], 1)
        self.assertEqual(self.ok("cache", "verify", *other).decode(), "1 entries, all sound\n")
        self.ok("cache", "export", "out", *other)
        self.assertEqual((self.dir / "out" / f"{key}.classes").read_bytes(), envelope)
        for name, content in [("short.classes", envelope), (f"{key}.classes", envelope[:-1])]:
            (self.dir / name).write_bytes(content)
            self.refused(DATA, [name], "cache", "import", name, *other)

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

    def runs_with_one_warning(self, *args):
        began = time.monotonic()
        done = self.phasemill("run", "arg.json", "--theta", "2,5", *args)
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = [line for line in done.stderr.splitlines() if b"warning" in line or b"error" in line]
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertEqual(json.loads(done.stdout)["sccs"]["cached"], 0)
        return time.monotonic() - began, lines[0].decode()

    def test_a_cache_that_cannot_be_used_is_a_warning(self):
        file, = (self.dir / "cache").rglob("traces.sqlite")
        lock = sqlite3.connect(file)
        lock.execute("BEGIN EXCLUSIVE")
        seconds, line = self.runs_with_one_warning()
        self.assertIn("locked", line)
        self.assertLess(seconds, 10)  # one second, and what a busy machine needs
        lock.close()
        self.refused(CANTCREAT, ["arg.json"], "run", "arg.json", "--theta", "2,5", "--cache-dir", "arg.json/x")
        self.env["XDG_CACHE_HOME"] = str(self.dir / "arg.json")
        self.assertIn("arg.json", self.runs_with_one_warning()[1])
        del self.env["XDG_CACHE_HOME"], self.env["HOME"]
        self.assertIn("--cache-dir", self.runs_with_one_warning()[1])

    def test_files_and_folders_are_the_owners(self):
        folder = self.dir / "cache" / "phasemill"
        self.assertEqual(folder.stat().st_mode & 0o777, 0o700)
        self.assertEqual({p.name: p.stat().st_mode & 0o777 for p in folder.iterdir()}, {"traces.sqlite": 0o600})

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
