#!/usr/bin/python3
"""Writes tests/support/poisson_reference.inc: Poisson probabilities in 50 digits, rounded to double."""

from mpmath import exp, log, loggamma, mp, mpf

mp.dps = 50
POINTS = [(0, "0.5"), (1, "1e-300"), (1, "0.25"), (3, "2.5"), (15, "15"), (16, "15.9"), (40, "3.7"), (5, "300"),
          (60, "700"), (1000, "1000"), (900, "1000.25"), (1500, "1000"), (3, "650"), (4000, "6000.5"),
          (10**5, "101000"), (10**5, "90000"), (10**6, "1000123.456"), (1030000, "1e6"), (10**9, "1000100000"),
          (10**12, "1e12")]

for k, x in POINTS:
    value = exp(k * log(mpf(float(x))) - mpf(float(x)) - loggamma(mpf(k) + 1))
    assert value > mpf(2) ** -1022, (k, x)
    print("{%d, %s, %s}," % (k, x, float(value).hex()))
