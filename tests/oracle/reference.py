"""Moments and densities of a phase-type distribution, straight from the graph file, in mpmath's arithmetic.

Nothing here is shared with the library: moments come from plain Gaussian elimination with subtractions (which is why
the precision is far above 50 digits: stiff systems lose up to 40 of them), densities from the matrix exponential.
"""
import json

import mpmath
from mpmath import mp, mpf

DIGITS = 150  # working precision of everything that is solved


class Chain:
    """The chain of a graph file at one theta: exact products of coefficients and theta, summed over parallel edges.

    `transient` are the reachable states that are not absorbing, in row order; `rates[i]` maps a transient state to the
    rates (probabilities, when discrete) of leaving to other rows; `start` maps rows to probabilities.
    """

    def __init__(self, graph, theta=()):
        mp.dps = DIGITS
        self.discrete = bool(graph.get("is_discrete", False))
        self.n = graph["n_vertices"]
        theta = [mpf(t) for t in theta]

        def weight(coefs):
            return sum((mpf(c) * t for c, t in zip(coefs, theta)), mpf(0))

        out = [{} for _ in range(self.n)]
        stay = [mpf(0)] * self.n

        def add(a, b, w):
            a, b = int(a), int(b)
            if a == b:
                stay[a] += w
            elif w != 0:
                out[a][b] = out[a].get(b, mpf(0)) + w

        for a, b, w in [*graph["edges"], *graph.get("constant_edges", [])]:
            add(a, b, mpf(w))
        for a, b, *coefs in graph["param_edges"]:
            add(a, b, weight(coefs))
        if graph.get("was_dph"):
            self.discrete = True
            for a in range(self.n):
                total = stay[a] + sum(out[a].values())
                if total != 0:
                    out[a] = {b: w / total for b, w in out[a].items()}
        elif self.discrete:
            for a in range(self.n):
                total = sum(out[a].values())
                if total > 1:  # by rounding
                    out[a] = {b: w / total for b, w in out[a].items()}
        self.start = {}
        for b, w in graph["start_edges"]:
            self.start[int(b)] = self.start.get(int(b), mpf(0)) + mpf(w)
        for b, *coefs in graph.get("start_param_edges", []):
            self.start[int(b)] = self.start.get(int(b), mpf(0)) + weight(coefs)
        self.start = {b: w for b, w in self.start.items() if w != 0}
        total = sum(self.start.values())
        self.start = {b: w / total for b, w in self.start.items()}

        reached, stack = set(self.start), list(self.start)
        while stack:
            for b in out[stack.pop()]:
                if b not in reached:
                    reached.add(b)
                    stack.append(b)
        self.rates = {i: out[i] for i in sorted(reached) if out[i]}
        self.transient = list(self.rates)
        self.total = {i: sum(out[i].values()) for i in self.transient}
        self.atom = sum((w for b, w in self.start.items() if b not in self.rates), mpf(0))
        self._factor()

    def _factor(self):
        """Sparse LU of Lambda - W, eliminating next the state with the fewest fill-ins."""
        rows = {i: {j: -w for j, w in self.rates[i].items() if j in self.rates} for i in self.transient}
        cols = {i: set() for i in self.transient}
        for i in self.transient:
            rows[i][i] = self.total[i]
            for j in rows[i]:
                cols[j].add(i)
        left, self.steps = set(self.transient), []
        while left:
            p = min(left, key=lambda v: ((len(cols[v]) - 1) * (len(rows[v]) - 1), v))
            left.remove(p)
            pivot_row = rows[p]
            for j in pivot_row:
                cols[j].discard(p)
            multipliers = []
            for i in cols[p]:
                f = rows[i].pop(p) / pivot_row[p]
                multipliers.append((i, f))
                for j, w in pivot_row.items():
                    if j != p:
                        rows[i][j] = rows[i].get(j, 0) - f * w
                        cols[j].add(i)
            self.steps.append((p, multipliers, pivot_row))

    def solve(self, right):
        """x with (Lambda - W) x = right, both dicts over the transient states."""
        r = dict(right)
        for p, multipliers, _ in self.steps:
            if r[p] != 0:
                for i, f in multipliers:
                    r[i] -= f * r[p]
        x = {}
        for p, _, row in reversed(self.steps):
            x[p] = (r[p] - sum((w * x[j] for j, w in row.items() if j != p), mpf(0))) / row[p]
        return x

    def at_start(self, x):
        return sum((w * x[i] for i, w in self.start.items() if i in x), mpf(0))

    def _rewards(self, rewards):
        return {i: mpf(1) if rewards is None else mpf(rewards[i]) for i in self.transient}

    def _jump_mean(self, i, x):
        """The mean of x (zero where absorbed) after one step from state i of a discrete chain."""
        moved = sum((w * x[j] for j, w in self.rates[i].items() if j in x), mpf(0))
        return moved + (1 - self.total[i]) * x[i]

    def moments(self, k, rewards=None):
        """Raw moments 1..k of the reward collected until absorption."""
        r = self._rewards(rewards)
        if not self.discrete:
            x, moments = {i: mpf(1) for i in self.transient}, []
            for order in range(1, k + 1):
                x = self.solve({i: order * r[i] * x[i] for i in self.transient})
                moments.append(self.at_start(x))
            return moments
        # Y = r_i + Y', so E[Y^m] = sum_j binomial(m, j) r_i^(m-j) E[Y'^j], E[Y'^0] = 1 wherever the step leads.
        lower, moments = [], []
        for order in range(1, k + 1):
            right = {i: r[i] ** order for i in self.transient}
            for j, x in enumerate(lower, start=1):
                b = mpmath.binomial(order, j)
                for i in self.transient:
                    right[i] += b * r[i] ** (order - j) * self._jump_mean(i, x)
            lower.append(self.solve(right))
            moments.append(self.at_start(lower[-1]))
        return moments

    def factorial_moments(self, k):
        """E[T (T-1) .. (T-j+1)], j = 1..k, of the steps of a discrete chain, by Stirling numbers of the first kind."""
        raw = [mpf(1) - 0, *self.moments(k)]
        result = []
        coefs = [mpf(1)]  # of the polynomial 1, in ascending powers
        for j in range(k):
            coefs = [(coefs[p - 1] if p > 0 else 0) - j * (coefs[p] if p < len(coefs) else 0)
                     for p in range(len(coefs) + 1)]
            result.append(sum(c * raw[p] for p, c in enumerate(coefs)))
        return result

    def covariance(self, rewards):
        """The covariance matrix of several rewards, and the matrix of E[Y_a Y_b]."""
        r = [self._rewards(v) for v in rewards]
        mean = [self.solve(v) if not self.discrete else self.solve(dict(v)) for v in r]
        size = len(r)
        cov, cross = mpmath.matrix(size), mpmath.matrix(size)
        for a in range(size):
            for b in range(a + 1):
                if self.discrete:
                    right = {i: r[a][i] * r[b][i] + r[a][i] * self._jump_mean(i, mean[b])
                             + r[b][i] * self._jump_mean(i, mean[a]) for i in self.transient}
                else:
                    right = {i: r[a][i] * mean[b][i] + r[b][i] * mean[a][i] for i in self.transient}
                both = self.at_start(self.solve(right))
                cross[a, b] = cross[b, a] = both
                cov[a, b] = cov[b, a] = both - self.at_start(mean[a]) * self.at_start(mean[b])
        return cov, cross

    def density(self, times, digits=60):
        """pdf, cdf and survival at the times (continuous): the Taylor series of alpha exp(A t), as it stands.

        Its terms alternate and grow to exp(2 max rate t) before they fall, so that many digits are carried along.
        """
        reach = 2 * max(self.total.values()) * max(mpf(t) for t in times)
        with mp.workdps(int(digits + reach * 0.9) + 20):
            tiny = mpf(10) ** -(digits + int(reach * 0.45))
            powers = [mpf(1)] * len(times)
            p = {i: self.start.get(i, mpf(0)) for i in self.transient}
            pdf, cdf = [mpf(0)] * len(times), [self.atom] * len(times)
            survival = [sum(p.values())] * len(times)
            k, low = 0, 0
            while low < 3:
                q = {i: -p[i] * self.total[i] for i in self.transient}
                gone = mpf(0)
                for i in self.transient:
                    if p[i] != 0:
                        for j, w in self.rates[i].items():
                            if j in q:
                                q[j] += p[i] * w
                            else:
                                gone += p[i] * w
                k += 1
                p = {i: v / k for i, v in q.items()}
                alive = sum(p.values())
                largest = mpf(0)
                for n, t in enumerate(times):
                    pdf[n] += powers[n] * gone
                    powers[n] *= mpf(t)
                    cdf[n] += powers[n] * gone / k
                    survival[n] += powers[n] * alive
                    largest = max(largest, powers[n] * max(abs(v) for v in p.values()))
                low = low + 1 if largest < tiny and k > reach else 0
        return pdf, cdf, survival

    def mass(self, steps):
        """pmf, cdf at 0..steps of a discrete chain, by stepping in mpmath."""
        p = {i: self.start.get(i, mpf(0)) for i in self.transient}
        pmf = [self.atom]
        for _ in range(steps):
            q = {i: p[i] * (1 - self.total[i]) for i in self.transient}
            gone = mpf(0)
            for i in self.transient:
                for j, w in self.rates[i].items():
                    if j in q:
                        q[j] += p[i] * w
                    else:
                        gone += p[i] * w
            pmf.append(gone)
            p = q
        cdf = [mpmath.fsum(pmf[: k + 1]) for k in range(len(pmf))]
        return pmf, cdf


def read(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def relative_error(got, want):
    want = mpf(want)
    if want == 0:
        return abs(mpf(got))
    return abs(mpf(got) - want) / abs(want)
