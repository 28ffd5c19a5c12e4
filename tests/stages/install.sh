# The library as others see it: installed under a prefix, found by pkg-config, used by the example program.
. tests/stages/common.sh
build release || exit
prefix=$PM_WORK/prefix
expect "install" cmake --install build --prefix "$prefix" || exit
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig:$prefix/lib/$(cc -print-multiarch)/pkgconfig
program=$PM_WORK/example

# shellcheck disable=SC2046 # flags are words
compile() { "$1" -std=c11 -Wall -Wextra -Werror examples/evaluate.c -o "$program" $(pkg-config --cflags --libs phasemill) -lm; }

expect "pkg-config version" test "$(pkg-config --modversion phasemill)" = "$("$prefix/bin/phasemill" --version | sed -n '1s/phasemill //p')"
expect "example compiles" compile cc || exit
expected="theta 2 5: mean 1.1958834732752"
runs() { "$program" examples/phasic-0.32.1-arg4.json | tee /dev/stderr | grep -qF "$expected"; }
expect "example runs and prints \"$expected\"" runs
as_cxx() {
    echo '#include <phasemill.h>' | clang++ -x c++ -Wall -Wextra -Werror -fsyntax-only $(pkg-config --cflags phasemill) -
}
expect "the header is C++ too" as_cxx
expect "bash completion is installed" test -s "$prefix/share/bash-completion/completions/phasemill"
own_names() { ! nm --defined-only --extern-only build/libphasemill.a build/libphasemill_cluster.a | awk 'NF == 3 && $3 !~ /^pmi?_/' | grep .; }
expect "no symbol of the libraries without their prefix" own_names
exports_its_header() {
    cc -shared -o "$PM_WORK/all.so" -Wl,--whole-archive build/libphasemill.a -Wl,--no-whole-archive $(pkg-config --libs phasemill) &&
        nm -D --defined-only "$PM_WORK/all.so" | awk '{ print $3 }' | sort > "$PM_WORK/exported" &&
        grep -oE '^[a-z].*\bpm_[a-z_]+\(' include/phasemill.h | grep -oE 'pm_[a-z_]+\($' | tr -d '(' | sort | diff - "$PM_WORK/exported"
}
expect "a shared library exports what the header declares, and nothing else" exports_its_header
