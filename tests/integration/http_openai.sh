#!/bin/bash
# The official openai Python client is the test of our OpenAI surface. It is no dependency of winnow: where
# it cannot be imported this test is skipped, loudly.
python=
for candidate in "${WINNOW_PYTHON:-}" "$2/../venv/bin/python" python3; do
    if [ -n "$candidate" ] && "$candidate" -c 'import openai' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "SKIPPED: no Python with the openai package (set WINNOW_PYTHON to one)"
    exit 77
fi
. "$(dirname "$0")/http_common.bash"
start
json "$url/v1/corpora" -d '{"name":"frogs"}' > /dev/null
printf '# Diet\n\nAdult frogs eat insects, worms and snails. Tadpoles eat algae.\n' > "$work/diet.md"
curl -s -F "file=@$work/diet.md" "$url/v1/corpora/frogs/documents" > /dev/null
"$python" "$2/tests/integration/openai_client.py" "$url" frogs
check "openai client" "$?" 0
stop
finish
