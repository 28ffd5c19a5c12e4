# The commands of README.md and of the manual, run as they stand, print what stands there; links in them lead somewhere.
. tests/stages/common.sh
build release || exit
folder=$PM_WORK/readme
mkdir -p "$folder"
for entry in "$PWD"/*; do ln -s "$entry" "$folder/"; done
mapfile -t pages < <(printf '%s\n' README.md; grep -l '^```console' docs/*.md 2>/dev/null)
PATH=$PWD/build:$PATH /usr/bin/python3 tests/support/check_readme.py "$PM_COUNTS" "$folder" "${pages[@]}"

links() {
    local page target bad=0
    for page in README.md CHANGELOG.md docs/*.md schemas/*.md; do
        [ -f "$page" ] || continue
        for target in $(grep -o '](\([^)#:]*\))' "$page" | sed 's/^](//; s/)$//'); do
            [ -e "$(dirname "$page")/$target" ] || { echo "$page: no file $target"; bad=1; }
        done
    done
    return $bad
}
expect "links between pages" links
