"""With cluster.key: all that is stored and sent has its seal, and what has none, another's, or one that does not fit is
refused while the job ends right; a key that some have and others do not is named; secrets leave no core files."""
import json
import os
import pathlib
import secrets
import threading
import time
import unittest

import test_board
import test_damage
from harness import faults, forge, graphs, support, trials

KEY = secrets.token_hex(32)
OTHER = secrets.token_hex(32)
SPACES = {"trace": "blob", "result": "blob", "blob": "blob", "manifest": "blob", "job": "job", "unit": "unit-record",
          "outcome": "outcome", "worker": "worker"}
COUNTS = ("jobs", "workers", "job-units", "job-done", "tally", "chunk", "cluster-key")
NO_SEAL, OF_ANOTHER, UNFIT = "no seal", "not the one here", "does not fit"


class Keyed:
    """Mixed into a case: all programs have the key, unless told otherwise."""

    def is_done(self, job):
        shown, = self.cluster.status(job)["jobs"]
        self.assertEqual(shown["state"], "done")

    def setUp(self):
        super().setUp()
        self.seals = forge.Seals(KEY)
        self.cluster.extra = {**self.cluster.extra, "PHASEMILL_CLUSTER_KEY_FILE": self.key_file("key", KEY)}

    def key_file(self, name, text):
        path = self.cluster.run / name
        path.write_text(text + "\n")
        path.chmod(0o600)
        return str(path)


class SealedTraces(Keyed, test_damage.Stored):
    test_claim_check_gone = None  # it is gone with a key as without; that claims go through: below


class SealedSlices(Keyed, test_damage.Slices):
    test_children_killed = None  # as it is without a key
    test_manifest_gone = None  # its units have no seals


class SealedFit(Keyed, test_board.Fit):
    test_results_that_are_no_numbers = None  # another is refused before its numbers are seen: below


class Refused(Keyed, test_damage.Messages):
    """Messages of somebody without the key: dead letters that name no job, and a job that ends right."""

    test_what_is_harmless = None

    def test_each_is_one_dead_letter(self):
        self.topics()
        worker = self.cluster.worker(slots=2)
        self.settled(1)
        before = worker.descendants()
        self.cases = []
        self.bytes_of_units()
        self.kinds_and_headers()
        self.bodies()
        self.claims()
        for case in list(self.cases):
            if case[0]:
                self.reseal(case)
        places = self.cluster.topics.send_all(self.board.topic("units"), [
            (value, id, headers, number % 24) for number, (value, id, headers, _, _) in enumerate(self.cases)])
        self.all_ended(places)
        letters = self.board.letters()
        for number, ((value, id, _, words, _), at) in enumerate(zip(self.cases, places)):
            with self.subTest(number=number, words=words):
                place = forge.sha256(f"{self.board.topic('units')}/{at[0]}/{at[1]}".encode())
                self.is_letter(letters.pop(place), value or b"", at, words)
                self.assertIsNone(self.board.redis("GET", self.board.key("outcome", id)))
        self.assertEqual(letters, {})
        self.assertIsNone(self.board.redis("GET", self.board.key("failed", test_damage.JOB)))
        self.assertEqual(worker.descendants(), before)
        self.is_worker_well()
        self.assertEqual(worker.terminate(), 0)

    def case(self, value, id, words, kind="probe", known=None, **headers):
        wrong = {name.replace("phasemill_", "phasemill-") for name in headers}
        named = "|".join(["not believed.*" + NO_SEAL, *sorted(wrong)])
        self.cases.append((value, id, forge.headers(kind, test_damage.JOB, id, **headers), named, known))

    def reseal(self, case):
        """The same with another key's seal."""
        value, id, headers, named, known = case
        name = forge.unit_name(self.board.name, dict(headers).get("phasemill-kind", b"").decode(errors="replace"),
                               test_damage.JOB, id)
        sealed = forge.Seals(OTHER).sealed("phasemill.unit", name, value)
        self.cases.append((sealed, id, headers, named.replace(NO_SEAL, OF_ANOTHER), known))

    def test_units_of_a_job_altered_and_moved(self):
        """The units of a job that waits, with what their headers say of others, altered, and sealed for another place:
        the job ends right, and every one of them is a letter."""
        self.topics()
        file = self.graph("random", "--sccs", 150, "--size", 200, "--extra", 3)
        job = self.cluster.submit(file)
        sent = self.cluster.topics.read(self.board.topic("units"))
        self.assertGreater(len(sent), 3)
        name = lambda m, prefix=self.board.name: forge.unit_name(prefix, "record", bytes.fromhex(job), m.key())
        inner = lambda m: self.seals.opened("phasemill.unit", name(m), m.value())
        first, second = sent[:2]
        wrong = [(test_damage.flipped(m.value(), at), m, UNFIT) for m in sent[:3] for at in (200, len(m.value()) - 1)]
        wrong += [(first.value(), second, UNFIT), (second.value(), first, UNFIT), (inner(first), first, NO_SEAL)]
        wrong += [(self.seals.sealed(type, name(first, prefix), inner(first)), first, UNFIT)
                  for type, prefix in (("phasemill.event", self.board.name), ("phasemill.unit", "another"))]
        wrong += [(forge.Seals(OTHER).sealed("phasemill.unit", name(first), inner(first)), first, OF_ANOTHER),
                  (test_damage.flipped(first.value(), 18), first, "version"), (first.value() + b"\0", first, "end")]
        places = self.cluster.topics.send_all(self.board.topic("units"), [
            (value, m.key(), m.headers(), number % 24) for number, (value, m, _) in enumerate(wrong)])
        worker = self.cluster.worker(slots=2)
        self.assertEqual(trials.result(self.cluster.collect(job, "--theta", "1,2")),
                         self.expected(file, "--theta", "1,2"))
        self.all_ended(places)
        letters = self.board.letters()
        for (value, _, words), at in zip(wrong, places):
            place = forge.sha256(f"{self.board.topic('units')}/{at[0]}/{at[1]}".encode())
            self.is_letter(letters.pop(place), value, at, words)
        self.assertEqual(letters, {})
        self.is_done(job)
        # an operator who replays one is told, and can drop it
        shown = self.listed()[0]
        self.refused(65, ["dead letter", shown], "dead-letters", "replay", shown)
        self.cluster.ok("dead-letters", "drop", "--all")
        self.assertEqual(worker.terminate(), 0)


class Sealed(Keyed, trials.TrialCase):
    ASKED = ("--theta", "1,2;0.5,1", "--evaluate", "cluster", "--no-cache", "--timeout", 90)

    def setUp(self):
        super().setUp()
        self.file = self.graph(*faults.SMALL)
        self.right = self.expected(self.file, *self.ASKED[:2])

    def collected(self, job):
        done = self.cluster.phasemill("collect", job, *self.ASKED)
        log = done.stderr.decode(errors="replace")
        self.assertEqual(done.returncode, 0, log)
        self.assertEqual(trials.result(done.stdout), self.right)
        return log

    def test_all_has_its_seal(self):
        """As code that shares nothing with phasemill reads it; a large unit goes by claim check."""
        self.topics()
        worker = self.cluster.worker("--no-cache", slots=2)
        self.collected(self.cluster.submit(self.file))
        hubs = self.cluster.run / "hubs.msgpack"
        graphs.hubs(hubs, 8000, 40, 20, seed=1)
        self.cluster.ok("submit", hubs, "--wait", "--effort", "fast", timeout=300)
        seen = set()
        for key in self.board.redis.keys(f"{self.board.name}:*"):
            space = key.decode().removeprefix(self.board.name + ":").partition(":")[0]
            if space not in COUNTS:
                self.seals.opened(f"phasemill.{SPACES[space]}", key.decode(), self.board.redis("GET", key))
                seen.add(space)
        self.assertEqual(seen, set(SPACES))
        claims = 0
        for message in self.cluster.topics.read(self.board.topic("units")):
            said = {name: value.decode() for name, value in message.headers()}
            name = forge.unit_name(self.board.name, said["phasemill-kind"], bytes.fromhex(said["phasemill-job"]),
                                   message.key())
            claims += b"phasemill.claim" in self.seals.opened("phasemill.unit", name, message.value())
        self.assertGreater(claims, 0)
        events = self.cluster.topics.read(self.board.topic("events"))
        for message in events:
            self.seals.opened("phasemill.event", f"{self.board.name}:events", message.value())
        self.assertGreater(len(events), 2)
        self.cluster.ok("probe", "--units", 5)
        self.assertEqual(self.board.letters(), {})
        self.assertEqual(worker.terminate(), 0)

    def test_well_made_values_are_refused(self):
        """Values that a reader without the key takes: a result, traces, an outcome, a failure, a heartbeat."""
        worker = self.cluster.worker("--no-cache", slots=2)
        job = self.cluster.submit(self.file)
        self.collected(job)
        redis, key = self.board.redis, self.board.key
        forged = {}
        for space in ("result", "trace"):
            for digest in self.board.keys(space)[:2]:
                value = forge.opened(redis("GET", key(space, digest)))["bytes"]
                if space == "result":
                    fields = forge.opened(value)
                    fields["moments"] = forge.f64s([42.0] * (len(fields["moments"]) // 8))
                    value = forge.envelope("phasemill.result", fields)
                forged[key(space, digest)] = forge.blob(value)
                forged[key(space, digest)] = forge.Seals(OTHER).sealed("phasemill.blob", key(space, digest),
                                                                       forge.blob(value))
        # a result under another result's name, with its own seal
        first, = self.board.keys("result")[:1]
        forged[key("result", first)] = redis("GET", key("trace", self.board.keys("trace")[3]))
        for name, value in forged.items():
            redis("SET", name, value, "KEEPTTL")
        log = self.collected(job)
        for name in forged:
            self.assertIn(name, log)
        self.assertRegex(log, UNFIT)
        # a failure of the job while its traces are gone, a heartbeat that says that somebody has them
        unit = self.board.redis("SMEMBERS", key("job-units", job))[0]
        outcome = {"unit": unit, "job": bytes.fromhex(job), "kind": "record", "code": 65, "error": "forged", "scc": b"",
                   "attempts": 1, "worker": "w", "topic": "t", "partition": 0, "offset": 0, "time": 1.0, "seconds": 1.0}
        redis("UNLINK", *[key("trace", digest) for digest in self.board.keys("trace")])
        for name in (key("failed", job), key("outcome", unit)):
            redis("SET", name, forge.envelope("phasemill.outcome", outcome), "EX", 1000)
        beat = {"id": "ghost", "host": "h", "version": "1", "pid": 1, "state": "running", "started": 1.0, "time": 1.0,
                "slots": 99, "units": [], "partitions": b"", "done": 0, "failed": 0, "recorded": 0, "known": 0,
                "resident": 0}
        ghost = f"{self.board.name}:worker:ghost"
        redis("SET", ghost, forge.envelope("phasemill.worker", beat), "EX", 1000)
        redis("ZADD", f"{self.board.name}:workers", "9e9", "ghost")
        done = self.cluster.phasemill("status", "--json")
        self.assertRegex(done.stderr.decode(), f"{ghost}.*{NO_SEAL}")
        self.assertNotIn(b'"ghost"', done.stdout)
        log = self.collected(job)
        self.assertNotIn(": forged", log)
        self.assertRegex(log, f"{key('failed', job)}.*{NO_SEAL}")
        self.assertEqual(self.board.letters(), {})
        self.assertEqual(worker.terminate(), 0)

    def test_somebody_who_goes_on(self):
        """Who alters a trace as soon as it is recorded keeps the job from its end, not the command."""
        self.topics()
        worker = self.cluster.worker("--no-cache", slots=2)
        job = self.cluster.submit(self.file)
        self.collected(job)
        key = self.board.key("trace", self.board.keys("trace")[0])
        over = threading.Event()

        def spoil():
            with self.cluster.redis() as redis:
                while not over.wait(0.02):
                    redis("SET", key, b"junk", "EX", 1000)

        thread = threading.Thread(target=spoil)
        thread.start()
        try:
            message = self.refused(69, "5 times in a row", "collect", job, "--theta", "1,2", "--no-cache", timeout=90)
        finally:
            over.set()
            thread.join()
        self.assertIn(key, message)
        self.collected(job)
        self.assertEqual(worker.terminate(), 0)

    def test_outcomes_of_units_that_wait(self):
        """Written before a worker begins them: they are begun all the same, and the one who waits sees them end."""
        self.topics()
        worker = self.cluster.worker(slots=2)
        self.settled(1)
        worker.stop()
        probe = self.cluster.start("probe", "--units", 5, "--timeout", 60)
        sent = support.wait_until(lambda: len(m := self.cluster.topics.read(self.board.topic("units"))) == 5 and m, 30)
        fields = {"job": bytes.fromhex(dict(sent[0].headers())["phasemill-job"].decode()), "kind": "probe", "code": 0,
                  "error": "", "scc": b"", "attempts": 1, "worker": "w", "topic": "t", "partition": 0, "offset": 0,
                  "time": 1.0, "seconds": 1.0}
        keys = [self.board.key("outcome", m.key()) for m in sent]
        bare = [forge.envelope("phasemill.outcome", {"unit": m.key(), **fields}) for m in sent]
        sealed = [self.seals.sealed("phasemill.outcome", key, value) for key, value in zip(keys, bare)]
        self.board.redis.pipeline([("SET", keys[0], bare[0], "EX", 1000), ("SET", keys[1], sealed[0], "EX", 1000),
                                   ("SET", keys[2], b"junk"), ("RPUSH", keys[3], "x"),
                                   ("SET", keys[4], test_damage.flipped(sealed[4], len(sealed[4]) - 1))])
        worker.cont()
        self.assertEqual(probe.wait(60), 0, probe.log)
        self.assertRegex(probe.out, "5 units in .* 0 failed")
        for key in keys:
            self.assertIn(key, worker.log + probe.log)
        self.assertEqual(self.board.letters(), {})
        self.assertEqual(worker.terminate(), 0)

    def test_heartbeats_put_back(self):
        """A heartbeat of a worker that is gone, as it was, in its own place and for ever: nobody counts it."""
        self.topics()
        gone = self.cluster.worker(slots=7)
        id, = self.settled(1)
        key, listing = f"{self.board.name}:worker:{id}", f"{self.board.name}:workers"
        old = self.board.redis("GET", key)
        gone.kill()
        support.wait_until(lambda: not self.board.redis("EXISTS", key), 30)
        time.sleep(6)
        self.board.redis.pipeline([("SET", key, old), ("ZADD", listing, "9e9", id)])
        done = self.cluster.phasemill("status", "--json")
        self.assertEqual(json.loads(done.stdout)["workers"], [])
        self.assertRegex(done.stderr.decode(), f"{id}.*does not count.* old by Redis's clock")
        self.cluster.worker("--no-cache", slots=2)
        self.collected(self.cluster.submit(self.file))
        self.assertEqual([w["slots"] for w in self.cluster.status()["workers"]], [2])

    # ---- keys that differ ----

    def test_another_key_or_none_is_told_at_once(self):
        """Nobody with another key than the cluster's begins, and nothing of the job is lost."""
        self.topics()
        job = self.cluster.submit(self.file)
        kept = self.board.redis("DBSIZE")
        other = self.key_file("other", OTHER)
        for env, words in (({"PHASEMILL_CLUSTER_KEY_FILE": other}, forge.Seals(OTHER).id.hex()),
                           ({"PHASEMILL_CLUSTER_KEY_FILE": ""}, "none is set")):
            for args in (("collect", job, "--theta", "1,2"), ("submit", self.file), ("status",), ("cancel", job),
                         ("probe",), ("worker",), ("dead-letters", "replay", "--all"),
                         ("run", self.file, "--strategy", "cluster", "--theta", "1,2")):
                with self.subTest(args=args, words=words):
                    self.refused(78, ["cluster.key", self.seals.id.hex(), words, "cluster-key"], *args, timeout=20, **env)
        self.assertEqual(self.board.redis("DBSIZE"), kept)
        self.cluster.worker(slots=2)
        self.collected(job)
        self.assertEqual(self.board.letters(), {})

    def test_a_worker_without_the_key_among_others(self):
        """One that began before there was a key: it is named, what it takes is a letter each and sent again, and the job
        ends right once another is there."""
        self.topics()
        bare = self.cluster.worker("--no-cache", slots=2, PHASEMILL_CLUSTER_KEY_FILE="")
        self.settled(1)
        job = self.cluster.submit(self.file)
        units = len(self.cluster.topics.read(self.board.topic("units")))
        collecting = self.cluster.start("collect", job, *self.ASKED)
        bare.wait_log("it has a seal, and no cluster.key is set here")
        collecting.wait_log(f"worker:.*{NO_SEAL}")
        collecting.wait_log("unclaimed; they are sent again", 30)
        self.assertTrue(collecting.running())
        self.assertEqual(bare.terminate(), 0)
        self.cluster.worker("--no-cache", slots=2)
        self.assertEqual(collecting.wait(90), 0, collecting.log)
        self.assertEqual(trials.result(collecting.out), self.right)
        self.assertGreaterEqual(len(self.board.letters()), units)
        self.is_done(job)

    def test_a_new_key(self):
        """As docs/trust.md says: all that the old one sealed is refused, and made again; what is on disk is not recorded
        again."""
        kept = ("--cache-dir", self.cluster.run / "traces")
        worker = self.cluster.worker(*kept, slots=2)
        job = self.cluster.submit(self.file)
        self.collected(job)
        self.assertEqual(worker.terminate(), 0)
        self.cluster.extra["PHASEMILL_CLUSTER_KEY_FILE"] = self.key_file("new", OTHER)
        self.refused(78, "cluster-key", "status")
        self.board.redis("UNLINK", f"{self.board.name}:cluster-key")
        worker = self.cluster.worker(*kept, slots=2)
        self.assertEqual(self.cluster.submit(self.file), job)
        self.assertRegex(self.collected(job), OF_ANOTHER)
        self.assertNotRegex(self.collected(job), OF_ANOTHER)
        self.assertEqual(worker.terminate(), 0)
        self.assertRegex(worker.log, r"left: .* 0 failed, .*, 40 known")

    def test_a_note_that_is_no_key(self):
        """Somebody wrote where the cluster's key is named: who works goes on, who begins is told what to delete."""
        note = f"{self.board.name}:cluster-key"
        self.topics()
        worker = self.cluster.worker("--no-cache", slots=2)
        self.settled(1)
        self.assertEqual(self.board.redis("GET", note), self.seals.id.hex().encode())
        self.assertGreater(self.board.redis("PTTL", note), 1000)
        for words in (("SET", note, b"\x1b[2Jjunk"), ("LPUSH", note, "x"), ("SET", note, "f" * 16)):
            self.board.redis.pipeline([("UNLINK", note), words])
            self.assertNotIn("\x1b", self.refused(78, [note, "delete"], "submit", self.file))
        self.cluster.servers.kill("redis")
        self.cluster.servers.start("redis")
        self.cluster.servers.wait_ready()
        support.wait_until(lambda: "waiting for Redis" in worker.log, 20)
        with self.cluster.redis() as redis:
            support.wait_until(lambda: redis("EXISTS", f"{self.board.name}:workers"), 20)
            self.assertEqual(redis("GET", note), b"f" * 16)
            redis("UNLINK", note)
        self.collected(self.cluster.submit(self.file))
        self.assertEqual(worker.terminate(), 0)

    # ---- the key, and what is left of it ----

    def test_keys_that_do_not_do(self):
        path = pathlib.Path(self.key_file("bad", KEY))
        for mode in (0o644, 0o604, 0o660, 0o602):
            path.chmod(mode)
            self.refused(78, ["cluster.key", str(path), f"{mode:04o}", "chmod"], "status",
                         PHASEMILL_CLUSTER_KEY_FILE=str(path))
        path.chmod(0o640)
        self.cluster.ok("config", "show", PHASEMILL_CLUSTER_KEY_FILE=str(path))
        message = self.refused(78, ["cluster.key", "32 to 4096"], "status", PHASEMILL_CLUSTER_KEY=KEY[:31],
                               PHASEMILL_CLUSTER_KEY_FILE="")
        self.assertNotIn(KEY[:31], message)
        self.refused(64, ["--cluster-key-file"], "status", "--cluster-key", KEY)
        config = self.cluster.run / "cluster.conf"
        config.write_text(f"[cluster]\nkey = {KEY}\n")
        config.chmod(0o644)
        self.refused(78, [str(config), "0644"], "config", "show", "--config", config, PHASEMILL_CLUSTER_KEY_FILE="")
        config.chmod(0o600)
        shown = self.cluster.ok("config", "show", "--config", config, PHASEMILL_CLUSTER_KEY_FILE="")
        self.assertNotIn(KEY.encode(), shown)
        self.assertRegex(shown.decode(), r"cluster\.key +\(hidden\)")

    def test_no_core_files_and_no_looking_in(self):
        """Of the worker, its spawner and children, and of a command; the key is nowhere to be seen."""
        self.topics()
        worker = self.cluster.worker("--verbose", slots=1, wrap=["bash", "-c", 'ulimit -c unlimited; exec "$@"', "bash"])
        self.settled(1)
        job = self.cluster.submit(self.file)
        collecting = self.cluster.start("collect", "0" * 64, "--verbose", "--timeout", 20)
        self.collected(job)
        pids = [worker.pid, *worker.descendants()]
        self.assertGreaterEqual(len(pids), 3)
        for pid in pids:
            limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
            self.assertRegex(limits, r"Max core file size +0 +0 ")
        for program in (worker, collecting):
            self.assertNotIn(KEY, program.log + program.out)

    @unittest.skipUnless(os.geteuid() == 0, "it takes root to become somebody else")
    def test_memory_of_another_user_is_closed(self):
        """Of one who is not root, for whom the kernel decides by PR_SET_DUMPABLE; and it works all the same."""
        self.topics()
        theirs = {"PHASEMILL_CLUSTER_KEY": KEY, "PHASEMILL_REDIS_PASSWORD": self.cluster.servers.password,
                  "PHASEMILL_CLUSTER_KEY_FILE": "", "PHASEMILL_REDIS_PASSWORD_FILE": ""}
        worker = self.cluster.worker("--no-cache", wrap=["setpriv", "--reuid", "65534", "--regid", "65534",
                                                         "--clear-groups"], **theirs)
        self.settled(1)
        pids = [worker.pid, *worker.descendants()]
        self.assertGreaterEqual(len(pids), 3)
        for pid in pids:
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
            self.assertRegex(status, r"Uid:\s+65534")
            self.assertEqual(os.stat(f"/proc/{pid}/environ").st_uid, 0)
        scores = [pathlib.Path(f"/proc/{pid}/oom_score_adj").read_text().strip() for pid in pids]
        self.assertIn("500", scores)
        self.collected(self.cluster.submit(self.file))
        self.assertEqual(worker.terminate(), 0)


if __name__ == "__main__":
    unittest.main()
