"""Runs the commands of the ```console blocks of Markdown files and compares what they print with what stands there.

A line that begins with "$ " is a command, the lines after it its output; "..." stands for anything, as in doctest.
Arguments: the file of counts, the folder to run in, the Markdown files. All blocks of a file share the folder.
"""
import doctest
import subprocess
import sys


def blocks(path):
    """Yields (line number, command, expected output) of each command."""
    inside, current = False, None
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if line.startswith("```"):
                if current:
                    yield current
                inside, current = line.startswith("```console"), None
            elif inside and line.startswith("$ "):
                if current:
                    yield current
                current = (number, line[2:].rstrip("\n"), "")
            elif inside and current and current[1].endswith("\\"):
                current = (current[0], current[1][:-1] + " " + line.strip(), "")
            elif inside and current:
                current = (current[0], current[1], current[2] + line)


def check(path, folder):
    """(passed, failed) of one file."""
    passed = failed = 0
    compare = doctest.OutputChecker()
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    for number, command, expected in blocks(path):
        done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, timeout=300,
                              check=False)
        same = not expected.strip() or compare.check_output(expected, done.stdout, flags)
        if done.returncode == 0 and same:
            passed += 1
            continue
        failed += 1
        print(f"FAILED: {path}:{number}: {command}\nexit {done.returncode}\n{done.stderr}{done.stdout}"
              f"expected:\n{expected}")
    return passed, failed


def main():
    counts, folder, *paths = sys.argv[1:]
    results = [check(path, folder) for path in paths]
    passed, failed = (sum(column) for column in zip(*results))
    with open(counts, "a", encoding="utf-8") as file:
        file.write(f"{passed} {failed}\n")
    sys.exit(1 if failed or not passed else 0)


main()
