"""A process that outlives whoever started servers, and ends them when that is gone.

It makes the folder, so that there is no moment without somebody to remove it. Until it is told "up", the end of its
standard input, which is the end of the starter however it came, means that the start failed. Then it waits for the end
of the watched process, if there is one, and leaves otherwise.
"""
import os
import pathlib
import select
import signal
import subprocess
import sys

from harness import server_set


class GuardianError(Exception):
    pass


class Guardian:
    """The starter's end."""

    def __init__(self, folder, watch_pid=None):
        descriptors = ()
        if watch_pid is not None:
            try:
                descriptors = (os.pidfd_open(watch_pid),)
            except ProcessLookupError:
                raise GuardianError(f"there is no process {watch_pid} to watch") from None
        command = [sys.executable, "-m", "harness.guardian", str(folder), *map(str, descriptors)]
        path = {"PYTHONPATH": str(pathlib.Path(__file__).resolve().parents[1])}
        try:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                             stderr=subprocess.DEVNULL, env={**os.environ, **path},
                                             pass_fds=descriptors, start_new_session=True)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        answer = self._process.stdout.readline().decode().strip()
        self._process.stdout.close()
        if answer != "made":
            self.abandon()
            raise GuardianError(answer or "the guardian ended")

    def up(self):
        """The servers serve: from now on only the watched process counts."""
        self._process.stdin.write(b"up\n")
        self._process.stdin.close()

    def abandon(self):
        """The start failed: returns when all is removed."""
        self._process.stdin.close()
        self._process.wait()

    def remove(self):
        """Ends servers that are up, and the guardian with them; returns when all is removed."""
        self._process.terminate()
        self._process.wait()


def _make(folder):
    """Makes the folder, or takes one that is empty; None, or why not."""
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        if os.listdir(folder):
            return f"{folder} is not empty; tests/cluster/servers down --dir {folder} removes servers that are there"
        os.chdir(folder)
        return None
    except OSError as error:
        return f"{folder}: {error.strerror}"


def _guard(folder, watched):
    """Returns when the servers are to end (True) or to be left alone (False)."""
    poll = select.poll()
    poll.register(sys.stdin, select.POLLIN | select.POLLHUP)
    poll.poll()
    if os.read(0, 16) != b"up\n":
        return True
    if watched is None:
        return False
    poll = select.poll()
    poll.register(watched, select.POLLIN)
    poll.poll()
    return True


def main():
    folder = sys.argv[1]
    watched = int(sys.argv[2]) if len(sys.argv) > 2 else None
    why_not = _make(folder)
    print(why_not or "made", flush=True)
    if why_not:
        return 73
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    def ended(*_):
        raise SystemExit(0)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, ended)
    end = True
    try:
        end = _guard(folder, watched)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if end:
            os.chdir("/")
            server_set.destroy(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
