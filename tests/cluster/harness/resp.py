"""A Redis client of one connection, for servers and tests that must not depend on the code they test."""
import socket


class RedisError(Exception):
    """An error reply."""


class Redis:
    def __init__(self, host, port, password=None, user=None, timeout=10.0):
        self._socket = socket.create_connection((host, port), timeout)
        self._file = self._socket.makefile("rb")
        if password is not None:
            try:
                self("AUTH", *([user] if user else []), password)
            except BaseException:
                self.close()
                raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._file.close()
        self._socket.close()

    def __call__(self, *words):
        """The reply to one command: bytes, int, None or a list of these."""
        return self.pipeline([words])[0]

    def pipeline(self, commands):
        """The replies to several commands; the first error reply is raised after all were read."""
        self._socket.sendall(b"".join(_encode(words) for words in commands))
        replies = [self._reply() for _ in commands]
        for reply in replies:
            if isinstance(reply, RedisError):
                raise reply
        return replies

    def keys(self, pattern="*"):
        """All keys that match, by SCAN."""
        found, cursor = set(), b"0"
        while True:
            cursor, keys = self("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
            found.update(keys)
            if cursor == b"0":
                return sorted(found)

    def flushall(self):
        self("FLUSHALL")

    def config_get(self, name):
        return self("CONFIG", "GET", name)[1].decode()

    def config_set(self, name, value):
        self("CONFIG", "SET", name, value)

    def info(self, section="all"):
        lines = self("INFO", section).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def _line(self):
        line = self._file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("Redis closed the connection")
        return line[:-2]

    def _reply(self):
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest
        if kind == b"-":
            return RedisError(rest.decode(errors="replace"))
        if kind == b":":
            return int(rest)
        if kind == b"$":
            if rest == b"-1":
                return None
            data = self._file.read(int(rest) + 2)
            if len(data) != int(rest) + 2:
                raise ConnectionError("Redis closed the connection")
            return data[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self._reply() for _ in range(int(rest))]
        raise ConnectionError(f"not a reply of Redis: {line[:80]!r}")


def _encode(words):
    parts = [w if isinstance(w, bytes) else str(w).encode() for w in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)
