"""The kinds `moments`, `covariance` and `wide`: raw moments and covariances of random graphs."""
import fuzz_graphs
import gmpy2
from fuzz_exact import Graph, fits
from fuzz_run import show, table_text, theta_arguments, usable

RELATIVE = 1e-13  # of moments
CENTRED = 1e-12  # of variances


def absolute(row):
    return [abs(v) for v in row]


class Wanted:
    """Moments 1..k at each theta of each reward (or of the time), and what their errors are relative to."""

    def __init__(self, chains, k, rewards, factorial=False):
        self.rows, self.scales = [], []
        for chain in chains:
            values, scales = [], []
            for r in rewards or [None]:
                m = chain.moments(k, r, factorial)
                signed = r is not None and min(r) < 0
                values.append(m)
                scales.append(chain.moments(k, absolute(r)) if signed else m)
            self.rows.append(values)
            self.scales.append(scales)

    def all_fit(self):
        """Signed rewards: a sum that cancels to less than its rounding may be anything small."""
        return all(fits(x) or (s > 0 and abs(x) < s * RELATIVE) for v, w in zip(self.rows, self.scales)
                   for xs, ss in zip(v, w) for x, s in zip(xs, ss))

    def may_refuse(self):
        """Whether a number that is needed to know the result, the moments of |r|, is no double."""
        return not all(fits(s) for w in self.scales for ss in w for s in ss)


def check_moments(session, thetas, wanted, done, arguments, with_rewards, what):
    """Compares the output with the reference, or judges the refusal."""
    if done is None:
        return
    if done.code != 0:
        if wanted.all_fit() and not wanted.may_refuse():
            session.finding("refused what fits", arguments, f"expected {shown(wanted)}; it says: {done.err[:400]}")
        else:
            session.note("refusals: no double")
        return
    if not wanted.all_fit():
        session.finding("accepted what does not fit", arguments,
                        f"expected {shown(wanted)}; got {done.result['moments']}"[:1500])
        return
    for row, (values, scales) in enumerate(zip(wanted.rows, wanted.scales)):
        got = done.result["moments"][row]
        for f, (xs, ss) in enumerate(zip(values, scales)):
            for order, (x, s) in enumerate(zip(xs, ss), start=1):
                g = (got[f] if with_rewards else got)[order - 1]
                where = f"theta row {row}, reward {f}, moment {order}:"
                if not session.compare(what, g, x, RELATIVE, s, arguments, where):
                    return


def shown(wanted):
    return "; ".join(", ".join(show(x) for x in xs) for values in wanted.rows for xs in values)[:600]


def moments_case(session, rng, graph_of, decades=0.0, what="moments"):
    g, thetas = graph_of(rng)
    session.case(g, session.index)
    if rng.random() < 0.05 and thetas[0]:
        thetas.append([-abs(v) for v in thetas[0]])
    graph = Graph(g)
    kept, chains = usable(session, graph, thetas, allow_bad=1)
    if not chains:
        return session.note("no theta that is not refused")
    k = rng.randrange(1, 9) if rng.random() < 0.5 else rng.randrange(1, 4)
    rewards = fuzz_graphs.rewards(rng, g, rng.choice((1, 2, 3)), decades) if rng.random() < 0.5 else None
    factorial = bool(g.get("is_discrete")) and rewards is None and rng.random() < 0.5
    arguments = [*theta_arguments(kept), "--moments", str(k), *(("--factorial",) if factorial else ()),
                 *(("--rewards", table_text(rewards)) if rewards else ())]
    wanted = Wanted(chains, k, rewards, factorial)
    done = session.run(*arguments)
    check_moments(session, kept, wanted, done, arguments, rewards is not None,
                  "factorial moments" if factorial else what + (" of rewards" if rewards else ""))
    return None


def moments(session, rng):
    if rng.random() < 0.2:
        moments_case(session, rng, lambda r: fuzz_graphs.discrete(r, r.choice((1, 3)), excess=5e-13), what="moments, discrete")
    else:
        moments_case(session, rng, lambda r: fuzz_graphs.continuous(r, rows=r.choice((1, 2, 5))))


def empty_batch(session, rng):
    g, thetas = fuzz_graphs.continuous(rng, params=2)
    session.case(g, session.index)
    if not usable(session, Graph(g), thetas)[0]:
        return
    done = session.run("--theta", session.empty, "--moments", "2")
    if done is not None and (done.code != 0 or done.result["moments"] != []):
        session.finding("an empty batch", ["--theta", "(0, 2).npy"], done.err or done.text)


def wide(session, rng):
    """Rates, and rewards, that are far apart: what fits a double is right, what does not is refused, nothing else."""
    w = rng.choice((60, 100, 100, 300, 300))

    def graph(r):
        g, thetas = fuzz_graphs.continuous(r, decades=w, center=0, largest=r.choice((3, 6, 8)), rows=r.choice((1, 1, 3)),
                                           cancel=False, params=r.choice((0, 0, 1, 2)))
        far = fuzz_graphs.log_uniform(r, -20, 20) if r.random() < 0.3 else 1.0
        return clamp(g), [[v * far for v in row] for row in thetas]

    moments_case(session, rng, graph, decades=rng.choice((0, 0, 50, w * 0.7)), what=f"moments, rates 10^+-{w}")


def clamp(g):
    """No number beyond a double's normal range is written."""
    for key in ("edges", "constant_edges", "param_edges", "start_edges"):
        for row in g[key]:
            for k in range(2 if key != "start_edges" else 1, len(row)):
                if row[k] != 0:
                    row[k] = min(max(row[k], 1e-300), 1e300)
    return g


def covariance(session, rng):
    kind = rng.random()
    rows = rng.choice((1, 3))
    g, thetas = fuzz_graphs.discrete(rng, rows, excess=5e-13) if kind < 0.35 else fuzz_graphs.continuous(rng, rows=rows)
    if kind > 0.9:
        g, thetas = sure_chain(rng), [[]]
    session.case(g, session.index)
    kept, chains = usable(session, Graph(g), thetas)
    if not chains:
        return session.note("no theta that is not refused")
    rewards = fuzz_graphs.rewards(rng, g, rng.choice((1, 2, 4))) if rng.random() < 0.5 else None
    arguments = [*theta_arguments(kept), "--covariance", *(("--rewards", table_text(rewards)) if rewards else ())]
    wanted = [chain.covariance(rewards)[0] for chain in chains]
    allowed = [allowances(chain, rewards) for chain in chains]
    done = session.run(*arguments)
    return check_covariance(session, wanted, allowed, done, arguments, rewards)


def allowances(chain, rewards):
    """What errors are relative to: the product of standard deviations, and, for what hardly varies, 10^-16 of the product
    of means (of signed rewards: those of their absolute values)."""
    matrix, means = chain.covariance(None if rewards is None else [absolute(r) for r in rewards])
    sigma = [gmpy2.sqrt(abs(matrix[a][a])) for a in range(len(matrix))]
    return [[s * t + abs(m * o) * gmpy2.mpfr("1e-16") for t, o in zip(sigma, means)] for s, m in zip(sigma, means)]


def check_covariance(session, wanted, allowed, done, arguments, rewards):
    if done is None:
        return
    if done.code != 0:
        if any(not fits(m[a][a]) for m in wanted for a in range(len(m))):
            session.note("refusals: no double")
        else:
            session.finding("refused what fits", arguments, f"expected {show(wanted[0][0][0])} ..; it says: {done.err[:400]}")
        return
    of = "" if rewards is None else " of rewards"
    for row, (matrix, scales) in enumerate(zip(wanted, allowed)):
        for a, line in enumerate(matrix):
            for b, x in enumerate(line):
                got = done.result["covariance"][row][a][b]
                what, where = ("variances" if a == b else "covariances") + of, f"theta row {row}, [{a}][{b}]:"
                if a == b and got < 0:
                    session.finding("a negative variance", arguments, f"{where} {got!r}, expected {show(x)}")
                    return
                if not session.compare(what, got, x, CENTRED, scales[a][b], arguments, where):
                    return


def sure_chain(rng):
    """A long chain whose branches and waits hardly matter: its variance is far below the square of its mean."""
    discrete = rng.random() < 0.5
    n = rng.choice((3, 10, 50, 200))
    writer = fuzz_graphs.Writer(rng, n + 1, 0, discrete)
    for i in range(n):
        p = fuzz_graphs.log_uniform(rng, -15, -3) if rng.random() < 0.1 else 0.0
        if discrete:
            writer.constant(i, i + 1, 1.0 - p)
            if p and rng.random() < 0.5:
                writer.constant(i, rng.randrange(i + 1, n + 1), p * 0.999)
        else:
            writer.constant(i, i + 1, fuzz_graphs.log_uniform(rng, 3, 9) if rng.random() < 0.9 else 1.0)
    writer.start(0, 1.0)
    return writer.g
