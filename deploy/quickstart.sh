#!/usr/bin/env bash
# From a fresh checkout to an answered question: packages, build, models, the bundled documents, one
# question. Safe to run again: what is done is not done twice.
#   --small      the 135M model only (100 MB instead of 1.1 GB)
#   --model P    your own model instead: a GGUF file or a Hugging Face folder
set -euo pipefail
cd "$(dirname "$0")/.."

small=() model=()
while [ $# -gt 0 ]; do
    case "$1" in
    --small) small=(--small) ;;
    --model) model=(--model "${2:?--model needs a path}"); shift ;;
    -h | --help) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "quickstart: unknown option $1 (see --help)" >&2; exit 2 ;;
    esac
    shift
done
step() { printf '\n== %s\n' "$*"; }

step "1/5 System packages"
deploy/setup.sh packages

step "2/5 Build"
[ -f build/build.ninja ] || cmake --preset release -DWN_TESTS=OFF >build-configure.log ||
    { cat build-configure.log; exit 1; }
rm -f build-configure.log
ninja -C build winnow
winnow=build/winnow

step "3/5 Models"
if [ ${#model[@]} -gt 0 ]; then
    "$winnow" models get minilm-l6 pdfium
else
    "$winnow" models get "${small[@]}"
fi

step "4/5 Reading the bundled documents (deploy/sample/documents) into corpus \"sample\""
"$winnow" ingest --corpus sample deploy/sample/documents

step "5/5 A question"
question="From what to what range did Kennedy want to change individual tax rates in 1963?"
echo "> $question"
echo
"$winnow" ask --corpus sample "${small[@]}" "${model[@]}" "$question"

cat <<TXT

What next:
  ask another          $winnow ask --corpus sample ${small[*]} "What are the ownership rules in Rust?"
  read your documents  $winnow ingest --corpus notes ~/Documents && $winnow chat --corpus notes ${small[*]}
  start the server     $winnow serve ${small[*]}          (then open http://127.0.0.1:8080/)
  your own Llama 3.2   $winnow ask --corpus sample --model /path/to/Llama-3.2-3B-Instruct "..."
TXT
