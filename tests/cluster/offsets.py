"""A group's offsets as Kafka keeps them, metadata included, which Debian's confluent_kafka leaves out: two requests of
Kafka's protocol, OffsetFetch (version 1) and OffsetCommit (version 2), to a lone broker."""
import socket
import struct


def _text(value):
    return struct.pack(">h", len(value)) + value


class _reader:
    def __init__(self, data):
        self._data, self._at = data, 0

    def take(self, form):
        values = struct.unpack_from(">" + form, self._data, self._at)
        self._at += struct.calcsize(">" + form)
        return values[0]

    def text(self):
        size = self.take("h")
        self._at += max(size, 0)
        return self._data[self._at - size:self._at] if size >= 0 else None


def _ask(address, key, version, body):
    host, port = address.rsplit(":", 1)
    request = struct.pack(">hhi", key, version, 1) + _text(b"tests") + body
    with socket.create_connection((host, int(port)), 20) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        answer = connection.makefile("rb")
        size, = struct.unpack(">i", answer.read(4))
        found = _reader(answer.read(size))
    assert found.take("i") == 1
    return found


def fetch(address, group, topic, partitions):
    """{partition: (offset, metadata)} of what is committed."""
    wanted = b"".join(struct.pack(">i", p) for p in range(partitions))
    body = _text(group.encode()) + struct.pack(">i", 1) + _text(topic.encode()) + struct.pack(">i", partitions) + wanted
    answer, offsets = _ask(address, 9, 1, body), {}
    for _ in range(answer.take("i")):
        answer.text()
        for _ in range(answer.take("i")):
            partition, offset = answer.take("i"), answer.take("q")
            offsets[partition] = offset, answer.text()
            assert answer.take("h") == 0
    return {partition: one for partition, one in offsets.items() if one[0] >= 0}


def commit(address, group, topic, offsets):
    """Commits what fetch() returned, as nobody's member: the group must be empty."""
    rows = b"".join(struct.pack(">iq", p, offset) + _text(metadata) for p, (offset, metadata) in offsets.items())
    body = (_text(group.encode()) + struct.pack(">i", -1) + _text(b"") + struct.pack(">qi", -1, 1) +
            _text(topic.encode()) + struct.pack(">i", len(offsets)) + rows)
    answer = _ask(address, 8, 2, body)
    for _ in range(answer.take("i")):
        answer.text()
        for _ in range(answer.take("i")):
            answer.take("i")
            assert answer.take("h") == 0
