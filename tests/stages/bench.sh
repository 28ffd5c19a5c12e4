# The benchmarks build; they are run by hand (docs/benchmarks.md), for a busy machine tells nothing.
. tests/stages/common.sh
build bench -bench
