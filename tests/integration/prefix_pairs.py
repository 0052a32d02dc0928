#!/usr/bin/env python3
"""prefix_pairs.py fill URL FILE: makes five corpora and 200 questions. prefix_pairs.py ask URL FILE TIER: asks them, by
six clients; the first tier's answers are kept in FILE, others are compared with them. Called by http_pairs.sh."""
import concurrent.futures
import json
import os
import random
import sys
import time
import urllib.error
import urllib.request
import uuid

N = int(os.environ.get("WINNOW_PAIRS", "200"))  # fewer under a sanitizer
THINGS = ["mill", "tower", "barn", "school", "station", "bridge", "harbour", "library"]
COLOURS = ["green", "red", "blue", "white", "black", "yellow"]


def call(url, body=None, content_type="application/json"):
    """A slow machine may have no turn for a request in time: it is sent again then."""
    request = urllib.request.Request(url, body, {"Content-Type": content_type} if body else {})
    for _ in range(20):
        try:
            with urllib.request.urlopen(request, timeout=900) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code not in (429, 503, 504):
                raise
            time.sleep(1)
    sys.exit(f"{url}: no turn for it")


def upload(url, corpus, name, text):
    boundary = uuid.uuid4().hex
    body = (f"--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n"
            f"Content-Type: text/plain\r\n\r\n{text}\r\n--{boundary}--\r\n").encode()
    call(f"{url}/v1/corpora/{corpus}/documents", body, f"multipart/form-data; boundary={boundary}")


def fill(url, path):
    random.seed(6)
    rows = []
    for c in range(5):
        corpus = f"town{c}"
        call(f"{url}/v1/corpora", json.dumps({"name": corpus}).encode())
        things = random.sample(THINGS, 2 + c % 3)
        for thing in things:
            lines = [f"Room {i} of the {thing} has {random.randrange(60)} windows and a {random.choice(COLOURS)} door."
                     for i in range(1, random.randrange(12, 40))]
            upload(url, corpus, f"{thing}.txt", "\n\n".join(lines))
        for _ in range(N // 5):
            thing, room = random.choice(things), random.randrange(1, 12)
            ask = random.choice(["How many windows has room {} of the {}?", "Which colour has the door of room {} of the {}?",
                                 "What is said about room {} of the {}?"])
            rows.append({"corpus": corpus, "question": ask.format(room, thing), "max_tokens": 16,
                         "mode": random.choice(["corpus", "corpus", "documents", "passages"]),
                         **random.choice([{"temperature": 0}, {"temperature": 0.8, "seed": random.randrange(1000)}])})
    with open(path, "w") as f:
        json.dump(rows, f)


def ask(url, path, tier):
    with open(path) as f:
        rows = json.load(f)
    order = list(range(len(rows)))
    random.Random(tier).shuffle(order)

    def one(i):
        row = dict(rows[i])
        row.pop("text", None)
        answer = call(f"{url}/v1/corpora/{row.pop('corpus')}/answers", json.dumps(row).encode())
        return i, answer["text"], answer["prefix"]["source"]

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(one, order))
    sources = [source for _, _, source in answers]
    print(tier, {s: sources.count(s) for s in sorted(set(sources))}, len({t for _, t, _ in answers}), "different texts")
    wrong = 0
    for i, text, source in answers:
        if rows[i].setdefault("text", text) != text:
            wrong += 1
            print(f"{rows[i]}\n  {source}: {text!r}")
    with open(path, "w") as f:
        json.dump(rows, f)
    if wrong or sources.count(tier) < N // 4 or len({t for _, t, _ in answers}) < N // 4:
        sys.exit(f"{wrong} answers differ; {sources.count(tier)} of {N} with prefixes from: {tier}")


if sys.argv[1] == "fill":
    fill(*sys.argv[2:])
else:
    ask(*sys.argv[2:])
