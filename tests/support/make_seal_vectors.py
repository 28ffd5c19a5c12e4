#!/usr/bin/env python3
"""Prints tests/support/seal_vectors.inc: seals made by Python's hmac and msgpack alone.

    tests/support/make_seal_vectors.py > tests/support/seal_vectors.inc
"""
import hashlib
import hmac
import struct

import msgpack

CASES = [  # cluster.key, type, name, bytes of value: byte i is 7 i + 3
    ("0123456789abcdef0123456789abcdef", "blob", "phasemill:trace:{00}", 0),
    ("0123456789abcdef0123456789abcdef", "unit", "p:units:{01}:02:record", 1),
    ("k" * 64, "event", "p:events", 5),  # a block of SHA-256
    ("key of more than a block of SHA-256, which HMAC digests first: " + "x" * 40, "outcome", "a", 256),
    ("\u00e4" * 16, "worker", "p:worker:w", 65536),
    ("0123456789abcdef0123456789abcdef", "job", "", 300),
    ("0123456789abcdef0123456789abcdef", "unit-record", "n" * 255, 31),
]


def digest(key, *parts):
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def text(data):
    return '"' + "".join(f"\\x{byte:02x}" for byte in data) + '"'


print("/* Made by make_seal_vectors.py: key, type, name, bytes of value, SHA-256 of the sealed value, its last 40 bytes. */")
for key, kind, name, size in CASES:
    key, name, value = key.encode(), name.encode(), bytes((7 * i + 3) % 256 for i in range(size))
    own = digest(key, f"phasemill seal 1 phasemill.{kind}".encode())
    seal = digest(key, b"phasemill key id")[:8] + digest(own, struct.pack("<Q", len(name)), name, value)
    sealed = msgpack.packb(["phasemill.sealed", 1, value, seal])
    print(f"{{{text(key)}, &pm_{kind.replace('-', '_')}_type,")
    print(f" {text(name)}, {size},")
    print(f" {text(hashlib.sha256(sealed).digest())},")
    print(f" {text(seal)}}},")
