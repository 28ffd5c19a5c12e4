# Sourced by the stages. Each runs from the top of the source with PM_WORK (a folder of its own that is removed
# afterwards) and PM_COUNTS (a file of lines "passed failed").
set -u
cores=$(nproc)

count() { echo "$1 $2" >> "$PM_COUNTS"; }

# expect NAME COMMAND...: one test that passes when the command exits 0; its output is shown when it does not
expect() {
    local name=$1 log
    shift
    log=$(mktemp "$PM_WORK/log.XXXXXX")
    if "$@" > "$log" 2>&1; then
        count 1 0
    else
        echo "FAILED: $name"
        tail -n 60 "$log"
        count 0 1
        return 1
    fi
}

# build PRESET: configures and builds; counts as one test
build() {
    expect "configure $1" cmake --preset "$1" && expect "build $1" cmake --build "build${2-}" -j "$cores"
}

# criterion PROGRAM: runs a Criterion program and counts its tests
criterion() {
    local log=$PM_WORK/criterion.log status passing failing crashing
    timeout 600 "$@" --color=never > "$log" 2>&1
    status=$?
    read -r passing failing crashing < <(
        sed -n 's/.*Synthesis: Tested: [0-9]* | Passing: \([0-9]*\) | Failing: \([0-9]*\) | Crashing: \([0-9]*\).*/\1 \2 \3/p' "$log")
    if [ -z "${passing:-}" ]; then
        echo "FAILED: $* ended with status $status and no summary"
        tail -n 40 "$log"
        count 0 1
        return 1
    fi
    [ "$status" -eq 0 ] || grep -v '^\[====\] Running' "$log" | tail -n 80
    count "$passing" $((failing + crashing))
    [ "$status" -eq 0 ]
}

# sanitized NAME COMMAND...: runs the command with sanitizer reports going to files, and fails on any report:
# Criterion ends with 0 although LeakSanitizer found a leak in one of its processes.
sanitized() {
    local name=$1 reports=$PM_WORK/reports-$1 status
    shift
    mkdir -p "$reports"
    ASAN_OPTIONS=detect_leaks=1:log_path=$reports/asan \
    UBSAN_OPTIONS=print_stacktrace=1:log_path=$reports/ubsan \
    LSAN_OPTIONS=print_suppressions=0 \
    ASAN_SYMBOLIZER_PATH=$(command -v llvm-symbolizer-14) "$@"
    status=$?
    if [ -n "$(ls -A "$reports")" ]; then
        echo "FAILED: sanitizer reports of $name"
        head -q -n 40 "$reports"/* | head -n 120
        count 0 1
        return 1
    fi
    count 1 0
    return $status
}

# python_tests FOLDER: runs tests/FOLDER/test_*.py with unittest against the built program and counts the tests
python_tests() {
    PHASEMILL=$PWD/build/phasemill /usr/bin/python3 tests/support/run_python_tests.py "tests/$1" "$PM_COUNTS"
}
