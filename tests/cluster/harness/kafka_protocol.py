"""As much of Kafka's protocol as it takes to see that a broker serves: who is there, and who coordinates a group; to give
rights; and to read and write a group's offsets with their metadata, which Debian's confluent_kafka leaves out."""
import socket
import struct

SASL_HANDSHAKE, SASL_AUTHENTICATE, METADATA, FIND_COORDINATOR, CREATE_ACLS = 17, 36, 3, 10, 30
OFFSET_COMMIT, OFFSET_FETCH = 8, 9
TOPIC, GROUP = 2, 3
LITERAL, PREFIXED = 3, 4
OPERATIONS = {"Read": 3, "Write": 4, "Create": 5, "Describe": 8, "DescribeConfigs": 10}
ALLOW = 3


class Broker:
    """A connection to one broker; `sasl` is (user, password) for SASL/PLAIN, or None."""

    def __init__(self, host, port, sasl=None, timeout=5.0):
        self._socket = socket.create_connection((host, port), timeout)
        try:
            if sasl:
                self._authenticate(*sasl)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def nodes(self):
        """Ids of the brokers that are alive, as this one knows."""
        answer = _Reader(self._ask(METADATA, 1, struct.pack(">i", 0)))
        found = []
        for _ in range(answer.number("i")):
            found.append(answer.number("i"))
            answer.text()  # host
            answer.number("i")  # port
            answer.text()  # rack
        return sorted(found)

    def coordinator(self, group):
        """Id of the broker that coordinates a group, or None while there is none."""
        answer = _Reader(self._ask(FIND_COORDINATOR, 1, _string(group) + b"\0"))
        answer.number("i")  # throttled, ms
        error = answer.number("h")
        answer.text()
        return answer.number("i") if error == 0 else None

    def allow(self, user, kind, name, *operations, pattern=LITERAL):
        """Gives a user rights to a topic or a group."""
        rules = [struct.pack(">b", kind) + _string(name) + struct.pack(">b", pattern) + _string(f"User:{user}") +
                 _string("*") + struct.pack(">bb", OPERATIONS[operation], ALLOW) for operation in operations]
        answer = _Reader(self._ask(CREATE_ACLS, 1, struct.pack(">i", len(rules)) + b"".join(rules)))
        answer.number("i")  # throttled, ms
        for _ in range(answer.number("i")):
            error, text = answer.number("h"), answer.text()
            if error:
                raise PermissionError(f"Kafka error {error}: {text}")

    def offsets(self, group, topic, partitions):
        """{partition: (offset, metadata)} of what a group has committed of partitions 0, 1, ..."""
        numbers = b"".join(struct.pack(">i", partition) for partition in range(partitions))
        asked = _string(group) + struct.pack(">i", 1) + _string(topic) + struct.pack(">i", partitions) + numbers
        answer, found = _Reader(self._ask(OFFSET_FETCH, 1, asked)), {}
        for _ in range(answer.number("i")):
            answer.text()
            for _ in range(answer.number("i")):
                partition, offset, metadata = answer.number("i"), answer.number("q"), answer.text()
                assert answer.number("h") == 0
                if offset >= 0:
                    found[partition] = offset, metadata
        return found

    def commit(self, group, topic, offsets):
        """What offsets() returned, as nobody's member: the group must be empty."""
        rows = b"".join(struct.pack(">iq", partition, offset) + _string(metadata)
                        for partition, (offset, metadata) in offsets.items())
        member = _string(group) + struct.pack(">i", -1) + _string("") + struct.pack(">q", -1)
        sent = member + struct.pack(">i", 1) + _string(topic) + struct.pack(">i", len(offsets)) + rows
        answer = _Reader(self._ask(OFFSET_COMMIT, 2, sent))
        for _ in range(answer.number("i")):
            answer.text()
            for _ in range(answer.number("i")):
                answer.number("i")
                assert answer.number("h") == 0

    def _authenticate(self, user, password):
        self._ask(SASL_HANDSHAKE, 1, _string("PLAIN"))
        token = b"\0" + user.encode() + b"\0" + password.encode()
        answer = _Reader(self._ask(SASL_AUTHENTICATE, 0, struct.pack(">i", len(token)) + token))
        error = answer.number("h")
        if error:
            raise PermissionError(f"the broker refused the user {user} (Kafka error {error})")

    def _ask(self, key, version, body):
        request = struct.pack(">hhi", key, version, 1) + _string("tests") + body
        self._socket.sendall(struct.pack(">i", len(request)) + request)
        (size,) = struct.unpack(">i", self._exactly(4))
        return self._exactly(size)[4:]

    def _exactly(self, size):
        data = b""
        while len(data) < size:
            more = self._socket.recv(size - len(data))
            if not more:
                raise ConnectionError("the broker closed the connection")
            data += more
        return data


class _Reader:
    def __init__(self, data):
        self._data, self._at = data, 0

    def number(self, code):
        (value,) = struct.unpack_from(">" + code, self._data, self._at)
        self._at += struct.calcsize(">" + code)
        return value

    def text(self):
        size = self.number("h")
        if size < 0:
            return None
        self._at += size
        return self._data[self._at - size : self._at].decode()


def _string(text):
    data = text.encode()
    return struct.pack(">h", len(data)) + data
