"""Nothing listens, no secret is shown, and whoever is refused is told so within seconds."""
import os
import pathlib
import secrets
import socket
import time
import unittest

from harness import support, trials

SECRET = "kafka-" + secrets.token_hex(12)
SOON = 10.0


def sockets(pid):
    """Inodes of a process's sockets."""
    found = set()
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(fd)
        except OSError:
            continue
        if target.startswith("socket:["):
            found.add(target[8:-1])
    return found


def listening():
    """Inodes of all sockets that listen: TCP, UDP (which has no other state), UNIX."""
    found = set()
    for name, inode, listens in [("tcp", 9, lambda f: f[3] == "0A"), ("tcp6", 9, lambda f: f[3] == "0A"),
                                 ("udp", 9, lambda f: True), ("udp6", 9, lambda f: True),
                                 ("unix", 6, lambda f: int(f[3], 16) & 0x10000)]:
        for line in pathlib.Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if listens(fields):
                found.add(fields[inode])
    return found


class Security(trials.TrialCase):
    options = {"sasl": ("phasemill", SECRET)}

    def setUp(self):
        super().setUp()
        self.secret = self.cluster.run / "sasl-password"
        self.secret.write_text(SECRET + "\n")
        self.cluster.extra = {
            "PHASEMILL_KAFKA_X_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "PHASEMILL_KAFKA_X_SASL_MECHANISMS": "PLAIN",
            "PHASEMILL_KAFKA_X_SASL_USERNAME": "phasemill",
            "PHASEMILL_KAFKA_X_SASL_PASSWORD_FILE": str(self.secret)}
        self.file = self.graph("random", "--sccs", 12, "--size", 60)

    # ---- what works ----

    def test_nothing_listens(self):
        job = self.cluster.submit(self.file)
        programs = [self.cluster.start("collect", job, "--theta", "1,2"),
                    self.cluster.start("submit", self.file, "--wait")]
        time.sleep(1)
        programs.append(self.cluster.worker("--max-units", 1000, slots=2))
        seen = 0
        while any(program.running() for program in programs[:2]):
            for program in programs:
                for pid in [program.pid, *program.descendants()]:
                    try:
                        mine = sockets(pid)
                    except OSError:
                        continue
                    seen += len(mine)
                    self.assertEqual(mine & listening(), set(), program.folder.name)
            time.sleep(0.05)
        self.assertEqual([program.wait() for program in programs[:2]], [0, 0])
        self.assertGreater(seen, 10)

    def test_secrets_are_nowhere(self):
        kept = [SECRET, self.cluster.servers.password]
        shown = []
        self.topics()
        loud = ("--verbose", "-X", "debug=all")
        programs = [self.cluster.worker(*loud, "--log-format", form, slots=1) for form in ("text", "json")]
        self.settled(2)
        for program in programs:
            for pid in [program.pid, *program.descendants()]:
                shown += [pathlib.Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "comm")]
        job = self.cluster.submit(self.file)

        def run(*args, **env):
            done = self.cluster.phasemill(*args, **env)
            shown.extend([done.stdout, done.stderr])
            return done

        for args in (("collect", job, "--theta", "1,2", *loud), ("submit", self.file, *loud), ("status", "--json"),
                     ("status", job), ("config", "show"), ("config", "show", "--json"), ("probe", "--units", 3),
                     ("dead-letters", "list"), ("topics", *loud)):
            self.assertEqual(run(*args).returncode, 0, (args, shown[-1]))
        self.assertIn(b"(hidden)", run("config", "show").stdout)
        # errors: another password of either, given in every way there is
        for name, wrong in (("PHASEMILL_REDIS_PASSWORD", "redis-" + secrets.token_hex(12)),
                            ("PHASEMILL_KAFKA_X_SASL_PASSWORD", "sasl-" + secrets.token_hex(12))):
            kept.append(wrong)
            self.assertNotEqual(self.run_with({name: wrong, f"{name}_FILE": None}, run, "submit", self.file, *loud).returncode, 0)
        # where a secret does not belong
        self.assertNotEqual(run("submit", self.file, "--redis-password", kept[0]).returncode, 0)
        self.assertNotEqual(run("submit", self.file, PHASEMILL_REDIS_ADDRESS=f"redis://:{kept[1]}@h:1").returncode, 0)
        for program in programs:
            self.assertEqual(program.terminate(), 0)
            shown += [program.log.encode(), program.out.encode()]
        self.assertGreater(sum(map(len, shown)), 100000)
        for text in shown:
            for secret in kept:
                at = text.find(secret.encode())
                self.assertEqual(at, -1, text[max(at - 300, 0): at + 20])

    def run_with(self, changes, run, *args):
        """A run whose environment lacks what is None."""
        whole = self.cluster.environment
        gone = {name for name, value in changes.items() if value is None}
        there = {name: value for name, value in changes.items() if value is not None}
        self.cluster.environment = lambda folder: {k: v for k, v in whole(folder).items() if k not in gone}
        try:
            return run(*args, **there)
        finally:
            del self.cluster.environment

    # ---- who is refused ----

    def soon(self, code, parts, *args, seconds=SOON, **env):
        began = time.monotonic()
        text = self.refused(code, parts, *args, **env)
        self.assertLess(time.monotonic() - began, seconds, args)
        return text

    def commands(self):
        return [("submit", self.file), ("collect", "0" * 64, "--theta", "1,2"), ("worker", "--slots", 1), ("status",),
                ("probe",), ("cancel", "0" * 64), ("submit", self.file, "--wait"),
                ("run", self.file, "--strategy", "cluster", "--theta", "1,2")]

    def test_wrong_password_of_redis(self):
        wrong = self.cluster.run / "wrong"
        wrong.write_text("wrong\n")
        address = self.cluster.servers.environment()["PHASEMILL_REDIS_ADDRESS"]
        for args in self.commands():
            with self.subTest(args=args[0]):
                self.soon(77, [address, "WRONGPASS"], *args, PHASEMILL_REDIS_PASSWORD_FILE=str(wrong))
        for name in ("submit", "worker"):
            args = [self.file] if name == "submit" else []
            gone = {"PHASEMILL_REDIS_PASSWORD_FILE": None}
            done = self.run_with(gone, self.cluster.phasemill, name, *args)
            self.assertEqual(done.returncode, 77, done.stderr)
            self.assertIn(b"NOAUTH", done.stderr)

    def test_password_where_none_is_set(self):
        with self.cluster.redis() as redis:
            try:
                redis.config_set("requirepass", "")
                self.soon(77, "AUTH", "submit", self.file)
                self.soon(77, "AUTH", "worker")
            finally:
                redis.config_set("requirepass", self.cluster.servers.password)

    def test_missing_rights(self):
        secret = self.cluster.run / "acl"
        secret.write_text("limited\n")
        env = {"PHASEMILL_REDIS_USER": "limited", "PHASEMILL_REDIS_PASSWORD_FILE": str(secret)}
        with self.cluster.redis() as redis:
            self.addCleanup(lambda: self.forget("limited"))
            for missing in ("eval", "set", "pexpire", "sadd", "zadd", "hincrby", "unlink"):
                with self.subTest(missing=missing):
                    redis("ACL", "SETUSER", "limited", "reset", "on", ">limited", "~*", "&*", "+@all", f"-{missing}")
                    text = self.soon(77, "NOPERM", "worker", **env).lower()
                    self.assertIn(missing, text)
                    self.soon(77, "NOPERM", "submit", self.file, **env)
            redis("ACL", "SETUSER", "limited", "reset", "on", ">limited", "~elsewhere:*", "&*", "+@all")
            self.soon(77, "NOPERM", "worker", **env)
            # what the manual asks for is enough
            redis("ACL", "SETUSER", "limited", "reset", "on", ">limited", f"~{self.cluster.name}:*", "+@all",
                  "-@admin", "-@dangerous")
            self.cluster.extra |= env
            self.cluster.worker(slots=1)
            job = self.cluster.submit(self.file)
            self.assertEqual(trials.result(self.cluster.collect(job, "--theta", "1,2")),
                             self.expected(self.file, "--theta", "1,2"))

    def forget(self, user):
        with self.cluster.redis() as redis:
            redis("ACL", "DELUSER", user)

    def test_refused_by_kafka(self):
        wrong = self.cluster.run / "wrong"
        wrong.write_text("wrong\n")
        env = {"PHASEMILL_KAFKA_X_SASL_PASSWORD_FILE": str(wrong)}
        # an unknown job is told of before Kafka is asked for anything
        collect = ("collect", self.cluster.submit(self.file), "--theta", "1,2")
        for args in [collect, ("submit", self.file), ("worker", "--slots", 1), ("topics",), ("status",),
                     ("dead-letters", "list")]:
            with self.subTest(args=args[0]):
                self.soon(77, "uthentication", *args, **env)

    def test_evicting_redis(self):
        with self.cluster.redis() as redis:
            redis.config_set("maxmemory-policy", "allkeys-lru")
        for args in (("submit", self.file), ("worker",), ("probe",)):
            self.soon(78, ["maxmemory-policy", "allkeys-lru", "noeviction"], *args)

    def test_nobody_there(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            nobody = f"127.0.0.1:{taken.getsockname()[1]}"
            kafka, redis = {"PHASEMILL_KAFKA_BROKERS": nobody}, {"PHASEMILL_REDIS_ADDRESS": nobody}
            job = self.cluster.submit(self.file)
            began = time.monotonic()
            programs = [self.cluster.start(*args, **env) for args, env in (
                (("submit", self.file), kafka), (("collect", job, "--theta", "1,2"), kafka), (("probe",), kafka),
                (("topics",), kafka), (("run", self.file, "--strategy", "cluster", "--theta", "1,2"), kafka),
                (("submit", self.file), redis), (("status",), redis))]
            for program in programs:
                self.assertEqual(program.wait(60), 69, program.log)
                self.assertIn(nobody, program.log)
            self.assertLess(time.monotonic() - began, 30)

    def test_not_configured(self):
        for name, flag in (("PHASEMILL_KAFKA_BROKERS", "--kafka-brokers"), ("PHASEMILL_REDIS_ADDRESS", "--redis-address")):
            for args in (("submit", self.file), ("worker",), ("collect", "0" * 64, "--theta", "1,2")):
                done = self.run_with({name: None}, self.cluster.phasemill, *args)
                self.assertEqual(done.returncode, 69, done.stderr)
                self.assertIn(name, done.stderr.decode())
                self.assertIn(flag, done.stderr.decode())


if __name__ == "__main__":
    unittest.main()
