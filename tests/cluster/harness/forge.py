"""phasemill's messages, written and read by code of its own (schemas/README.md), so that tests can send what no
producer sends and look at what is stored."""
import ctypes
import ctypes.util
import hashlib
import hmac
import struct
import time

import msgpack

_ZSTD = ctypes.CDLL(ctypes.util.find_library("zstd"))
for _name in ("ZSTD_compressBound", "ZSTD_compress", "ZSTD_decompress"):
    getattr(_ZSTD, _name).restype = ctypes.c_size_t
_ZSTD.ZSTD_getFrameContentSize.restype = ctypes.c_ulonglong
EFFORTS = {"fast": 0, "balanced": 1, "best": 2}
PACKED = ("phasemill.unit", "phasemill.manifest", "phasemill.result")
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def pack(data):
    """One zstd frame."""
    room = ctypes.create_string_buffer(_ZSTD.ZSTD_compressBound(ctypes.c_size_t(len(data))))
    size = _ZSTD.ZSTD_compress(room, ctypes.c_size_t(len(room)), data, ctypes.c_size_t(len(data)), 3)
    return room.raw[:size]


def unpack(frame):
    size = _ZSTD.ZSTD_getFrameContentSize(frame, ctypes.c_size_t(len(frame)))
    room = ctypes.create_string_buffer(size or 1)
    if _ZSTD.ZSTD_decompress(room, ctypes.c_size_t(size), frame, ctypes.c_size_t(len(frame))) != size:
        raise ValueError("not a zstd frame")
    return room.raw[:size]


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def envelope(name, fields, version=1, payload=None):
    """An encoded message; `payload` in place of the fields' own."""
    if payload is None:
        payload = msgpack.packb(fields)
        payload = pack(payload) if name in PACKED else payload
    return msgpack.packb([name, version, payload, sha256(payload)])


class Seals:
    """Seals of a cluster.key, made as common/cluster/wire/seal.h says."""

    def __init__(self, key):
        self._key = key.encode()
        self.id = self._hmac(self._key, b"phasemill key id")[:8]

    @staticmethod
    def _hmac(key, *parts):
        return hmac.new(key, b"".join(parts), hashlib.sha256).digest()

    def seal(self, type, name, value):
        own = self._hmac(self._key, f"phasemill seal 1 {type}".encode())
        return self.id + self._hmac(own, struct.pack("<Q", len(name)), name.encode(), value)

    def sealed(self, type, name, value):
        return msgpack.packb(["phasemill.sealed", 1, value, self.seal(type, name, value)])

    def opened(self, type, name, data):
        """The value inside; ValueError unless its seal fits."""
        word, version, value, seal = msgpack.unpackb(data)
        if (word, version) != ("phasemill.sealed", 1) or seal != self.seal(type, name, value):
            raise ValueError(f"{name}: the seal does not fit")
        return value


def unit_name(prefix, kind, job, id):
    """What the seal of a message of the units topic is bound to."""
    return f"{prefix}:units:{{{id.hex()}}}:{job.hex()}:{kind}"


def opened(data):
    """The fields of an encoded message, whatever its seal."""
    name, _version, payload, digest = msgpack.unpackb(data)
    if name == "phasemill.sealed":
        return opened(payload)
    if sha256(payload) != digest:
        raise ValueError("the checksum does not match")
    return msgpack.unpackb(unpack(payload) if name in PACKED else payload)


def u32s(values):
    return struct.pack(f"<{len(values)}I", *values)


def read_u32s(data):
    return list(struct.unpack(f"<{len(data) // 4}I", data))


def f64s(values):
    return struct.pack(f"<{len(values)}d", *values)


def unit_id(kind, job, items):
    return sha256(b"phasemill unit 1", kind.encode(), job, *items)


def unit(kind, job, body, id=None, cost=1000, version=1, payload=None):
    """An encoded unit; `id` is that of its items, or any."""
    fields = {"kind": kind, "job": job, "unit": id or sha256(body), "cost": cost, "body": body}
    return envelope("phasemill.unit", fields, version, payload)


def claim(kind, job, id, blob, size, cost=1000):
    return envelope("phasemill.claim", {"kind": kind, "job": job, "unit": id, "cost": cost, "blob": blob, "size": size})


def probe(number=0, seconds=0.0, bytes=0, crash=False):
    return envelope("phasemill.probe", {"number": number, "seconds": float(seconds), "bytes": bytes, "crash": crash})


def record(sccs, keys, effort="balanced", as_given=0):
    """SCCs as lists of rows of targets; the keys are not checked here."""
    rows = [row for scc in sccs for row in scc]
    return envelope("phasemill.record", {
        "effort": EFFORTS[effort], "keys": b"".join(keys), "as_given": bytes([as_given] * len(sccs)),
        "states": u32s([len(scc) for scc in sccs]), "degrees": u32s([len(row) for row in rows]),
        "targets": u32s([target for row in rows for target in row])})


def blob(value):
    """What Redis holds for a small value."""
    return envelope("phasemill.blob", {"digest": sha256(value), "size": len(value), "chunks": 0, "bytes": value})


def headers(kind, job, id, **others):
    """Headers of a unit; `phasemill_x` is phasemill-x, None takes one away."""
    made = {"content-type": "application/msgpack", "ce_specversion": "1.0", "ce_id": id.hex(),
            "ce_type": f"phasemill.unit.{kind}", "ce_source": "/phasemill/tests",
            "ce_time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "phasemill-version": "1",
            "phasemill-job": job.hex(), "phasemill-kind": kind, "traceparent": TRACEPARENT}
    made |= {name.replace("phasemill_", "phasemill-"): value for name, value in others.items()}
    return [(name, value.encode() if isinstance(value, str) else value) for name, value in made.items()
            if value is not None]
