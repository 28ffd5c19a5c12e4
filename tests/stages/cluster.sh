# The cluster on real Kafka and Redis, and the servers that the tests run it on.
. tests/stages/common.sh
build release || exit
# two halves side by side, each with servers of its own: they wait more than they compute
python_tests cluster 1/2 > "$PM_WORK/cluster-1.log" 2>&1 &
half=$!
python_tests cluster 2/2
status=$?
wait "$half" || status=1
cat "$PM_WORK/cluster-1.log"
exit "$status"
