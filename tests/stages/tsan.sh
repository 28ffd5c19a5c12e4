# The threaded parts under ThreadSanitizer, in a plain program: Criterion aborts under it. Archer tells the sanitizer
# about the barriers of clang's OpenMP runtime.
. tests/stages/common.sh
build tsan -tsan || exit
archer=$(find /usr/lib/llvm-14 /usr/lib -name libarcher.so 2>/dev/null | head -n 1)
[ -n "$archer" ] || { echo "FAILED: libarcher.so (package libomp-dev) not found"; count 0 1; exit 1; }
find_programs build-tsan/tsan_ || exit
for program in "${programs[@]}"; do
    expect "$program" env OMP_TOOL_LIBRARIES="$archer" OMP_NUM_THREADS=4 \
        TSAN_OPTIONS="halt_on_error=1 ignore_noninstrumented_modules=1 exitcode=66" timeout 300 "$program"
done
