#!/usr/bin/python3
"""Writes trace-v2.msgpack with Python's own msgpack, from a graph eliminated by plain sets: an encoding that
phasemill must decode for ever, made without any of its code. Usage: make_trace.py > trace-v2.msgpack"""
import hashlib
import random
import struct
import sys

import msgpack

N = 300  # two bytes for an index


def edges(rng):
    found = {(i, (i + 1) % N) for i in range(N)}
    while len(found) < 2 * N:
        i, j = rng.randrange(N), rng.randrange(N)
        if i != j:
            found.add((i, j))
    return found


def eliminate(found, pivot):
    number = {state: p for p, state in enumerate(pivot)}
    rows = [set() for _ in range(N)]
    for i, j in found:
        rows[number[i]].add(number[j])
    updates = 0
    for j in range(N):
        for i in range(j):
            if i in rows[j]:
                above = {k for k in rows[i] if k > i}
                updates += len(above)
                rows[j] |= above - {j}
    lower = [sorted(i for i in rows[j] if i < j) for j in range(N)]
    upper = [sorted(k for k in rows[j] if k > j) for j in range(N)]
    return lower, upper, updates


def numbers(values):
    return struct.pack("<%dH" % len(values), *values)


def gaps(rows, first):
    """What may follow and is left out in front of each entry, in groups of seven bits, low ones first."""
    out = bytearray()
    for j, row in enumerate(rows):
        least = first(j)
        for entry in row:
            gap = entry - least
            least = entry + 1
            while gap > 127:
                out.append(128 + gap % 128)
                gap //= 128
            out.append(gap)
    return bytes(out)


def main():
    rng = random.Random(1)
    found = edges(rng)
    pivot = list(range(N))
    rng.shuffle(pivot)
    lower, upper, updates = eliminate(found, pivot)
    fill = sum(map(len, lower)) + sum(map(len, upper))
    payload = msgpack.packb({
        "key": bytes(range(32)),
        "states": N,
        "edges": len(found),
        "flops": 2 * updates + 4 * fill + 2 * N,
        "digest": bytes(range(100, 132)),
        "width": 2,
        "pivot": numbers(pivot),
        "l_count": numbers([len(row) for row in lower]),
        "l": gaps(lower, lambda j: 0),
        "u_count": numbers([len(row) for row in upper]),
        "u": gaps(upper, lambda j: j + 1),
    }, use_bin_type=True)
    checksum = hashlib.sha256(payload).digest()
    sys.stdout.buffer.write(msgpack.packb(["phasemill.trace", 2, payload, checksum], use_bin_type=True))


main()
