# The unit tests under AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer.
. tests/stages/common.sh
build asan -asan && sanitized unit_tests criterion build-asan/unit_tests
