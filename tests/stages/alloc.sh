# Every k-th allocation fails, for every k, under the sanitizers; each program prints "ok" or "not ok" for each scenario.
. tests/stages/common.sh
build asan -asan || exit
find_programs build-asan/alloc_ || exit
for program in "${programs[@]}"; do
    name=$(basename "$program")
    log=$PM_WORK/$name.log
    sanitized "$name" timeout 600 "$program" > "$log"
    status=$?
    cat "$log"
    ok=$(grep -c '^ok ' "$log") bad=$(grep -c '^not ok ' "$log")
    [ $status -eq 0 ] || [ "$bad" -gt 0 ] || { echo "FAILED: $name ended with status $status"; bad=1; }
    count "$ok" "$bad"
done
