# The cluster on real Kafka and Redis, and the servers that the tests run it on.
. tests/stages/common.sh
build release || exit
python_tests cluster
