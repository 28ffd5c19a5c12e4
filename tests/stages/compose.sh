# docker-compose.yml and the Dockerfile on a real engine, which runs in namespaces of its own. Where no engine can run, or
# its images cannot be made, a line says why and the stage counts as skipped.
. tests/stages/common.sh
skip() { echo "SKIPPED: $*"; count 0 0 1; exit 0; }
[ "$(id -u)" -eq 0 ] || skip "an engine in namespaces of its own takes root"
unshare --mount --net --pid --fork true 2> "$PM_WORK/why" || skip "no namespaces here: $(head -n 1 "$PM_WORK/why")"
engine=$PM_WORK/phasemill-cluster-$$ # the name tells ./test to wait until it is gone
if ! started=$(tests/container/engine start "$engine" --watch-pid $$ 2> "$PM_WORK/why"); then
    skip "no container engine can run here: $(tail -n 1 "$PM_WORK/why")"
fi
export "${started?}"
# what is fetched once, and the network that building an image takes
tests/container/images "$PHASEMILL_TEST_CACHE/container" > "$PM_WORK/why" 2>&1 ||
    skip "the images cannot be made (this takes Debian's archive and Maven Central): $(tail -n 1 "$PM_WORK/why")"
tests/container/trial . "$PM_WORK/trial" | tee "$PM_WORK/trial.log"
read -r trial_passed trial_failed < <(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$PM_WORK/trial.log")
if [ -z "${trial_passed:-}" ]; then
    echo "FAILED: the trial ended without its last line"
    trial_passed=0 trial_failed=1
fi
count "$trial_passed" "$trial_failed"
tests/container/engine stop "$engine" --purge
[ "$trial_failed" -eq 0 ]
