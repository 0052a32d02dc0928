#!/usr/bin/env bash
# Builds winnow with its tests and runs them; arguments go to ctest.
#   deploy/test.sh                      everything
#   deploy/test.sh -L unit              unit tests only (others: fuzz, rules, integration)
#   deploy/test.sh -R tokenizer -V      tests by name, with their output
# Tests that need a model or data that is not on this machine say "SKIPPED" and why.
set -euo pipefail
case "${1:-}" in -h | --help) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
cd "$(dirname "$0")/.."

deploy/setup.sh packages
log=$(mktemp)
trap 'rm -f "$log"' EXIT
cmake --preset release -DWN_TESTS=ON >"$log" 2>&1 || {
    cat "$log"
    exit 1
}
ninja -C build
ctest --test-dir build -j2 --output-on-failure "$@"
