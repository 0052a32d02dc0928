#!/usr/bin/env bash
# Twelve questions about the bundled documents, asked as a user asks them, with the default model: at
# least ten answers must carry a verified citation of the right place.
set -euo pipefail
winnow=$1 source=$2
models=${WINNOW_DATA_DIR:-${XDG_DATA_HOME:-$HOME/.local/share}/winnow}
if [ ! -f "$models/models/qwen2.5-1.5b/Qwen2.5-Coder-1.5B-Instruct-Q4_K_M.gguf" ] ||
    [ ! -f "$models/models/minilm-l6/model.safetensors" ] || [ ! -f "$models/lib/libpdfium.so" ]; then
    echo "SKIPPED: needs the models: winnow models get"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ln -s "$models/models" "$work/models"
ln -s "$models/lib" "$work/lib"
export WINNOW_DATA_DIR=$work
unset WINNOW_MODEL WINNOW_SMALL || true

"$winnow" ingest --quiet --corpus sample "$source/deploy/sample/documents"
n=0 right=0
while IFS=$'\t' read -r question file page pattern; do
    case "$question" in '#'*) continue ;; esac
    n=$((n + 1))
    "$winnow" ask --quiet --json --corpus sample "$question" >"$work/answer.json"
    verdict=$(python3 - "$work/answer.json" "$file" "$page" "$pattern" <<'PY'
import json, re, sys
answer = json.load(open(sys.argv[1]))
file, page, pattern = sys.argv[2:5]
good = [c for c in answer["citations"] if c["filename"] == file
        and (page == "-" or c["page_start"] <= int(page) <= c["page_end"])
        and re.search(pattern, c["cited_text"], re.I)]
print("right" if good else "WRONG")
print("   answer:", " ".join(answer["answer"].split())[:300])
for c in answer["citations"]:
    place = f", page {c['page_start']}" if c["page_start"] else ""
    print(f"   [{c['number']}] {c['filename']}{place}: \"{' '.join(c['cited_text'].split())[:160]}\"")
PY
    )
    printf '%2d. %s\n   %s\n' "$n" "$question" "$verdict"
    case "$verdict" in right*) right=$((right + 1)) ;; esac
done <"$source/tests/integration/sample_questions.tsv"
echo "$right of $n answers cite the right place"
[ "$n" -eq 12 ] && [ "$right" -ge 10 ]
