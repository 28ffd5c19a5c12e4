#!/usr/bin/python3
"""Writes the seeds of fuzz_message and fuzz_units from the golden messages. Usage: make_message_seeds.py, anywhere."""
import pathlib
import sys

import msgpack

SEEDS = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(SEEDS.parents[1] / "data"))
import make_messages as made  # noqa: E402

# the order of pmi_message_types
TYPES = ["unit", "claim", "event", "record", "evaluate", "probe", "blob", "manifest", "job", "unit-record", "outcome",
         "worker", "result"]


def main():
    for folder in ("message", "units"):
        (SEEDS / folder).mkdir(exist_ok=True)
    for number, name in enumerate(TYPES):
        payload = msgpack.unpackb(made.encode(name))[2]
        plain = msgpack.packb({field: made.travels(value) for field, value in made.MESSAGES[name].items()})
        (SEEDS / "message" / f"{name}-whole").write_bytes(bytes([number]) + made.encode(name))
        (SEEDS / "message" / f"{name}-map").write_bytes(bytes([number | 0x80]) + plain)
        if name in made.PACKED:
            (SEEDS / "message" / f"{name}-frame").write_bytes(bytes([number]) + payload)
    record = msgpack.unpackb(made.encode("record"))[2]
    (SEEDS / "units" / "two").write_bytes(record)
    single = {**made.MESSAGES["record"], "keys": made.KEYS[:1], "as_given": b"\x01", "states": made.U32s([2]),
              "degrees": made.U32s([1, 1]), "targets": made.U32s([1, 0])}
    single["keys"] = made.Digests(single["keys"])
    (SEEDS / "units" / "pair").write_bytes(msgpack.packb({f: made.travels(v) for f, v in single.items()}))


main()
