#!/usr/bin/python3
"""Writes tests/support/density_reference.h: densities of a few chains from their closed forms in 60 digits.

The chains are built by hand in tests/unit/test_density.c; their names and rates must agree with those here.
Usage: tests/reference/densities.py > tests/support/density_reference.h
"""

from mpmath import exp, factorial, gammainc, inf, mp, mpf, sqrt

mp.dps = 60


def exponential(rate):
    return lambda t: (rate * exp(-rate * t), 1 - exp(-rate * t) if t > mpf(10) ** -20 else rate * t, exp(-rate * t))


def erlang(n, rate):
    def at(t):
        x = rate * t
        pdf = rate * x ** (n - 1) * exp(-x) / factorial(n - 1) if t > 0 or n == 1 else mpf(0)
        return pdf, gammainc(n, 0, x, regularized=True), gammainc(n, x, inf, regularized=True)

    return at


def series_of(rates, t, sign):
    """cdf of a hypoexponential near zero: its survival cancels there, so more digits are needed than 60."""
    with mp.workdps(600):
        total = mpf(0)
        for i, r in enumerate(rates):
            c = mpf(1)
            for j, q in enumerate(rates):
                if i != j:
                    c *= q / (q - r)
            total += c * (r * exp(-r * t) if sign == 0 else exp(-r * t))
        return total


def hypoexponential(*rates):
    rates = [mpf(r) for r in rates]

    def at(t):
        with mp.workdps(1500):
            pdf, survival = series_of(rates, t, 0), series_of(rates, t, 1)
            tiny = mpf(10) ** -400
            cdf = 1 - survival
            return (pdf if pdf > tiny else mpf(0)), (cdf if cdf > tiny else mpf(0)), survival

    return at


def hyperexponential(*parts):
    def at(t):
        pdf = sum(mpf(p) * r * exp(-r * t) for p, r in parts)
        survival = sum(mpf(p) * exp(-r * t) for p, r in parts)
        cdf = sum(mpf(p) * (-mp.expm1(-r * t)) for p, r in parts)
        return pdf, cdf, survival

    return at


def ring(n, exit_part):
    """n states of rate 1 in a circle; the last one exits with probability exit_part, else the round starts again."""
    exit_part = mpf(exit_part)

    def at(t):
        pdf = cdf = survival = mpf(0)
        rounds = int(t / n) + 60
        weight = exit_part
        for m in range(1, 4 * rounds + 400):
            p, c, s = erlang(n * m, mpf(1))(t)
            pdf, cdf, survival = pdf + weight * p, cdf + weight * c, survival + weight * s
            weight *= 1 - exit_part
        survival += weight / exit_part
        return pdf, cdf, survival

    return at


def switch(fast, leave):
    """Two states that swap at rate `fast`; only the second one exits, at rate `leave`. Starts in the first."""
    fast, leave = mpf(fast), mpf(leave)

    def at(t):
        with mp.workdps(1500):
            half = (2 * fast + leave) / 2
            root = sqrt(half * half - fast * leave)
            slow, quick = half - root, half + root
            survival = (quick * exp(-slow * t) - slow * exp(-quick * t)) / (quick - slow)
            pdf = slow * quick * (exp(-slow * t) - exp(-quick * t)) / (quick - slow)
            return pdf, 1 - survival, survival

    return at


CHAINS = [
    ("exponential", exponential(mpf(2)), ["0", "1e-300", "1e-9", "0.05", "0.5", "3", "11", "150", "330", "5e5"]),
    ("erlang", erlang(50, mpf(3)), ["0", "1e-300", "1e-5", "0.001", "1", "8", "16", "17", "30", "100", "250", "1.7e7"]),
    ("hypoexponential", hypoexponential(1, "1.5", 2, 100),
     ["0", "1e-300", "1e-60", "1e-4", "0.1", "1.5", "2.2", "10", "80", "600", "2.2e6"]),
    ("hyperexponential", hyperexponential(("0.5", 64), ("0.25", 1), ("0.25", mpf(1) / 8)),
     ["0", "1e-300", "1e-7", "1e-3", "0.01", "1", "20", "200", "2e6"]),
    ("ring", ring(50, mpf(1) / 4), ["0", "1e-300", "0.01", "1", "20", "48", "75", "100", "333", "1000"]),
    ("switch", switch(5000, 1), ["0", "1e-300", "1e-9", "1e-4", "0.01", "1.5", "4", "20", "70"]),
]


def text(value):
    value = float(value)
    return value.hex() if value >= 2.0**-1022 else "0.0"


def main():
    print("/* Written by tests/reference/densities.py: closed forms in 60 digits, rounded to double. Values below the")
    print(" * smallest normal number are 0. */")
    print("#ifndef PM_DENSITY_REFERENCE_H")
    print("#define PM_DENSITY_REFERENCE_H\n")
    print("typedef struct density_reference {")
    print("    const char *chain;")
    print("    double time, pdf, cdf, survival;")
    print("} density_reference;\n")
    print("static const density_reference density_references[] = {")
    for name, at, times in CHAINS:
        for t in times:
            # the double that the test will use, not the decimal number
            pdf, cdf, survival = at(mpf(float(t)))
            print('    {"%s", %s, %s, %s, %s},' % (name, t, text(pdf), text(cdf), text(survival)))
    print("};\n")
    print("#endif")


if __name__ == "__main__":
    main()
