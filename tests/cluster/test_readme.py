"""README's way to try a cluster: the commands as they stand there, in one shell."""
import json
import os
import re
import signal
import subprocess
import tempfile
import unittest

from harness import kafka_server, support


def commands():
    """The block of README.md that starts servers."""
    text = (support.ROOT / "README.md").read_text(encoding="utf-8")
    found = [b for b in re.findall(r"```sh\n(.*?)```", text, re.S) if "tests/cluster/servers up" in b]
    return found[0]


class Readme(unittest.TestCase):
    def test_the_three_commands_give_the_moments(self):
        script = commands()
        self.assertEqual(len(script.strip().splitlines()), 3)
        with tempfile.TemporaryDirectory() as folder:
            environment = {k: v for k, v in os.environ.items() if not k.startswith("PHASEMILL_")}
            environment.update(PHASEMILL_TEST_CACHE=str(kafka_server.libraries().parent), TMPDIR=folder,
                               XDG_CACHE_HOME=os.path.join(folder, "cache"))
            script = script.replace("build/phasemill", support.PROGRAM)
            end = "\nstatus=$?\nkill -TERM %1\nwait %1\ntests/cluster/servers down\nexit $status"
            process = subprocess.Popen(["bash", "-c", "set -m\n" + script + end], cwd=support.ROOT, env=environment,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                       start_new_session=True)
            try:
                out, log = process.communicate(timeout=180)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
            self.assertEqual(process.returncode, 0, log)
            moments = json.loads(out.splitlines()[-1])["moments"]
        local = subprocess.run([support.PROGRAM, "run", "examples/phasic-0.32.1-arg4.json", "--theta", "2,5", "--moments",
                                "2", "--no-cache", "--format", "json"], cwd=support.ROOT, stdout=subprocess.PIPE, check=True)
        self.assertEqual(moments, json.loads(local.stdout)["moments"])


if __name__ == "__main__":
    unittest.main()
