"""A network namespace of its own for a program, with a cable that can be pulled.

The namespace has no name: it ends with its last process, and the cable with it, so that nothing can stay behind.
"""
import os
import secrets
import subprocess


def _ip(*words):
    done = subprocess.run(["ip", *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise OSError(f"ip {' '.join(map(str, words))}: {done.stderr.strip()}")
    return done.stdout


def _used():
    """Second and third numbers of all addresses 10.x.y.z here."""
    words = _ip("-4", "-o", "address").split()
    return {tuple(w.split(".")[1:3]) for w in words if w.startswith("10.")}


class Network:
    """`host` is the address to listen at for the program to connect to."""

    def __init__(self):
        used, number = _used(), 0
        while not number or ("213", str(number)) in used:
            number = 1 + secrets.randbelow(250)
        self.host, self._inside = f"10.213.{number}.1", f"10.213.{number}.2"
        self._link = f"pm{number}"

    def __enter__(self):
        # ends with this process, however that ends
        command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sh", "-c", "echo; exec sleep infinity"]
        self._holder = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, start_new_session=True)
        try:
            if self._holder.stdout.readline() != b"\n":
                raise OSError(self._holder.stderr.read().decode().strip())
            self._connect()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _connect(self):
        _ip("link", "add", self._link, "type", "veth", "peer", "name", "cable", "netns", self._holder.pid)
        _ip("address", "add", f"{self.host}/30", "dev", self._link)
        _ip("link", "set", self._link, "up")
        for words in (["ip", "link", "set", "lo", "up"], ["ip", "address", "add", f"{self._inside}/30", "dev", "cable"],
                      ["ip", "link", "set", "cable", "up"]):
            subprocess.run([*self.wrap, *words], check=True, capture_output=True)

    def __exit__(self, *_):
        self._holder.kill()
        self._holder.wait()
        self._holder.stdout.close()
        self._holder.stderr.close()
        # at once: the kernel would take its time with a namespace that nobody uses
        if os.path.exists(f"/sys/class/net/{self._link}"):
            subprocess.run(["ip", "link", "delete", self._link], capture_output=True)

    @property
    def wrap(self):
        """What to put before a command, so that it runs inside."""
        return ["nsenter", "--target", str(self._holder.pid), "--net"]

    def cut(self):
        """Packets are lost from now on; neither side's connections learn of it."""
        _ip("link", "set", self._link, "down")

    def join(self):
        _ip("link", "set", self._link, "up")


def why_not():
    """Why this machine permits no such namespaces, or None."""
    try:
        with Network():
            return None
    except (OSError, subprocess.CalledProcessError) as error:
        return str(error)
