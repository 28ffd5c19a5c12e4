"""Runs the unittest files of a folder; appends "passed failed skipped" to a file, and says why a test was skipped. Those
that are given the same folder for claims share the files: each is run by the one that comes to it first."""
import os
import pathlib
import sys
import time
import unittest


class TimedResult(unittest.TextTestResult):
    """Names the tests that take longer than ten seconds."""

    def startTest(self, test):
        super().startTest(test)
        self._began = time.monotonic()

    def stopTest(self, test):
        super().stopTest(test)
        took = time.monotonic() - self._began
        if took > 10:
            self.stream.writeln(f"slow: {test} {took:.0f} s")


class Shared(unittest.TestSuite):
    """Suites of which others may have claimed some by the time that it is their turn."""

    _cleanup = False  # it would take the number of a suite that ran for its place among all

    def __init__(self, suites, claims):
        super().__init__(suites)
        self._claims = claims

    def __iter__(self):
        for number, suite in enumerate(super().__iter__()):
            try:
                os.mkdir(self._claims / str(number))
            except FileExistsError:
                continue
            yield suite


def main():
    folder, counts = sys.argv[1:3]
    suite = unittest.defaultTestLoader.discover(folder, pattern="test_*.py")
    if len(sys.argv) > 3:
        suite = Shared(suite, pathlib.Path(sys.argv[3]))
    runner = unittest.TextTestRunner(stream=sys.stdout, verbosity=1, resultclass=TimedResult)
    result = runner.run(suite)
    # A test with several failing subtests is one failed test.
    bad = {str(getattr(t, "test_case", t)) for t, _ in result.failures + result.errors}
    bad |= {str(t) for t in result.unexpectedSuccesses}
    for test, why in result.skipped:
        print(f"SKIPPED: {test}: {why}")
    skipped = len(result.skipped)
    with open(counts, "a", encoding="utf-8") as file:
        file.write(f"{max(result.testsRun - len(bad) - skipped, 0)} {len(bad)} {skipped}\n")
    sys.exit(1 if bad or result.testsRun == 0 else 0)


main()
