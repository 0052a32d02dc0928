#!/usr/bin/env bash
# `winnow eval kv` on a small model: rows of texts, baselines of as many bytes, free writing, the plot; questions and
# needles behind a prefix, with and without heads.
set -euo pipefail
winnow=$1 source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; exit 1; }
models=${XDG_DATA_HOME:-$HOME/.local/share}/winnow/models
needed=smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf
[ -f "$models/$needed" ] || { echo "SKIPPED: needs $needed: winnow models get --small"; exit 77; }
export WINNOW_DATA_DIR=$work/data WINNOW_SMALL=true WINNOW_KV_FORMAT=int8
mkdir "$work/data" "$work/qa"
ln -s "$models" "$work/data/models"
heads=$source/deploy/heads/smollm2-135m.safetensors
cat "$source"/*/README.md >"$work/a.txt"

# rows EXPRESSION ARGUMENT...: the expression holds for r, the object that eval kv prints, and its rows by keys
rows() {
    local expression=$1
    shift
    "$winnow" eval kv --json --quiet "$@" >"$work/json" || fail "winnow eval kv $*"
    python3 -c '
import json, sys
r = json.load(open(sys.argv[1]))
keys = lambda k: [x for x in r["rows"] if x["keys"] == k]
assert eval("(" + sys.argv[2] + ")"), (sys.argv[2], r)' "$work/json" "$expression" || fail "winnow eval kv $*"
}
# Points with windows of 192 and 256 are the ones that evict at this length.
rows '{x["keys"] for x in r["rows"]} == {"heads", "window only", "random", "low key norm", "oracle"}
    and len(keys("heads")) >= 2 and all(x["tokens"] == x["copy_tokens"] == 384 and x["copy_right_dense"] > 0.8
    and 0 < x["kld_mean"] <= x["kld_p99"] <= x["kld_max"] and x["ratio"] > 1 for x in r["rows"])
    and all(x["copy_right"] / x["copy_right_dense"] > 0.9 and x["free_places"] >= 1 and x["free_tokens"] == 6
    and 0 <= x["free_first"] <= 6 * x["free_equal"] and 0 <= x["free_same"] <= x["free_equal"] <= 1 for x in keys("heads"))
    and all("free_places" not in x for x in keys("random"))
    and all(abs(x["byte_ratio"] / h["byte_ratio"] - 1) < 0.02 and x["copy_right"] < h["copy_right"]
    for h in keys("heads") for x in keys("random") if x["mark"] == h["mark"])' \
    --heads "$heads" --text "$work/a.txt" --lengths 384 --baselines --places 2 --generate 6 --plot "$work/kv.svg"
python3 - "$work/kv.svg" <<'PY' || fail "the plot"
import sys, xml.etree.ElementTree as t
tags = [e.tag.rpartition("}")[2] for e in t.parse(sys.argv[1]).iter()]
assert tags.count("polyline") == 1 and tags.count("circle") == 4 and set(tags) <= {"svg", "rect", "text", "line",
    "polyline", "circle", "path"}, tags
PY

# Ten passages of about 30 tokens; two questions each.
python3 - "$work/qa" <<'PY'
import json, sys
passages, questions = open(sys.argv[1] + "/passages.jsonl", "w"), open(sys.argv[1] + "/qa.jsonl", "w")
for i, (name, town) in enumerate(zip("Ada Bruno Clara Dario Elsa Franz Greta Hugo Irma Jonas".split(),
        "Lisbon Oslo Vienna Prague Madrid Dublin Athens Warsaw Geneva Turin".split(), strict=True)):
    text = f"{name} was born in {town} and has worked as a baker for many years. {name} owns {i + 11} bicycles."
    print(json.dumps({"_id": f"p{i}", "title": name, "text": text}), file=passages)
    for k, (q, a) in enumerate([(f"Where was {name} born?", town), (f"How many bicycles does {name} own?", str(i + 11))]):
        print(json.dumps({"_id": f"q{i}.{k}", "question": q, "answers": [a], "passage_id": f"p{i}"}), file=questions)
PY
rows 'len(r["rows"]) == 1 and r["rows"][0]["keys"] == "dense" and r["rows"][0]["questions"] == 6
    and r["rows"][0]["prefixes"] == 1 and r["rows"][0]["ratio"] == 1 and len(r["questions"]) == 6
    and 0 <= r["rows"][0]["f1"] <= 1 and len({q["id"] for q in r["questions"]}) == 6
    and any(q["answers"][0]["answer"] for q in r["questions"])' \
    --qa "$work/qa" --lengths 512 --questions 6
rows 'len(r["rows"]) == 6 and all(x["questions"] == 14 and x["prefixes"] >= 2 and x["prefix_tokens"] < 260 for x in r["rows"])
    and all(len(q["answers"]) == 6 for q in r["questions"]) and abs(r["rows"][0]["contains"] -
    sum(q["answers"][0]["contains"] for q in r["questions"]) / 14) < 1e-6' \
    --heads "$heads" --qa "$work/qa" --lengths 300 --questions 14
"$winnow" eval kv --quiet --qa "$work/qa" --lengths 300 --questions 2 | grep -q '^dense .* % .* %$' || fail "qa, text"
needles=(--text "$work/a.txt" --needles 2 --depths 20,80)
rows 'len(r["rows"]) == 6 * 2 and [x["depth"] for x in keys("dense")] == [20, 80]
    and all(x["asked"] == 2 and 0 <= x["found"] <= 2 and x["prefixes"] == 2 for x in r["rows"])
    and sum(x["found"] for x in keys("dense")) >= 1 and max(x["ratio"] for x in keys("heads")) > 1.3' \
    --heads "$heads" "${needles[@]}" --lengths 600
"$winnow" eval kv --quiet "${needles[@]}" --lengths 400 | grep -q '^dense .*/2 .*/2$' || fail "needles, text"

# refused PATTERN ARGUMENT...
refused() {
    local pattern=$1
    shift
    if "$winnow" eval kv "$@" >"$work/out" 2>&1; then fail "winnow eval kv $* was accepted"; fi
    grep -q -- "$pattern" "$work/out" || { cat "$work/out"; fail "winnow eval kv $*: not $pattern"; }
}
refused 'carries no heads' --text "$work/a.txt"
refused 'two runs' --qa "$work/qa" "${needles[@]}"
refused 'draws the table' --qa "$work/qa" --plot "$work/x.svg"
refused 'needs --text' --needles 2
refused 'No such file' --qa /nowhere
refused 'does not fit into 64 tokens' --qa "$work/qa" --lengths 64
refused 'too few for a context of 8192' --text "$source/CONTRIBUTING.md" --needles 1 --lengths 8192
refused 'are too few for 2 needles' "${needles[@]}" --lengths 200
refused 'a depth of 100 percent' "${needles[@]}" --depths 100 --lengths 400
refused 'every length is above' "${needles[@]}" --lengths 9000
echo '{"_id": "p"}' >"$work/qa/passages.jsonl"
refused 'no "text"' --qa "$work/qa"
refused 'x.svg' --heads "$heads" --text "$work/a.txt" --lengths 200 --no-copy --places 0 --plot /nowhere/x.svg
echo "ok"
