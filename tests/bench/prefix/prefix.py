#!/usr/bin/env python3
"""Time to the first token of another question on a text that was read before: winnow and llama.cpp's server, by
turns, on the same model, text and questions. Standard library only.

    prefix.py --winnow build/winnow --llama DIR/build/bin --model smollm2-135m.gguf --text book.txt --csv results/NAME.csv
    prefix.py ... --heads deploy/heads/smollm2-135m.safetensors --kv-ratio 4.5 --tokens 4000 --many 50 --as-of 6

Every row is a question that was not asked before, behind the same N tokens of text; milliseconds from the request to
the first piece of the answer, as a client sees them.
  winnow     cold; memory: the prefix is in the cache; disk: the server was started anew. HTTP, the corpus' texts from
             its database, the prompt's tokens and events are in it. `new alone`: of the memory row, what the engine
             needed to read the question's own tokens behind the prefix. held: all that the cache has of it, in memory
             or on disk.
  many       with --many N: N such texts are asked about one after the other, and all once more, by a server whose
             memory for prefixes is what llama.cpp's files of --as-of M texts take; memory hits of the second round.
  llama.cpp  cold; slot: the prompt is still in its slot; ram: another prompt was there meanwhile (--cache-ram); file:
             slot saved, server started anew, slot restored (the restore counts).
"""
import argparse
import csv
import datetime
import itertools
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from server import Server, commit, data_folder, machine

COLUMNS = ["date", "commit", "machine", "model", "tokens", "program", "setting", "source", "ms", "new_tokens",
           "alone_ms", "held_bytes"]


class Winnow:
    def __init__(self, args, heads, work):
        self.args, self.name = args, "heads " + args.kv_ratio if heads else "dense"
        self.data = data_folder(os.path.join(work, "winnow-" + ("heads" if heads else "dense")), args.models)
        self.common = ["--data-dir", self.data, "--model", args.model, "--threads", str(args.threads),
                       "--context", str(int(1.15 * max(args.tokens)) + 1024), "--kv-format", args.kv_format]
        if heads:
            self.common += ["--heads", args.heads, "--kv-ratio", args.kv_ratio]

    def start(self, *more):
        self.server = Server([self.args.winnow, "serve", *self.common, *more], "/readyz")

    def held(self, corpus):
        return json.loads(self.server.call("GET", f"/v1/corpora/{corpus}/prefix")[1])

    def ingest(self, corpus, path):
        done = subprocess.run([self.args.winnow, "ingest", "--quiet", "--corpus", corpus, *self.common, path],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            sys.exit(done.stdout)

    def ask(self, corpus, question, wanted):
        prefix, first = {}, None
        for at, name, data in self.server.events(f"/v1/corpora/{corpus}/answers",
                                                 {"question": question, "mode": "corpus", "stream": True,
                                                  "max_tokens": 2}):
            if name == "prefix":
                prefix = json.loads(data)
            elif name == "token" and first is None:
                first = at
            elif name == "error":
                sys.exit(data)
            elif name == "done":
                done = json.loads(data)
                prefix["alone_ms"] = round(done["timings"]["prefill_ms"] - done["prefix"]["load_ms"], 2)
        if first is None or (wanted and prefix.get("source") != wanted):
            sys.exit(f"{corpus}: wanted a prefix from {wanted}, got {prefix}, first token {first}")
        if wanted:
            prefix["held_bytes"] = self.held(corpus)["disk_bytes" if wanted == "disk" else "memory_bytes"]
        return 1000 * first, prefix


class Llama:
    def __init__(self, args, work):
        self.args, self.saved = args, os.path.join(work, "slots")
        os.makedirs(self.saved)

    def start(self):
        a = self.args
        self.server = Server([os.path.join(a.llama, "llama-server"), "-m", a.model, "-t", str(a.threads), "-np", "1",
                              "-c", str(max(a.tokens) + 1024), "--slot-save-path", self.saved], "/health")

    def cut(self, text, n):
        """The first n tokens of a text."""
        ids = json.loads(self.server.call("POST", "/tokenize", {"content": text[:n * 8]})[1])["tokens"][:n]
        return json.loads(self.server.call("POST", "/detokenize", {"tokens": ids})[1])["content"]

    def ask(self, text, question):
        body = {"prompt": f"{text}\n\nQuestion: {question}\nAnswer:", "n_predict": 2, "stream": True,
                "cache_prompt": True, "temperature": 0, "ignore_eos": True}
        times = [at for at, _, data in self.server.events("/completion", body)]
        return 1000 * times[0]

    def slot(self, action):
        start = time.perf_counter()
        status, text = self.server.call("POST", f"/slots/0?action={action}", {"filename": "slot.bin"})
        if status != 200:
            sys.exit(text.decode(errors="replace"))
        return 1000 * (time.perf_counter() - start)


OPENINGS = ["What does the text say about", "Who is it that speaks of", "Where do we read about", "Why is there talk of",
            "How do people here come to", "When is there mention of", "Which of the passages has", "Is there more about",
            "Tell me what follows from", "Explain in a few words", "Does anybody here know about", "Give me details of"]


def questions(text):
    """Endless, each about other words of the text, so that retrieval has something to find. None begins like the one
    before it: words that both begin with would have been read already, and count for one tier and not for another."""
    words = [w for w in re.findall(r"[A-Za-z]{4,}", text)]
    at = 0
    for opening in itertools.cycle(OPENINGS):
        at = (at + 97) % (len(words) - 6)
        yield f"{opening} {' '.join(words[at:at + 5])}?"


class Bench:
    def __init__(self, args):
        self.args, self.rows, self.chars = args, [], {}
        self.machine, self.commit = machine(), commit()

    def keep(self, tokens, program, setting, source, ms, prefix=None):
        row = {"date": datetime.datetime.now().isoformat(timespec="seconds"), "commit": self.commit,
               "machine": self.machine, "model": os.path.basename(self.args.model), "tokens": tokens,
               "program": program, "setting": setting, "source": source, "ms": round(ms, 2),
               **{k: (prefix or {}).get(k, "") for k in ("new_tokens", "alone_ms", "held_bytes")}}
        self.rows.append(row)
        print(f"{tokens} {program} {setting} {source}: {ms:.1f} ms {prefix or ''}", file=sys.stderr)
        new = not os.path.exists(self.args.csv) or os.path.getsize(self.args.csv) == 0
        with open(self.args.csv, "a", newline="") as f:
            out = csv.DictWriter(f, COLUMNS, lineterminator="\n")
            if new:
                out.writeheader()
            out.writerow(row)

    def winnow(self, w, tokens, corpus, path, ask):
        w.ingest(corpus, path)
        w.start()
        ms, prefix = w.ask(corpus, next(ask), "none")
        self.keep(tokens, "winnow", w.name, "cold", ms, prefix)
        for _ in range(self.args.repeat):
            ms, prefix = w.ask(corpus, next(ask), "host")
            self.keep(tokens, "winnow", w.name, "memory", ms, prefix)
        for _ in range(self.args.repeat):
            w.server.stop()
            w.start()
            ms, prefix = w.ask(corpus, next(ask), "disk")
            self.keep(tokens, "winnow", w.name, "disk", ms, prefix)
        w.server.stop()

    def llama(self, llama, tokens, text, ask):
        other = "Another text that has nothing to do with the first. " * 8
        llama.start()
        self.keep(tokens, "llama.cpp", "", "cold", llama.ask(text, next(ask)))
        for _ in range(self.args.repeat):
            self.keep(tokens, "llama.cpp", "", "slot", llama.ask(text, next(ask)))
        for _ in range(self.args.repeat):
            llama.ask(other, next(ask))
            self.keep(tokens, "llama.cpp", "", "ram", llama.ask(text, next(ask)))
        llama.slot("save")
        size = os.path.getsize(os.path.join(llama.saved, "slot.bin"))
        for _ in range(self.args.repeat):
            llama.server.stop()
            llama.start()
            restored = llama.slot("restore")
            self.keep(tokens, "llama.cpp", "", "file", restored + llama.ask(text, next(ask)), {"held_bytes": size})
        llama.server.stop()
        return size

    def many(self, w, tokens, text, size, work, ask):
        n, length = self.args.many, min(len(text), self.chars[tokens])
        for i in range(n):
            start = (len(text) - length) * i // n
            path = os.path.join(work, f"many-{i}.txt")
            with open(path, "w", encoding="utf-8") as f:
                f.write(text[start:start + length])
            w.ingest(f"many-{tokens}-{i}", path)
        corpora = [f"many-{tokens}-{i}" for i in range(n)]
        w.start("--prefix-memory", str(self.args.as_of * size >> 20), "--prefix-disk", "0")
        for corpus in corpora:
            w.ask(corpus, next(ask), None)
        again = [w.ask(corpus, next(ask), None) for corpus in corpora]
        states = [w.held(corpus) for corpus in corpora]
        w.server.stop()
        found = [ms for ms, prefix in again if prefix["source"] == "host" and 2 * prefix["cached_tokens"] > tokens]
        held = sum(s["memory_bytes"] for s in states)
        print(f"{len(found)} of {n} prefixes of {tokens} tokens are in {held / 1e6:.1f} MB of the "
              f"{self.args.as_of * size / 1e6:.1f} MB that llama.cpp has {self.args.as_of} in; "
              f"{statistics.mean(s['tokens'] for s in states):.0f} tokens each")
        self.keep(tokens, "winnow", w.name, f"{len(found)} of {n} in memory", statistics.median(found or [0]),
                  {"held_bytes": held})

    def run(self, work):
        with open(self.args.text, encoding="utf-8", errors="replace") as f:
            text = f.read()
        settings = [Winnow(self.args, False, work)] + ([Winnow(self.args, True, work)] if self.args.heads else [])
        llama = Llama(self.args, work)
        for n in self.args.tokens:
            llama.start()
            part = llama.cut(text, n)
            llama.server.stop()
            path = os.path.join(work, f"text-{n}.txt")
            with open(path, "w", encoding="utf-8") as f:
                f.write(part)
            self.chars[n] = len(part)
            ask = questions(part)
            for w in settings:
                self.winnow(w, n, f"text-{n}", path, ask)
            size = self.llama(llama, n, part, ask)
            if self.args.many:
                self.many(settings[-1], n, text, size, work, ask)

    def table(self):
        def median(**wanted):
            found = [r["ms"] for r in self.rows if all(r[k] == v for k, v in wanted.items())]
            return statistics.median(found) if found else float("nan")
        print("| tokens | winnow | cold | memory | disk | new alone | held | llama.cpp cold | slot | ram | file "
              "| memory / new alone | slot / memory | file / disk |")
        print("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|")
        for n in self.args.tokens:
            peer = {s: median(tokens=n, program="llama.cpp", source=s) for s in ("cold", "slot", "ram", "file")}
            for setting in dict.fromkeys(r["setting"] for r in self.rows if r["program"] == "winnow"):
                own = {s: median(tokens=n, program="winnow", setting=setting, source=s)
                       for s in ("cold", "memory", "disk")}
                own["alone"] = statistics.median(r["alone_ms"] for r in self.rows if
                                                 (r["tokens"], r["setting"], r["source"]) == (n, setting, "memory"))
                held = [r["held_bytes"] for r in self.rows
                        if (r["tokens"], r["setting"], r["source"]) == (n, setting, "memory")]
                print(f"| {n} | {setting} | " + " | ".join(f"{v:.0f}" for v in own.values()) +
                      f" | {held[-1] / 1e6:.1f} MB | " + " | ".join(f"{v:.0f}" for v in peer.values()) +
                      f" | {own['memory'] / own['alone']:.2f} | {peer['slot'] / own['memory']:.2f} | "
                      f"{peer['file'] / own['disk']:.2f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--winnow", default="build/winnow")
    parser.add_argument("--llama", required=True, help="folder with llama-server")
    parser.add_argument("--model", required=True, help="GGUF file")
    parser.add_argument("--models", default=os.path.expanduser("~/.local/share/winnow"),
                        help="winnow's data folder, whose models/ has the embedder")
    parser.add_argument("--heads", help="also with these eviction heads")
    parser.add_argument("--kv-ratio", default="4.5")
    parser.add_argument("--kv-format", default="int8")
    parser.add_argument("--text", required=True)
    parser.add_argument("--tokens", default="1000,4000,7500", type=lambda s: [int(n) for n in s.split(",")])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--many", type=int, default=0)
    parser.add_argument("--as-of", type=int, default=6)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--csv", required=True, help="one line a sample is added")
    args = parser.parse_args()
    bench = Bench(args)
    with tempfile.TemporaryDirectory() as work:
        bench.run(work)
    bench.table()


signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # what was started is stopped too
main()
