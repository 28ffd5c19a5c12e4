# A short run of each libFuzzer target, from the seeds kept beside it, as many at a time as there are cores. Longer:
# docs/testing.md.
. tests/stages/common.sh
seconds=${PM_FUZZ_SECONDS:-8}
build fuzz -fuzz || exit
find_programs build-fuzz/fuzz_ || exit
for program in "${programs[@]}"; do
    name=$(basename "$program")
    mkdir -p "$PM_WORK/$name"
    seeds=tests/fuzz/seeds/${name#fuzz_}
    [ -d "$seeds" ] || { echo "FAILED: $name has no seeds in $seeds"; count 0 1; continue; }
    [ "$(jobs -pr | wc -l)" -lt "$cores" ] || wait -n
    expect "$name" "$program" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=1024 \
        -artifact_prefix="$PM_WORK/$name-" "$PM_WORK/$name" "$seeds" &
done
wait
