"""tests/cluster/servers: a Kafka cluster and a Redis of one's own on loopback."""
import argparse
import os
import pathlib
import secrets
import shlex
import signal
import sys
import tempfile

from harness import guardian, server_set

USAGE, UNAVAILABLE, CANTCREAT = 64, 69, 73
FAULTS = {"kill": "SIGKILL, and wait for the end", "stop": "SIGSTOP", "cont": "SIGCONT",
          "start": "start again what is down: same ports, same data", "restart": "SIGTERM, then start again"}


class Parser(argparse.ArgumentParser):
    """Wrong usage is 64, as everywhere."""

    def error(self, message):
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: {message}\n")


def arguments(argv):
    parser = Parser(prog="tests/cluster/servers", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    where = Parser(add_help=False)
    where.add_argument("--dir", metavar="D", help="folder of the servers (default: $PHASEMILL_SERVERS_DIR)")

    up = commands.add_parser("up", help="start servers; prints what to export, for eval",
                             description="Starts servers and prints what to export. The folder is a new one under "
                             "$TMPDIR, or --dir.", parents=[where])
    up.add_argument("--brokers", type=int, choices=(1, 3), default=1, help="brokers of Kafka (default 1)")
    up.add_argument("--host", default="127.0.0.1", help="address to listen at (default 127.0.0.1)")
    up.add_argument("--password", metavar="P", help="of Redis (default: a random one)")
    up.add_argument("--redis-options", metavar="OPTIONS", default="",
                    help='as of redis-server, one string: --redis-options="--maxmemory 64mb"')
    up.add_argument("--sasl", metavar="USER:PASSWORD", help="clients of Kafka must log in with SASL/PLAIN")
    up.add_argument("--watch-pid", metavar="PID", type=int, help="take all down when this process is gone")

    commands.add_parser("down", help="end the servers and remove their folder", parents=[where])
    commands.add_parser("status", help="name, state, process id and ports of each server", parents=[where])
    for name, text in FAULTS.items():
        fault = commands.add_parser(name, help=text, parents=[where])
        fault.add_argument("kind", choices=("broker", "redis", "all") if name == "restart" else ("broker", "redis"),
                           **({"nargs": "?", "default": "all"} if name == "restart" else {}))
        fault.add_argument("number", type=int, nargs="?", help="of the broker, from 1 (default 1)")
    return parser.parse_args(argv)


def folder_of(options):
    folder = options.dir or os.environ.get("PHASEMILL_SERVERS_DIR")
    if not folder:
        raise server_set.ServerError("which servers? Give --dir D, or set PHASEMILL_SERVERS_DIR as `up` prints it")
    return folder


def up(options):
    folder = options.dir or pathlib.Path(tempfile.gettempdir()) / f"phasemill-cluster-{secrets.token_hex(6)}"
    sasl = None
    if options.sasl is not None:
        user, colon, password = options.sasl.partition(":")
        if not user or not colon:
            raise ValueError("--sasl expects USER:PASSWORD")
        sasl = (user, password)
    guard = guardian.Guardian(os.path.abspath(folder), options.watch_pid)
    try:
        servers = server_set.create(folder, brokers=options.brokers, host=options.host, password=options.password,
                                    redis_options=options.redis_options, sasl=sasl)
        for name, value in servers.environment().items():
            print(f"export {name}={shlex.quote(value)}")
        sys.stdout.flush()
    except BaseException:
        guard.abandon()
        raise
    guard.up()


def down(options):
    folder = pathlib.Path(folder_of(options))
    if not folder.exists():
        return
    server_set.ServerSet(folder)  # refuses a folder of something else
    server_set.destroy(folder)


def status(options):
    servers = server_set.ServerSet(folder_of(options))
    for name in servers.names:
        ports = " ".join(f"{role}:{port}" for role, port in servers.ports(name).items())
        print(f"{name:<10} {servers.state(name):<8} {servers.pid(name) or '-':<8} {ports}")


def fault(options):
    servers = server_set.ServerSet(folder_of(options))
    names = [f"broker-{options.number or 1}" if options.kind == "broker" else options.kind]
    if options.kind == "all":
        names = servers.names
    for name in names:
        if name not in servers.names:
            raise ValueError(f"there is no {name}: {', '.join(servers.names)}")
        if options.command in ("stop", "cont"):
            servers.signal(name, signal.SIGSTOP if options.command == "stop" else signal.SIGCONT)
        else:
            getattr(servers, options.command)(name)


def main(argv):
    def interrupted(number, _frame):
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, interrupted)
    options = arguments(argv)
    try:
        {"up": up, "down": down, "status": status}.get(options.command, fault)(options)
    except ValueError as error:
        print(f"servers: {error}", file=sys.stderr)
        return USAGE
    except (server_set.ServerError, RuntimeError) as error:
        print(f"servers: {error}", file=sys.stderr)
        return UNAVAILABLE
    except (guardian.GuardianError, OSError) as error:
        print(f"servers: {error}", file=sys.stderr)
        return CANTCREAT
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
