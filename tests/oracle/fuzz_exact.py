"""The values of a graph in many bits, by the functions of exact.h: what the fuzzers compare with."""
import ctypes
import os
import subprocess
import tempfile

import gmpy2
import numpy

gmpy2.get_context().precision = 200
HERE = os.path.dirname(os.path.abspath(__file__))
SOURCES = [os.path.join(HERE, f"exact_{part}.c") for part in ("chain", "moments", "density")]
TEXT = 80  # EXACT_TEXT
FEWEST_BITS = 320
MOST_STATES = 12  # that as many bits as the weights spread over are granted for, each
OK, NEGATIVE, TRAPPED, START, PROBABILITIES = range(5)
STATUS = ["ok", "a negative weight", "a state that cannot be absorbed",
          "a start distribution that does not sum to one", "probabilities that sum to more than one"]
LARGEST, SMALLEST = gmpy2.mpfr(1.7976931348623157e308), gmpy2.mpfr(2.2250738585072014e-308)


class Input(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int64) for name in ("n", "edges", "starts", "params")] + \
               [(name, ctypes.c_void_p) for name in ("from_", "to", "start_to", "coefs", "start_coefs", "theta")] + \
               [(name, ctypes.c_int64) for name in ("discrete", "bits")]


def load(folder):
    """The compiled functions, kept in `folder` (that of the program), made again when a source is newer."""
    path = os.path.join(folder, "oracle-exact.so")
    newest = max(os.path.getmtime(s) for s in [*SOURCES, os.path.join(HERE, "exact.h")])
    if not os.path.exists(path) or os.path.getmtime(path) < newest:
        handle, fresh = tempfile.mkstemp(dir=folder, suffix=".so")
        os.close(handle)
        subprocess.run(["cc", "-O2", "-std=c11", "-D_DEFAULT_SOURCE", "-shared", "-fPIC", "-o", fresh, *SOURCES,
                        "-lmpfr", "-lgmp", "-lm"], check=True)
        os.rename(fresh, path)
    lib = ctypes.CDLL(path)
    lib.exact_chain_new.restype = ctypes.c_void_p
    lib.exact_chain_new.argtypes = [ctypes.POINTER(Input), ctypes.POINTER(ctypes.c_int64)]
    lib.exact_chain_free.argtypes = [ctypes.c_void_p]
    lib.exact_chain_spread.argtypes = [ctypes.c_void_p]
    lib.exact_chain_spread.restype = ctypes.c_int64
    lib.exact_chain_largest.argtypes = [ctypes.c_void_p]
    lib.exact_chain_largest.restype = ctypes.c_double
    whole, pointer = ctypes.c_int64, ctypes.c_void_p
    lib.exact_moments.argtypes = [pointer, pointer, whole, whole, ctypes.c_char_p, ctypes.POINTER(whole)]
    lib.exact_covariance.argtypes = [pointer, pointer, whole, whole, ctypes.c_char_p, ctypes.POINTER(whole)]
    lib.exact_density.argtypes = [pointer, pointer, whole, ctypes.c_char_p]
    lib.exact_mass.argtypes = [pointer, pointer, whole, ctypes.c_char_p]
    return lib


def numbers(buffer, count):
    raw = buffer.raw
    return [gmpy2.mpfr(raw[i * TEXT:(i + 1) * TEXT].split(b"\0", 1)[0].decode()) for i in range(count)]


AGREE, NOTHING = gmpy2.mpfr("1e-32"), gmpy2.mpfr("1e-60")


def agree(a, b):
    return all(x == y or abs(x - y) <= abs(y) * AGREE for x, y in zip(a, b))


def without_rests(values, f):
    """Covariances and means; what is below 10^-60 of the product of the means is what a zero looks like."""
    means = values[f * f:]
    return [gmpy2.mpfr(0) if abs(v) <= NOTHING * abs(means[k // f] * means[k % f]) else v
            for k, v in enumerate(values[:f * f])] + means


class Unsettled(Exception):
    """Two precisions never agreed."""


class Graph:
    """The arrays of a graph in phasic's layout (a dict): a constant weight is the coefficient of a parameter 1."""

    lib = None

    def __init__(self, g):
        width = 1 + g["param_length"]
        constant = [*g["edges"], *g.get("constant_edges", [])]
        self.n, self.discrete, self.width = g["n_vertices"], bool(g.get("is_discrete")), width
        self.ends = numpy.array([[int(a), int(b)] for a, b, *_ in constant + g["param_edges"]] or [[0, 0]][:0],
                                dtype=numpy.int32).reshape(-1, 2)
        self.origin = numpy.ascontiguousarray(self.ends[:, 0])
        self.to = numpy.ascontiguousarray(self.ends[:, 1])
        self.coefs = self.table([w for _, _, w in constant], [c for _, _, *c in g["param_edges"]])
        params = g.get("start_param_edges", [])
        self.start_to = numpy.array([int(r[0]) for r in g["start_edges"] + params], dtype=numpy.int32)
        self.start_coefs = self.table([w for _, w in g["start_edges"]], [c for _, *c in params])

    def table(self, constant, params):
        t = numpy.zeros((len(constant) + len(params), self.width))
        t[:len(constant), 0] = constant
        if params:
            t[len(constant):, 1:] = params
        return t

    def at(self, theta):
        return Chain(self, theta)


class Chain:
    """A graph at one theta. `status` is OK or says why there is none."""

    def __init__(self, graph, theta):
        self.graph, self.theta = graph, numpy.array([1.0, *theta])
        self.chain, self.status = self.make(FEWEST_BITS)
        self.chains = {FEWEST_BITS: self.chain} if self.chain else {}
        spread = graph.lib.exact_chain_spread(self.chain) if self.chain else 0
        self.bits = FEWEST_BITS + min(graph.n, MOST_STATES) * spread

    def make(self, bits):
        g, status = self.graph, ctypes.c_int64()
        data = Input(g.n, len(g.to), len(g.start_to), g.width, g.origin.ctypes.data, g.to.ctypes.data,
                     g.start_to.ctypes.data, g.coefs.ctypes.data, g.start_coefs.ctypes.data, self.theta.ctypes.data,
                     g.discrete, bits)
        return g.lib.exact_chain_new(ctypes.byref(data), ctypes.byref(status)), status.value

    def __del__(self):
        for chain in self.chains.values():
            self.graph.lib.exact_chain_free(chain)

    def of_bits(self, bits):
        if bits not in self.chains:
            self.chains[bits], _ = self.make(bits)
        return self.chains[bits]

    def settled(self, count, ask, clean=lambda values: values):
        """What `ask(text, lost)` writes, at the first precision at which twice the bits give the same."""
        before, bits = None, self.bits
        while bits <= 1 << 17:
            self.chain = self.of_bits(bits)
            text, lost = ctypes.create_string_buffer(count * TEXT), ctypes.c_int64()
            ask(text, lost)
            now = None if lost.value else clean(numbers(text, count))
            if now is not None and before is not None and agree(before, now):
                self.bits = bits // 2
                return now
            before, bits = now, 2 * bits
        raise Unsettled("two precisions never agreed")

    def moments(self, k, reward=None, factorial=False):
        """Raw moments 1..k of a reward, or of the time; or factorial moments of the steps."""
        r = numpy.ones(self.graph.n) if reward is None else numpy.array(reward, dtype=float)
        return self.settled(k, lambda text, lost: self.graph.lib.exact_moments(
            self.chain, r.ctypes.data, k, factorial, text, ctypes.byref(lost)))

    def covariance(self, rewards=None):
        """The covariance matrix, and the means."""
        r = numpy.ones((1, self.graph.n)) if rewards is None else numpy.array(rewards, dtype=float)
        f = len(r)
        flat = self.settled(f * f + f, lambda text, lost: self.graph.lib.exact_covariance(
            self.chain, r.ctypes.data, f, self.graph.n, text, ctypes.byref(lost)), lambda v: without_rests(v, f))
        return [flat[a * f:(a + 1) * f] for a in range(f)], flat[f * f:]

    def largest(self):
        return self.graph.lib.exact_chain_largest(self.chain)

    def density(self, times):
        """pdf, cdf, survival (lists) and the largest pdf that was met."""
        count, t = len(times), numpy.array(times, dtype=float)
        reach = max(0.0, float(gmpy2.log2(gmpy2.mpfr(self.largest() or 1) * gmpy2.mpfr(max(times) or 1))))
        chain = self.of_bits(max(FEWEST_BITS, 280 + 2 * int(reach)))
        text = ctypes.create_string_buffer((3 * count + 1) * TEXT)
        self.graph.lib.exact_density(chain, t.ctypes.data, count, text)
        return split(numbers(text, 3 * count + 1), count)

    def mass(self, steps):
        """The same of a discrete chain at numbers of steps in ascending order."""
        count, t = len(steps), numpy.array(steps, dtype=numpy.int64)
        text = ctypes.create_string_buffer((3 * count + 1) * TEXT)
        self.graph.lib.exact_mass(self.of_bits(FEWEST_BITS), t.ctypes.data, count, text)
        return split(numbers(text, 3 * count + 1), count)


def split(values, count):
    return values[:count], values[count:2 * count], values[2 * count:3 * count], values[3 * count]


def fits(x):
    return x == 0 or SMALLEST <= abs(x) <= LARGEST
