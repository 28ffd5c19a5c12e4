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
rook N        N times N states, edges along rows and columns
paley N       N states, N a prime of remainder 1 by 4, edges where the difference is a square (strongly regular)
latin N       N times N states, edges along rows, columns, equal entries of the cyclic Latin square (strongly regular)
shrikhande N  N graphs of Shrikhande and N rook graphs of order 4, which have the same counts, all to and from a hub
cubes N       N cubes of 16 states, one of them without one edge, all to and from a hub
tree N        a random tree with N leaves, edges to and fro
comb N        a path of N states, and a leaf on each but one

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


def both_ways(edges):
    return edges + [(b, a) for a, b in edges]


def rook(n):
    rows = [(i * n + j, i * n + k) for i in range(n) for j in range(n) for k in range(j)]
    return n * n, both_ways(rows + [(a % n * n + a // n, b % n * n + b // n) for a, b in rows])


def paley(n):
    squares = {v * v % n for v in range(1, n)}
    return n, [(a, (a + s) % n) for a in range(n) for s in sorted(squares)]


def latin(n):
    size, edges = rook(n)
    same = [[i * n + (v - i) % n for i in range(n)] for v in range(n)]
    return size, edges + both_ways([(a, b) for cells in same for a in cells for b in cells if a < b])


def beside_hub(parts):
    """State 0 leads to every state of every part, and back."""
    size, edges = 1, []
    for n, part in parts:
        edges += both_ways([(0, size + v) for v in range(n)]) + [(size + a, size + b) for a, b in part]
        size += n
    return size, edges


def shrikhande(n):
    steps = [(0, 1), (0, 3), (1, 0), (3, 0), (1, 1), (3, 3)]
    one = 16, [(i * 4 + j, (i + a) % 4 * 4 + (j + b) % 4) for i in range(4) for j in range(4) for a, b in steps]
    return beside_hub([one, rook(4)] * n)


def cubes(n):
    size, edges = hypercube(4)
    return beside_hub([(size, edges)] * (n - 1) + [(size, edges[1:])])


def tree(n):
    draw, leaves, edges, size = random.Random(n), [0], [], 1
    while len(leaves) < n:
        at = draw.randrange(len(leaves))
        edges += [(leaves[at], size), (leaves[at], size + 1)]
        leaves[at] = size
        leaves.append(size + 1)
        size += 2
    return size, both_ways(edges)


def comb(n):
    size, edges = path(n)
    return size + n - 1, edges + both_ways([(i, n + i) for i in range(n - 1)])


SHAPES = {shape.__name__: shape for shape in (star, complete, path, grid, hypercube, cycle, rook, paley, latin,
                                              shrikhande, cubes, tree, comb)}


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
