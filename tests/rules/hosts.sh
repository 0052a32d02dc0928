#!/usr/bin/env bash
# No host of a package registry and no folder of a developer's machine is written into the tree:
# packages come by name through the system's own clients, paths are relative or configured.
set -euo pipefail
. "$(dirname "$0")/common.bash"

# Written in pieces, so that this file passes its own rule.
hosts='(pypi|pythonhosted|deb\.debian|snapshot\.debian|archive\.ubuntu|security\.ubuntu|npmjs|crates|rubygems)'
hosts="(^|[^a-z0-9-])([a-z0-9-]+\.)*$hosts\.(org|com|io)([^a-z]|\$)"
folders='(^|[^A-Za-z0-9_.$}*-])/(work|root|home/[a-z][a-z0-9_-]*|Users/[A-Za-z]+)/[A-Za-z0-9_.]'

# Real documents that are test data or samples may speak of anything.
mapfile -t files < <(project_files '' | grep -vE '^(deploy/sample|tests/golden|tests/fuzz/corpus)/.*\.(txt|md|html?|pdf|jsonl?|tsv|bin)$|^tests/fuzz/corpus/' |
    while IFS= read -r f; do grep -qI . "$f" && printf '%s\n' "$f"; done)
[ ${#files[@]} -gt 0 ] || breach "no files found below $PWD"
breaches < <(grep -nEI "$hosts" "${files[@]}" /dev/null | sed -E 's/^([^:]*:[0-9]+):[[:space:]]*/\1: host of a package registry: /' | cut -c1-200)
breaches < <(grep -nEI "$folders" "${files[@]}" /dev/null | sed -E 's/^([^:]*:[0-9]+):[[:space:]]*/\1: path of one machine: /' | cut -c1-200)
finish "${#files[@]} text files"
