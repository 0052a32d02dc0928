#!/usr/bin/env python3
"""What each engine's own arithmetic costs, on the same file: KL divergence of the next token's distribution from
the same weights in f32, beside llama.cpp's; with --greedy also texts of 200 tokens after 20 prompts.

    accuracy.py --winnow build/winnow --llama DIR/build/bin --text wiki.valid.raw --csv results/NAME.csv FILE.gguf...
    accuracy.py ... --make smollm2-135m.gguf --types Q8_0,Q4_0        files of these types, made from a real model

winnow's reference is its own f32 arithmetic (--exact) on the file; llama.cpp's is the file with every tensor
turned to F32 (dequantize_gguf.py), run with f32 KV and without flash attention. Both judge the second half of
windows of 512 tokens. Needs numpy and the package gguf; the F32 file and the reference's logits (0.1 MB a judged
token) go to --work.
"""
import argparse
import csv
import datetime
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
# What llama-quantize is told. Types of 256-column blocks do not fit this model's width of 576: they take
# ffn_down (1536 columns), the rest is Q8_0.
TYPES = {t: ["--pure", t] for t in ("Q8_0", "Q4_0", "Q4_1", "F16", "BF16")}
TYPES |= {t: ["--tensor-type", f"ffn_down={t.lower()}", "Q8_0"] for t in ("Q4_K", "Q5_K", "Q6_K")}
COLUMNS = ["date", "commit", "machine", "isa", "file", "program", "judged", "kld_mean", "kld_p99", "kld_max",
           "same_top", "greedy_texts", "greedy_same", "greedy_equal"]
FIGURES = {"kld_mean": r"Mean +KLD: +(\S+)", "kld_p99": r"99\.0% +KLD: +(\S+)", "kld_max": r"Maximum KLD: +(\S+)",
           "same_top": r"Same top p: +(\S+)"}


def run(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stdout[-2000:]}")
    return done.stdout


def winnow(args, isa, verb, path, *options):
    command = [args.winnow, "eval", verb, "--json", "--quiet", "--model", path, "--text", args.text,
               "--isa", isa, "--threads", str(args.threads), *options]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)["rows"]


def llama_kld(args, path, f32, base):
    common = ["-f", args.text, "-c", "512", "-b", "512", "--chunks", str(args.tokens // 512), "-t", str(args.threads),
              "--kl-divergence-base", base]
    program = os.path.join(args.llama, "llama-perplexity")
    run([program, "-m", f32, "-fa", "off", "-ctk", "f32", "-ctv", "f32", *common])
    text = run([program, "-m", path, "--kl-divergence", *common])
    os.remove(base)
    found = {k: float(re.search(p, text).group(1)) for k, p in FIGURES.items()}
    found["same_top"] /= 100
    return found


def llama_texts(args, path, prompts, n, options):
    """The likeliest tokens after each prompt (lists of ids), from llama-server."""
    port = 18000 + os.getpid() % 2000
    command = [os.path.join(args.llama, "llama-server"), "-m", path, "-t", str(args.threads), "-c", "1024",
               "-np", "1", "--port", str(port), *options]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        while True:
            try:
                urllib.request.urlopen(url + "/health").close()
                break
            except (urllib.error.URLError, ConnectionError):
                if server.poll() is not None:
                    sys.exit("llama-server did not start")
                time.sleep(0.2)
        texts = []
        for prompt in prompts:
            body = json.dumps({"prompt": prompt, "n_predict": n, "temperature": 0, "top_k": 1, "ignore_eos": True,
                               "return_tokens": True, "cache_prompt": False}).encode()
            request = urllib.request.Request(url + "/completion", body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request) as answer:
                texts.append(json.load(answer)["tokens"])
        return texts
    finally:
        server.terminate()
        server.wait()


def agreement(pairs):
    """Of pairs of id lists: how many, how many are the same, the share of equal tokens, where they first differ."""
    firsts = [next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), None) for a, b in pairs]
    equal = sum(x == y for a, b in pairs for x, y in zip(a, b)) / sum(len(a) for a, _ in pairs)
    return {"greedy_texts": len(pairs), "greedy_same": firsts.count(None), "greedy_equal": equal}, firsts


def measure(args, path, work):
    f32 = os.path.join(work, "f32.gguf")
    run([sys.executable, os.path.join(HERE, "dequantize_gguf.py"), path, f32])
    rows, pairs = [], {}
    for isa in args.isa.split(","):
        ours = winnow(args, isa, "kld", path, "--tokens", str(args.tokens), "--context", "512")[0]
        rows.append({"program": "winnow", "isa": ours["isa"], "judged": ours["judged"], "kld_mean": ours["mean"],
                     "kld_p99": ours["p99"], "kld_max": ours["max"], "same_top": ours["same_top"]})
        if args.greedy:
            texts = winnow(args, isa, "greedy", path, "--prompts", str(args.greedy), "--generate", "200")
            pairs[len(rows) - 1] = [(t["ids"], t["f32_ids"]) for t in texts]
            prompts = [t["prompt_ids"] for t in texts]
    rows.append({"program": "llama.cpp", "judged": ours["judged"],
                 **llama_kld(args, path, f32, os.path.join(work, "base"))})
    if args.greedy:
        pairs[len(rows) - 1] = list(zip(
            llama_texts(args, path, prompts, 200, []),
            llama_texts(args, f32, prompts, 200, ["-fa", "off", "-ctk", "f32", "-ctv", "f32"])))
    for i, texts in pairs.items():
        found, firsts = agreement(texts)
        rows[i].update(found)
        print(f"{os.path.basename(path)} {rows[i]['program']}: texts first differ at", *firsts, file=sys.stderr)
    os.remove(f32)
    return rows


def show(row, key, form):
    return format(row[key], form) if key in row else "-"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--winnow", default="build/winnow")
    parser.add_argument("--llama", required=True, help="folder with llama-perplexity, llama-quantize, llama-server")
    parser.add_argument("--text", required=True)
    parser.add_argument("--tokens", type=int, default=10240, help="of the text, at least 1024")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--isa", default="auto", help="winnow's instruction sets, \"amx,avx2\"")
    parser.add_argument("--greedy", type=int, default=0, metavar="N", help="also greedy texts after N prompts")
    parser.add_argument("--work", help="folder for large temporary files")
    parser.add_argument("--csv", required=True, help="one line a file and program is added")
    parser.add_argument("--make", metavar="GGUF", help="make files from this model's weights, and judge them")
    parser.add_argument("--types", default=",".join(TYPES))
    parser.add_argument("files", nargs="*")
    args = parser.parse_args()
    with open("/proc/cpuinfo") as f:
        machine = re.search(r"model name\s*:\s*(.*)", f.read()).group(1) + f", {os.cpu_count()} CPUs"
    commit = run(["git", "-C", HERE, "describe", "--always", "--dirty"]).strip()
    with tempfile.TemporaryDirectory(dir=args.work) as work:
        jobs = [(p, None) for p in args.files]
        if args.make:
            source = os.path.join(work, "source-f32.gguf")
            run([sys.executable, os.path.join(HERE, "dequantize_gguf.py"), args.make, source])
            jobs += [(os.path.join(work, t.lower() + ".gguf"), t) for t in args.types.split(",")]
        print("| file | program | KLD mean | p99 | max | same top | greedy texts the same | equal tokens |")
        print("|---|---|---|---|---|---|---|---|")
        for path, made in jobs:
            if made:
                run([os.path.join(args.llama, "llama-quantize"), "--allow-requantize", *TYPES[made][:-1], source, path,
                     TYPES[made][-1]])
            rows = measure(args, path, work)
            name = os.path.basename(path).removesuffix(".gguf") if not made else \
                f"{os.path.basename(args.make).removesuffix('.gguf')} as {made}"
            for row in rows:
                program = f"winnow, {row['isa']}" if "isa" in row else row["program"]
                print(f"| {name} | {program} | {row['kld_mean']:.3g} | {row['kld_p99']:.3g} | {row['kld_max']:.3g} | "
                      f"{row['same_top']:.3%} | {show(row, 'greedy_same', 'd')} of {show(row, 'greedy_texts', 'd')} | "
                      f"{show(row, 'greedy_equal', '.1%')} |", flush=True)
                line = dict(row, date=datetime.datetime.now().isoformat(timespec="seconds"), commit=commit,
                            machine=machine, file=name)
                os.makedirs(os.path.dirname(os.path.abspath(args.csv)), exist_ok=True)
                new = not os.path.exists(args.csv) or os.path.getsize(args.csv) == 0
                with open(args.csv, "a", newline="") as f:
                    out = csv.DictWriter(f, COLUMNS, lineterminator="\n")
                    if new:
                        out.writeheader()
                    out.writerow(line)
            if made:
                os.remove(path)


signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # what was started is stopped too
main()
