#!/usr/bin/env bash
# Every header of a room compiles alone as C17 with the house warnings, under gcc and clang (where it is).
set -euo pipefail
. "$(dirname "$0")/common.bash"

flags=(-std=c17 -D_GNU_SOURCE '-DWN_VERSION="rules"' -march=x86-64-v2 -fsyntax-only -x c -I. -Wall -Wextra
    -Wshadow -Wconversion -Wvla -Werror)
read -ra packages <<<"$(pkg-config --cflags jansson gnutls sqlite3 libmicrohttpd gumbo libarchive uchardet \
    libseccomp libcmark-gfm 2>/dev/null || true)"
compilers=()
for compiler in gcc clang; do command -v $compiler >/dev/null && compilers+=("$compiler"); done
[ ${#compilers[@]} -gt 0 ] || breach "no C compiler found"

log=$(mktemp)
trap 'rm -f "$log"' EXIT
n=0
while IFS= read -r header; do
    n=$((n + 1))
    # Included twice: the guard works too. Through a file of its own, so that an unused static inline
    # function is judged as in real use.
    for compiler in "${compilers[@]}"; do
        if ! printf '#include "%s"\n#include "%s"\n' "$header" "$header" |
            $compiler "${flags[@]}" "${packages[@]}" - >"$log" 2>&1; then
            breach "$header:1: does not compile alone with $compiler: $(grep -m1 -E 'error' "$log" || head -1 "$log")"
        fi
    done
done < <(for room in $rooms; do room_files "$room" | grep '\.h$' || true; done)
[ "$n" -gt 0 ] || breach "no headers found below $PWD"
finish "$n headers compile alone with ${compilers[*]}"
