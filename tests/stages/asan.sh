# The unit tests under AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer.
. tests/stages/common.sh
export PM_SHORT_TESTS=1 # the stage unit tries the rest
build asan -asan && sanitized unit_tests criterion build-asan/unit_tests
