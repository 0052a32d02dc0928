#!/usr/bin/env python3
"""Passages per second of the encoder: winnow, sentence-transformers (torch, f32) and llama.cpp by turns, on the
same model and passages of 256 tokens. Needs sentence-transformers; the GGUF files come from llama.cpp's
convert_hf_to_gguf.py (--outtype f16 and q8_0).

    compare_embed.py --winnow build/winnow --model DIR_OF_MINILM --llama DIR/build/bin --csv results/NAME.csv \\
        minilm-f16.gguf minilm-q8_0.gguf
"""
import argparse
import json
import os
import signal
import sys

from compare import Bench, call, print_table

# As `winnow bench embed`: each word is one token.
WORDS = ("the house stood near a river and every morning people came to read the news of the war in their small city "
         "while children played music under old trees").split()
TOKENS, SPECIALS = 256, 2


class EmbedBench(Bench):
    def __init__(self, args):
        super().__init__(args)
        import torch
        from sentence_transformers import SentenceTransformer
        torch.set_num_threads(args.threads)
        self.samples = []
        self.torch_model = SentenceTransformer(args.model, device="cpu")
        self.torch_model.max_seq_length = TOKENS
        n = TOKENS - SPECIALS
        self.texts = [" ".join(WORDS[(i * n + j) % len(WORDS)] for j in range(n)) for i in range(args.passages)]
        self.torch_model.encode(self.texts[:2])

    def winnow(self):
        a = self.args
        code, out, err = call([a.winnow, "bench", "embed", "--json", "--quiet", "--embedder", a.model, "--isa", a.isa,
                               "--threads", str(a.threads), "--tokens", str(TOKENS), "--passages", str(a.passages),
                               "--repeat", "1"])
        if code != 0:
            sys.exit(err)
        row = json.loads(out)["rows"][0]
        self.isa = row["isa"]
        return row["median"]

    def sentence_transformers(self):
        start = os.times().elapsed
        self.torch_model.encode(self.texts, batch_size=32)
        return len(self.texts) / (os.times().elapsed - start)

    def llama(self, path, flash):
        code, out, err = call([os.path.join(self.args.llama, "llama-bench"), "-m", path, "-t", str(self.args.threads),
                               "-p", str(TOKENS), "-n", "0", "-embd", "1", "-fa", flash, "-r", "8", "-o", "json"])
        if code != 0:
            sys.exit(err)
        return json.loads(out)[0]["avg_ts"] / TOKENS

    def run(self):
        row = f"embed {TOKENS}"
        for _ in range(self.args.repeat):
            self.keep("minilm-l6", row, "winnow", "f32 file", self.winnow)
            self.keep("minilm-l6", row, "sentence-transformers", "f32", self.sentence_transformers)
            for path in self.args.files:
                name = os.path.basename(path).removesuffix(".gguf")
                for flash in "01":
                    self.keep("minilm-l6", row, "llama.cpp", f"{name} fa {flash}", lambda: self.llama(path, flash))
        return self.samples


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--winnow", default="build/winnow")
    parser.add_argument("--model", required=True, help="Hugging Face folder of the embedder")
    parser.add_argument("--llama", required=True, help="folder with llama-bench")
    parser.add_argument("--csv", required=True, help="one line a sample is added to this file")
    parser.add_argument("--passages", type=int, default=64)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--isa", default="auto")
    parser.add_argument("files", nargs="*", help="GGUF files of the same model")
    print_table(EmbedBench(parser.parse_args()).run())


signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
main()
