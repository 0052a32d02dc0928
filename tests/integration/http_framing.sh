#!/bin/bash
# Malformed framings against the real binary, each with a second request pipelined behind it that would
# create a corpus: none may be dispatched. Then slow clients. (tests/unit/api/test_http_framing.c has more.)
. "$(dirname "$0")/http_common.bash"
start

second='POST /v1/corpora HTTP/1.1\r\nHost: localhost\r\nContent-Length: 15\r\n\r\n{"name":"evil"}'
post='POST /v1/corpora HTTP/1.1\r\nHost: localhost\r\n'
get='GET /livez HTTP/1.1\r\nHost: localhost\r\n'
malformed=(
    "${post}Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}"
    "${post}Content-Length: 2\r\ncontent-length: 200\r\n\r\n{}"
    "${post}Content-Length: 0\r\nContent-Length: 2\r\n\r\n"
    "${post}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    "${post}Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n"
    "${post}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"
    "${post}Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n"
    "${post}Transfer-Encoding: gzip\r\n\r\n"
    "${post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"
    "${post}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"
    "${post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"
    "${post}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"
    "${post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    "${post}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"
    "${post}Content-Length : 2\r\n\r\n{}"
    "${post} Content-Length: 2\r\n\r\n{}"
    "${post}Content-Length: 2\r\n 00\r\n\r\n{}"
    "${post}Content-Length: 150\r\n x\r\n\r\n"
    "${post}Content-Length: +2\r\n\r\n{}"
    "${post}Content-Length: -2\r\n\r\n{}"
    "${post}Content-Length: 0x2\r\n\r\n{}"
    "${post}Content-Length: 2,2\r\n\r\n{}"
    "${post}Content-Length: 2 2\r\n\r\n{}"
    "${post}Content-Length: two\r\n\r\n{}"
    "${post}Content-Length:\r\n\r\n{}"
    "${post}Content-Length: 99999999999999999999\r\n\r\n"
    "${post}Content-Length: 18446744073709551618\r\n\r\n{}"
    "${post}Host: localhost\r\n\r\n"
    "${post}Authorization: a\r\nAuthorization: b\r\n\r\n"
    "${post}no colon\r\n\r\n"
    "${post}: empty\r\n\r\n"
    "${post}X: a\rb\r\n\r\n"
    "${post}X: a\n\n"
    "${post}X: a\r\n\n"
    "${post}X: a\nY: b\r\n\r\n"
    "${post}X: \x01\r\n\r\n"
    "${post}Expect: 200-ok\r\n\r\n"
    "${get}Transfer-Encoding: chunked\r\n\r\n2\r{}\r\n0\r\n\r\n"
    "${post}Transfer-Encoding: chunked\r\n\r\n2;x\n{}\r\n0\r\n\r\n"
    "${post}Transfer-Encoding: chunked\r\n\r\n2\r\n{}xx0\r\n\r\n"
    "${post}Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n{}\r\n0\r\n\r\n"
    "${post}Transfer-Encoding: chunked\r\n\r\n-1\r\n{}\r\n0\r\n\r\n"
    'GET /livez HTTP/1.1\r\n\r\n'
    'GET /livez HTTP/1.1\r\nHost:\r\n\r\n'
    'GET /livez HTTP/1.0\r\n\r\n'
    'GET /livez HTTP/1.1\nHost: localhost\n\n'
    'GET  /livez HTTP/1.1\r\nHost: localhost\r\n\r\n'
    'GET /livez HTTP/1.2\r\nHost: localhost\r\n\r\n'
    'GET /livez HTTP/2.0\r\nHost: localhost\r\n\r\n'
    'GET /livez\r\nHost: localhost\r\n\r\n'
    'GET http://localhost/livez HTTP/1.1\r\nHost: localhost\r\n\r\n'
    'G(T /livez HTTP/1.1\r\nHost: localhost\r\n\r\n'
    'POST /v1/corpora HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'
)
good=0
for i in "${!malformed[@]}"; do
    answer=$(raw "${malformed[$i]//%/%%}${second//%/%%}")
    # Our refusals carry nosniff once; the library writes the header of its own refusals twice.
    if grep -q '^HTTP/1.1 [123]' <<< "$answer" || [ "$(grep -c nosniff <<< "$answer")" -gt 1 ]; then
        check "framing $i: ${malformed[$i]}" "$answer" "a refusal"
    else
        good=$((good + 1))
    fi
done
check "malformed framings refused" "$good" "${#malformed[@]}"
check "second requests dispatched" "$(curl -s -o /dev/null -w '%{http_code}' "$url/v1/corpora/evil")" 404
check_match "good pipelining is answered twice" \
    "$(raw "${get}\r\n${get}Connection: close\r\n\r\n" | grep -o 'HTTP/1.1 200' | wc -l)" '^2$'

# Slow clients: a header that does not end is cut at 10 s, though a byte comes now and then.
begin=$(date +%s)
exec 8<> "/dev/tcp/127.0.0.1/$port"
printf 'GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ' >&8
( for _ in $(seq 30); do printf x >&8 || exit; sleep 0.5; done ) 2>/dev/null &
trickle=$!
timeout 20 cat <&8 > /dev/null
slow=$(($(date +%s) - begin))
kill "$trickle" 2>/dev/null
wait "$trickle" 2>/dev/null
exec 8>&- 8<&-
check "a trickling header is cut at its deadline" "$([ "$slow" -ge 9 ] && [ "$slow" -lt 19 ] && echo yes || echo "after $slow s")" yes
check "the server lives" "$(curl -s -o /dev/null -w '%{http_code}' "$url/livez")" 200
stop
finish
