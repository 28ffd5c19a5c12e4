# Sourced by the stages. Each runs from the top of the source with PM_WORK (a folder of its own that is removed
# afterwards) and PM_COUNTS (a file of lines "passed failed skipped").
set -u
cores=$(nproc)

# count PASSED FAILED [SKIPPED]
count() { echo "$1 $2 ${3-0}" >> "$PM_COUNTS"; }

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

# find_programs PREFIX: fills the array `programs` with the programs whose path begins so; fails when there are none
find_programs() {
    local candidate
    programs=()
    for candidate in "$1"*; do
        [ -f "$candidate" ] && [ -x "$candidate" ] && programs+=("$candidate")
    done
    [ ${#programs[@]} -gt 0 ] || { echo "FAILED: no program $1*"; count 0 1; return 1; }
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

# reports_of_others FILE: is everything in this report a leak that libcriterion itself allocated? Its runner loses 48
# bytes when tests run in parallel.
reports_of_others() {
    local leaks own
    grep -q 'ERROR: LeakSanitizer' "$1" || return 1
    leaks=$(grep -c ' leak of ' "$1") own=$(grep -c '^ *#1 .*libcriterion\.so' "$1")
    [ "$leaks" -eq "$own" ]
}

# sanitized NAME COMMAND...: runs the command with sanitizer reports going to files, and fails on any report:
# Criterion ends with 0 although LeakSanitizer found a leak in one of its processes.
sanitized() {
    local name=$1 reports=$PM_WORK/reports-$1 status report bad=0
    shift
    mkdir -p "$reports"
    ASAN_OPTIONS=detect_leaks=1:log_path=$reports/asan \
    UBSAN_OPTIONS=print_stacktrace=1:log_path=$reports/ubsan \
    LSAN_OPTIONS=print_suppressions=0:exitcode=0 \
    ASAN_SYMBOLIZER_PATH=$(command -v llvm-symbolizer-14) "$@"
    status=$?
    for report in "$reports"/*; do
        [ -f "$report" ] && ! reports_of_others "$report" || continue
        [ $bad -gt 0 ] || echo "FAILED: sanitizer reports of $name"
        bad=$((bad + 1))
        [ $bad -gt 3 ] || head -n 40 "$report"
    done
    if [ $bad -gt 0 ]; then count 0 1; return 1; fi
    count 1 0
    return $status
}

# python_tests FOLDER [CLAIMS]: runs tests/FOLDER/test_*.py with unittest against the built program and counts the tests;
# those who are given the same folder CLAIMS share the files
python_tests() {
    PHASEMILL=$PWD/build/phasemill /usr/bin/python3 tests/support/run_python_tests.py "tests/$1" "$PM_COUNTS" "${@:2}"
}
