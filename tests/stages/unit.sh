# The release build and its unit tests, those of keys with a million random SCCs.
. tests/stages/common.sh
export PM_LONG_TESTS=1
build release && criterion build/unit_tests
