#!/usr/bin/python3
"""Each folder of the libraries includes only those before it: docs/design.md lists them."""
import pathlib
import re
import sys

ENGINE = ["base", "codec", "graph", "examples", "scc", "trace", "eval", "cache", "model"]
CLUSTER = ["wire", "redis", "kafka", "config", "units"]
ROLES = ["producer", "worker", "collector"]
# What the program may call of the libraries, beside base/: the heads of their concerns.
ENTRIES = """phasemill.h model/model.h graph/graph.h graph/write.h examples/models.h eval/moments.h eval/density.h cache/disk.h
    codec/envelope.h trace/codec.h wire/message.h wire/units.h wire/seal.h redis/manifest.h kafka/reader.h config/settings.h
    units/dead_letters.h units/in_flight.h units/job_state.h units/probe.h units/producer.h
    producer/submit.h worker/worker.h worker/health.h collector/collect.h collector/watch.h""".split()


def includes(path):
    return re.findall(r'^#include "([^"]+)"', path.read_text(), re.M)


def check(folder, allowed):
    """Complaints about what the files of a folder include; `allowed` are folders."""
    files = [p for p in sorted(folder.iterdir()) if p.suffix in (".c", ".h", ".inc")]
    if not files:
        return [f"{folder}: no source files"]
    return [f"{path}: includes {name}, of a folder that it may not depend on" for path in files for name in includes(path)
            if name != "phasemill.h" and name.split("/")[0] not in allowed]


def main():
    found = []
    for library, folders, below in (("engine", ENGINE, []), ("cluster", CLUSTER, ENGINE)):
        here = {p.name for p in pathlib.Path("common", library).iterdir()}
        if here != set(folders):
            found.append(f"common/{library}: has {sorted(here)}, expected {sorted(folders)}")
        for i, name in enumerate(folders):
            found += check(pathlib.Path("common", library, name), below + folders[:i + 1])
    for role in ROLES:
        found += check(pathlib.Path(role), ENGINE + CLUSTER + [role])
    for path in sorted(pathlib.Path("cli").rglob("*.[ch]")):
        found += [f"{path}: includes {name}, which is internal to a library" for name in includes(path)
                  if name not in ENTRIES and name.split("/")[0] not in ("base", "support")]
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
