#!/usr/bin/env bash
# Names and calls: file names unique in the tree, no copies by number or suffix, no types of ours that
# end in _t; library rooms never end the process, print or read the environment.
set -euo pipefail
. "$(dirname "$0")/common.bash"

mapfile -t sources < <(project_files .c .h .cu .cuh .cpp .py .sh .bash .cmake | grep -v '^tests/\(golden\|fuzz/corpus\)/.*/.*\.\(c\|h\)$')

# One name, one file (but every golden folder has its generate.py, as every folder has its README).
breaches < <(printf '%s\n' "${sources[@]}" | awk -F/ '
    /^tests\/golden\/[^\/]*\/generate\.py$/ { next }
    seen[$NF] { print $0 ":1: the name " $NF " is also that of " seen[$NF] }
    { seen[$NF] = seen[$NF] ? seen[$NF] : $0 }')

# No history in names: x_old.c, x_v2.c, and x2.c beside x.c or x1.c.
breaches < <(printf '%s\n' "${sources[@]}" | awk -F/ '
    { all[$0] = 1; list[NR] = $0 }
    END {
        for (k = 1; k <= NR; k++) {
            f = list[k]
            ext = f; sub(/.*\./, ".", ext)
            stem = substr(f, 1, length(f) - length(ext))
            if (stem ~ /_(old|new|copy|bak|backup|tmp|orig|final)$/ || stem ~ /_v[0-9]+$/) {
                print f ":1: a copy by name; git keeps the history"; continue
            }
            if (match(stem, /_?[1-9]$/)) {
                bare = substr(stem, 1, RSTART - 1); mark = substr(stem, RSTART)
                one = mark; sub(/[1-9]$/, "1", one)
                if (all[bare ext] || (mark != one && all[bare one ext])) print f ":1: numbered copy"
            }
        }
    }')

# Types are written without _t.
breaches < <(room_files $rooms tests | xargs -r awk '
    /^typedef .*[a-z0-9]_t;/ && !/typedef [^;]*\(/ || /^} [a-z0-9_]+_t;/ || /^typedef .*\(\*[a-z0-9_]+_t\)/ ||
    /^(struct|enum|union) wn_[a-z0-9_]+_t( |$)/ { print FILENAME ":" FNR ": types of ours have no _t: " $0 }')

# Calls that only the program itself may make (comments and literals do not count).
forbid() { # pattern, reason, excepted files (regular expression), rooms...
    local pattern=$1 reason=$2 except=$3
    shift 3
    local files
    mapfile -t files < <(room_files "$@" | { grep -vE "^($except)$" || true; })
    [ ${#files[@]} -eq 0 ] && return
    breaches < <(code_lines "${files[@]}" | { grep -E "^[^:]*:[0-9]+:.*(^|[^A-Za-z0-9_.>])($pattern)" || true; } |
        sed -E "s|^([^:]*:[0-9]+):[[:space:]]*|\1: $reason: |")
}
libraries="base kernels index generate retrieve ingest"
# A sandboxed one-shot worker and the program's main file end processes: that is their purpose.
forbid '(exit|abort|quick_exit)\(' 'only api/main.c may end the process' 'api/main\.c' $libraries api
forbid '_[eE]xit\(' 'only a forked worker may end its process' 'ingest/parse_zygote\.c|api/main\.c' $libraries api
forbid '(secure_)?getenv\(' 'the environment is read in base/options.c and api only' 'base/options\.c' $libraries
forbid '(v?printf|puts|putchar|perror)\(' 'library code never prints' 'none' $libraries
forbid '(v?fprintf|fputs|fputc|fwrite|dprintf)\([^;]*(stdout|stderr|STDOUT_FILENO|STDERR_FILENO)' 'library code never prints' 'none' $libraries
forbid '(sprintf|strcat|gets|strtok|asctime|ctime|localtime|gmtime|setlocale)\(' 'unbounded or shared state' 'none' $libraries api

[ ${#sources[@]} -gt 0 ] || breach "no files found below $PWD"
finish "${#sources[@]} file names; calls and types of $(room_files $rooms | wc -l) files in the rooms"
