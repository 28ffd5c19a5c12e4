"""Runs phasemill for the fuzzers, compares, and writes down what it finds."""
import collections
import json
import math
import os
import re
import resource
import shlex
import signal
import subprocess
import tempfile
from fractions import Fraction

import fuzz_exact
import gmpy2

SHOWN = 25  # findings that are printed whole
SLOW = 10  # seconds of processor time, and one more for each row of theta: beyond, a command "does not end"
PATIENCE = 600  # seconds by the clock
TOO_MANY_STEPS = re.compile(r"tolerance|steps")


def row_text(row):
    return ",".join(repr(float(v)) for v in row)


def table_text(rows):
    return ";".join(map(row_text, rows))


def processor_time():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def limit_processor_time(seconds):
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))


class Done:
    """A finished command: its JSON, or why there is none."""

    def __init__(self, code, out, err, seconds):
        self.code, self.err, self.seconds, self.text = code, err.strip(), seconds, out
        self.refused = code in (64, 65, 69, 71)
        self.result = json.loads(out) if code == 0 else None


def holds_for_ever(g):
    """Whether a state that edges lead to from the start, of any weight, has no way to absorption."""
    out = collections.defaultdict(set)
    for a, b, *_ in [*g["edges"], *g.get("constant_edges", []), *g.get("param_edges", [])]:
        out[int(a)].add(int(b))
    starts = {int(b) for b, *_ in [*g.get("start_edges", []), *g.get("start_param_edges", [])]}
    reached, ends = grown(starts, out), collections.defaultdict(set)
    for a, targets in out.items():
        for b in targets:
            ends[b].add(a)
    return not reached <= grown({s for s in reached if not out[s]}, ends)


def grown(some, out):
    found, front = set(some), list(some)
    while front:
        new = out[front.pop()] - found
        found |= new
        front += new
    return found


class Session:
    """What a run of one kind of fuzzer has done so far."""

    def __init__(self, kind, seed, program, folder):
        self.kind, self.seed, self.program, self.folder = kind, seed, program, folder
        self.work = tempfile.mkdtemp(prefix="oracle-fuzz-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
        self.path = os.path.join(self.work, "graph.json")
        self.index = self.commands = self.values = self.findings = 0
        self.counts = collections.Counter()
        self.worst = {}
        self.ratios = {}
        self.graph, self.thetas = None, []

    def case(self, graph, index):
        self.graph, self.index, self.thetas = graph, index, []
        with open(self.path, "w", encoding="utf-8") as file:
            json.dump(graph, file)

    def command(self, *arguments):
        return [self.program, "run", self.path, "--quiet", "--format", "json", *arguments]

    def run(self, *arguments, env=None, cache=False):
        line = self.command(*([] if cache else ["--no-cache"]), *arguments)
        self.commands += 1
        limit = SLOW + str(arguments[arguments.index("--theta") + 1]).count(";") if "--theta" in arguments else SLOW
        began = processor_time()
        p = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE, check=False,
                           env={**os.environ, **(env or {})}, preexec_fn=lambda: limit_processor_time(limit))
        if p.returncode == -signal.SIGXCPU:
            self.finding("does not end", arguments, f"no result within {limit} s of processor time")
            return None
        done = Done(p.returncode, p.stdout, p.stderr, processor_time() - began)
        if p.returncode != 0 and not done.refused:
            self.finding("crash or unexpected exit", arguments, f"exit {p.returncode}: {done.err}")
            return None
        if p.returncode != 0 and p.stdout:
            self.finding("output beside an error", arguments, f"exit {p.returncode}: {done.err}")
        if "cannot reach absorption" in done.err and holds_for_ever(self.graph):
            self.note("refusals that are due: a state that cannot be absorbed, though this theta does not reach it")
            return None
        return done

    def finding(self, what, arguments, details):
        self.findings += 1
        what += " (weights cancel)" if cancels(self.graph, self.thetas) else ""
        self.counts["FINDING " + what] += 1
        if self.counts["FINDING " + what] > SHOWN:
            return
        os.makedirs(self.folder, exist_ok=True)
        name = os.path.join(self.folder, f"{self.kind}-{self.seed}-{self.index}.json")
        with open(name, "w", encoding="utf-8") as file:
            json.dump(self.graph, file)
        line = ["phasemill", "run", name, "--no-cache", *map(str, arguments)]
        print(f"FINDING {what}: --seed {self.seed} --only {self.index}\n  {shlex.join(line)}\n  {details}", flush=True)

    def note(self, what):
        self.counts[what] += 1

    def compare(self, what, got, want, tolerance, scale=None, arguments=(), where=""):
        """`got` (a double) is `want` within tolerance times the scale (|want| if none)."""
        self.values += 1
        scale = abs(want) if scale is None else scale
        error = abs(gmpy2.mpfr(got) - want)
        relative = float(error / scale) if scale > 0 else (0.0 if error == 0 else math.inf)
        if relative > self.worst.get(what, (-1.0,))[0]:
            self.worst[what] = (relative, self.index)
        if not relative <= tolerance:
            self.finding(f"wrong {what}", arguments,
                         f"{where} got {got!r}, expected {show(want)}, relative error {relative:.3g}, allowed {tolerance:.3g}")
            return False
        return True

    def ratio(self, what, bound, error):
        """Where the error is less than a unit of rounding, that unit takes its place; bounds below it say nothing."""
        if bound > 2.0 ** -53:
            self.ratios.setdefault(what, []).append(bound / max(error, 2.0 ** -53))

    def close(self):
        for name in os.listdir(self.work):
            path = os.path.join(self.work, name)
            if os.path.isfile(path):
                os.unlink(path)
        subprocess.run(["rm", "-rf", self.work], check=False)

    def summary(self):
        print(f"{self.kind}: seed {self.seed}, {self.index + 1} graphs, {self.commands} commands, {self.values} values, "
              f"{self.findings} findings")
        for what, number in sorted(self.counts.items()):
            print(f"  {what}: {number}")
        for what, (error, index) in sorted(self.worst.items()):
            print(f"  largest relative error of {what}: {error:.3g} (--only {index})")
        for what, values in sorted(self.ratios.items()):
            values = sorted(values)
            at = lambda q: values[min(len(values) - 1, int(q * len(values)))]
            print(f"  bound / true error of {what} ({len(values)} runs): least {values[0]:.3g}, 1 % {at(.01):.3g}, "
                  f"median {at(.5):.3g}, 99 % {at(.99):.3g}")
            if len(values) >= 100 and at(.5) > 100:
                print("  the median is above 100: the bound says too little")


def show(x):
    return f"{gmpy2.mpfr(x):.30e}"


def usable(session, graph, thetas, allow_bad=0):
    """Chains at the rows of theta that have one; rows that must be refused are tried alone and must be."""
    kept, chains = [], []
    for theta in thetas:
        chain = graph.at(theta)
        if chain.status == fuzz_exact.OK:
            kept.append(theta)
            chains.append(chain)
        elif allow_bad > 0:
            allow_bad -= 1
            must_refuse(session, theta, fuzz_exact.STATUS[chain.status])
    session.thetas = kept
    return kept, chains


def cancels(graph, thetas):
    """Whether a weight is less than 10^-15 of the terms it is the sum of."""
    for theta in thetas:
        for _, _, *coefs in graph["param_edges"]:
            terms = [Fraction(c) * Fraction(t) for c, t in zip(coefs, theta)]
            if abs(sum(terms)) * 10 ** 15 < sum(map(abs, terms)):
                return True
    return False


def theta_arguments(thetas):
    return ("--theta", table_text(thetas)) if thetas and thetas[0] else ()


def must_refuse(session, theta, why):
    arguments = [*theta_arguments([theta]), "--moments", "1"]
    done = session.run(*arguments)
    session.note("refusals that are due: " + why)
    if done is not None and done.code == 0:
        session.finding("accepted", arguments, f"a refusal is due ({why}); got {done.text[:300]}")
