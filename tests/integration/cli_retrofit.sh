#!/usr/bin/env bash
# `winnow retrofit` on a small model and little text, interrupted and resumed, and `winnow eval kv` on its heads and on
# those of a checkpoint.
set -euo pipefail
winnow=$1 source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; exit 1; }
models=${XDG_DATA_HOME:-$HOME/.local/share}/winnow/models
needed=smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf
[ -f "$models/$needed" ] || { echo "SKIPPED: needs $needed: winnow models get --small"; exit 77; }
export WINNOW_DATA_DIR=$work/data
mkdir "$work/data" "$work/text"
ln -s "$models" "$work/data/models"
cat "$source"/*/README.md "$source"/CONTRIBUTING.md >"$work/text/a.txt"
cat "$source"/tests/*/README.md "$source"/tests/README.md "$source"/README.md >"$work/text/b.md"
heads=$work/heads.safetensors
small=(smollm2-135m --text "$work/text" --texts 2 --text-tokens 250 --window 32 --measure-texts 1 --measure-tokens 512)

# holds FILE EXPRESSION: with r, the JSON in the file
holds() {
    python3 -c '
import json, sys
r = json.load(open(sys.argv[1]))
assert eval("(" + sys.argv[2] + ")"), (sys.argv[2], r)' "$1" "$2" || fail "$2"
}
"$winnow" retrofit "${small[@]}" --out "$heads" --marks 2.5,1.5 --json --quiet >"$work/json" || fail "retrofit"
[ ! -e "$heads.state" ] || fail "the state file is left behind"
holds "$work/json" '0 < r["r2"] <= 1 and [x["mark"] for x in r["rows"]] == [2.5, 1.5]
    and all(abs(x["ratio"] / x["mark"] - 1) < 0.1 and x["tokens"] == 512 and x["window"] >= 32 for x in r["rows"])
    and 0 < r["rows"][1]["kld_mean"] < r["rows"][0]["kld_mean"] < 1 and "copy_right" in r["rows"][0]'
python3 - "$heads" <<'PY' || fail "the side-car"
import json, struct, sys
b = open(sys.argv[1], "rb").read()
n = struct.unpack("<Q", b[:8])[0]
h = json.loads(b[8:8 + n])
m, points = h["__metadata__"], json.loads(h["__metadata__"]["operating_points"])
assert m["format"] == "winnow-dms" and m["min_window"] == "32" and len(h) == 61, m
assert points[0]["ratio"] > points[1]["ratio"] and points[0]["measured"][0]["kld_mean"] > 0, points
assert json.loads(m["trained_on"])["files"] == 2
PY
# The model asks itself about the text as well: other heads, and another fit's state.
asked=$work/asked.safetensors
"$winnow" retrofit "${small[@]}" --out "$asked" --questions 2 --marks 2.5 --json --quiet >"$work/asked.json" || fail "questions"
holds "$work/asked.json" '1 <= r["questions"] <= 20 and 0 < r["rows"][0]["kld_mean"] < 1'
holds "$work/json" 'r["questions"] == 0'
cmp -s <(tail -c 4000 "$heads") <(tail -c 4000 "$asked") && fail "questions changed nothing"
# Steps behind the fit: stopped behind them, for want of text to measure on, and started again: the heads of a run that
# was not stopped, which are not the fit's.
distilled=$work/distilled.safetensors
distill=("${small[@]}" --distill 4 --distill-texts 2 --marks 2.5@256 --json --quiet)
"$winnow" retrofit "${distill[@]}" --out "$distilled" >"$work/json.distilled" || fail "distilling"
holds "$work/json.distilled" '0 < r["loss"] < 1 and r["rows"][0]["kld_mean"] > 0'
ls "$distilled".* 2>/dev/null && fail "state files are left behind"
cmp -s <(tail -c 4000 "$heads") <(tail -c 4000 "$distilled") && fail "distilling changed nothing"
"$winnow" retrofit "${distill[@]}" --out "$work/stopped" --measure-tokens 8192 >"$work/out" 2>&1 && fail "8192 tokens were found"
[ -s "$work/stopped.state.steps" ] || fail "no state of the steps"
"$winnow" retrofit "${distill[@]}" --out "$work/stopped" >"$work/json.stopped" || fail "resuming the steps"
cmp <(tail -c 4000 "$work/stopped") <(tail -c 4000 "$distilled") || fail "resumed steps differ"
# Stopped behind the fit, for want of text to measure on, and started again: the same heads.
again=$work/again.safetensors
"$winnow" retrofit "${small[@]}" --out "$again" --measure-tokens 8192 >"$work/out" 2>&1 && fail "8192 tokens were found"
grep -q 'a third of every path' "$work/out" || fail "$(cat "$work/out")"
[ -s "$again.state" ] || fail "no state file"
"$winnow" retrofit "${small[@]}" --out "$again" --texts 3 >"$work/out" 2>&1 && fail "another fit's state was taken"
grep -q 'belongs to a training of another' "$work/out" || fail "$(cat "$work/out")"
"$winnow" retrofit "${small[@]}" --out "$again" --marks 2.5/16 >"$work/out" 2>&1 && fail "a window of 16 was taken"
grep -q 'serve windows of 32 and more' "$work/out" || fail "$(cat "$work/out")"
"$winnow" retrofit "${small[@]}" --out "$again" --marks 2.5,1.9@256/48 --quiet >"$work/out" || fail "resume"
python3 - "$heads" "$again" <<'PY' || fail "resumed heads differ"
import json, struct, sys
a, b = (open(p, "rb").read() for p in sys.argv[1:])
start = lambda x: 8 + struct.unpack("<Q", x[:8])[0]
assert a[start(a):] == b[start(b):]
# Marks of two contexts, each at its own; on the dial they are rounded down.
points = json.loads(json.loads(b[8:start(b)])["__metadata__"]["operating_points"])
assert [p["tokens"] for p in points] == [512, 256] and points[1]["window"] == 48 and points[1]["ratio"] < 2 <= points[0]["ratio"] <= 2.5, points
for p, mark in zip(points, [2.5, 1.9]):
    measured = [m["ratio"] for m in p["measured"] if m["tokens"] == p["tokens"]]
    assert abs(measured[0] / mark - 1) < 0.1 and p["ratio"] <= measured[0], p
PY
"$winnow" eval kv --small --heads "$heads" --lengths 128,256,512 --text "$work/text/a.txt" "$work/text/b.md" --baselines \
    --no-copy --places 0 --json --quiet >"$work/json" || fail "eval kv"
holds "$work/json" 'len(r["rows"]) >= 10 and {x["keys"] for x in r["rows"]} ==
    {"heads", "window only", "random", "low key norm", "oracle"} and all(x["texts"] == 2 for x in r["rows"])'
# Of as many keys (512 tokens, first mark), those of the heads lose least but for those of who knows the future.
holds "$work/json" '(lambda k: k["oracle"] < k["heads"] < min(k["random"], k["low key norm"]))(
    {x["keys"]: x["kld_mean"] for x in r["rows"] if x["tokens"] == 512 and x["mark"] == r["rows"][0]["mark"]})'
"$winnow" eval kv --small --heads "$heads" --lengths 256 --text "$work/text/a.txt" --quiet --no-copy --places 0 |
    grep -q '^heads .*x ' || fail "eval kv, text"

# The heads that are shipped, found by the model's name beside an installed winnow: of this model, and as good as
# deploy/heads/README.md says on other text. Without them, or for a model without a name, auto is refused.
mkdir -p "$work/usr/bin" "$work/usr/share/winnow"
cp "$winnow" "$work/usr/bin/winnow"
auto=("$work/usr/bin/winnow" eval kv --heads auto --text "$work/text/a.txt" --no-copy --places 0 --json --quiet)
"${auto[@]}" --small >"$work/out" 2>&1 && fail "heads that are not there were found"
grep -q 'no eviction heads came with this winnow for smollm2-135m' "$work/out" || fail "$(cat "$work/out")"
cp -r "$source/deploy/heads" "$work/usr/share/winnow/heads"
"${auto[@]}" --model "$models/$needed" >"$work/out" 2>&1 && fail "heads for a path were found"
"${auto[@]}" --small --lengths 1024 >"$work/json" || fail "the shipped heads"
holds "$work/json" 'len(r["rows"]) >= 3 and all(x["ratio"] > 1.4 and x["kld_mean"] < 0.05 * (x["ratio"] - 1)
    for x in r["rows"])'

# Heads in a checkpoint's own q: measured like others; nothing is trained over them.
mkdir "$work/dms"
ln -s "$models/$needed" "$work/dms/own.gguf"
echo '{"window_size": 64, "alpha_scale": 1, "alpha_offset": 0, "decision_shift": 1}' >"$work/dms/dms_metadata.json"
"$winnow" eval kv --model "$work/dms/own.gguf" --lengths 256,512 --text "$work/text/a.txt" --baselines --no-copy --json \
    --quiet >"$work/json" || fail "eval kv, borrowed heads"
holds "$work/json" 'len(r["rows"]) == 10 and all(x["window"] == 64 or x["keys"] == "window only" for x in r["rows"])
    and all(1.05 < x["ratio"] < 8 and 0 < x["kld_mean"] for x in r["rows"] if x["keys"] == "heads")'

# refused PATTERN COMMAND ARGUMENT...
refused() {
    local pattern=$1
    shift
    if "$winnow" "$@" >"$work/out" 2>&1; then fail "winnow $* was accepted"; fi
    grep -q -- "$pattern" "$work/out" || { cat "$work/out"; fail "winnow $*: not $pattern"; }
}
refused 'are needed' retrofit
refused 'marks "0.5"' retrofit "${small[@]}" --out "$again" --marks 0.5
refused 'marks "2@x"' retrofit "${small[@]}" --out "$again" --marks 2@x
refused '2x at 513 tokens' retrofit "${small[@]}" --out "$again" --marks 2@513
refused 'too short for a window' retrofit "${small[@]}" --out "$again" --window 256
refused 'leaves no 20x' retrofit "${small[@]}" --out "$again" --marks 20
refused 'do not fit into' retrofit "${small[@]}" --out "$again" --text-tokens 5000
refused 'name a shorter context' retrofit "${small[@]}" --out "$again" --measure-tokens 8000 --distill 4
refused 'no such file\|No such file\|not found' retrofit smollm2-135m --text /nowhere --out "$again"
refused 'has eviction heads already' retrofit "$work/dms/own.gguf" "${small[@]:1}" --out "$again"
refused 'needs --heads' eval kv --small --text "$work/text/a.txt"
refused 'lengths "1,x"' eval kv --small --heads "$heads" --text "$work/text/a.txt" --lengths 1,x
refused 'less than every length' eval kv --small --heads "$heads" --text "$source/generate/README.md" --lengths 8000
echo "ok"
