"""What operators look at and do: topics, status, dead letters, cancel, probe, health checks, logs."""
import json
import os
import re
import time
import unittest

from harness import board, forge, support

USAGE, DATA, NOINPUT, UNAVAILABLE, PERMISSION, CONFIG = 64, 65, 66, 69, 77, 78
JOB = bytes(range(32))


class OperatorCase(support.ClusterCase):
    def setUp(self):
        super().setUp()
        self.board = board.Board(self.cluster)
        self.addCleanup(self.board.close)

    def graph(self, sccs=40, size=8):
        path = self.cluster.run / "g.json"
        self.cluster.ok("generate", "random", "--sccs", sccs, "--size", size, "--output", path)
        return path

    def submit(self):
        return self.cluster.submit(self.graph(), "--min-size", 0, "--no-cache")

    def job(self, job, *args):
        """The one job that its status shows."""
        jobs = self.cluster.status(job, *args)["jobs"]
        self.assertEqual([j["job"] for j in jobs], [job])
        return jobs[0]

    def letters(self, *args):
        return self.cluster.json("dead-letters", "list", "--json", *args)

    def bury(self, value, key, **headers):
        """A dead letter as a worker leaves it."""
        self.cluster.ok("topics")
        made = forge.headers("probe", JOB, key, phasemill_attempts="3", **headers)
        made.append(("__dlq.errors.message", b"it broke"))
        self.cluster.topics.send(self.board.topic("dead-letters"), value, key, made)


class Topics(OperatorCase):
    def test_made_once_then_checked(self):
        self.refused(UNAVAILABLE, "does not exist", "topics", "--check")
        made = self.cluster.json("topics", "--json", "--kafka-partitions", 6)
        self.assertEqual([(t["topic"].split(".")[-1], t["partitions"]) for t in made],
                         [("units", 6), ("events", 1), ("dead-letters", 1)])
        self.assertEqual(made, self.cluster.json("topics", "--check", "--json", "--kafka-partitions", 6))
        self.refused(CONFIG, ["units", "6", "7"], "topics", "--kafka-partitions", 7)
        self.assertEqual(self.cluster.topics.settings(self.board.topic("dead-letters"))["cleanup.policy"], "compact")


class Status(OperatorCase):
    def test_a_job_from_nothing_to_done(self):
        empty = self.cluster.status()
        self.assertEqual((empty["jobs"], empty["partitions"], empty["dead_letters"]), ([], [], 0))
        self.assertIn("no topics yet", self.cluster.ok("status").decode())
        job = self.submit()
        waiting = self.cluster.status(job)
        found = waiting["jobs"][0]
        self.assertEqual((found["state"], found["done"], waiting["workers"]), ("running", 0, []))
        self.assertGreater(found["items"], 0)
        self.assertEqual(found["units_open"], found["units"])
        self.assertEqual({unit["state"] for unit in found["open_units"]}, {"queued"})
        self.assertEqual(sum(unit["items"] for unit in found["open_units"]), found["items"])
        self.assertEqual(waiting["lag"], found["units"])
        self.assertEqual(sum(p["lag"] for p in waiting["partitions"]), found["units"])
        worker = self.cluster.worker(slots=2)
        done = support.wait_until(lambda: (s := self.cluster.status(job))["jobs"][0]["state"] == "done" and s, 60)
        self.assertEqual(done["jobs"][0]["done"], found["items"])
        self.assertEqual(done["jobs"][0]["open_units"], [])
        support.wait_until(lambda: self.cluster.status()["lag"] == 0, 30)
        beat = support.wait_until(lambda: [w for w in self.cluster.status()["workers"]
                                           if w["done"] == found["units"]], 30)[0]
        self.assertEqual((beat["slots"], beat["state"], beat["failed"]), (2, "running", 0))
        self.assertIn(f"-{worker.pid}-", beat["worker"])
        self.assertEqual(worker.terminate(), 0)
        self.assertEqual(self.cluster.status()["workers"], [])

    def test_text(self):
        job = self.submit()
        text = self.cluster.ok("status").decode()
        self.assertRegex(text, rf"{job[:12]}  running +0/\d+ +\d+  20")
        self.assertRegex(text, r"no workers")
        self.assertRegex(text, r"lag [1-9]\d* units in \d+ of \d+ partitions")
        text = self.cluster.ok("status", job[:8]).decode()
        self.assertIn(f"job {job}", text)
        self.assertRegex(text, r"record +0/\d+ +\d+/\d+ +0 +0  queued")

    def test_what_a_slot_does(self):
        self.cluster.worker(slots=1)
        probe = self.cluster.start("probe", "--units", 2, "--seconds", 60)
        running = lambda: [unit for w in self.cluster.status()["workers"] for unit in w["running"]]
        unit = support.wait_until(running, 30)[0]
        self.assertEqual((unit["kind"], unit["attempt"]), ("probe", 1))
        self.assertRegex(self.cluster.ok("status").decode(), rf"unit {unit['unit'][:12]} of job .*: probe")
        probe.kill()

    def test_ids(self):
        job = self.submit()
        self.assertEqual(self.job(job)["job"], job)
        self.assertEqual(self.cluster.status(job[:6])["jobs"][0]["job"], job)
        self.refused(NOINPUT, "not there", "status", "abcdef" if not job.startswith("abcdef") else "fedcba")
        self.refused(NOINPUT, "not there", "status", "0" * 64)
        for wrong in ["abc", "xyzxyz", "0" * 65]:
            self.refused(USAGE, "6 or more digits", "status", wrong)

    def test_one_server_is_away(self):
        job = self.submit()
        self.cluster.servers.signal("redis", 9)
        done = self.cluster.phasemill("status", "--json")
        found = json.loads(done.stdout)
        self.assertEqual(done.returncode, UNAVAILABLE)
        self.assertIsNotNone(found["redis_error"])
        self.assertIsNone(found["kafka_error"])
        self.assertGreater(found["lag"], 0)
        self.assertEqual(found["jobs"], [])
        self.cluster.servers.launch("redis")
        self.cluster.servers.wait_ready()
        self.cluster.servers.signal("broker-1", 9)
        done = self.cluster.phasemill("status", job, "--json")
        found = json.loads(done.stdout)
        self.assertEqual(done.returncode, UNAVAILABLE)
        self.assertIsNone(found["redis_error"])
        self.assertIsNotNone(found["kafka_error"])
        self.assertEqual(found["jobs"][0]["job"], job)

    def test_refused_in_seconds(self):
        message = self.refused(PERMISSION, ["WRONGPASS", "PHASEMILL_REDIS_PASSWORD_FILE"], "cancel", "abcdef",
                               PHASEMILL_REDIS_PASSWORD="hush", PHASEMILL_REDIS_PASSWORD_FILE="", timeout=10)
        self.assertNotIn("hush", message)


class Cancel(OperatorCase):
    def test_a_job_and_back(self):
        job = self.submit()
        self.assertEqual(self.cluster.ok("cancel", job[:10]).decode(), f"{job} cancelled\n")
        self.assertEqual(self.job(job)["state"], "cancelled")
        self.refused(DATA, "cancelled", "collect", job, "--theta", "1,2", "--timeout", 30)
        worker = self.cluster.worker("--exit-when-idle", 3)
        worker.wait()
        self.assertEqual(self.job(job)["done"], 0)
        self.assertEqual(self.submit(), job)
        self.cluster.worker()
        support.wait_until(lambda: self.job(job)["state"] == "done", 60)
        self.assertIn("nothing to cancel", self.cluster.ok("cancel", job).decode())
        self.cluster.collect(job, "--theta", "1,2")


class Probe(OperatorCase):
    def test_there_and_back(self):
        self.refused(UNAVAILABLE, "no worker is alive", "probe")
        self.cluster.worker(slots=2)
        support.wait_until(lambda: self.cluster.status()["workers"], 30)
        all_at_once = self.cluster.json("probe", "--units", 700, "--json")
        one_by_one = self.cluster.json("probe", "--units", 5, "--sequential", "--json")
        paced = self.cluster.json("probe", "--units", 20, "--rate", 20, "--json")
        for found, n in [(all_at_once, 700), (one_by_one, 5), (paced, 20)]:
            self.assertEqual((found["units"], found["ended"], found["failed"]), (n, n, 0))
            trip = found["round_trip"]
            self.assertTrue(0 < trip["median"] <= trip["p95"] <= trip["max"] <= found["seconds"])
        self.assertGreater(paced["seconds"], 0.9)
        self.assertRegex(self.cluster.ok("probe", "--units", 3).decode(), r"3 units in .*\nthere and back: median ")

    def test_crashes_become_dead_letters(self):
        self.cluster.worker(slots=2)
        support.wait_until(lambda: self.cluster.status()["workers"], 30)
        found = self.cluster.json("probe", "--units", 2, "--crash", "--json")
        self.assertEqual((found["ended"], found["failed"]), (2, 2))
        letters = self.letters()
        self.assertEqual(len(letters), 2)
        for letter in letters:
            self.assertEqual(letter["headers"]["phasemill-attempts"], "3")
            self.assertIn("signal", letter["headers"]["__dlq.errors.message"])
        self.assertEqual(self.cluster.status()["dead_letters"], 2)
        job = letters[0]["headers"]["phasemill-job"]
        self.assertIn("2 dead letters replayed", self.cluster.ok("dead-letters", "replay", "--job", job[:9]).decode())
        again = lambda: {l["id"] for l in self.letters()} == {l["id"] for l in letters}
        support.wait_until(again, 90, "the same two die again")
        self.assertIn("1 dead letter dropped", self.cluster.ok("dead-letters", "drop", letters[0]["id"]).decode())
        self.assertEqual([l["id"] for l in self.letters("--job", job)], [letters[1]["id"]])


class DeadLetters(OperatorCase):
    def test_none(self):
        self.cluster.ok("topics")
        self.assertEqual(self.letters(), [])
        self.assertEqual(self.cluster.ok("dead-letters", "list"), b"")
        self.refused(NOINPUT, "not there", "dead-letters", "show", "abcdef")
        self.assertIn("0 dead letters dropped", self.cluster.ok("dead-letters", "drop", "--all").decode())

    def test_the_last_of_each_key_counts(self):
        key = bytes([7] * 32)
        self.bury(b"first", key)
        self.bury(b"the second", key)
        self.assertEqual([(l["id"], l["bytes"]) for l in self.letters()], [(key.hex(), 10)])
        shown = self.cluster.ok("dead-letters", "show", key.hex()[:7]).decode()
        self.assertRegex(shown, r"__dlq.errors.message +it broke")
        self.cluster.ok("dead-letters", "drop", key.hex())
        self.assertEqual(self.board.letters(), {})
        self.assertEqual(self.letters(), [])

    def test_replay_sends_what_was_sent(self):
        item = forge.sha256(b"item")
        id = forge.unit_id("probe", JOB, [item])
        unit = forge.unit("probe", JOB, forge.probe(number=5), id)
        self.bury(unit, id, phasemill_scc="aa")
        self.cluster.ok("dead-letters", "replay", "--all")
        self.assertEqual(self.letters(), [])
        sent = self.cluster.topics.read(self.board.topic("units"))
        self.assertEqual([(m.key(), m.value()) for m in sent], [(id, unit)])
        names = [name for name, _ in sent[0].headers()]
        self.assertEqual(names, [name for name, _ in forge.headers("probe", JOB, id)])
        record = self.board.units(JOB)[id]
        self.assertEqual((record["partition"], record["offset"]), (sent[0].partition(), sent[0].offset()))
        self.cluster.worker("--exit-when-idle", 3).wait()
        self.assertEqual(self.board.outcome(id)["code"], 0)

    def test_those_that_cannot_be_replayed_keep_no_other(self):
        """Somebody may write as many as they like."""
        self.cluster.ok("topics")
        topic = self.board.topic("dead-letters")
        junk = [(b"junk", forge.sha256(b"%d" % n), forge.headers("probe", JOB, JOB), 0) for n in range(3000)]
        self.cluster.topics.send_all(topic, junk[:10])
        id = forge.unit_id("probe", JOB, [JOB])
        self.bury(forge.unit("probe", JOB, forge.probe(number=5), id), id)
        self.cluster.topics.send_all(topic, junk[10:])
        message = self.refused(DATA, "3000 of 3001 dead letters", "dead-letters", "replay", "--all")
        self.assertEqual(message.count("error: dead letter "), 3000)
        self.assertEqual([m.key() for m in self.cluster.topics.read(self.board.topic("units"))], [id])
        self.assertEqual(len(self.letters()), 3000)
        begun = time.monotonic()
        self.assertIn("3000 dead letters dropped", self.cluster.ok("dead-letters", "drop", "--all").decode())
        self.assertLess(time.monotonic() - begun, 10)  # one by one they take half a minute
        self.assertEqual(self.letters(), [])

    def test_what_cannot_be_replayed_is_named_and_stays(self):
        key, gone = bytes([1] * 32), bytes([2] * 32)
        self.bury(b"\x93garbage", key)
        self.refused(DATA, [f"dead letter {key.hex()}"], "dead-letters", "replay", key.hex())
        self.bury(forge.claim("probe", JOB, gone, bytes([9] * 32), 1234), gone)
        self.refused(DATA, [f"dead letter {gone.hex()}", bytes([9] * 32).hex(), "gone"], "dead-letters", "replay", gone.hex())
        self.assertEqual({l["id"] for l in self.letters()}, {key.hex(), gone.hex()})
        self.cluster.ok("dead-letters", "drop", "--all")
        self.assertEqual(self.letters(), [])

    def test_strange_letters_do_no_harm(self):
        self.cluster.ok("topics")
        topic = self.board.topic("dead-letters")
        self.cluster.topics.send(topic, b"x", b"short key")
        self.cluster.topics.send(topic, b"", bytes([3] * 32), [("phasemill-job", b"\xff\x1b[2J"), ("empty", None)])
        found = self.letters()
        self.assertEqual([l["id"] for l in found], ["03" * 32])
        self.assertNotIn("\x1b", self.cluster.ok("dead-letters", "list").decode(errors="replace"))
        self.assertNotIn("\x1b", self.cluster.ok("dead-letters", "show", "030303").decode(errors="replace"))


class Health(OperatorCase):
    def test_worker_check(self):
        here = self.cluster.run / "tmp"
        here.mkdir()
        check = lambda: self.cluster.phasemill("worker", "check", TMPDIR=str(here))
        self.assertEqual(check().returncode, UNAVAILABLE)
        worker = self.cluster.worker(TMPDIR=str(here))
        support.wait_until(lambda: check().returncode == 0, 30)
        [path] = here.glob("phasemill-*/worker-*.alive")
        worker.stop()
        os.utime(path, (1, 1))
        done = check()
        self.assertEqual(done.returncode, UNAVAILABLE)
        self.assertIn(f"worker {worker.pid} hangs", done.stderr.decode())
        worker.cont()
        support.wait_until(lambda: check().returncode == 0, 30)
        worker.kill()
        self.assertEqual(check().returncode, UNAVAILABLE)
        self.assertFalse(path.exists(), "the file of a dead worker stays")


class Logs(OperatorCase):
    def test_json_lines_of_a_worker(self):
        worker = self.cluster.worker("--verbose", "--log-format", "json")
        support.wait_until(lambda: self.cluster.status()["workers"], 30)
        self.cluster.ok("probe", "--units", 3, "--crash")
        self.assertEqual(worker.terminate(), 0)
        lines = [json.loads(line) for line in worker.log.splitlines()]
        self.assertEqual({line["component"] for line in lines}, {"worker"})
        fatal = [line for line in lines if line["level"] == "error" and "unit" in line]
        self.assertEqual(len({line["unit"] for line in fatal}), 3)
        for line in fatal:
            for name in ["worker", "job", "topic", "trace"]:
                self.assertIsInstance(line[name], str, name)
            for name in ["attempt", "partition", "offset", "seconds"]:
                self.assertIsInstance(line[name], (int, float), name)
            self.assertRegex(line["trace"], "^[0-9a-f]{32}$")
            self.assertRegex(line["ts"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")

    def test_text_lines_of_a_worker_have_times(self):
        worker = self.cluster.worker()
        worker.wait_log(r"phasemill: ")
        self.assertTrue(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z phasemill: ", worker.log), worker.log)


if __name__ == "__main__":
    unittest.main()
