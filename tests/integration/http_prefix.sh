#!/bin/bash
# Prefixes over HTTP with the real binary and the small model: an answer from the whole corpus, cold, from memory, from
# disk after a restart and without any, word for word; preparing in the background; what deletions take along; metrics.
. "$(dirname "$0")/http_common.bash"
start

text() { for i in $(seq "$2"); do printf 'Room %d of the %s has %d windows and a %s door.\n\n' "$i" "$1" $((i * 7 % 50)) "$3"; done; }
text mill 30 green > "$work/mill.txt"
text tower 30 red > "$work/tower.txt"
answers=v1/corpora/houses/answers
files() { find "$work/data/prefixes" -name '*.prefix' | wc -l; }
wait_for_files() { for _ in $(seq 600); do [ "$(files)" -ge 1 ] && break; sleep 0.1; done; }
ask() { # MODE QUESTION
    json "$url/$answers" -d '{"question":"'"$2"'","mode":"'"$1"'","max_tokens":24}'
}
field() { python3 -c 'import json, sys
r = json.load(sys.stdin)
for k in sys.argv[1].split("."):
    r = r[k]
print(r)' "$2" <<< "$1"; }

json "$url/v1/corpora" -d '{"name":"houses"}' > "$work/out"
mill=$(field "$(curl -s -F "file=@$work/mill.txt" "$url/v1/corpora/houses/documents")" id)
tower=$(field "$(curl -s -F "file=@$work/tower.txt" "$url/v1/corpora/houses/documents")" id)

first="How many windows has room 3 of the mill?"
other="Which colour has the door of room 12 of the tower?"
stream=$(json -N "$url/$answers" -d '{"question":"'"$first"'","mode":"corpus","stream":true,"max_tokens":24}')
order=$(sed -n 's/^event: //p' <<< "$stream" | awk '!seen[$0]++' | tr '\n' ' ')
check_match "order of events" "$order" '^retrieval prefix progress token (citation )?done $'
check_match "the first question reads it all" "$stream" '"cached_tokens":0,"new_tokens":1[0-9]{3},"source":"none"'
check_match "the model was shown both documents" "$stream" '"mode":"corpus","why":null,"documents":2'
second=$(ask corpus "$other")
check "the second does not" "$(field "$second" prefix.source)" host
check_match "... but for its own words" "$(field "$second" prefix.new_tokens)" '^[1-5]?[0-9]$'
check "... and says so in the usage" "$(field "$second" usage.prompt_tokens_details.cached_tokens)" \
    "$(field "$second" prefix.cached_tokens)"
check_match "a document is read whole" "$(ask documents "$other")" '"mode":"documents","why":null,"documents":[12]'
check_match "auto says why" "$(ask auto "$other")" '"mode":"corpus","why":"[^"]*are held"'
check_match "no such mode" "$(ask magic "$other")" '"param":"mode"'
follow=$(json "$url/$answers" -d '{"question":"And of room 13?","mode":"corpus","max_tokens":24,"history":[{"question":"'"$other"'","answer":"Red."}]}')
check "a follow-up goes on behind the corpus" "$(field "$follow" prefix.source)" host

# OpenAI's route takes a mode, too.
chat() { json "$url/v1/chat/completions" -d '{"model":"winnow/houses","mode":"'"$1"'","max_tokens":24,"messages":[{"role":"user","content":"'"$other"'"}]}'; }
chatted=$(chat corpus)
check "chat completions read the corpus" "$(field "$chatted" usage.prompt_tokens)" "$(field "$second" usage.prompt_tokens)"
check_match "... from memory" "$(field "$chatted" usage.prompt_tokens_details.cached_tokens)" '^1[0-9]{3}$'
check "... and say so" "$(field "$chatted" prefix.source) $(field "$chatted" prefix.cached_tokens)" \
    "host $(field "$chatted" usage.prompt_tokens_details.cached_tokens)"
check_match "... with the time to the first word" "$(field "$chatted" timings.first_token_ms)" '^[0-9.]+$'
check_match "... or passages, which are fewer" "$(($(field "$chatted" usage.prompt_tokens) - $(field "$(chat passages)" usage.prompt_tokens)))" '^[1-9][0-9]*$'
check_match "... and no other mode" "$(chat magic)" '"param":"mode"'
check_match "the page offers them" "$(curl -s "$url/" | tr -d '\n')" '<select id="mode">.*value="auto".*value="documents".*value="corpus"'
check_match "and the description" "$(curl -s "$url/openapi.json")" '"ChatRequest":.*"mode":'

metrics=$(curl -s "$url/metrics")
check_match "hits are counted" "$(grep -c 'winnow_prefix_hits_total.* [1-9]' <<< "$metrics")" '^[12]$'
check_match "bytes in memory are told" "$metrics" 'winnow_prefix_bytes\{tier="memory"\} [1-9][0-9]{6,}'
wait_for_files
check_match "the prefix is on disk soon" "$(files)" '^[1-9]'

# The same words after a restart, from disk, and from a server that keeps nothing.
stop
start
again=$(ask corpus "$other")
check "after a restart it comes from disk" "$(field "$again" prefix.source)" disk
check "... with the same answer" "$(field "$again" text)" "$(field "$second" text)"
stop
start --prefix-memory 0 --prefix-disk 0
cold=$(ask corpus "$other")
check "without prefixes nothing is held" "$(field "$cold" prefix.source)" none
check "... and the answer is the same" "$(field "$cold" text)" "$(field "$second" text)"
curl -s -X POST "$url/v1/corpora/houses/prefix" > "$work/out"
check_match "nothing can be prepared there" "$(until_says /v1/corpora/houses/prefix '"failed"')" '"status":"failed"'
stop

# Preparing, in the background; deleting what was prepared.
start
check_match "forget" "$(curl -s -X DELETE "$url/v1/corpora/houses/prefix")" '"object":"prefix.deleted","deleted":true'
check "no file is left" "$(files)" 0
check "202" "$(curl -s -o "$work/out" -w '%{http_code}' -X POST "$url/v1/corpora/houses/prefix")" 202
check_match "the job" "$(cat "$work/out")" '"object":"prefix.job".*"status":"(queued|running|done)"'
job=v1/jobs/$(field "$(cat "$work/out")" job.id)
state=$(until_says "/$job" '"status":"(done|failed)"')
check "the job at its own address" "$(field "$state" status) $(field "$state" kind) $(field "$state" corpus)" "done prefix houses"
check "... has read all" "$(field "$state" done_tokens)" "$(field "$state" total_tokens)"
check "one that is over is not cancelled" "$(field "$(curl -s -X DELETE "$url/$job")" status)" done
state=$(until_says /v1/corpora/houses/prefix '"status":"(done|failed)"')
check "prepared" "$(field "$state" job.status)" done
check_match "its tokens" "$(field "$state" tokens)" '^1[0-9]{3}$'
check_match "its bytes" "$(field "$state" memory_bytes)" '^[1-9][0-9]{6,}$'
check "the first question finds it" "$(field "$(ask corpus "$first")" prefix.source)" host

# A deleted document takes what was read of it along, and no more: the mill was read before the tower.
wait_for_files
check_match "delete the tower" "$(curl -s -X DELETE "$url/v1/corpora/houses/documents/$tower")" '"deleted":true'
state=$(curl -s "$url/v1/corpora/houses/prefix")
check_match "what had the tower is gone" "$(python3 -c 'import json, sys
print(max([x["texts"] for x in json.load(sys.stdin)["nodes"]] + [0]))' <<< "$state")" '^[01]$'
check "the mill needs no second reading" "$(field "$(ask corpus "$first")" prefix.source)" host
check_match "delete the mill" "$(curl -s -X DELETE "$url/v1/corpora/houses/documents/$mill")" '"deleted":true'
check "no file is left of it" "$(files)" 0
check_match "nor a byte in memory" "$(until_says /metrics 'bytes\{tier="memory"\} 0')" 'winnow_prefix_bytes\{tier="memory"\} 0'
check_match "causes are counted" "$(curl -s "$url/metrics")" 'invalidations_total\{cause="documents"\} [1-9]'

# A corpus, too.
curl -s -F "file=@$work/mill.txt" "$url/v1/corpora/houses/documents" > "$work/out"
ask corpus "$first" > "$work/out"
wait_for_files
check_match "read again" "$(files)" '^[1-9]'
check_match "delete the corpus" "$(curl -s -X DELETE "$url/v1/corpora/houses")" '"deleted":true'
check "no file is left of that" "$(files)" 0
check "404" "$(curl -s -o "$work/out" -w '%{http_code}' "$url/v1/corpora/houses/prefix")" 404

# What another process replaces or deletes goes from this one's memory as well.
elsewhere() { "$winnow" "$@" --small --data-dir "$work/data" --quiet > "$work/elsewhere" 2>&1 || cat "$work/elsewhere"; }
texts() { python3 -c 'import json, sys
print(max([x["texts"] for x in json.load(sys.stdin)["nodes"] if x["memory_bytes"]] + [0]))' <<< "$(curl -s "$url/v1/corpora/$1/prefix")"; }
about() { json "$url/v1/corpora/$1/answers" -d '{"question":"'"$first"'","mode":"'"$2"'","top_k":1,"max_tokens":2}' > "$work/out"; }
elsewhere ingest --corpus towns "$work/mill.txt" "$work/tower.txt"
elsewhere ingest --corpus villages "$work/mill.txt"
about towns corpus
about villages corpus
check "two texts in memory" "$(texts towns)" 2
sleep 1.1 # a document's time has whole seconds
text tower 31 blue > "$work/tower.txt"
elsewhere ingest --corpus towns "$work/tower.txt"
check "not yet noticed" "$(texts towns)" 2
about towns passages
check_match "a question notices" "$(texts towns)" '^[01]$'
elsewhere corpus delete towns --yes
before=$(curl -s "$url/metrics" | sed -n 's/^winnow_prefix_bytes{tier="memory"} //p')
about villages corpus
after=$(curl -s "$url/metrics" | sed -n 's/^winnow_prefix_bytes{tier="memory"} //p')
check_match "a corpus, with any question" "$((before - after))" '^[1-9][0-9]{6,}$'
check "... is no longer there" "$(curl -s -o "$work/out" -w '%{http_code}' "$url/v1/corpora/towns")" 404
stop

# A corpus that the context does not hold: auto reads the documents found once they are asked about again and again.
start --context 1060
json "$url/v1/corpora" -d '{"name":"streets"}' > "$work/out"
for name in mill tower; do curl -s -F "file=@$work/$name.txt" "$url/v1/corpora/streets/documents" > "$work/out"; done
about_room() {
    json "$url/v1/corpora/streets/answers" -d '{"question":"How many windows has room '"$1"' of the mill?","mode":"auto","top_k":1,"max_tokens":24}'
}
for i in 0 1 2; do
    check_match "passages, for the time being ($i)" "$(about_room $((3 + i)))" \
        '"mode":"passages","why":"the corpus has [0-9]+ tokens, there is room for 1036; the documents found fit [^"]*asked '$i' times'
done
check_match "then documents" "$(about_room 6)" '"mode":"documents","why":"[^"]*were asked 3 times before: read once[^"]*","documents":1'
check_match "... which are held" "$(about_room 7)" '"mode":"documents","why":"[^"]*are held"'
stop
finish
