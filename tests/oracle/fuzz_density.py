"""The kinds `density` and `discrete`: the error of pdf, cdf and survival is within the bound that is printed."""
import math

import fuzz_graphs
import gmpy2
from fuzz_exact import Graph
from fuzz_graphs import log_uniform
from fuzz_moments import moments_case
from fuzz_run import TOO_MANY_STEPS, row_text, show, theta_arguments, usable

UNIT = 2.0 ** -53
SMALLEST_RELATIVE = gmpy2.mpfr("1e-290")  # docs/densities.md: tails keep relative accuracy down to here
USUAL_STEPS = 2e5
LATE = 2.0  # seconds within which a refusal comes


def choose_times(rng, mean, largest, limit):
    """Times around the mean, or as late as `limit` steps permit; most are a power of two apart from each other."""
    last = min(mean * log_uniform(rng, -2, 1.3), limit / largest) if rng.random() < 0.9 else mean * log_uniform(rng, -12, 0)
    last = min(last, limit / largest)
    times = [math.ldexp(last, -rng.randrange(0, 12)) for _ in range(rng.randrange(1, 5))]
    if rng.random() < 0.3:
        times += [last * rng.uniform(0.1, 1.0)]
    if rng.random() < 0.2:
        times += [0.0]
    if rng.random() < 0.2:  # so many that they are mixed in groups
        first = rng.choice((0.0, 0.5, 0.9))
        times += [last * rng.uniform(first, 1.0) for _ in range(rng.randrange(5, 70))]
    return [t for t in times if t == 0 or 1e-300 < t < 1e300]


def choose_options(rng, wants=("--pdf", "--cdf")):
    tails = rng.random() < 0.4
    wanted = list(wants) if rng.random() < 0.7 else [rng.choice(wants)]
    tolerance = 1e-10 if tails else 1e-9
    more = ["--tail-accuracy"] if tails else []
    if rng.random() < 0.25:
        tolerance = log_uniform(rng, -12, -3)
        more += ["--tolerance", repr(tolerance)]
        tolerance = min(tolerance, 1e-10) if tails else tolerance
    return tails, tolerance, wanted + more


class Errors:
    """The errors of one row against the reference; what they may be."""

    def __init__(self, session, times, values, tails, arguments):
        self.session, self.times, self.tails, self.arguments = session, times, tails, arguments
        self.pdf, self.cdf, self.survival, self.peak = values
        self.largest = 0.0

    def one(self, what, got, want, allowed, scale, half, t):
        """`half`: the rounding of the output itself, which no bound need include."""
        if scale == 0:
            return True
        error = abs(gmpy2.mpfr(got) - want) / scale
        self.largest = max(self.largest, float(error))
        self.session.values += 1
        if error <= allowed + half:
            return True
        self.session.finding(f"{what} beyond its bound" + (", tails" if self.tails else ""), self.arguments,
                             f"time {t!r}: got {got!r}, expected {show(want)}, error {float(error):.3g}, "
                             f"bound {allowed:.3g}")
        return False

    def relative(self, what, got, want, bound, t):
        if want < SMALLEST_RELATIVE:
            if got > 2e-290 or got < 0:
                self.session.finding(f"{what} where nearly nothing is", self.arguments,
                                     f"time {t!r}: got {got!r}, expected {show(want)}")
            return True
        return self.one(what, got, want, bound, want, 2 * UNIT, t)

    def check(self, result, bound):
        scale = max([*self.pdf, self.peak * gmpy2.mpfr("1e-6")])
        for j, t in enumerate(self.times):
            for what, want in (("pdf", self.pdf[j]), ("cdf", self.cdf[j]), ("survival", self.survival[j])):
                if what not in result:
                    continue
                got = result[what][0][j]
                if self.tails:
                    good = self.relative(what, got, want, bound, t)
                elif what == "pdf":
                    good = self.one(what, got, want, bound, scale, UNIT, t)
                else:
                    good = self.one(what, got, want, bound, gmpy2.mpfr(1), UNIT, t)
                if not good:
                    return
        self.in_order(result)
        self.session.ratio("tails" if self.tails else "densities", bound, self.largest)

    def in_order(self, result):
        order = sorted(range(len(self.times)), key=self.times.__getitem__)
        for what, sign in (("cdf", 1), ("survival", -1)):
            values = [sign * result[what][0][j] for j in order] if what in result else []
            if values != sorted(values) or any(not 0 <= abs(v) <= 1 for v in values):
                self.session.finding(f"{what} out of order", self.arguments, f"{values}")


def density_row(session, rng, chain, theta, wants=("--pdf", "--cdf")):
    mean, largest = float(chain.moments(1)[0]), chain.largest()
    if not (0 < mean < 1e300) or not largest or mean < 1e-290:
        return session.note("only an atom, or a mean that is no double")
    small = len(chain.graph.to) < 12
    limit = USUAL_STEPS * (log_uniform(rng, 1, 2.3) if small and rng.random() < 0.06 else rng.choice((1, 0.1, 0.01, 1e-4)))
    times = choose_times(rng, mean, largest, limit)
    if not times:
        return session.note("no time is a double")
    tails, tolerance, options = choose_options(rng, wants)
    arguments = [*theta_arguments([theta]), *options, "--times", row_text(times)]
    done = session.run(*arguments)
    if done is not None and done.code != 0:
        return judge_refusal(session, done, arguments, largest * max(times), tolerance)
    if done is not None:
        *values, peak = chain.density(times)
        peak = max(peak, least_peak(chain, done.result["atom"][0]))
        errors = Errors(session, times, (*values, peak), tails, arguments)
        errors.check(done.result, bound_of(session, done, tolerance, arguments))
    return None


def least_peak(chain, atom):
    """Half of what is not absorbed at once is so by twice its mean time (Markov), and the pdf is somewhere as large as its
    average until then. The steps up to the last time that is asked for may not have seen it."""
    part = 1 - gmpy2.mpfr(atom)
    return part ** 2 / (4 * chain.moments(1)[0]) if part > 0 else gmpy2.mpfr(0)


def bound_of(session, done, tolerance, arguments):
    bound = done.result["method"]["error_bound"]
    if not bound <= tolerance:
        session.finding("a bound above the tolerance", arguments, f"bound {bound!r}, tolerance {tolerance!r}")
    return bound


def judge_refusal(session, done, arguments, steps, tolerance):
    if not TOO_MANY_STEPS.search(done.err) or steps * UNIT * 20 < tolerance:
        session.finding("refused what is feasible", arguments, f"{steps:.3g} steps, tolerance {tolerance:.3g}: {done.err[:400]}")
    elif done.seconds > LATE:
        session.finding("a late refusal", arguments, f"after {done.seconds:.1f} s, {steps:.3g} steps: {done.err[:400]}")
    else:
        session.note("refusals: more steps than the tolerance permits")


def density(session, rng):
    style = rng.random()
    center = rng.uniform(-280, 280) if style < 0.1 else rng.uniform(-6, 6)
    decades = rng.choice((0, 0.3, 1, 2, 3)) if style < 0.7 else rng.choice((5, 8))
    g, thetas = fuzz_graphs.continuous(rng, decades=decades, center=center, largest=rng.choice((4, 8, 8, 14)), rows=2,
                                       cancel=style > 0.1)
    session.case(g, session.index)
    kept, chains = usable(session, Graph(g), thetas)
    if not chains:
        return session.note("no theta that is not refused")
    for theta, chain in zip(kept[:1 + (rng.random() < 0.3)], chains):
        density_row(session, rng, chain, theta)
    return None


def contour(session, rng):
    """Contours where they would not be chosen, too: what they give is within its bound, or they refuse."""
    g, thetas = fuzz_graphs.continuous(rng, decades=rng.choice((0, 1, 3, 6, 12)), center=rng.uniform(-6, 6),
                                       largest=rng.choice((4, 8, 14)), rows=2, cancel=True)
    session.case(g, session.index)
    kept, chains = usable(session, Graph(g), thetas)
    if not chains:
        return session.note("no theta that is not refused")
    mean, largest = float(chains[0].moments(1)[0]), chains[0].largest()
    if not (1e-290 < mean < 1e300) or not largest:
        return session.note("only an atom, or a mean that is no double")
    last = mean * log_uniform(rng, -3, 1.3)
    times = [last * 2.0 ** -rng.uniform(0, 10) for _ in range(rng.randrange(1, 5))] + [last]
    tolerance = log_uniform(rng, -11, -4)
    arguments = [*theta_arguments(kept[:1]), "--pdf", "--cdf", "--tolerance", repr(tolerance), "--times", row_text(times),
                 "--method", rng.choice(("contour", "parabola"))]
    done = session.run(*arguments)
    if done is None:
        return None
    if done.code != 0:
        return session.note("contours refuse" if "bound of contours" in done.err else "refused")
    *values, peak = chains[0].density(times)
    peak = max(peak, least_peak(chains[0], done.result["atom"][0]))
    Errors(session, times, (*values, peak), False, arguments).check(
        done.result, bound_of(session, done, tolerance, arguments))
    return None


def drained(session, rng):
    """Chains whose first states drain, by steps that begin anew."""
    g, thetas = fuzz_graphs.drained(rng, largest=rng.choice((10, 20, 30)))
    session.case(g, session.index)
    kept, chains = usable(session, Graph(g), thetas)
    for theta, chain in zip(kept, chains):
        density_row(session, rng, chain, theta)


def discrete(session, rng):
    choice = rng.random()
    if choice < 0.4:
        return moments_case(session, rng, lambda r: fuzz_graphs.discrete(r, rows=r.choice((1, 3))), what="moments, discrete")
    if choice < 0.65:
        g, length = fuzz_graphs.chunk_chain(rng)
        session.case(g, session.index)
        near = [length - 1, length, length + 1, 0, 63, 64, 65, 128, 512, 1024, rng.randrange(2 * length + 2), 1 << 20]
        return pmf_row(session, rng, Graph(g).at([]), [], rng.sample(near[:-1], rng.randrange(1, 7)))
    g, thetas = fuzz_graphs.discrete(rng, rows=2)
    session.case(g, session.index)
    kept, chains = usable(session, Graph(g), thetas)
    if not chains:
        return session.note("no theta that is not refused")
    for theta, chain in zip(kept[:1], chains):
        mean = float(chain.moments(1)[0])
        last = int(min(3000.0, max(2.0, mean * log_uniform(rng, -1, 1.5))))
        steps = [rng.randrange(last + 1) for _ in range(rng.randrange(1, 8))]
        steps += rng.sample([0, 1, 63, 64, 65, 127, 128, 129, 512, 513], rng.randrange(0, 3))
        pmf_row(session, rng, chain, theta, steps)
    return None


def pmf_row(session, rng, chain, theta, steps):
    tails, tolerance, options = choose_options(rng)
    arguments = [*theta_arguments([theta]), *options, "--times", ",".join(map(str, steps))]
    done = session.run(*arguments)
    if done is None:
        return
    if done.code != 0:
        judge_refusal(session, done, arguments, max(steps), tolerance)
        return
    order = sorted(set(steps))
    pdf, cdf, survival, peak = chain.mass(order)
    place = [order.index(s) for s in steps]
    values = [pdf[p] for p in place], [cdf[p] for p in place], [survival[p] for p in place], peak
    Errors(session, steps, values, tails, arguments).check(done.result, bound_of(session, done, tolerance, arguments))
