#!/bin/bash
# The main job over HTTP with the real binary and the small model: upload, search, a streamed answer with
# citations, chat; a client that leaves, a full queue, shutdown under load.
. "$(dirname "$0")/http_common.bash"
start --queue 2 --parallel 1

cat > "$work/frogs.md" <<'END'
# Frogs

Frogs live near water because their skin must stay moist. Most species lay their eggs in ponds.

## Diet

Adult frogs eat insects, worms and snails. Tadpoles eat algae.
END

check_match "page" "$(curl -s "$url/")" '<title>winnow</title>'
check_match "create" "$(json "$url/v1/corpora" -d '{"name":"frogs","description":"about frogs"}')" '"id":"frogs"'
check_match "upload" "$(curl -s -F "file=@$work/frogs.md" "$url/v1/corpora/frogs/documents")" '"outcome":"added"'
check_match "upload again" "$(curl -s -F "file=@$work/frogs.md" "$url/v1/corpora/frogs/documents")" '"outcome":"unchanged"'
check_match "upload of another kind" \
    "$(curl -s --data-binary '%PDF-1.7 nonsense' -H 'Content-Type: application/pdf' "$url/v1/corpora/frogs/documents?filename=x.pdf")" '"type":"(invalid_request_error|server_error)"'
check_match "list" "$(curl -s "$url/v1/corpora/frogs/documents")" '"filename":"frogs.md"'
check_match "search" "$(json "$url/v1/corpora/frogs/search" -d '{"query":"what do tadpoles eat?"}')" 'Tadpoles eat algae'
check_match "models" "$(curl -s "$url/v1/models")" 'winnow/frogs'
check_match "openapi" "$(curl -s "$url/openapi.json")" '"/v1/corpora/\{id\}/answers"'

stream=$(json -N "$url/v1/corpora/frogs/answers" \
    -d '{"question":"What do adult frogs eat?","stream":true,"max_tokens":60}')
order=$(sed -n 's/^event: //p' <<< "$stream" | awk '!seen[$0]++' | tr '\n' ' ')
check_match "order of events" "$order" '^retrieval prefix progress token (citation )?done $'
check_match "a citation quotes the source" "$stream" '"cited_text":"[^"]*Adult frogs eat insects, worms and snails'
check_match "the first prompt was not cached" "$stream" '"cached_tokens":0,'

answer=$(json "$url/v1/chat/completions" -d '{"model":"winnow/frogs","max_tokens":40,"messages":[{"role":"user","content":"Where do frogs live?"}]}')
check_match "chat from the corpus" "$answer" '"object":"chat.completion".*"type":"file_citation"'
model=$(curl -s "$url/v1/models" | sed 's/.*"data":\[{"id":"\([^"]*\)".*/\1/')
plain=$(json "$url/v1/chat/completions" -d "{\"model\":\"$model\",\"temperature\":0,\"max_tokens\":8,\"messages\":[{\"role\":\"user\",\"content\":\"Say hello.\"}]}")
check_match "plain chat" "$plain" '"role":"assistant","content":"[^"]+'

# A client that leaves frees the engine: the next question is answered while the first would still run.
# Greedy: this story goes round in circles to the limit; a sampled one may end after a few words.
story() {
    echo '{"stream":true,"max_tokens":'"$1"',"temperature":0,"messages":[{"role":"user","content":"Write a very long story about a frog."}],"model":"'"$model"'"}'
}
long=$(story 1500)
stream() { exec curl -sN -H 'Content-Type: application/json' "$url/v1/chat/completions" -d "$1"; }
wait_for_words() { for _ in $(seq 600); do grep -q '"content":"[^"]' "$1" && break; sleep 0.05; done; }
stream "$long" > "$work/left" &
client=$!
wait_for_words "$work/left"
kill "$client"
wait "$client" 2>/dev/null
for _ in $(seq 100); do grep -q 'chat/completions.*cut' "$work/log" && break; sleep 0.1; done
check_match "a client that left was noticed" "$(cat "$work/log")" 'POST /v1/chat/completions: 200, [0-9]+ ms, cut'
check_match "the engine is free again" "$(json "$url/v1/chat/completions" -d "{\"model\":\"$model\",\"max_tokens\":2,\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}")" 'chat.completion'

# Overload: one runs, two wait, the next ones are told so at once, and the rest of the server answers.
pids=()
for i in 1 2 3; do
    stream "$long" > "$work/load$i" &
    pids+=($!)
    wait_for_words "$work/load1"
done
check_match "readyz tells" "$(until_says /readyz queue_full)" 'queue_full'
refusal=$(json -i "$url/v1/chat/completions" -d "$long")
check_match "full queue" "$refusal" '^HTTP/1.1 503'
check_match "full queue says when to come back" "$refusal" '^Retry-After: [0-9]+'
check "livez goes on" "$(curl -s -o /dev/null -w '%{http_code}' "$url/livez")" 200
check_match "search goes on" "$(json "$url/v1/corpora/frogs/search" -d '{"query":"frogs"}')" 'search_results.page'
kill "${pids[@]}"
wait "${pids[@]}" 2>/dev/null
for _ in $(seq 600); do curl -sf "$url/readyz" > /dev/null && break; sleep 0.05; done
check "ready again" "$(curl -s -o /dev/null -w '%{http_code}' "$url/readyz")" 200

# Shutdown under load: what runs ends with its terminal event, within 25 s.
stream "$(story 300)" > "$work/running" &
client=$!
wait_for_words "$work/running"
begin=$(date +%s)
kill -TERM "$server_pid"
check_match "draining" "$(until_says /readyz draining)" 'draining'
wait "$server_pid"
check "exit code after SIGTERM" "$?" 0
server_pid=
took=$(($(date +%s) - begin))
check "drained in time" "$([ "$took" -le 26 ] && echo yes || echo "$took s")" yes
wait "$client"
check "the client got a whole answer" "$?" 0
check_match "terminal event" "$(tail -c 200 "$work/running")" 'data: \[DONE\]'

# What was stored is there after a restart; a public address is refused without keys.
start
check_match "documents are kept" "$(curl -s "$url/v1/corpora/frogs")" '"documents":1'
check_match "delete" "$(curl -s -X DELETE "$url/v1/corpora/frogs")" '"deleted":true'
check "deleted" "$(curl -s -o /dev/null -w '%{http_code}' "$url/v1/corpora/frogs")" 404
stop
"$winnow" serve --small --port 0 --data-dir "$work/data" --address 0.0.0.0 > "$work/public" 2>&1
check "public address without keys: exit code" "$?" 1
check_match "public address without keys: text" "$(cat "$work/public")" 'API keys'
finish
