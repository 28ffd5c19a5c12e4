# The benchmarks build, beside the release build; they are run by hand (docs/benchmarks.md), for a busy machine tells
# nothing.
. tests/stages/common.sh
expect "configure release with benchmarks" cmake --preset release -DPM_BENCH=ON || exit
expect "build benchmarks" cmake --build build -j "$cores"
expect "configure release without them" cmake --preset release -DPM_BENCH=OFF
