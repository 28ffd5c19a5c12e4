#!/usr/bin/env python3
"""Writes graphs on which a search for canonical forms is slow when it is done naively: many automorphisms, or many
states that look alike until far into the search.

usage: hard_graphs.py SHAPE N FILE [--seed SEED]

star N        a hub and N leaves
complete N    N states, each leading to each other one
path N        a birth-and-death chain of N states
grid N        N times N states, edges in all four directions
hypercube N   2^N states, edges where one bit differs
cycle N       N states in a ring, one way

With --seed, rows and edges are in a random order: the same graph up to the names of its states. Every state is left
for good at some rate, so that all are absorbed. The rates are constants."""
import argparse
import json
import random


def star(n):
    return n + 1, [(0, 1 + i) for i in range(n)] + [(1 + i, 0) for i in range(n)]


def complete(n):
    return n, [(i, j) for i in range(n) for j in range(n) if i != j]


def path(n):
    return n, [(i, i + 1) for i in range(n - 1)] + [(i + 1, i) for i in range(n - 1)]


def grid(n):
    right = [(i * n + j, i * n + j + 1) for i in range(n) for j in range(n - 1)]
    down = [(i * n + j, (i + 1) * n + j) for i in range(n - 1) for j in range(n)]
    edges = right + down
    return n * n, edges + [(b, a) for a, b in edges]


def hypercube(n):
    return 1 << n, [(v, v ^ (1 << k)) for v in range(1 << n) for k in range(n)]


def cycle(n):
    return n, [(i, (i + 1) % n) for i in range(n)]


SHAPES = {"star": star, "complete": complete, "path": path, "grid": grid, "hypercube": hypercube, "cycle": cycle}


def graph(shape, n, seed=None):
    """The graph as phasic serializes it. Row 0 is the start vertex, the last one absorbs."""
    states, edges = SHAPES[shape](n)
    rows = list(range(1, states + 1))
    if seed is not None:
        draw = random.Random(seed)
        draw.shuffle(rows)
        draw.shuffle(edges)
    sink = states + 1
    leaving = [[rows[v], sink, 0.5] for v in range(states)]
    return {
        "states": [[i] for i in range(states + 2)],
        "edges": [[rows[a], rows[b], 1.0] for a, b in edges] + leaving,
        "start_edges": [[rows[0], 1.0]],
        "param_edges": [],
        "start_param_edges": [],
        "param_length": 0,
        "state_length": 1,
        "n_vertices": states + 2,
        "is_discrete": False,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("n", type=int)
    parser.add_argument("file")
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    with open(options.file, "w", encoding="utf-8") as file:
        json.dump(graph(options.shape, options.n, options.seed), file)


if __name__ == "__main__":
    main()
