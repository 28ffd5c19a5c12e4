#!/usr/bin/python3
"""Writes NAME-v1.msgpack for each message, with Python's own msgpack and zstd frames put together by hand: encodings that
phasemill must decode for ever, made without any of its code. Usage: make_messages.py FOLDER

unit-v1-compressed.msgpack is the same unit in a frame that libzstd compressed (level 19): its bytes follow the version of
libzstd, so that it is written only on request, with --compressed.

as_json(NAME) is what `phasemill inspect` must print for the file."""
import ctypes
import ctypes.util
import hashlib
import math
import pathlib
import struct
import sys

import msgpack

PACKED = {"unit", "manifest", "result"}
TRACE_VERSION, RECORDER_VERSION = 2, 2
SECONDS = 1795000000.25


def digest(first):
    return bytes(range(first, first + 32))


JOB, UNIT, RESULT = digest(0), digest(32), digest(64)


class U32s(list):
    """Travels as one bin of little-endian uint32."""


class F64s(list):
    """Travels as one bin of little-endian binary64."""


class Digests(list):
    """Travels as one bin of 32 bytes each."""


class Body(dict):
    """An encoded message of the name inside another one."""

    def __init__(self, name):
        super().__init__(MESSAGES[name])
        self.name = name


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def numbers(values):
    return struct.pack("<%dI" % len(values), *values)


# ---- SCCs in the order as given, which needs no search for a canonical one: a pair, and a triangle with a way back

SCCS = [[[1], [0]], [[1], [0, 2], [0]]]
EFFORT = 2


def key(scc):
    """The key that the trace of an SCC is stored under."""
    topology = [len(scc)]
    for row in scc:
        topology += [len(row)] + row
    head = numbers([TRACE_VERSION, RECORDER_VERSION, EFFORT, 1])
    return sha256(b"phasemill trace", head, numbers(topology))


KEYS = Digests(key(scc) for scc in SCCS)
RECORD_UNIT = sha256(b"phasemill unit 1", b"record", JOB, *KEYS)

# ---- the messages, with a value of every width somewhere

MESSAGES = {}
MESSAGES["record"] = {
    "effort": EFFORT,
    "keys": KEYS,
    "as_given": bytes([1] * len(SCCS)),
    "states": U32s(len(scc) for scc in SCCS),
    "degrees": U32s(len(row) for scc in SCCS for row in scc),
    "targets": U32s(target for scc in SCCS for row in scc for target in row),
}
MESSAGES["evaluate"] = {
    "result": RESULT,
    "fused": True,
    "normalize_start": False,
    "n_theta": 2,
    "n_params": 3,
    "theta": F64s([0.1, 1.5, 1e300, 5e-324, 2, 0.3333333333333333]),
    "n_moments": 2,
    "factorial": False,
    "covariance": True,
    "n_rewards": 1,
    "rewards": F64s([1, -0.0, 2.5]),
    "n_times": 2,
    "times": F64s([0, 12.75]),
    "times_per_theta": False,
    "pdf": True,
    "cdf": True,
    "tolerance": 1e-9,
    "tail_accuracy": True,
}
MESSAGES["probe"] = {"number": 70000, "seconds": 0.25, "bytes": 1 << 40, "crash": False}
MESSAGES["unit"] = {"kind": "record", "job": JOB, "unit": RECORD_UNIT, "cost": 300, "body": Body("record")}
MESSAGES["claim"] = {
    "kind": "record",
    "job": JOB,
    "unit": UNIT,
    "cost": (1 << 64) - 1,
    "blob": digest(96),
    "size": 100000000,
}
MESSAGES["event"] = {
    "type": "failed",
    "kind": "record",
    "job": JOB,
    "unit": UNIT,
    "worker": "höst-7/1234",
    "time": SECONDS,
    "seconds": 0.001,
    "items": 200,
    "recorded": 127,
    "known": 72,
    "error": "line 1: \"quoted\"\nline 2: a tab\t, a backslash \\ and an ø",
}
MESSAGES["blob"] = {"digest": sha256(b"hello, blob"), "size": 11, "chunks": 0, "bytes": b"hello, blob"}
MESSAGES["manifest"] = {
    "job": JOB,
    "effort": 1,
    "as_given": b"\x00\x01",
    "class_of": U32s([0, 0xffffffff, 1, 0]),
    "names": U32s([1, 0, 0, 2, 0, 1, 0, 1]),
    "graph": msgpack.packb({"states": [[0], [1]], "n_vertices": 2}),
}
MESSAGES["job"] = {
    "job": JOB,
    "kind": "record",
    "source": "/data/arg 7.json",
    "created": SECONDS,
    "effort": 0,
    "states": 65536,
    "items": 65535,
    "known": 256,
    "units": 255,
    "trace": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
}
MESSAGES["unit-record"] = {
    "unit": UNIT,
    "job": JOB,
    "kind": "record",
    "cost": 128,
    "partition": 11,
    "offset": -1,
    "time": SECONDS,
    "items": KEYS,
}
MESSAGES["outcome"] = {
    "unit": UNIT,
    "job": JOB,
    "kind": "record",
    "code": 65,
    "error": "SCC 1 of the unit: expected key 00.., found 11..",
    "scc": Digests([KEYS[1]]),
    "attempts": 3,
    "worker": "host-7-1234",
    "topic": "phasemill.units",
    "partition": 0,
    "offset": 1 << 33,
    "time": SECONDS,
    "seconds": 2.5,
}
MESSAGES["worker"] = {
    "id": "host-7-1234",
    "host": "host-7",
    "version": "0.1.0",
    "pid": 1234,
    "state": "running",
    "started": SECONDS - 60,
    "time": SECONDS,
    "slots": 2,
    "units": [
        {"unit": UNIT, "job": JOB, "kind": "record", "pid": 1235, "attempt": 1, "item": 3, "items": 200,
         "since": SECONDS - 1},
        {"unit": RESULT, "job": JOB, "kind": "evaluate", "pid": 1236, "attempt": 2, "item": 0, "items": 1,
         "since": SECONDS - 0.5},
    ],
    "partitions": U32s([0, 3, 11]),
    "done": 1000,
    "failed": 1,
    "recorded": 100000,
    "known": 5,
    "resident": 123456789,
}
MESSAGES["result"] = {
    "result": RESULT,
    "n_theta": 2,
    "moments": F64s([1, 2, 3, 4]),
    "covariance": F64s([]),
    "atom": F64s([]),
    "pdf": F64s([0.5, 0.25, 1e-320, 0.0]),
    "cdf": F64s([0, 0.125, 0, 1]),
    "survival": F64s([1, 0.875, 1, math.pi]),
    "steps": 4096,
    "error_bound": 1e-12,
}

# ---- encoding


def stored_frame(content):
    """A zstd frame (RFC 8878) whose blocks are stored as they are: one segment, four bytes of content size."""
    frame = struct.pack("<IBI", 0xfd2fb528, 0xa0, len(content))
    pieces = [content[at:at + (1 << 17)] for at in range(0, len(content), 1 << 17)] or [b""]
    for i, piece in enumerate(pieces):
        is_last = i == len(pieces) - 1
        frame += struct.pack("<I", len(piece) << 3 | is_last)[:3] + piece
    return frame


def compressed_frame(content):
    zstd = ctypes.CDLL(ctypes.util.find_library("zstd"))
    zstd.ZSTD_compressBound.restype = zstd.ZSTD_compress.restype = ctypes.c_size_t
    room = ctypes.create_string_buffer(zstd.ZSTD_compressBound(ctypes.c_size_t(len(content))))
    size = zstd.ZSTD_compress(room, ctypes.c_size_t(len(room)), content, ctypes.c_size_t(len(content)), 19)
    return room.raw[:size]


def travels(value):
    """A value as it travels."""
    if isinstance(value, U32s):
        return numbers(value)
    if isinstance(value, F64s):
        return struct.pack("<%dd" % len(value), *value)
    if isinstance(value, Digests):
        return b"".join(value)
    if isinstance(value, Body):
        return encode(value.name)
    if isinstance(value, list):
        return [{name: travels(item) for name, item in each.items()} for each in value]
    return value


def encode(name, frame=stored_frame):
    payload = msgpack.packb({field: travels(value) for field, value in MESSAGES[name].items()}, use_bin_type=True)
    if name in PACKED:
        payload = frame(payload)
    return msgpack.packb(["phasemill." + name, 1, payload, sha256(payload)], use_bin_type=True)


def as_json(name):
    return {"name": "phasemill." + name, "version": 1,
            "payload": {field: shown(field, value) for field, value in MESSAGES[name].items()}}


def shown(field, value):
    """A value as `phasemill inspect` shows it."""
    if isinstance(value, Body):
        return as_json(value.name)
    if isinstance(value, Digests):
        return [each.hex() for each in value]
    if isinstance(value, bytes):
        is_digest = field in ("job", "unit", "result", "blob", "digest")
        return value.hex() if is_digest else {"bin": value.hex()}
    if isinstance(value, list) and not isinstance(value, (U32s, F64s)):
        return [{name: shown(name, item) for name, item in each.items()} for each in value]
    return value


def main():
    folder = pathlib.Path(sys.argv[1])
    for name in MESSAGES:
        (folder / f"{name}-v1.msgpack").write_bytes(encode(name))
    if "--compressed" in sys.argv[2:]:
        (folder / "unit-v1-compressed.msgpack").write_bytes(encode("unit", compressed_frame))


if __name__ == "__main__":
    main()
