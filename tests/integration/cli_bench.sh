#!/usr/bin/env bash
# `winnow bench` on a small model: the rows say what was asked for, and their figures are in order.
set -euo pipefail
winnow=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; exit 1; }
models=${XDG_DATA_HOME:-$HOME/.local/share}/winnow/models
for needed in smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf minilm-l6/model.safetensors; do
    [ -f "$models/$needed" ] || { echo "SKIPPED: needs $needed: winnow models get --small"; exit 77; }
done
export WINNOW_DATA_DIR=$work/data WINNOW_SMALL=true
mkdir "$work/data"
ln -s "$models" "$work/data/models"
printf 'The frigate Aurora was launched in 1897.\n' >"$work/text"

# rows EXPRESSION ARGUMENT...: the expression holds for r, the list of rows
rows() {
    local expression=$1
    shift
    "$winnow" bench --json --quiet "$@" >"$work/json" || fail "winnow bench $*"
    python3 -c '
import json, sys
r = json.load(open(sys.argv[1]))["rows"]
assert all(0 < x["min"] <= x["median"] <= x["max"] for x in r), r
assert eval("(" + sys.argv[2] + ")"), (sys.argv[2], r)' "$work/json" "$expression" || fail "winnow bench $*"
}
rows '[x["tokens"] for x in r] == [4, 9] and r[0]["isa"] == "ref" and r[0]["threads"] == 1
    and r[0]["weights"] == "Q4_1" and r[0]["repeats"] == 2' prefill --tokens 4,9 --repeat 2 --isa ref --threads 1
rows '[x["depth"] for x in r] == [0, 3] and r[0]["unit"] == "tokens/s" and not r[0]["exact"] and r[0]["batch"] == 1' \
    decode --depth 0,3 --generate 2 --repeat 3 --text "$work/text"
rows 'len(r) == 1 and r[0]["exact"] and r[0]["tokens"] == 512' prefill --repeat 1 --exact
rows 'r[0]["kv_format"] == "int8" and r[0]["thin"] == 4 and r[0]["depth"] == 600' \
    decode --depth 600 --generate 2 --repeat 2 --kv-format int8 --thin 4 # keys go, so each run reads again
rows 'r[0]["batch"] == 3 and r[0]["depth"] == 5' decode --depth 5 --generate 2 --repeat 2 --batch 3
rows 'r[0]["tokens"] == 16 and r[0]["unit"] == "passages/s"' embed --tokens 16 --passages 3 --repeat 1
rows 'r[0]["model"] == "minilm-l6"' embed --tokens 8 --passages 2 --repeat 1 --text "$work/text"

# refused PATTERN ARGUMENT...
refused() {
    local pattern=$1
    shift
    if "$winnow" bench "$@" >"$work/out" 2>&1; then fail "winnow bench $* was accepted"; fi
    grep -q -- "$pattern" "$work/out" || { cat "$work/out"; fail "winnow bench $*: not $pattern"; }
}
for list in x 0 4, ,4 4,-1 1048577 "4 5"; do
    refused 'is no list of' prefill --tokens "$list"
done
refused 'above the 8192 positions' decode --depth 8192 --generate 1
refused 'batch' decode --batch 9
refused 'kv-format "f16" is none' decode --kv-format f16
refused 'the verbs are' frobnicate
: >"$work/text"
refused 'no tokens' prefill --text "$work/text"
refused 'no words' embed --text "$work/text"
echo "ok"
