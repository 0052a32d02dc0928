#!/usr/bin/env python3
"""Several clients at once, each asking one question after the other on the same text that was read before: winnow and
llama.cpp's server (-np K), by turns, on the same model, text, questions and numbers of tokens. Standard library only.

    parallel.py --winnow build/winnow --llama DIR/build/bin --model smollm2-135m.gguf --text book.txt --csv results/NAME.csv

Every row is one turn of K clients with --questions each: tokens of all answers by the time from the first request to
the last answer's end, and the times to the first piece of an answer, as clients see them. Each program was
asked K questions before, so that it holds the text: winnow in its cache, once; llama.cpp in each of its K slots. An answer of llama.cpp gets as many tokens as
winnow's answer to the same question had (winnow's ends where the model ends it). winnow's server keeps --parallel; the
row `one by one` is the same with --parallel 1."""
import argparse
import concurrent.futures
import csv
import datetime
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

COLUMNS = ["date", "commit", "machine", "model", "text_tokens", "program", "setting", "clients", "answers", "tokens",
           "seconds", "tokens_per_s", "ttft_p50_ms", "ttft_p95_ms"]


class Winnow:
    def __init__(self, args, path, work):
        data = data_folder(os.path.join(work, "winnow"), args.models)
        self.common = ["--data-dir", data, "--model", args.model, "--threads", str(args.threads), "--context",
                       str(args.tokens * 5 // 4 + 1024), "--kv-format", args.kv_format]
        self.args = args
        done = subprocess.run([args.winnow, "ingest", "--quiet", "--corpus", "text", *self.common, path],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            sys.exit(done.stdout)

    def start(self, parallel):
        self.server = Server([self.args.winnow, "serve", *self.common, "--parallel", str(parallel)], "/readyz")

    def ask(self, question, max_tokens, slot):
        first, done = None, None
        for at, name, data in self.server.events("/v1/corpora/text/answers", {
                "question": question, "mode": "corpus", "stream": True, "max_tokens": max_tokens}):
            if name == "error":
                sys.exit(data)
            if name == "token" and first is None:
                first = at
            if name == "done":
                done = json.loads(data)
        return first, done["usage"]["completion_tokens"]


class Llama:
    def __init__(self, args):
        self.args = args

    def start(self, slots):
        a = self.args
        self.server = Server([os.path.join(a.llama, "llama-server"), "-m", a.model, "-t", str(a.threads), "-np",
                              str(slots), "-c", str(slots * (a.tokens * 5 // 4 + 1024))], "/health")

    def cut(self, text, n):
        ids = json.loads(self.server.call("POST", "/tokenize", {"content": text[:n * 8]})[1])["tokens"][:n]
        return json.loads(self.server.call("POST", "/detokenize", {"tokens": ids})[1])["content"]

    def ask(self, question, max_tokens, slot):
        body = {"prompt": f"{self.text}\n\nQuestion: {question}\nAnswer:", "n_predict": max_tokens, "stream": True,
                "cache_prompt": True, "temperature": 0, "ignore_eos": True, "id_slot": slot}
        times, n = [], 0
        for at, _, data in self.server.events("/completion", body):
            times.append(at)
            n = json.loads(data).get("tokens_predicted", n)
        return times[0], n


def questions(text, n):
    """Each about other words of the text."""
    words = re.findall(r"[A-Za-z]{4,}", text)
    return [f"What does the text say about {' '.join(words[at:at + 5])}?"
            for at in (97 * (i + 1) % (len(words) - 6) for i in range(n))]


class Bench:
    def __init__(self, args):
        self.args, self.machine, self.commit = args, machine(), commit()

    def turn(self, program, asked, clients, lengths):
        """[(first piece, tokens)] of all questions, and the seconds; client c asks every clients-th one."""
        def client(c):
            return [program.ask(asked[i], lengths[i], c) for i in range(c, len(asked), clients)]
        start = time.perf_counter()
        with concurrent.futures.ThreadPoolExecutor(clients) as pool:
            answers = list(pool.map(client, range(clients)))
        seconds = time.perf_counter() - start
        by_question = [None] * len(asked)
        for c in range(clients):
            by_question[c::clients] = answers[c]
        return by_question, seconds

    def keep(self, program, setting, clients, answers, seconds):
        first = sorted(1000 * at for at, _ in answers)
        tokens = sum(n for _, n in answers)
        row = {"date": datetime.datetime.now().isoformat(timespec="seconds"), "commit": self.commit,
               "machine": self.machine, "model": os.path.basename(self.args.model), "text_tokens": self.args.tokens,
               "program": program, "setting": setting, "clients": clients, "answers": len(answers), "tokens": tokens,
               "seconds": round(seconds, 3), "tokens_per_s": round(tokens / seconds, 1),
               "ttft_p50_ms": round(statistics.median(first), 1),
               "ttft_p95_ms": round(first[min(len(first) - 1, int(0.95 * len(first)))], 1)}
        print(f"{clients} clients, {program} {setting}: {row['tokens_per_s']} tokens/s, first piece after "
              f"{row['ttft_p50_ms']} ms (p95 {row['ttft_p95_ms']}), {tokens} tokens")
        new = not os.path.exists(self.args.csv) or os.path.getsize(self.args.csv) == 0
        with open(self.args.csv, "a", newline="") as f:
            out = csv.DictWriter(f, COLUMNS, lineterminator="\n")
            if new:
                out.writeheader()
            out.writerow(row)

    def run(self, work):
        a = self.args
        with open(a.text, encoding="utf-8", errors="replace") as f:
            text = f.read()
        llama = Llama(a)
        llama.start(1)
        llama.text = llama.cut(text, a.tokens)
        llama.server.stop()
        path = os.path.join(work, "text.txt")
        with open(path, "w", encoding="utf-8") as f:
            f.write(llama.text)
        winnow = Winnow(a, path, work)
        for clients in a.clients:
            asked = questions(llama.text, clients * (a.questions + 1))
            warm, asked = asked[:clients], asked[clients:]
            lengths = [a.max_tokens] * len(asked)
            for setting, parallel in (("one by one", 1), (f"--parallel {a.parallel}", a.parallel)):
                winnow.start(parallel)
                self.turn(winnow, warm, clients, [a.max_tokens] * len(warm))
                answers, seconds = self.turn(winnow, asked, clients, lengths)
                winnow.server.stop()
                self.keep("winnow", setting, clients, answers, seconds)
            llama.start(clients)
            self.turn(llama, warm, clients, [a.max_tokens] * len(warm))
            answers, seconds = self.turn(llama, asked, clients, [max(1, n) for _, n in answers])
            llama.server.stop()
            self.keep("llama.cpp", f"-np {clients}", clients, answers, seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--winnow", default="build/winnow")
    parser.add_argument("--llama", required=True, help="folder with llama-server")
    parser.add_argument("--model", required=True, help="GGUF file")
    parser.add_argument("--models", default=os.path.expanduser("~/.local/share/winnow"),
                        help="winnow's data folder, whose models/ has the embedder")
    parser.add_argument("--kv-format", default="int8")
    parser.add_argument("--text", required=True)
    parser.add_argument("--tokens", type=int, default=2000, help="of the text")
    parser.add_argument("--clients", default="1,2,4,8", type=lambda s: [int(n) for n in s.split(",")])
    parser.add_argument("--parallel", type=int, default=8)
    parser.add_argument("--questions", type=int, default=4, help="of each client")
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--csv", required=True, help="one line a turn is added")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        Bench(args).run(work)


signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # what was started is stopped too
main()
