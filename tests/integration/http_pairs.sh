#!/bin/bash
# 200 random questions to five corpora, greedy and seeded, in every mode: the same words from a server that keeps no
# prefix and answers one after the other, from one that keeps them in memory, and from one that has them on disk only,
# the latter two with five answers at once.
. "$(dirname "$0")/http_common.bash"
heads=$2/deploy/heads/smollm2-135m.safetensors

start --heads "$heads" --kv-format int8
python3 "$2/tests/integration/prefix_pairs.py" fill "$url" "$work/pairs.json"
check "corpora are filled" "$?" 0
stop
for tier in none host disk; do
    options=(--heads "$heads" --kv-format int8)
    [ $tier = none ] && options+=(--prefix-memory 0 --prefix-disk 0 --parallel 1)
    [ $tier = none ] || options+=(--parallel 5)
    [ $tier = disk ] && options+=(--prefix-memory 0)
    start "${options[@]}"
    python3 "$2/tests/integration/prefix_pairs.py" ask "$url" "$work/pairs.json" "$tier"
    check "answers with prefixes from: $tier" "$?" 0
    steps=$(curl -s "$url/metrics" | sed -n 's/^winnow_decode_steps_total //p')
    tokens=$(curl -s "$url/metrics" | sed -n 's/^winnow_decode_tokens_total //p')
    echo "$tokens tokens in $steps steps"
    check "steps are shared, where they may be" "$((tokens > steps + steps / 2))" "$([ $tier = none ] && echo 0 || echo 1)"
    stop
done
finish
