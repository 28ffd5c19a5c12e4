# The C sources are as clang-format leaves them, and no source file is over 800 lines.
. tests/stages/common.sh
mapfile -t sources < <(find common producer worker collector cli tests bench examples -name '*.[ch]' 2>/dev/null | sort)
expect "clang-format (run: clang-format-14 -i FILE)" clang-format-14 --dry-run -Werror "${sources[@]}"

short_files() {
    find common producer worker collector cli tests bench examples scripts \( -name '*.[ch]' -o -name '*.py' -o -name '*.sh' \) -print0 |
        xargs -0 awk 'FNR == 801 { print FILENAME ": over 800 lines"; long = 1 } END { exit long }'
}
expect "no file over 800 lines" short_files

expect "folders include only those before them" /usr/bin/python3 tests/layers.py
