# Read by every rule (not a test itself: only *.sh are). A rule is called as
#     bash rule.sh [WINNOW_BINARY [SOURCE_DIR]]
# prints what it looked at and one "file:line: text" per breach, and exits with 1 when there was one.

source_dir=${2:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
cd "$source_dir" || exit 1
rooms="base kernels index generate retrieve ingest api"
n_breaches=0

# Files of the project (git's, new ones included; everything but build folders in a plain copy) that
# match the given glob patterns of names, one a line.
project_files() {
    local args=() pattern
    for pattern in "$@"; do args+=("*$pattern"); done
    if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
        git ls-files --cached --others --exclude-standard -- "${args[@]}"
    else
        for pattern in "$@"; do find . -path './build*' -prune -o -type f -name "*$pattern" -print; done |
            sed 's|^\./||'
    fi | sort -u | while IFS= read -r f; do [ -f "$f" ] && printf '%s\n' "$f"; done
}

# The C files of one or more folders.
room_files() {
    local room
    for room in "$@"; do project_files .c .h .cu .cuh .cpp | { grep "^$room/" || true; }; done
}

# Prints "file:line:text" of C files with comments and the contents of literals blanked out.
code_lines() {
    awk '
    FNR == 1 { comment = 0 }
    {
        out = ""; n = length($0)
        for (i = 1; i <= n; i++) {
            c = substr($0, i, 1); two = substr($0, i, 2)
            if (comment) { if (two == "*/") { comment = 0; i++ } continue }
            if (two == "/*") { comment = 1; i++; out = out " "; continue }
            if (two == "//") break
            if (c == "\"" || c == "\047") {
                out = out c
                for (i++; i <= n; i++) {
                    d = substr($0, i, 1)
                    if (d == "\\") { i++; continue }
                    if (d == c) break
                }
                out = out c
                continue
            }
            out = out c
        }
        print FILENAME ":" FNR ":" out
    }' "$@"
}

breach() {
    printf '%s\n' "$*"
    n_breaches=$((n_breaches + 1))
}

# Turns lines "file:line: text" on standard input into breaches.
breaches() {
    local line
    while IFS= read -r line; do breach "$line"; done
}

finish() { # what was checked
    if [ "$n_breaches" -gt 0 ]; then
        echo "FAILED: $n_breaches breaches; checked $*"
        exit 1
    fi
    echo "ok: $*"
}
