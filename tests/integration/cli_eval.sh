#!/usr/bin/env bash
# `winnow eval kld` and `eval greedy` on a small model: nothing differs when both sides are exact, little when
# one is not, and the rows hold together.
set -euo pipefail
winnow=$1 source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; exit 1; }
models=${XDG_DATA_HOME:-$HOME/.local/share}/winnow/models
needed=smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf
[ -f "$models/$needed" ] || { echo "SKIPPED: needs $needed: winnow models get --small"; exit 77; }
export WINNOW_DATA_DIR=$work/data WINNOW_SMALL=true WINNOW_TEXT=$source/CONTRIBUTING.md
mkdir "$work/data"
ln -s "$models" "$work/data/models"

# rows EXPRESSION ARGUMENT...: the expression holds for r, the list of rows
rows() {
    local expression=$1
    shift
    "$winnow" eval --json --quiet "$@" >"$work/json" || fail "winnow eval $*"
    python3 -c '
import json, sys
r = json.load(open(sys.argv[1]))["rows"]
assert eval("(" + sys.argv[2] + ")"), (sys.argv[2], r)' "$work/json" "$expression" || fail "winnow eval $*"
}
kld=(kld --tokens 70 --context 32) # few tokens; activations of 8 bits on AVX2: mean 0.003, largest 0.013
rows 'len(r) == 1 and r[0]["windows"] == 2 and r[0]["window"] == 32 and r[0]["judged"] == 2 * 15
    and 0 < r[0]["mean"] <= r[0]["p99"] <= r[0]["max"] < 0.05 and r[0]["same_top"] > 0.9
    and 1 < r[0]["ppl"] < 1000 and abs(r[0]["ppl"] / r[0]["ppl_f32"] - 1) < 0.03
    and r[0]["weights"] == "Q4_1"' "${kld[@]}"
rows 'r[0]["mean"] == r[0]["max"] == 0 and r[0]["same_top"] == 1 and r[0]["ppl"] == r[0]["ppl_f32"]' "${kld[@]}" --exact
rows 'r[0]["kv_format"] == "int8" and 1e-7 < r[0]["mean"] < 0.1' "${kld[@]}" --kv-format int8
greedy=(greedy --prompts 2 --prompt-tokens 9 --generate 6)
rows 'len(r) == 2 and r[0]["prompt_ids"] != r[1]["prompt_ids"] and all(len(x["prompt_ids"]) == 9 and x["tokens"] == 6
    and x["equal"] == sum(a == b for a, b in zip(x["ids"], x["f32_ids"], strict=True)) and len(x["ids"]) == 6
    and x["ids"][:x["first_difference"]] == x["f32_ids"][:x["first_difference"]] for x in r)' "${greedy[@]}"
rows 'all(x["first_difference"] == x["equal"] == x["tokens"] and x["ids"] == x["f32_ids"] for x in r)' "${greedy[@]}" --exact
"$winnow" eval "${greedy[@]}" --exact --quiet | grep -q '^2 of 2 texts are the same, 100.0 %' || fail "greedy, text"
"$winnow" eval "${kld[@]}" --quiet | grep -q '^2 windows of 32 tokens, 30 tokens judged' || fail "kld, text"

# refused PATTERN ARGUMENT...
refused() {
    local pattern=$1
    shift
    if "$winnow" eval "$@" >"$work/out" 2>&1; then fail "winnow eval $* was accepted"; fi
    grep -q -- "$pattern" "$work/out" || { cat "$work/out"; fail "winnow eval $*: not $pattern"; }
}
refused 'less than a window' kld --tokens 31 --context 32
refused 'at least 4' kld --context 3
refused 'too few for 1000 prompts' greedy --prompts 1000 --prompt-tokens 1000
refused 'kv-format "f16" is none' kld --kv-format f16
refused 'kv-ratio "x" is neither off nor' kld --kv-ratio x
refused 'No such file' kld --heads /nowhere/heads.safetensors
refused 'the verbs are' frobnicate
unset WINNOW_TEXT
refused 'needs --text' greedy
echo "ok"
