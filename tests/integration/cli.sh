#!/usr/bin/env bash
# The command line as people and scripts meet it: help, exit codes, suggestions, JSON, errors, corpora.
set -euo pipefail
winnow=$1 source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export WINNOW_DATA_DIR=$work/data
n=0
fail() { echo "FAILED: $*"; exit 1; }
# expect CODE PATTERN ARGUMENT...: exit code, and a line of stdout or stderr that matches
expect() {
    local code=$1 pattern=$2 rc=0
    shift 2
    "$winnow" "$@" >"$work/out" 2>&1 </dev/null || rc=$?
    [ "$rc" -eq "$code" ] || { cat "$work/out"; fail "winnow $*: exit $rc, expected $code"; }
    grep -qE -- "$pattern" "$work/out" || { cat "$work/out"; fail "winnow $*: no line matches $pattern"; }
    n=$((n + 1))
}

expect 0 '^usage: winnow COMMAND' --help
expect 2 '^usage: winnow COMMAND'
expect 0 '^winnow [0-9]+\.' --version
commands=$("$winnow" --help | sed -n '/^commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
[ "$(echo "$commands" | wc -w)" -ge 9 ] || fail "commands in --help: $commands"
for command in $commands; do
    expect 0 'examples:' "$command" --help
    expect 0 '--data-dir' help "$command"
    expect 2 'unknown option "no-such-option"' "$command" --no-such-option
done
expect 2 'did you mean "ingest"' ingst
expect 2 'did you mean "corpus"' ask --corpsu x y
expect 2 '--corpus NAME is missing' ask "a question"
expect 2 'give one question' search --corpus x
expect 2 'not a whole number' ask --corpus x --max-tokens many y
expect 2 'outside' ask --corpus x --max-tokens 0 y
expect 1 'no corpus "absent"' corpus show absent
expect 1 'no corpus "x"' ask --corpus x --json y

expect 2 'verbs are' corpus frobnicate
expect 2 'verbs are' models frobnicate
expect 1 'no model "nothing"' models get nothing
expect 0 'No corpora yet' corpus list
expect 1 'bad +minilm-l6' doctor

printf 'nonsense = 1\n' >"$work/bad.conf"
expect 2 'bad.conf:1: unknown option "nonsense"' corpus list --config "$work/bad.conf"
printf '# comment\nsmall = true\ncorpus = "notes"\n' >"$work/good.conf"
expect 0 'No corpora yet' corpus list --config "$work/good.conf"
WINNOW_THREADS=x expect 2 'WINNOW_THREADS: threads: "x" is not a whole number' corpus list
# every option of the sample config is an option, and every option of serve stands in it
expect 0 'No corpora yet' corpus list --config "$source/deploy/winnow.conf.sample"
sed 's/^# *\([a-z-]* = \)/\1/' "$source/deploy/winnow.conf.sample" | grep -E '^[a-z-]+ = ' >"$work/all.conf"
expect 0 'No corpora yet' corpus list --config "$work/all.conf" --data-dir "$WINNOW_DATA_DIR"
for option in $("$winnow" serve --help | sed -n 's/^  --\([a-z-]*\).*/\1/p' | grep -vE '^(help|json|quiet|verbose|config)$'); do
    grep -qE "^#? ?$option = " "$source/deploy/winnow.conf.sample" || fail "sample config lacks $option"
done

# a model file that is none
printf 'GGUF not really' >"$work/fake.gguf"
expect 1 'fake.gguf' models add "$work/fake.gguf"

models=${XDG_DATA_HOME:-$HOME/.local/share}/winnow
if [ ! -f "$models/models/minilm-l6/model.safetensors" ]; then
    echo "SKIPPED: the rest needs the embedding model: winnow models get minilm-l6"
    exit 77
fi
mkdir -p "$work/data" "$work/docs/sub"
ln -s "$models/models" "$work/data/models"
[ -d "$models/lib" ] && ln -s "$models/lib" "$work/data/lib"
printf '# Ships\n\nThe frigate Aurora was launched in 1897.\n' >"$work/docs/ships.md"
printf 'Bees dance to tell the way to flowers.\n' >"$work/docs/sub/bees.txt"
printf '\001\002' >"$work/docs/unknown.xyz"
expect 0 '2 added, .* 1 skipped, 0 failed' ingest --corpus tiny "$work/docs"
expect 0 '0 added, .* 2 unchanged' ingest --corpus tiny "$work/docs"
printf '# Ships\n\nThe frigate Aurora was launched in 1900.\n' >"$work/docs/ships.md"
expect 0 '0 added, 1 replaced, 1 unchanged' ingest --corpus tiny "$work/docs"
expect 3 '1 failed' ingest --corpus tiny "$work/docs/sub" "$work/docs/unknown.xyz"
expect 1 'absent' ingest --corpus tiny "$work/absent"
expect 0 'launched in 1900' search --corpus tiny "when was the Aurora launched?"
expect 0 'Nothing found|bees' search --corpus tiny '"AND NOT ( * ^ NEAR'
expect 0 'tiny +2 documents' corpus list
expect 0 'ships.md' corpus show tiny
for command in "corpus list" "corpus show tiny" "models list" "search --corpus tiny Aurora" \
    "ingest --corpus tiny $work/docs"; do
    # shellcheck disable=SC2086
    "$winnow" $command --json 2>/dev/null | python3 -m json.tool >/dev/null || fail "$command --json"
    n=$((n + 1))
done
expect 1 'no model "/nowhere' ask --corpus tiny --model /nowhere/model.gguf "a question"
expect 1 'not deleted' corpus delete tiny
expect 0 'deleted tiny' corpus delete tiny --yes
expect 1 'tiny' corpus show tiny
echo "$n checks passed"
