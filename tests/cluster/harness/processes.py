"""Processes of a folder, from /proc.

A server is the process whose current folder is the server's own. No file of process ids can be wrong or missing,
whoever was killed in the middle of whatever.
"""
import errno
import os
import pathlib
import signal
import socket
import time


def _stat(pid):
    """The fields of /proc/PID/stat after the name, which may hold anything: state, parent, group, session, tty, ..."""
    text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    return text[text.rindex(")") + 2 :].split()


def _ancestors():
    found, pid = set(), os.getpid()
    while pid > 1:
        found.add(pid)
        try:
            pid = int(_stat(pid)[1])
        except OSError:
            break
    return found


def below(folder):
    """{process id: current folder} of all processes at work in the folder, except this one and what called it, and
    except those of a terminal: somebody's shell."""
    folder = os.path.realpath(folder)
    own, found = _ancestors(), {}
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        if pid in own:
            continue
        try:
            at = os.readlink(f"/proc/{pid}/cwd").removesuffix(" (deleted)")
            if (at == folder or at.startswith(folder + "/")) and _stat(pid)[4] == "0":
                found[pid] = at
        except OSError:
            continue  # gone meanwhile, or somebody else's
    return found


def of(folder):
    """The process at work in exactly this folder, or None. Of several the eldest: Redis forks to rewrite its file."""
    folder = os.path.realpath(folder)
    here = [pid for pid, at in below(folder).items() if at == folder]
    began = {}
    for pid in here:
        try:
            began[pid] = int(_stat(pid)[19])
        except OSError:
            continue  # gone meanwhile
    return min(began, key=began.get, default=None)


def state(pid):
    """The letter of a process's state (T: stopped), or None when there is no such process."""
    try:
        return _stat(pid)[0]
    except OSError:
        return None


def parent(pid):
    """The parent of a process, or None when there is no such process."""
    try:
        return int(_stat(pid)[1])
    except OSError:
        return None


def send(pid, number):
    """True when the signal was sent, False when the process is gone."""
    try:
        os.kill(pid, number)
        return True
    except ProcessLookupError:
        return False


def _began(pid):
    """When a process began, which tells it from a later one of the same number; None when there is none."""
    try:
        return _stat(pid)[19]
    except OSError:
        return None


def _has_threads(pid):
    """Does any thread of a process still run? Its folder is gone before the last of them has closed its sockets."""
    try:
        return os.listdir(f"/proc/{pid}/task") != [str(pid)] or state(pid) not in ("Z", "X", None)
    except OSError:
        return False


def kill_below(folder):
    """Ends all that works in the folder, what appears meanwhile included, and waits until its sockets are closed."""
    quiet, killed = 0, {}
    while quiet < 2:
        found = below(folder)
        for pid in found:
            killed[pid] = _began(pid)
            send(pid, signal.SIGKILL)
        ending = [pid for pid, began in killed.items() if _has_threads(pid) and _began(pid) == began]
        quiet = 0 if found or ending else quiet + 1
        if quiet < 2:
            time.sleep(0.02)


def listeners(port):
    """Inodes of the sockets that listen at a port, whatever the address."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = pathlib.Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port:
                inodes.add(fields[9])
    return inodes


def listens(pid, port):
    """Is it this process that listens at the port?"""
    wanted = {f"socket:[{inode}]" for inode in listeners(port)}
    try:
        descriptors = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return False
    for descriptor in descriptors:
        try:
            if os.readlink(f"/proc/{pid}/fd/{descriptor}") in wanted:
                return True
        except OSError:
            continue  # closed meanwhile
    return False


def port_is_free(host, port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def free_ports(host, count, choose):
    """Different free ports below those that the kernel hands out: there a client would take the port of a server that
    is down for a moment, or connect to itself. `choose` is a random.Random."""
    low = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    candidates = range(10000, low) if low > 11000 else range(20000, 60000)
    ports = []
    for port in choose.sample(candidates, min(len(candidates), 100 * count)):
        if port_is_free(host, port):
            ports.append(port)
            if len(ports) == count:
                return ports
    raise OSError(f"no {count} free ports on {host} in {candidates.start}..{candidates.stop - 1}")
