#!/usr/bin/python3
"""Writes the seeds of fuzz_classes with Python's msgpack: whole values, and payloads alone. Usage: make_classes_seeds.py,
anywhere."""
import hashlib
import pathlib
import struct

import msgpack

FOLDER = pathlib.Path(__file__).resolve().parent / "classes"
NONE = 2**32 - 1


def payload(states, class_of, as_given, names):
    """The first byte of a class's key tells fuzz_classes which of its traces to give."""
    code = "<%d" % states + ("B" if states <= 256 else "H")
    return msgpack.packb({"key": bytes(range(32)), "sccs": len(class_of), "states": states, "classes": len(as_given),
                          "as_given": bytes(as_given),
                          "keys": b"".join(bytes([i]) * 32 for i in range(len(as_given))), "class_of": struct.pack("<%dI" % len(class_of), *class_of),
                          "names": struct.pack(code, *names)})


def main():
    FOLDER.mkdir(exist_ok=True)
    for name, body in {
        "empty": payload(0, [], [], []),
        "two-classes": payload(9, [0, 1, NONE, 0], [0, 0], [0, 1, 2, 1, 3, 0, 0, 0, 1]),
        "wide": payload(300, [0], [0], list(range(300))),
    }.items():
        whole = msgpack.packb(["phasemill.classes", 1, body, hashlib.sha256(body).digest()])
        (FOLDER / (name + "-payload")).write_bytes(body)
        (FOLDER / name).write_bytes(whole)


if __name__ == "__main__":
    main()
