#!/usr/bin/python3
"""Two builds of phasemill beside each other: evaluation on one thread, in pairs whose order alternates.

    bench/bench_builds.py OLD NEW [--pairs 30]

OLD and NEW are programs `phasemill`. Prints, for each case, the least `seconds.evaluate` of either and the median of the
ratios NEW / OLD of pairs with the least and the largest, as a table of Markdown.
"""
import argparse
import json
import pathlib
import random
import statistics
import subprocess
import tempfile

EARLY_AND_LATE = "0.1,0.2,0.5,1,1.5,2,3,4,5,6"
HUNDRED = ",".join(f"{0.05 * (i + 1):.2f}" for i in range(100))
ARG_THETA, KINGMAN_THETA = (2, 5), (1,)
# model, its arguments, the middle of theta, rows, what is asked for, in words
CASES = [(["two-locus-arg", f"n={n}"], ARG_THETA, rows, ["--moments", "2"], f"ARG {n}, `--moments 2`")
         for n, rows in ((5, 16384), (6, 8192), (7, 2048))]
CASES += [(["two-locus-arg", f"n={n}"], ARG_THETA, rows, ["--pdf", "--times", HUNDRED], f"ARG {n}, `--pdf`, 100 times")
          for n, rows in ((5, 1024), (6, 512), (7, 128))]
CASES += [(["kingman", "n=11"], KINGMAN_THETA, 20000, ["--pdf", "--times", EARLY_AND_LATE], "kingman 11, `--pdf`, 10 times")]


def write_theta(path, middle, rows):
    rng = random.Random(1)
    path.write_text("".join(",".join(f"{m * rng.uniform(0.9, 1.1):.6f}" for m in middle) + "\n" for _ in range(rows)))


def seconds(program, arguments, out):
    subprocess.run([program, "run", *arguments, "--threads", "1", "--no-cache", "--quiet", "--format", "json",
                    "--output", out], check=True)
    return json.loads(out.read_text())["seconds"]["evaluate"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--pairs", type=int, default=30)
    options = parser.parse_args()
    print("| `phasemill run` | rows of theta | old, s | new, s | ratio |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        graph, theta, out = (pathlib.Path(folder, name) for name in ("graph.msgpack", "theta.csv", "out.json"))
        for model, middle, rows, wanted, words in CASES:
            subprocess.run([options.old, "generate", *model, "--output", graph], check=True)
            write_theta(theta, middle, rows)
            arguments = [graph, "--theta", theta, *wanted]
            old, new = [], []
            for i in range(options.pairs):
                turns = [(options.old, old), (options.new, new)]
                for program, found in turns if i % 2 == 0 else turns[::-1]:
                    found.append(seconds(program, arguments, out))
            ratios = [b / a for a, b in zip(old, new)]
            print(f"| {words} | {rows:,} | {min(old):.3f} | {min(new):.3f} | {statistics.median(ratios):.2f} "
                  f"({min(ratios):.2f} to {max(ratios):.2f}) |", flush=True)


if __name__ == "__main__":
    main()
