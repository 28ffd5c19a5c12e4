"""Settings of the cluster on the command line, and what its commands say when there is no cluster."""
import json
import pathlib
import subprocess
import time
import unittest

from support import NOINPUT, PROGRAM, ROOT, UNAVAILABLE, USAGE, ProgramCase

CONFIG = 78
COMMANDS = [["status"], ["topics"], ["dead-letters", "list"], ["cancel", "4f5c21"], ["probe"]]


class SettingsCase(ProgramCase):
    def setUp(self):
        super().setUp()
        for name in [name for name in self.env if name.startswith("PHASEMILL_")]:
            del self.env[name]

    def settings(self, *args):
        """{name: (value, origin)}"""
        shown = self.json("config", "show", "--json", *args)["settings"]
        return {entry["name"]: (entry["value"], entry["origin"]) for entry in shown}


class Show(SettingsCase):
    def test_presets(self):
        found = self.settings()
        self.assertEqual(found["kafka.brokers"], (None, "default"))
        self.assertEqual(found["redis.prefix"], ("phasemill", "default"))

    def test_each_value_tells_its_origin(self):
        self.write("a.conf", "[kafka]\nbrokers = file:1\npartitions = 7\ngroup = g\n[kafka-x]\nlinger.ms = 3\n")
        self.env["PHASEMILL_KAFKA_BROKERS"] = "env:1"
        self.env["PHASEMILL_KAFKA_PARTITIONS"] = "8"
        self.env["PHASEMILL_KAFKA_X_SESSION_TIMEOUT_MS"] = "7000"
        found = self.settings("--config", "a.conf", "--kafka-brokers", "flag:1", "-X", "fetch.wait.max.ms=9")
        self.assertEqual(found["kafka.brokers"], ("flag:1", "--kafka-brokers"))
        self.assertEqual(found["kafka.partitions"], ("8", "PHASEMILL_KAFKA_PARTITIONS"))
        self.assertEqual(found["kafka.group"], ("g", "a.conf line 4"))
        self.assertEqual(found["linger.ms"], ("3", "a.conf line 6"))
        self.assertEqual(found["session.timeout.ms"], ("7000", "PHASEMILL_KAFKA_X_SESSION_TIMEOUT_MS"))
        self.assertEqual(found["fetch.wait.max.ms"], ("9", "-X"))

    def test_the_file_from_the_environment(self):
        self.write("b.conf", "[redis]\ntls = true\n")
        self.env["PHASEMILL_CONFIG"] = "b.conf"
        self.assertEqual(self.settings()["redis.tls"], ("true", "b.conf line 2"))
        self.assertEqual(self.settings("--redis-tls=false")["redis.tls"], ("false", "--redis-tls"))
        self.env["PHASEMILL_CONFIG"] = "absent.conf"
        self.refused(NOINPUT, "absent.conf", "config", "show")

    def test_text_names_all_settings(self):
        text = self.ok("config", "show", "--redis-database", "3").decode()
        for name in self.settings():
            self.assertRegex(text, rf"(?m)^{name.replace('.', '[.]')} ")
        self.assertRegex(text, r"redis.database +3 +--redis-database")

    def test_flags_of_help_are_those_of_the_settings(self):
        text = self.ok("config", "--help").decode()
        for name in self.settings():
            self.assertIn("--" + name.replace(".", "-"), text)

    def test_the_page_of_the_manual_has_all(self):
        page = (ROOT / "docs" / "cluster.md").read_text()
        for name, (value, _) in self.settings().items():
            cell = rf"`{value}`" if value else ""
            self.assertRegex(page, rf"(?m)^\| `{name.replace('.', '[.]')}` \| ?{cell} ?\| ")

    def test_list_of_properties(self):
        text = self.ok("config", "show", "-X", "list").decode()
        for name in ["linger.ms", "sasl.password", "session.timeout.ms"]:
            self.assertIn(name, text)


class Refused(SettingsCase):
    def test_unknown_names(self):
        self.env["PHASEMILL_REDIS_ADRESS"] = "x"
        self.refused(CONFIG, ["PHASEMILL_REDIS_ADRESS", "PHASEMILL_REDIS_ADDRESS"], "config", "show")
        del self.env["PHASEMILL_REDIS_ADRESS"]
        self.write("c.conf", "[redis]\n\naddres = h:1\n")
        self.refused(CONFIG, ["redis.addres", "c.conf line 3", "redis.address"], "config", "show", "--config", "c.conf")
        self.refused(USAGE, "--redis-colour", "config", "show", "--redis-colour", "x")
        self.refused(USAGE, "frob", "config", "show", "-X", "frob=1")

    def test_wrong_values(self):
        self.refused(USAGE, ["--kafka-partitions", "many"], "config", "show", "--kafka-partitions", "many")
        self.env["PHASEMILL_WORKER_UNIT_MEMORY"] = "much"
        self.refused(CONFIG, ["PHASEMILL_WORKER_UNIT_MEMORY", "much", "500M"], "config", "show")

    def test_what_does_not_fit_together(self):
        self.refused(CONFIG, ["redis.ttl-hours is 5", "kafka.retention-hours"], "config", "show", "--redis-ttl-hours", 5)

    def test_subcommands(self):
        self.refused(USAGE, "expected show", "config")
        self.refused(USAGE, "expected show", "config", "frob")
        self.refused(USAGE, "expected list, show, replay or drop", "dead-letters")
        self.refused(USAGE, "one of ID..., --job JOB and --all", "dead-letters", "replay")
        self.refused(USAGE, "one of ID..., --job JOB and --all", "dead-letters", "drop", "abcdef", "--all")
        self.refused(USAGE, "contradict", "probe", "--rate", "5", "--sequential")


class Secrets(SettingsCase):
    def setUp(self):
        super().setUp()
        self.write("secret", "hush\n")

    def test_hidden_wherever_they_come_from(self):
        self.env["PHASEMILL_KAFKA_X_SASL_PASSWORD_FILE"] = "secret"
        for name in ["PHASEMILL_REDIS_PASSWORD", "PHASEMILL_REDIS_PASSWORD_FILE"]:
            self.env[name] = "hush" if name.endswith("WORD") else "secret"
            for form in [[], ["--json"]]:
                text = self.ok("config", "show", *form, "-X", "ssl.key.password=hush").decode()
                self.assertNotIn("hush", text)
                self.assertEqual(text.count("(hidden)"), 3)
                self.assertIn(name, text)
            del self.env[name]

    def test_a_flag_names_its_file(self):
        found = self.settings("--redis-password-file", "secret")
        self.assertEqual(found["redis.password"], ("(hidden)", "--redis-password-file"))
        self.refused(USAGE, ["absent", "--redis-password-file"], "config", "show", "--redis-password-file", "absent")
        for words in [["--redis-password=hush"], ["--redis-password", "hush"]]:
            message = self.refused(USAGE, ["--redis-password-file"], "config", "show", *words)
            self.assertNotIn("hush", message)

    def test_both_forms_at_once(self):
        self.env["PHASEMILL_REDIS_PASSWORD"] = "hush"
        self.env["PHASEMILL_REDIS_PASSWORD_FILE"] = "secret"
        message = self.refused(CONFIG, "PHASEMILL_REDIS_PASSWORD_FILE", "config", "show")
        self.assertNotIn("hush", message)

    def test_the_log_tells_what_was_set(self):
        self.env |= {"PHASEMILL_REDIS_PASSWORD_FILE": "secret", "PHASEMILL_LOG_FORMAT": "json"}
        done = self.phasemill("config", "show", "--verbose", "--worker-slots", 3)
        line = json.loads(done.stderr)
        self.assertEqual((line["redis.password"], line["worker.slots"], line["level"]), ("(hidden)", "3", "debug"))
        self.assertNotIn("kafka.group", line)
        self.assertNotIn(b"hush", done.stderr + done.stdout)

    def test_not_in_the_list_of_processes(self):
        self.env |= {"PHASEMILL_KAFKA_BROKERS": "127.0.0.1:1", "PHASEMILL_REDIS_ADDRESS": "127.0.0.1:1"}
        command = [PROGRAM, "topics", "-X", "sasl.password=hush", "-X", "linger.ms=17"]
        with subprocess.Popen(command, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
            try:
                path = pathlib.Path(f"/proc/{child.pid}/cmdline")
                deadline = time.monotonic() + 20
                while b"=****" not in (words := path.read_bytes()) and time.monotonic() < deadline:
                    time.sleep(0.02)
                self.assertIn(b"sasl.password=****", words)
                self.assertIn(b"linger.ms=17", words)
                self.assertNotIn(b"hush", words)
            finally:
                child.kill()


class WithoutCluster(SettingsCase):
    def test_brokers_are_missing(self):
        for command in COMMANDS:
            if command[0] == "cancel":
                continue
            self.refused(UNAVAILABLE, ["Kafka is not configured", "--kafka-brokers", "PHASEMILL_KAFKA_BROKERS"], *command)

    def test_redis_is_missing(self):
        self.env["PHASEMILL_KAFKA_BROKERS"] = "127.0.0.1:1"
        for command in [["status"], ["cancel", "4f5c21"], ["probe"], ["dead-letters", "replay", "--all"]]:
            self.refused(UNAVAILABLE, ["Redis is not configured", "PHASEMILL_REDIS_ADDRESS"], *command)

    def test_nobody_answers(self):
        self.env |= {"PHASEMILL_KAFKA_BROKERS": "127.0.0.1:1", "PHASEMILL_REDIS_ADDRESS": "127.0.0.1:1"}
        self.refused(UNAVAILABLE, ["127.0.0.1:1", "kafka.brokers"], "topics")
        done = self.phasemill("status", "--json")
        self.assertEqual(done.returncode, UNAVAILABLE, done.stderr)
        found = json.loads(done.stdout)
        self.assertIn("127.0.0.1:1", found["redis_error"])
        self.assertIn("127.0.0.1:1", found["kafka_error"])

    def test_log_lines_as_json(self):
        self.env["PHASEMILL_LOG_FORMAT"] = "json"
        done = self.phasemill("topics")
        self.assertEqual(done.returncode, UNAVAILABLE)
        line = json.loads(done.stderr)
        self.assertEqual((line["level"], line["component"], line["code"]), ("error", "topics", UNAVAILABLE))
        self.assertRegex(line["ts"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")

    def test_odd_text_in_a_json_line(self):
        self.env["PHASEMILL_LOG_FORMAT"] = "json"
        done = self.phasemill("dead-letters", b'caf\xc3\xa9 \xff\x01 "q" \xed\xa0\x80')
        line = json.loads(done.stderr.decode())
        self.assertIn('café \ufffd\x01 "q" \ufffd', line["msg"])


if __name__ == "__main__":
    unittest.main()
