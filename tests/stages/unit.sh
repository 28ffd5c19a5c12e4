# The release build and its unit tests.
. tests/stages/common.sh
build release && criterion build/unit_tests
