# The same sources compiled by clang, warnings as errors.
. tests/stages/common.sh
export PM_SHORT_TESTS=1 # the stage unit tries the rest
build clang -clang && criterion build-clang/unit_tests
