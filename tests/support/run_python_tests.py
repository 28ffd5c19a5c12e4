"""Runs the unittest files of a folder, or a share of them ("2/3": the second of three); appends "passed failed skipped"
to a file, and says why a test was skipped."""
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


def main():
    folder, counts = sys.argv[1:3]
    share, shares = map(int, (sys.argv[3] if len(sys.argv) > 3 else "1/1").split("/"))
    modules = list(unittest.defaultTestLoader.discover(folder, pattern="test_*.py"))
    suite = unittest.TestSuite(modules[share - 1::shares])
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
