#!/usr/bin/env bash
# Who may include whom: api -> {ingest, retrieve, generate} -> {index, kernels} -> base. Siblings never
# include each other, neither in rooms nor in the unit tests of a room.
set -euo pipefail
. "$(dirname "$0")/common.bash"

allowed() { # room -> the rooms it may include
    case $1 in
    base) echo "base" ;;
    index) echo "index base" ;;
    kernels) echo "kernels base" ;;
    ingest) echo "ingest index kernels base" ;;
    retrieve) echo "retrieve index kernels base" ;;
    generate) echo "generate index kernels base" ;;
    api) echo "$rooms" ;;
    esac
}

n_files=0 n_includes=0
for room in $rooms; do
    may=" $(allowed "$room") "
    while IFS= read -r file; do
        n_files=$((n_files + 1))
        while IFS=: read -r line target; do
            n_includes=$((n_includes + 1))
            to=${target%%/*}
            case $target in
            tests/*) [[ $file == tests/* ]] || breach "$file:$line: a room includes \"$target\" of the tests" ;;
            */*) [[ $may == *" $to "* ]] || breach "$file:$line: $room must not include \"$target\"" ;;
            *) breach "$file:$line: \"$target\": includes are written \"room/file.h\"" ;;
            esac
        done < <(sed -nE 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*"([^"]*)".*/\1/;T;=;p' "$file" | paste -d: - -)
    done < <(room_files "$room" "tests/unit/$room")
done
[ "$n_files" -gt 0 ] || breach "no files found below $PWD"
finish "$n_includes includes of $n_files files point down the arrows"
