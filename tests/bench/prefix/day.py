#!/usr/bin/env python3
"""A day of use: questions to five corpora, with ingestion in between, with prefixes and without. Standard library only.

    day.py --winnow build/winnow --text-folder BOOKS --heads deploy/heads/smollm2-135m.safetensors --csv results/NAME.csv

Corpora are documents cut from the texts of the folder; some are asked often, some rarely. After every 20 questions one
of them changes: mostly a document is added, sometimes one is replaced or deleted. The same day is lived once for every
setting. Prints and keeps, in a line a setting: hits, times to the first token as a client sees them, bytes.
"""
import argparse
import csv
import datetime
import http.client
import json
import os
import random
import signal
import statistics
import sys
import tempfile

from server import Server, commit, data_folder, machine

COLUMNS = ["date", "commit", "machine", "model", "setting", "questions", "changes", "prompt_tokens", "from_memory",
           "from_disk", "tokens_cached", "ttft_p50_ms", "ttft_p95_ms", "ttft_mean_ms", "memory_bytes", "disk_bytes"]


class Day:
    """What happens, the same for every setting."""

    def __init__(self, args):
        self.random = random.Random(args.seed)
        self.texts = []
        for name in sorted(os.listdir(args.text_folder)):
            if name.endswith(".txt") and name != "SOURCE.txt":
                with open(os.path.join(args.text_folder, name), encoding="utf-8", errors="replace") as f:
                    self.texts.append(f.read())
        self.corpora = [{} for _ in range(5)]
        self.n_files = 0

    def document(self):
        """Some 300 to 900 tokens, whole paragraphs."""
        text = self.random.choice(self.texts)
        size = self.random.randrange(1200, 3600)
        start = text.find("\n\n", self.random.randrange(len(text) - 2 * size))
        end = text.find("\n\n", start + size)
        return text[start:end].strip()

    def put(self, c, name=None):
        if name is None:
            self.n_files += 1
            name = f"document-{self.n_files}.txt"
        self.corpora[c][name] = self.document()
        return name

    def change(self, c):
        """(name of the document that was written, or None) and (of one that was deleted, or None)."""
        names = list(self.corpora[c])
        kind = self.random.random()
        if kind < 0.7 and len(names) < 9:
            return self.put(c), None
        if kind < 0.85 or len(names) < 3:
            return self.put(c, self.random.choice(names)), None
        name = self.random.choice(names)
        del self.corpora[c][name]
        return None, name

    def question(self, c):
        words = [w for w in self.random.choice(list(self.corpora[c].values())).split() if w.isalpha() and len(w) > 3]
        at = self.random.randrange(len(words) - 5)
        return f"What is said about {' '.join(words[at:at + 5])}?"


def call(server, method, path, body=None):
    status, text = server.call(method, path, body)
    if status >= 300:
        sys.exit(f"{method} {path}: {status} {text[:300]}")
    return json.loads(text)


def upload(server, corpus, name, text):
    boundary = "----------a-day-of-use"
    body = (f"--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n"
            f"Content-Type: text/plain\r\n\r\n{text}\r\n--{boundary}--\r\n").encode()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
    connection.request("POST", f"/v1/corpora/{corpus}/documents", body,
                       {"Content-Type": f"multipart/form-data; boundary={boundary}"})
    response = connection.getresponse()
    text = response.read()
    if response.status >= 300:
        sys.exit(f"upload: {response.status} {text[:300]}")
    return json.loads(text)["id"]


def ask(server, corpus, question):
    prefix, first = {}, None
    for at, name, data in server.events(f"/v1/corpora/{corpus}/answers",
                                        {"question": question, "mode": "auto", "stream": True, "max_tokens": 8}):
        if name == "prefix":
            prefix = json.loads(data)
        elif name == "token" and first is None:
            first = at
        elif name == "error":
            sys.exit(data)
    return None if first is None or not prefix else (1000 * first, prefix)


def live(args, setting, options, work):
    day, ids = Day(args), {}
    data = data_folder(os.path.join(work, setting.replace(" ", "-")), args.models)
    server = Server([args.winnow, "serve", "--data-dir", data, "--model", args.model, "--threads", str(args.threads),
                     "--kv-format", args.kv_format, *options], "/readyz")
    for c in range(5):
        call(server, "POST", "/v1/corpora", {"name": f"corpus-{c}"})
        for _ in range(4 + c % 3):
            name = day.put(c)
            ids[c, name] = upload(server, f"corpus-{c}", name, day.corpora[c][name])
    times, sources, cached, total, changes = [], [], 0, 0, 0
    for q in range(args.questions):
        if q % 20 == 19:
            c = day.random.randrange(5)
            written, deleted = day.change(c)
            changes += 1
            if written:
                ids[c, written] = upload(server, f"corpus-{c}", written, day.corpora[c][written])
            if deleted:
                call(server, "DELETE", f"/v1/corpora/corpus-{c}/documents/{ids.pop((c, deleted))}")
        c = min(4, int(day.random.expovariate(0.6)))
        found = ask(server, f"corpus-{c}", day.question(c))
        if found:
            times.append(found[0])
            sources.append(found[1]["source"])
            cached += found[1]["cached_tokens"]
            total += found[1]["cached_tokens"] + found[1]["new_tokens"]
        if q % 250 == 249 and q + 1 < args.questions:  # the machine is started anew
            server.stop()
            server = Server(server.command, "/readyz")
    bytes_of = {}
    for line in server.call("GET", "/metrics")[1].decode().splitlines():
        if line.startswith("winnow_prefix_bytes{"):
            bytes_of[line.split('"')[1]] = int(float(line.split()[-1]))
    server.stop()
    times.sort()
    return {"setting": setting, "questions": len(times), "changes": changes, "prompt_tokens": total // len(times),
            "from_memory": sources.count("host") / len(times), "from_disk": sources.count("disk") / len(times),
            "tokens_cached": cached / total, "ttft_p50_ms": statistics.median(times),
            "ttft_p95_ms": times[int(0.95 * len(times))], "ttft_mean_ms": statistics.mean(times),
            "memory_bytes": bytes_of.get("memory", 0), "disk_bytes": bytes_of.get("disk", 0)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--winnow", default="build/winnow")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--models", default=os.path.expanduser("~/.local/share/winnow"),
                        help="winnow's data folder, whose models/ has model and embedder")
    parser.add_argument("--heads")
    parser.add_argument("--kv-ratio", default="4.5")
    parser.add_argument("--kv-format", default="int8")
    parser.add_argument("--text-folder", required=True, help="folder of .txt files")
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--csv", required=True, help="one line a setting is added")
    args = parser.parse_args()
    settings = {"no prefixes": ["--prefix-memory", "0", "--prefix-disk", "0"], "dense": []}
    if args.heads:
        settings["heads " + args.kv_ratio] = ["--heads", args.heads, "--kv-ratio", args.kv_ratio]
    print("| setting | questions | prompt tokens | from memory | from disk | tokens not read | first token p50 | p95 "
          "| in memory | on disk |\n|---|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as work:
        for setting, options in settings.items():
            row = live(args, setting, options, work)
            print(f"| {setting} | {row['questions']} | {row['prompt_tokens']} | {row['from_memory']:.1%} | "
                  f"{row['from_disk']:.1%} | {row['tokens_cached']:.1%} | {row['ttft_p50_ms']:.0f} ms | "
                  f"{row['ttft_p95_ms']:.0f} ms | {row['memory_bytes'] / 1e6:.0f} MB | "
                  f"{row['disk_bytes'] / 1e6:.0f} MB |", flush=True)
            new = not os.path.exists(args.csv) or os.path.getsize(args.csv) == 0
            with open(args.csv, "a", newline="") as f:
                out = csv.DictWriter(f, COLUMNS, lineterminator="\n")
                if new:
                    out.writeheader()
                out.writerow(dict(row, date=datetime.datetime.now().isoformat(timespec="seconds"), commit=commit(),
                                  machine=machine(), model=args.model))


signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # what was started is stopped too
main()
