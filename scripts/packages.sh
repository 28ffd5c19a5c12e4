# Sourced by ./quickstart and ./test: makes sure that the packages of packages.txt are there.
# Needs no network, and says nothing, when they all are.

EX_UNAVAILABLE=69

# packages_listed SECTION...: the lines "package probe" of the sections
packages_listed() {
    local section
    for section in "$@"; do
        awk -v s="$section" '$1 == s { print $2, $3 }' packages.txt
    done
}

# found_otherwise PROBE: is the thing there, whatever the package is called on this system?
found_otherwise() {
    local kind=${1%%:*} names=${1#*:} name
    for name in ${names//|/ }; do
        case $kind in
            command) command -v "$name" >/dev/null && return 0 ;;
            module) pkg-config --exists "$name" 2>/dev/null && return 0 ;;
            header) echo "#include <$name>" | cc -E -x c - -o /dev/null 2>/dev/null && return 0 ;;
            python) /usr/bin/python3 -c "import $name" 2>/dev/null && return 0 ;;
        esac
    done
    return 1
}

# packages_missing SECTION...: names of the packages that are not there, one a line
packages_missing() {
    local package probe
    packages_listed "$@" | while read -r package probe; do
        if command -v dpkg-query >/dev/null; then
            dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed$' || echo "$package"
        else
            found_otherwise "$probe" || echo "$package ($probe)"
        fi
    done
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# ensure_packages SECTION...: installs what is missing, or says what it is and returns 69
ensure_packages() {
    local missing log
    missing=$(packages_missing "$@")
    [ -n "$missing" ] || return 0
    if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
        printf 'This is not a Debian system. Could not find (Debian package, what was looked for):\n%s\n' "$missing" >&2
        printf 'Install these with the package manager of this system, then run %s again.\n' "$0" >&2
        return $EX_UNAVAILABLE
    fi
    if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
        printf 'Missing packages, and neither root nor sudo to install them:\n%s\n' "$missing" >&2
        return $EX_UNAVAILABLE
    fi
    echo "Installing with apt-get: ${missing//$'\n'/ }" >&2
    # shellcheck disable=SC2086 # one word a package
    if ! log=$({ as_root apt-get update -qq &&
                 as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing; } 2>&1)
    then
        printf '%s\napt-get could not install: %s\n' "$log" "$missing" >&2
        return $EX_UNAVAILABLE
    fi
    missing=$(packages_missing "$@")
    [ -z "$missing" ] || { echo "still missing after apt-get: $missing" >&2; return $EX_UNAVAILABLE; }
}
