"""Graphs that `phasemill generate` does not make."""
import msgpack
import numpy


def hubs(path, states, hubs, degree, seed):
    """Writes an SCC of many edges that is cheap to eliminate: `hubs` states that all others lead to and come from.

    Each of the other states has edges to `degree` random hubs, and from as many; state 0 also leads to an absorbing
    one. Eliminating the others first fills in between hubs only. The edges, all of them inside but one, number
    2 * (states - hubs) * degree.
    """
    random = numpy.random.default_rng(seed)
    others = numpy.arange(hubs, states, dtype=numpy.uint32)
    chosen = lambda: numpy.argsort(random.random((len(others), hubs), dtype=numpy.float32), axis=1)[:, :degree]
    beside = numpy.repeat(others, degree)
    edges = [_rows(beside, chosen().ravel()), _rows(chosen().ravel(), beside), _rows([0], [states])]
    packer = msgpack.Packer()
    labels = numpy.empty(states + 1, dtype=[("array", "u1"), ("mark", "u1"), ("label", ">u4")])
    labels["array"], labels["mark"], labels["label"] = 0x91, 0xCE, numpy.arange(1, states + 2)
    with open(path, "wb") as file:
        file.write(packer.pack_map_header(7))
        for name, value in [("start_edges", [[states - 1, 1]]), ("param_edges", []), ("param_length", 0),
                            ("state_length", 1), ("n_vertices", states + 1)]:
            file.write(packer.pack(name) + packer.pack(value))
        for name, parts in [("states", [labels]), ("edges", edges)]:
            file.write(packer.pack(name) + b"\xdd" + sum(map(len, parts)).to_bytes(4, "big"))
            for rows in parts:
                file.write(rows.tobytes())


def _rows(sources, targets):
    """[source, target, 1] in MessagePack."""
    rows = numpy.empty(len(sources), dtype=[("array", "u1"), ("mark", "u1"), ("source", ">u4"), ("again", "u1"),
                                            ("target", ">u4"), ("one", "u1")])
    rows["array"], rows["mark"], rows["again"], rows["one"] = 0x93, 0xCE, 0xCE, 1
    rows["source"], rows["target"] = sources, targets
    return rows
