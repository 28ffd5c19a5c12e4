# The same sources compiled by clang, warnings as errors.
. tests/stages/common.sh
build clang -clang && criterion build-clang/unit_tests
