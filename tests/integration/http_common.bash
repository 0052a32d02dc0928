# Helpers of the http_*.sh tests: a server of the real binary on a free port, with the small model, in a
# data folder of its own. Source it with the binary as $1.
set -u
winnow=$1
models=${WINNOW_DATA_DIR:-${XDG_DATA_HOME:-$HOME/.local/share}/winnow}
for need in models/smollm2-135m models/minilm-l6; do
    if [ ! -e "$models/$need" ]; then
        echo "SKIPPED: needs $models/$need (winnow models get smollm2-135m minilm-l6)"
        exit 77
    fi
done

work=$(mktemp -d)
server_pid=
failures=0
cleanup() {
    [ -n "$server_pid" ] && kill -KILL "$server_pid" 2>/dev/null
    rm -rf "$work"
}
trap cleanup EXIT
mkdir "$work/data"
for part in models lib pdfium; do
    [ -e "$models/$part" ] && ln -s "$models/$part" "$work/data/$part"
done

# start [options of serve]: sets server_pid, port, url; waits until it is ready.
start() {
    : > "$work/out"
    "$winnow" serve --small --port 0 --data-dir "$work/data" --json --verbose "$@" \
        > "$work/out" 2> "$work/log" &
    server_pid=$!
    for _ in $(seq 600); do
        url=$(sed -n 's/.*"url": *"\([^"]*\)".*/\1/p' "$work/out")
        [ -n "$url" ] && curl -sf "$url/readyz" > /dev/null && break
        kill -0 "$server_pid" 2>/dev/null || break
        sleep 0.1
    done
    port=${url##*:}
    if ! curl -sf "$url/readyz" > /dev/null; then
        echo "FAILED: the server did not become ready"
        cat "$work/log"
        exit 1
    fi
}

# stop: SIGTERM, and the exit code must be 0.
stop() {
    kill -TERM "$server_pid"
    wait "$server_pid"
    check "exit code after SIGTERM" "$?" 0
    server_pid=
}

check() { # what got wanted
    if [ "$2" == "$3" ]; then
        echo "ok: $1"
    else
        echo "FAILED: $1: got '$2', wanted '$3'"
        failures=$((failures + 1))
    fi
}

check_match() { # what text pattern
    if grep -qE -- "$3" <<< "$2"; then
        echo "ok: $1"
    else
        echo "FAILED: $1: no '$3' in: $(head -c 2000 <<< "$2")"
        failures=$((failures + 1))
    fi
}

# until_says PATH PATTERN: the answer, once it matches; the last one when the server is gone or after a minute.
until_says() {
    local answer=
    for _ in $(seq 600); do
        answer=$(curl -s "$url$1")
        grep -qE -- "$2" <<< "$answer" && break
        kill -0 "$server_pid" 2>/dev/null || break
        sleep 0.1
    done
    echo "$answer"
}

json() { curl -s -H 'Content-Type: application/json' "$@"; }

# raw BYTES [SECONDS]: sends printf-escaped bytes over a socket of our own, prints the answer.
raw() {
    exec 9<> "/dev/tcp/127.0.0.1/$port"
    printf "$1" >&9 2>/dev/null
    timeout "${2:-5}" cat <&9 2>/dev/null | tr -d '\0'
    exec 9>&- 9<&-
}

finish() {
    if [ "$failures" -gt 0 ]; then
        echo "$failures checks failed; the server's log:"
        tail -50 "$work/log"
        exit 1
    fi
    echo "all checks passed"
}
