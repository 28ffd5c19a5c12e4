# Results against references that are not our own code: mpmath, scipy, closed forms, published values.
. tests/stages/common.sh
build release || exit
python_tests oracle
