#!/usr/bin/env bash
# SIGKILL while a corpus is read and its prefix is written, at 16 moments: what is left never hinders the next
# process, which answers with the same words, and leaves no unfinished file.
set -euo pipefail
winnow=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; exit 1; }
models=${XDG_DATA_HOME:-$HOME/.local/share}/winnow
for needed in smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf minilm-l6/model.safetensors; do
    [ -f "$models/models/$needed" ] || { echo "SKIPPED: needs $needed: winnow models get --small"; exit 77; }
done
export WINNOW_DATA_DIR=$work/data WINNOW_SMALL=true WINNOW_CORPUS=notes WINNOW_MAX_TOKENS=12
mkdir "$work/data"
ln -s "$models/models" "$work/data/models"
prefixes=$work/data/prefixes
for i in $(seq 20); do printf 'Room %d of the mill has %d windows and a green door.\n\n' "$i" $((i * 7 % 50)); done >"$work/mill.txt"
"$winnow" ingest --quiet "$work/mill.txt" >"$work/out"
ask() { "$winnow" ask --mode corpus --json --quiet "How many windows has room 3?" >"$work/json"; }
answer() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["answer"])' "$work/json"; }
now() { date +%s%N; }
ask
want=$(answer)
"$winnow" prefix drop notes --quiet >"$work/out"
begin=$(now)
"$winnow" prefix prepare notes --quiet >"$work/out"
took=$((($(now) - begin) / 1000000)) # ms, from which the moments are taken
killed=0 whole=0
for i in $(seq 16); do
    "$winnow" prefix drop notes --quiet >"$work/out"
    "$winnow" prefix prepare notes --quiet >"$work/out" 2>&1 &
    pid=$!
    if [ "$i" -le 8 ]; then # while it reads
        ms=$((took * i / 12))
        sleep "$((ms / 1000)).$(printf '%03d' $((ms % 1000)))"
    else # as soon as something is being written
        for _ in $(seq 400); do [ "$(ls "$prefixes")" = lock ] || break; sleep 0.01; done
        sleep "0.0$((i - 8))"
    fi
    if kill -KILL "$pid" 2>/dev/null; then
        killed=$((killed + 1))
    else
        took=$((took * 2 / 3)) # it was slower when it was measured
    fi
    wait "$pid" 2>/dev/null || true
    [ -n "$(find "$prefixes" -name '*.prefix')" ] && whole=$((whole + 1))
    ask || fail "no answer after kill $i"
    [ "$(answer)" = "$want" ] || fail "after kill $i: $(answer), not $want"
    left=$(ls -A "$prefixes" | grep -vE '^lock$|\.prefix$' || true)
    [ -z "$left" ] || fail "after kill $i: $left"
done
[ "$killed" -ge 4 ] || fail "only $killed of 16 were killed in time"
echo "$killed killed, $whole with a whole file; 16 answers"
