# The cluster on real Kafka and Redis, and the servers that the tests run it on.
. tests/stages/common.sh
build release || exit
# two side by side, each with servers of its own: they wait more than they compute
claims=$PM_WORK/claims
mkdir "$claims" || exit
python_tests cluster "$claims" > "$PM_WORK/cluster-1.log" 2>&1 &
other=$!
python_tests cluster "$claims"
status=$?
wait "$other" || status=1
cat "$PM_WORK/cluster-1.log"
exit "$status"
