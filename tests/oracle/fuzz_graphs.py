"""Random graphs in phasic's layout, with the shapes in which numbers have gone wrong before."""
import math
from fractions import Fraction

SHAPES = ("acyclic", "sparse", "dense", "chain", "walk", "ring", "blocks", "star")


class Shape:
    """States 0..n-1 are transient, n..n+m-1 absorbing; `pairs` are edges between them, `hidden` states nothing leads to."""

    def __init__(self, rng, largest=12):
        self.rng = rng
        self.n = 1 + min(largest - 1, int(rng.expovariate(1 / (largest * 0.4))))
        self.absorbing = rng.choice((1, 1, 1, 2, 3))
        self.kind = rng.choice(SHAPES)
        self.pairs = getattr(self, self.kind)()
        self.exits()
        for _ in range(rng.choice((0, 0, 1, 3))):  # parallel edges
            self.pairs.append(rng.choice(self.pairs))
        self.hidden = rng.choice((0, 0, 0, 1, 2))

    def acyclic(self):
        return [(i, j) for i in range(self.n) for j in range(i + 1, self.n) if self.rng.random() < 0.5]

    def sparse(self):
        return [(self.rng.randrange(self.n), self.rng.randrange(self.n)) for _ in range(2 * self.n)]

    def dense(self):
        return [(i, j) for i in range(self.n) for j in range(self.n) if self.rng.random() < 0.8]

    def chain(self):
        return [(i, i + 1) for i in range(self.n - 1)]

    def walk(self):
        return self.chain() + [(i + 1, i) for i in range(self.n - 1)]

    def ring(self):
        return [(i, (i + 1) % self.n) for i in range(self.n)]

    def blocks(self):
        half = (self.n + 1) // 2
        inside = [(i, j) for i in range(self.n) for j in range(self.n) if (i < half) == (j < half) and self.rng.random() < 0.7]
        return inside + [(0, self.n - 1)]

    def star(self):
        return [(0, i) for i in range(1, self.n)] + [(i, 0) for i in range(1, self.n)]

    def exits(self):
        """Nearly every state gets an edge on, so that most of these chains are absorbed."""
        self.pairs = [(i, j) for i, j in self.pairs if i != j]
        end = self.n + self.absorbing
        for i in range(self.n):
            if self.rng.random() < 0.25 or not any(a == i for a, _ in self.pairs):
                self.pairs.append((i, self.rng.randrange(self.n, end)))
        self.pairs.append((self.n - 1, self.rng.randrange(self.n, end)))
        self.must_exit = len(self.pairs) - 1


def log_uniform(rng, low, high):
    return 10.0 ** rng.uniform(low, high)


def whole_weight(coefs, theta):
    return sum((Fraction(c) * Fraction(t) for c, t in zip(coefs, theta)), Fraction(0))


def cancelling(rng, theta, weight):
    """Coefficients of both signs whose sum at theta is positive, and far below its terms (all of theta above zero)."""
    p = len(theta)
    if p < 2 or min(theta) <= 0:
        return None
    coefs = [0.0] * p
    order = rng.sample(range(p), p)
    try:
        coefs[order[0]] = weight * log_uniform(rng, 0, rng.choice((3, 12, 16 * p - 16))) / theta[order[0]]
        for k in order[1:]:
            rest = whole_weight(coefs, theta) - Fraction(weight)
            coefs[k] = float(-rest / Fraction(theta[k])) * (1 + rng.choice((0.0, 0.0, 1e-15, 1e-9)))
            if rng.random() < 0.3:
                break
    except OverflowError:
        return None
    if not all(math.isfinite(c) for c in coefs) or any(c != 0 and abs(c) < 1e-305 for c in coefs):
        return None
    return coefs if whole_weight(coefs, theta) > 0 else None


class Writer:
    """Collects the rows of a file."""

    def __init__(self, rng, n, params, discrete):
        self.rng = rng
        self.shift = 0 if rng.random() < 0.1 else 1  # whether row 0 is the start vertex
        rows = n + self.shift
        label = (lambda i: rng.randrange(3)) if rng.random() < 0.1 else (lambda i: i)
        self.g = {"states": [[0]] * self.shift + [[label(i) + 1] for i in range(n)], "edges": [], "constant_edges": [],
                  "start_edges": [], "param_edges": [], "start_param_edges": [], "param_length": params,
                  "state_length": 1, "n_vertices": rows}
        if discrete:
            self.g["is_discrete"] = True

    def constant(self, a, b, w):
        self.g[self.rng.choice(("edges", "constant_edges"))].append([a + self.shift, b + self.shift, w])

    def param(self, a, b, coefs):
        self.g["param_edges"].append([a + self.shift, b + self.shift, *coefs])

    def start(self, b, w):
        self.g["start_edges"].append([b + self.shift, w])


def choose_thetas(rng, params, count):
    if params == 0:
        return [[]]
    wide = rng.choice((0.0, 0.3, 1.0, 3.0))
    base = [log_uniform(rng, -wide, wide) for _ in range(params)]
    rows = []
    for _ in range(count):
        row = [b * rng.uniform(0.2, 5.0) for b in base]
        if rng.random() < 0.15:
            row[rng.randrange(params)] = 0.0
        rows.append(row)
    return rows


def rates_of(rng, shape, decades, center):
    """A rate for each pair: log-uniform, with nearly closed sets, nearly sure branches and tiny exits at times."""
    rates = [log_uniform(rng, center - decades, center + decades) for _ in shape.pairs]
    trick = rng.random()
    for k, (_, b) in enumerate(shape.pairs):
        if trick < 0.12 and b >= shape.n:
            rates[k] *= log_uniform(rng, -16, -4)
        elif trick < 0.2 and rng.random() < 0.5:
            rates[k] *= log_uniform(rng, -16, -8)
    if 0.2 < trick < 0.25:
        rates = [10.0 ** center] * len(rates)
    return rates


def add_start(rng, shape, writer):
    places = [0] if rng.random() < 0.5 else rng.sample(range(shape.n + shape.absorbing), rng.randrange(1, 4) if shape.n > 2 else 1)
    if all(p >= shape.n for p in places):
        places.append(0)
    if len(places) == 1:
        return writer.start(places[0], 1.0)
    parts = [log_uniform(rng, -rng.choice((0, 1, 15)), 0) for _ in places]
    total = math.fsum(parts)
    for p, w in zip(places, parts):
        writer.start(p, w / total)
    return None


def continuous(rng, decades=None, center=None, largest=12, params=None, rows=1, cancel=True):
    """A graph and `rows` rows of theta (some may be refused: the reference says which)."""
    shape = Shape(rng, largest)
    params = rng.choice((0, 1, 2, 3, 4)) if params is None else params
    decades = rng.choice((0, 0.5, 1, 2, 4, 8, 15)) if decades is None else decades
    center = rng.uniform(-8, 8) if center is None else center
    writer = Writer(rng, shape.n + shape.absorbing + shape.hidden, params, False)
    thetas = choose_thetas(rng, params, rows)
    deep = cancel and params >= 2 and rng.random() < 0.25
    if deep:
        thetas = thetas[:1]
    for k, ((a, b), w) in enumerate(zip(shape.pairs, rates_of(rng, shape, decades, center))):
        keep = k == shape.must_exit
        if params == 0 or rng.random() < (0.8 if keep else 0.2):
            writer.constant(a, b, w if keep or rng.random() > 0.01 else 0.0)
            continue
        coefs = cancelling(rng, thetas[0], w) if deep and rng.random() < 0.5 else None
        if coefs is None:
            coefs = [w * rng.choice((0.0, 1.0, rng.random())) for _ in range(params)]
            if not any(coefs):
                coefs[rng.randrange(params)] = w
        writer.param(a, b, coefs)
    end = shape.n + shape.absorbing
    for h in range(shape.hidden):
        writer.constant(end + h, rng.randrange(end), log_uniform(rng, -5, 12))
    add_start(rng, shape, writer)
    rng.shuffle(writer.g["edges"])
    return writer.g, thetas


def drained(rng, largest, rows=1):
    """Blocks of one to three states, each left for later ones at rates that mostly fall: early states drain long before
    the end. One parameter scales some of the rates."""
    n = rng.randrange(4, largest)
    decades, rise = rng.choice((2, 4, 6, 9)), rng.choice((0.0, 0.0, 0.1))
    style = rng.choice(("geometric", "squares", "steps"))
    rates = {"geometric": [10.0 ** (decades * (0.5 - i / n)) for i in range(n)],
             "squares": [float((n - i) ** 2) for i in range(n)],
             "steps": [10.0 ** (decades * (0.5 - (3 * i // n) / 3)) for i in range(n)]}[style]
    rates = [r * log_uniform(rng, 0, rise) * (100.0 if rng.random() < rise else 1.0) for r in rates]
    writer = Writer(rng, n + 1, 1, False)
    block, size = 0, rng.choice((1, 1, 2, 3))
    for i in range(n):
        if i - block >= size:
            block, size = i, rng.choice((1, 1, 1, 2, 3))
        ends = [min(n, i + 1)] + [rng.randrange(i + 1, n + 1) for _ in range(rng.choice((0, 0, 1, 2)))]
        ends += [block] if i > block else []
        ends += [n] if rng.random() < rise else []
        for k, b in enumerate(ends):
            weight = rates[i] * (1.0 if k == 0 else log_uniform(rng, -rng.choice((0, 1, 6)), 0))
            writer.param(i, b, [weight]) if rng.random() < 0.7 else writer.constant(i, b, weight)
    start = rng.choice((0, 0, 0, rng.randrange(n)))
    part = rng.choice((1.0, 1.0, rng.random()))
    writer.start(start, part)
    if part < 1.0:
        writer.start(rng.randrange(n + 1), 1.0 - part)
    return writer.g, [[log_uniform(rng, -1, 1)] for _ in range(rows)]


def discrete(rng, rows=1, largest=12, excess=1e-15):
    """The same with probabilities: rows that add up to less than one stay, self-loops, sure steps, and in one graph of
    five rows that exceed one by up to `excess`."""
    shape = Shape(rng, largest)
    params = rng.choice((0, 0, 1, 2))
    writer = Writer(rng, shape.n + shape.absorbing + shape.hidden, params, True)
    thetas = [[rng.choice((rng.random(), 1.0, 1.0, 1e-9, 0.0)) for _ in range(params)] for _ in range(rows if params else 1)]
    exceeds = rng.random() < 0.2
    for i in range(shape.n):
        out = [b for a, b in shape.pairs if a == i]
        if rng.random() < 0.15:
            out = out[-1:] if i == shape.n - 1 else out[:1]
        parts = [log_uniform(rng, -rng.choice((0, 0.5, 3, 12)), 0) for _ in out]
        reach = rng.choice((1.0, 1.0, 1.0, 1 - 1e-12, rng.random(), log_uniform(rng, -9, 0)))
        scale = reach / math.fsum(parts)
        weights = lower_to_one([p * scale for p in parts]) if len(out) > 1 else [reach]
        if exceeds and reach == 1.0:
            weights = [w * (1 + rng.choice((1e-15, excess)) * rng.random()) for w in weights]
        for b, w in zip(out, weights):
            if params and rng.random() < 0.6 and not (i == shape.n - 1 and b == out[-1]):
                share = w * rng.random() if params > 1 else w
                writer.param(i, b, [share, max(math.nextafter(w - share, 0.0), 0.0)][:params])
            else:
                writer.constant(i, b, w)
        left = 1 - math.fsum(weights)
        if left > 1e-3 and rng.random() < 0.3:
            writer.constant(i, i, left * rng.choice((0.5, 0.9)))
    end = shape.n + shape.absorbing
    for h in range(shape.hidden):
        writer.constant(end + h, rng.randrange(end), 1.0)
    add_start(rng, shape, writer)
    return writer.g, thetas


def lower_to_one(weights):
    """The weights, the largest lowered by units in the last place until their exact sum is at most one."""
    weights = list(weights)
    k = max(range(len(weights)), key=weights.__getitem__)
    while sum(map(Fraction, weights), Fraction(0)) > 1:
        weights[k] = math.nextafter(weights[k], 0.0)
    return weights


def chunk_chain(rng):
    """A discrete chain whose length is near a multiple of 64: sure steps, or a hazard that makes it uniform, or leaks."""
    length = rng.choice((1, 2, 3, 63, 64, 65, 127, 128, 129, 191, 192, 193, 255, 256, 257, 511, 512, 513, 575, 576, 1023,
                         1024, 1025))
    writer = Writer(rng, length + 1, 0, True)
    style = rng.choice(("sure", "uniform", "leak", "stay", "two"))
    for i in range(length):
        if style == "uniform" and i + 1 < length:
            p = 1.0 / (length - i)
            weights = lower_to_one([p, 1 - p])
            writer.constant(i, length, weights[0])
            writer.constant(i, i + 1, weights[1])
        elif style == "leak" and rng.random() < 0.05:
            q = log_uniform(rng, -12, -1)
            weights = lower_to_one([1 - q, q])
            writer.constant(i, i + 1, weights[0])
            writer.constant(i, length, weights[1])
        elif style == "stay" and rng.random() < 0.05:
            writer.constant(i, i + 1, 1 - log_uniform(rng, -15, -1))
        else:
            writer.constant(i, i + 1, 1.0)
    writer.start(0, 1.0 if style != "two" or length < 3 else 0.5)
    if style == "two" and length >= 3:
        writer.start(rng.randrange(1, length + 1), 0.5)
    return writer.g, length


def rewards(rng, g, count, wide=0.0):
    """Reward vectors, one of the styles each: ones, positive, zeros, signed, one state alone."""
    n, result = g["n_vertices"], []
    for _ in range(count):
        style = rng.choice(("positive", "zeros", "signed", "alone", "whole"))
        if style == "alone":
            row = [0.0] * n
            row[rng.randrange(n)] = 1.0
        elif style == "whole":
            row = [float(rng.randrange(4)) for _ in range(n)]
        else:
            row = [log_uniform(rng, -2 - wide, 2 + wide) for _ in range(n)]
            if style != "positive":
                row = [v if rng.random() < 0.6 else 0.0 for v in row]
            if style == "signed":
                row = [v * rng.choice((-1, 1)) for v in row]
        result.append(row)
    return result
