#!/usr/bin/env python3
"""Random-weight GGUF files of two published shapes, for measuring speed: a seed gives the same file again.
Needs numpy and the package gguf 0.19 (its weight formats, its reader and writer).

    random_gguf.py --shape 135m --type Q8_0 --tokenizer SmolLM2-135M-Instruct.Q4_1.gguf 135m-q8_0.gguf
    random_gguf.py --shape 1b --type Q4_0 1b-q4_0.gguf

135m takes the tokenizer of a SmolLM2 file; 1b gets a made-up one of 128,256 byte-level tokens. The context
length says 16,384, so that 8,192 tokens and what follows them fit. As in published files of these types the
embedding, which is the output head too, is Q8_0 in a Q8_0 file, and in a Q4_0 file Q6_K (Q8_0 where the width
is no multiple of 256).
"""
import argparse
import math
import zlib

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Q

SHAPES = {
    "135m": dict(layers=30, d=576, heads=9, kv_heads=3, ffn=1536, vocab=49152, theta=1e5, scaling=None),
    "1b": dict(layers=16, d=2048, heads=32, kv_heads=8, ffn=8192, vocab=128256, theta=5e5, scaling=(32, 1, 4, 8192)),
}
HEAD_DIM = 64
FILE_TYPES = {"Q8_0": gguf.LlamaFileType.MOSTLY_Q8_0, "Q4_0": gguf.LlamaFileType.MOSTLY_Q4_0}


def q6_k(rng, rows, cols, std):
    """Blocks of 256: ql[128] qh[64] i8 scale[16] f16 d. Random bits are a uniform q in -32 .. 31, whose standard
    deviation is 18.5; with scales of 32 .. 95 around 64 d is chosen for `std`."""
    n = rows * cols // 256
    blocks = rng.integers(0, 256, (n, 210), dtype=np.uint8)
    blocks[:, 192:208] = rng.integers(32, 96, (n, 16), dtype=np.uint8)
    blocks[:, 208:] = np.full((n, 1), std / (18.5 * 66), np.float16).view(np.uint8)
    return blocks.reshape(rows, -1)


class File:
    """The writer, and random tensors: each has its own generator, so that none depends on the order."""

    def __init__(self, args):
        self.type, self.seed = Q[args.type], args.seed
        self.writer = gguf.GGUFWriter(args.out, "llama")

    def rng(self, name):
        return np.random.default_rng([self.seed, zlib.crc32(name.encode())])

    def matrix(self, name, rows, cols, std, kind=None):
        rng, kind = self.rng(name), kind or self.type
        if kind == Q.Q6_K:
            data = q6_k(rng, rows, cols, std)
        else:
            data = gguf.quantize(rng.standard_normal((rows, cols), dtype=np.float32) * np.float32(std), kind)
        self.writer.add_tensor(name, data, raw_dtype=kind)

    def vector(self, name, n):
        data = 1 + np.float32(0.1) * self.rng(name).standard_normal(n, dtype=np.float32)
        self.writer.add_tensor(name, data)


def copied_tokenizer(writer, path):
    """Every tokenizer.* field of a GGUF file."""
    for key, field in gguf.GGUFReader(path).fields.items():
        if not key.startswith("tokenizer."):
            continue
        kind = field.types[0]
        sub = field.types[1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(key, field.contents(), kind, sub)


def made_up_tokenizer(writer, n_vocab):
    """256 bytes, then pairs and triples of them as merges, then 256 special tokens with Llama 3's names."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    letters = [chr(b) for b in printable] + [chr(256 + i) for i in range(len(others))]
    tokens, merges = list(letters), []
    n_plain = n_vocab - 256
    for left in iter_lefts(letters):
        for right in letters:
            if len(tokens) == n_plain:
                break
            tokens.append(left + right)
            merges.append(f"{left} {right}")
    special = {0: "<|begin_of_text|>", 1: "<|end_of_text|>", 6: "<|start_header_id|>", 7: "<|end_header_id|>",
               9: "<|eot_id|>"}
    tokens += [special.get(i, f"<|reserved_special_token_{i}|>") for i in range(256)]
    types = [gguf.TokenType.NORMAL] * n_plain + [gguf.TokenType.CONTROL] * 256
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(n_plain)
    writer.add_eos_token_id(n_plain + 9)


def iter_lefts(letters):
    yield from letters
    for a in letters:
        for b in letters:
            yield a + b


def rope_factors(theta, scaling):
    """What the frequencies are divided by: Llama 3's stretching of the long waves."""
    factor, low, high, trained = scaling
    out = []
    for i in range(HEAD_DIM // 2):
        wave = 2 * math.pi * theta ** (2 * i / HEAD_DIM)
        if wave < trained / high:
            out.append(1.0)
        elif wave > trained / low:
            out.append(float(factor))
        else:
            smooth = (trained / wave - low) / (high - low)
            out.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(out, np.float32)


def add_tensors(file, s):
    d, kv = s["d"], s["kv_heads"] * HEAD_DIM
    head = Q.Q6_K if file.type == Q.Q4_0 and d % 256 == 0 else Q.Q8_0
    file.matrix("token_embd.weight", s["vocab"], d, 1 / math.sqrt(d), head)
    file.vector("output_norm.weight", d)
    if s["scaling"]:
        file.writer.add_tensor("rope_freqs.weight", rope_factors(s["theta"], s["scaling"]))
    for i in range(s["layers"]):
        p = f"blk.{i}."
        file.vector(p + "attn_norm.weight", d)
        file.vector(p + "ffn_norm.weight", d)
        for name, rows, cols in (("attn_q", d, d), ("attn_k", kv, d), ("attn_v", kv, d), ("attn_output", d, d),
                                 ("ffn_gate", s["ffn"], d), ("ffn_up", s["ffn"], d), ("ffn_down", d, s["ffn"])):
            file.matrix(p + name + ".weight", rows, cols, 1 / math.sqrt(cols))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, required=True)
    parser.add_argument("--type", choices=FILE_TYPES, required=True)
    parser.add_argument("--tokenizer", help="GGUF file whose tokenizer is copied (135m)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("out")
    args = parser.parse_args()
    if args.shape == "135m" and not args.tokenizer:
        parser.error("135m needs --tokenizer")
    s, file = SHAPES[args.shape], File(args)
    w = file.writer
    w.add_name(f"random {args.shape} {args.type} seed {args.seed}")
    w.add_block_count(s["layers"])
    w.add_context_length(16384)
    w.add_embedding_length(s["d"])
    w.add_feed_forward_length(s["ffn"])
    w.add_head_count(s["heads"])
    w.add_head_count_kv(s["kv_heads"])
    w.add_rope_freq_base(s["theta"])
    w.add_rope_dimension_count(HEAD_DIM)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_vocab_size(s["vocab"])
    w.add_file_type(FILE_TYPES[args.type])
    w.add_quantization_version(2)
    if args.tokenizer:
        copied_tokenizer(w, args.tokenizer)
    else:
        made_up_tokenizer(w, s["vocab"])
    add_tensors(file, s)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


main()
