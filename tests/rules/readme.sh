#!/usr/bin/env bash
# The README and what it promises: its links lead somewhere, its two commands are there, every `winnow`
# command and option that it or the quick start shows exists.
set -euo pipefail
winnow=$1 source=$2
cd "$source"
bad=0
complain() { echo "$1"; bad=1; }

n_links=0
for page in README.md CONTRIBUTING.md */README.md; do
    while read -r link; do
        n_links=$((n_links + 1))
        [ -e "$(dirname "$page")/$link" ] || complain "$page: link to $link leads nowhere"
    done < <(grep -oE '\]\([^)#: ]+\)' "$page" | sed 's/^](//; s/)$//')
done

for command in ./deploy/quickstart.sh ./deploy/test.sh; do
    grep -qxF "    $command" README.md || complain "README.md does not show $command"
    [ -x "$command" ] || complain "$command cannot be run"
    "$command" --help >/dev/null || complain "$command --help fails"
done

n_commands=0
while read -r page command rest; do
    n_commands=$((n_commands + 1))
    help=$("$winnow" "$command" --help 2>/dev/null) || { complain "$page: no command winnow $command"; continue; }
    for option in $(grep -oE -- '--[a-z][a-z-]*' <<<"$rest" || true); do
        grep -qE -- "^  $option( |$)" <<<"$help" || complain "$page: winnow $command has no $option"
    done
done < <(grep -HoE '(\$winnow"?|build/winnow|^    winnow) [a-z]+ [^|]*' README.md deploy/quickstart.sh deploy/README.md |
    sed -E 's/^([^:]*):[^ ]* *(winnow )?/\1 /; s/&&.*//')

[ "$n_links" -gt 10 ] && [ "$n_commands" -gt 8 ] || complain "too little found: $n_links links, $n_commands commands"
[ "$bad" -eq 0 ] && echo "ok: $n_links links, $n_commands commands"
exit "$bad"
