# Line coverage of common/ by the unit tests, the allocation failures and the command line tests: at least 90 %.
. tests/stages/common.sh
export PM_SHORT_TESTS=1 # the rest, which the stage unit tries, reaches the same lines
least=90
build coverage -coverage || exit
find build-coverage -name '*.gcda' -delete
criterion build-coverage/unit_tests
find_programs build-coverage/alloc_ || exit
for program in "${programs[@]}"; do
    expect "$program" timeout 600 "$program"
done
PHASEMILL=$PWD/build-coverage/phasemill expect "command line tests with coverage" \
    /usr/bin/python3 tests/support/run_python_tests.py tests/cli /dev/null
summary=$PM_WORK/coverage.txt
gcovr --root . --filter 'common/' --gcov-ignore-parse-errors --txt "$summary" build-coverage > "$PM_WORK/gcovr.log" 2>&1 ||
    { cat "$PM_WORK/gcovr.log"; count 0 1; exit 1; }
awk '/^common\// && $4 + 0 < 80' "$summary"
total=$(sed -n 's/^TOTAL.* \([0-9]*\)%.*/\1/p' "$summary")
echo "Line coverage of common/: ${total:-unknown} %"
expect "line coverage of common/ is at least $least %" test "${total:-0}" -ge "$least"
