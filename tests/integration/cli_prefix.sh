#!/usr/bin/env bash
# Prefixes of corpora from the command line: modes, the same answer cold, from disk and from the session, what
# invalidates, files that do not verify, dropping, what a deleted document leaves behind.
set -euo pipefail
winnow=$1 source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; exit 1; }
models=${XDG_DATA_HOME:-$HOME/.local/share}/winnow
for needed in smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf minilm-l6/model.safetensors; do
    [ -f "$models/models/$needed" ] || { echo "SKIPPED: needs $needed: winnow models get --small"; exit 77; }
done
export WINNOW_DATA_DIR=$work/data WINNOW_SMALL=true WINNOW_CORPUS=notes WINNOW_MAX_TOKENS=24
mkdir "$work/data" "$work/docs"
ln -s "$models/models" "$work/data/models"
prefixes=$work/data/prefixes
text() { for i in $(seq "$2"); do echo "Room $i of the $1 has $((i * 7 % 50)) windows and a $3 door."; echo; done; }
{ echo "# The mill"; echo; text mill 30 green; } >"$work/docs/a_mill.md"
{ echo "# The tower"; echo; text tower 30 red; } >"$work/docs/b_tower.md"
n=0
# holds EXPRESSION: of r, the last JSON
holds() {
    python3 -c '
import json, sys
r = json.load(open(sys.argv[1]))
assert eval("(" + sys.argv[2] + ")"), (sys.argv[2], {k: v for k, v in r.items() if k != "passages"})' \
        "$work/json" "$1" || fail "$1"
    n=$((n + 1))
}
run() { "$winnow" "$@" --json --quiet >"$work/json" || fail "winnow $*"; }
ask() { run ask "$@"; }
answer() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["answer"])' "$work/json"; }
files() { find "$prefixes" -name '*.prefix' | sort; }

run ingest "$work/docs"
run prefix list
holds 'r["prefixes"] == []'

# Cold, then from disk with another question, then as if nothing were kept: the same bits.
ask --mode corpus "How many windows has room 3 of the mill?"
holds 'r["reading"]["mode"] == "corpus" and r["reading"]["documents"] == 2 and r["reading"]["left_out"] == []'
holds 'r["prefix"]["source"] == "none" and r["prefix"]["cached_tokens"] == 0 and r["prefix"]["new_tokens"] > 1000'
other="Which colour has the door of room 12 of the tower?"
ask --mode corpus "$other"
holds 'r["prefix"]["source"] == "disk" and r["prefix"]["cached_tokens"] > 1000 and r["prefix"]["new_tokens"] < 60'
holds 'r["prefix"]["dense_bytes"] > 0 and r["prefix"]["held_bytes"] > 0 and r["timings"]["first_token_ms"] > 0'
warm=$(answer)
ask --mode corpus --prefix-memory 0 --prefix-disk 0 "$other"
holds 'r["prefix"]["source"] == "none"'
[ "$(answer)" = "$warm" ] || fail "from disk: $warm; cold: $(answer)"

# With sampling, too.
ask --mode corpus --temperature 0.9 --seed 5 "$other"
warm=$(answer)
ask --mode corpus --temperature 0.9 --seed 5 --prefix-memory 0 --prefix-disk 0 "$other"
[ "$(answer)" = "$warm" ] || fail "sampled, from disk: $warm; cold: $(answer)"

# auto says what it chose, and why.
ask --mode auto "$other"
holds 'r["reading"]["mode"] == "corpus" and "are held" in r["reading"]["why"] and r["prefix"]["source"] == "disk"'
run prefix drop notes
ask --mode auto --passages 1 "$other"
holds 'r["reading"]["mode"] == "passages" and "little of that is held" in r["reading"]["why"]'

# Whole documents, as many as fit; what stays out is named.
ask --mode documents --passages 6 --context 1000 "$other"
holds 'r["reading"]["mode"] == "documents" and r["reading"]["documents"] == 1 and len(r["reading"]["left_out"]) == 1
    and r["reading"]["left_out"][0]["filename"] == "a_mill.md" and r["reading"]["left_out"][0]["tokens"] > 500'
"$winnow" ask --mode corpus --context 1000 "$other" >"$work/out" 2>&1 && fail "a corpus that does not fit"
grep -q 'mode documents reads the best documents whole' "$work/out" || fail "$(cat "$work/out")"
"$winnow" ask --mode everything x >"$work/out" 2>&1 && fail "mode everything"
grep -q 'none of passages, documents, corpus and auto' "$work/out" || fail "$(cat "$work/out")"

# Prepared; a new document is read behind what is there, a changed one takes the rest along.
run prefix drop notes
[ -z "$(files)" ] || fail "files after drop: $(files)"
run prefix prepare notes
holds 'r["documents"] == 2 and r["cached_tokens"] == 0 and r["kept"] and r["files_written"] >= 1'
python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["tokens"])' "$work/json" >"$work/tokens"
run prefix prepare notes
holds "r['cached_tokens'] == r['tokens'] == $(cat "$work/tokens") and r['source'] == 'disk'"
{ echo "# The barn"; echo; text barn 10 canaryblue; } >"$work/docs/c_barn.md"
run ingest --prepare "$work/docs"
# ... but for the words before a question, which stand elsewhere now.
holds "r['added'] == 1 and $(cat "$work/tokens") - r['prefix']['cached_tokens'] in (0, 2) and r['prefix']['documents'] == 3"
run prefix show notes
holds 'len(r["nodes"]) >= 2 and all(x["disk_bytes"] > 0 for x in r["nodes"]) and r["nodes"][-1]["texts"] >= 3'
ask --mode corpus "$other"
holds 'r["prefix"]["source"] == "disk" and r["reading"]["documents"] == 3'
text tower 31 red >>"$work/docs/b_tower.md"
run ingest "$work/docs"
holds 'r["replaced"] == 1'
run prefix show notes
holds 'all(x["texts"] <= 1 for x in r["nodes"])' # what had the old tower in it is gone
ask --mode corpus "$other"
warm=$(answer)
ask --mode corpus --prefix-memory 0 --prefix-disk 0 "$other"
[ "$(answer)" = "$warm" ] || fail "after a change: $warm; cold: $(answer)"

# A file that was tampered with, is cut or comes from elsewhere is thrown away, and the answer is the same.
for harm in flip cut foreign short; do
    [ -n "$(files)" ] || fail "no files before $harm"
    for f in $(files); do
        case $harm in
        flip) python3 -c 'import sys; f = open(sys.argv[1], "r+b"); f.seek(-4000, 2); b = f.read(1); f.seek(-4000, 2)
f.write(bytes([b[0] ^ 1]))' "$f" ;;
        cut) truncate -s -100 "$f" ;;
        short) echo x >"$work/data/secret.key" ;;
        foreign) [ "$f" = "$(files | head -1)" ] && head -c 32 /dev/zero >"$work/data/secret.key" ;;
        esac
    done || true
    ask --mode corpus "$other"
    holds 'r["prefix"]["source"] == "none"'
    [ "$(answer)" = "$warm" ] || fail "after $harm: $warm; $(answer)"
    [ "$(stat -c '%a %s' "$work/data/secret.key")" = "600 32" ] || fail "$(ls -l "$work/data/secret.key")"
done

# A second process may ask while the first holds the folder: it reads the files.
mkfifo "$work/lines"
"$winnow" chat --mode corpus --quiet <"$work/lines" >"$work/chat" &
holder=$!
exec 7>"$work/lines"
echo "$other" >&7
for _ in $(seq 300); do grep -q '^>.*[a-z]' "$work/chat" && break; sleep 0.1; done
ask --mode corpus "$other"
holds 'r["prefix"]["source"] == "disk"'
[ "$(answer)" = "$warm" ] || fail "beside another process: $warm; $(answer)"
exec 7>&-
kill "$holder" 2>/dev/null || true
wait "$holder" 2>/dev/null || true

# A conversation stays where it is, also where keys are evicted: a follow-up reads the answer before it and its own words.
for heads in off "$source/deploy/heads/smollm2-135m.safetensors"; do
    options=(--mode corpus)
    [ "$heads" = off ] || options+=(--heads "$heads" --kv-format int8)
    printf '%s\n%s\n%s\n' "$other" "And of room 13?" "And of room 14?" |
        "$winnow" chat "${options[@]}" >"$work/out" 2>"$work/remarks"
    [ "$(grep -c 'tokens taken from the question before' "$work/remarks")" -eq 2 ] || fail "$heads: $(cat "$work/remarks")"
    new=$(sed -n 's/^\([0-9]*\) tokens read in.*/\1/p' "$work/remarks" | tail -2 | sort -n | tail -1)
    [ "$new" -lt 80 ] || fail "$heads: a follow-up read $new tokens: $(cat "$work/remarks")"
done

# A corpus goes with its prefixes.
"$winnow" corpus delete notes --yes --quiet >"$work/out"
[ -z "$(files)" ] || fail "files after the corpus was deleted: $(files)"
run prefix list
holds 'r["prefixes"] == []'
"$winnow" prefix prepare notes >"$work/out" 2>&1 && fail "prepare of a corpus that is gone"
grep -q 'no corpus "notes"' "$work/out" || fail "$(cat "$work/out")"
"$winnow" prefix frobnicate notes >"$work/out" 2>&1 && fail "frobnicate"
grep -q 'the verbs are prepare, list, show and drop' "$work/out" || fail "$(cat "$work/out")"
echo "$n checks passed"
