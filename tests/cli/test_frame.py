"""Dispatch, help, versions, completion, exit codes of the program as a whole."""
import os
import subprocess
import unittest

from support import IO, PROGRAM, UNAVAILABLE, USAGE, ProgramCase

COMMANDS = [
    "run", "loglik", "submit", "collect", "inspect", "generate", "convert", "cache",
    "worker", "status", "dead-letters", "cancel", "probe", "topics", "config",
    "completion", "help", "version",
]


class Frame(ProgramCase):
    def test_every_command_has_help_with_an_example(self):
        names = self.ok("help", "--names").decode().split()
        self.assertEqual(sorted(names), sorted(COMMANDS))
        for name in names:
            text = self.ok(name, "--help").decode()
            self.assertIn(f"usage: phasemill {name}", text)
            self.assertRegex(text, r"examples?:\n  \S*phasemill|examples?:\n  source")
            self.assertIn(self.ok("help", name).decode(), text)
            self.assertLessEqual(max(map(len, text.splitlines())), 120)

    def test_overview_names_every_command(self):
        text = self.ok("--help").decode()
        for name in COMMANDS:
            self.assertRegex(text, rf"\n  {name} ")
        self.assertEqual(text, self.ok("help").decode())

    def test_version_names_libraries_and_kernels(self):
        text = self.ok("--version").decode()
        self.assertEqual(text, self.ok("version").decode())
        for name in ["phasemill", "yajl", "msgpack-c", "SQLite", "libcrypto", "nauty", "AMD", "SCOTCH", "OpenMP", "kernels"]:
            self.assertRegex(text, rf"(?m)^{name} \S")

    def test_forced_instruction_set(self):
        self.env["PHASEMILL_ISA"] = "x86-64-v9"
        self.refused(USAGE, ["PHASEMILL_ISA", "x86-64-v9"], "--version")
        self.env["PHASEMILL_ISA"] = "arm64" if os.uname().machine == "x86_64" else "x86-64-v3"
        self.refused(UNAVAILABLE, "processor", "--version")

    def test_unknown_commands_and_options(self):
        self.refused(USAGE, "a command is missing")
        self.refused(USAGE, 'unknown command "frobnicate"', "frobnicate")
        self.refused(USAGE, "unknown option --frob", "run", "--frob")
        self.refused(USAGE, "unknown option -x", "run", "-x")
        self.refused(USAGE, "a value is missing after --theta", "run", "g.json", "--theta")
        self.refused(USAGE, "no value is allowed for --pdf=1", "run", "g.json", "--pdf=1")
        self.refused(USAGE, "GRAPH", "run")
        self.refused(USAGE, "one operand too many", "run", "a", "b")
        self.refused(USAGE, "zsh", "completion", "zsh")

    def test_full_disk(self):
        with open("/dev/full", "wb") as full:
            for args in [["--help"], ["--version"], ["completion"], ["generate", "kingman"]]:
                self.refused(IO, "No space left", *args, stdout=full)

    def test_a_reader_that_goes_away_ends_the_program_quietly(self):
        with subprocess.Popen(
            [PROGRAM, "generate", "kingman", "--n", "100000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as child:
            child.stdout.read(10)
            child.stdout.close()
            self.assertEqual(child.stderr.read(), b"")
            self.assertLess(child.wait(timeout=60), 0)


class Completion(ProgramCase):
    def complete(self, *words):
        """What bash would offer for the last word."""
        line = " ".join(f"'{w}'" for w in words)
        script = (
            f"PATH='{os.path.dirname(PROGRAM)}':$PATH; source <(phasemill completion); COMP_WORDS=({line}); "
            f"COMP_CWORD={len(words) - 1}; _phasemill; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        )
        done = subprocess.run(["bash", "-c", script], capture_output=True, cwd=self.dir, check=True, timeout=60)
        self.assertEqual(done.stderr, b"")
        return done.stdout.decode().split()

    def test_commands(self):
        self.assertEqual(self.complete("phasemill", "ru"), ["run"])
        self.assertIn("--version", self.complete("phasemill", "--"))

    def test_options_are_those_of_the_help(self):
        self.assertEqual(self.complete("phasemill", "run", "g.json", "--tol"), ["--tolerance"])
        self.assertIn("--moments", self.complete("phasemill", "run", "--"))

    def test_values(self):
        self.assertEqual(self.complete("phasemill", "run", "--strategy", "s"), ["sequential"])
        self.assertEqual(self.complete("phasemill", "cache", "ver"), ["verify"])
        self.assertEqual(self.complete("phasemill", "generate", "king"), ["kingman"])
        self.assertEqual(self.complete("phasemill", "dead-letters", "re"), ["replay"])
        self.assertEqual(self.complete("phasemill", "worker", "--log-format", "j"), ["json"])
        self.assertEqual(self.complete("phasemill", "status", "--kafka-br"), ["--kafka-brokers"])

    def test_files(self):
        self.write("graph.json", "{}")
        self.assertEqual(self.complete("phasemill", "run", "gra"), ["graph.json"])


if __name__ == "__main__":
    unittest.main()
