# Every k-th allocation fails, for every k, under the sanitizers.
. tests/stages/common.sh
build asan -asan || exit
for program in build-asan/alloc_*; do
    [ -x "$program" ] || continue
    log=$PM_WORK/$(basename "$program").log
    sanitized "$(basename "$program")" timeout 600 "$program" > "$log"
    status=$?
    [ $status -eq 0 ] || { cat "$log"; count 0 1; }
    tail -n 3 "$log"
done
