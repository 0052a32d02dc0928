#!/usr/bin/env python3
"""Writes the seed inputs of tests/fuzz/corpus that are binary or easier made than typed.

    python3 tests/fuzz/make_fuzz_corpus.py

Standard library only. The files are valid and tiny, so that mutations of them reach deep. Inputs that
people can write (HTML, Markdown, requests) lie in the corpus as they are, without a generator.
"""
import base64
import json
import struct
from pathlib import Path

CORPUS = Path(__file__).resolve().parent / "corpus"


def put(target, name, data):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


# GGUF ---------------------------------------------------------------------------------------------
U8, I8, U16, I16, U32, I32, F32, BOOL, STR, ARR, U64, I64, F64 = range(13)
FORMATS = {U8: "<B", I8: "<b", U16: "<H", I16: "<h", U32: "<I", I32: "<i", F32: "<f", BOOL: "<B",
           U64: "<Q", I64: "<q", F64: "<d"}


def gguf_str(s):
    b = s.encode() if isinstance(s, str) else s
    return struct.pack("<Q", len(b)) + b


def gguf_value(kind, value):
    if kind == STR:
        return gguf_str(value)
    if kind == ARR:
        item, values = value
        return struct.pack("<IQ", item, len(values)) + b"".join(gguf_value(item, v) for v in values)
    return struct.pack(FORMATS[kind], value)


def gguf(keys, tensors, version=3, alignment=32):
    """keys: (name, kind, value); tensors: (name, reversed shape, type, data)."""
    out = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(keys))
    for name, kind, value in keys:
        out += gguf_str(name) + struct.pack("<I", kind) + gguf_value(kind, value)
    offset, blob = 0, b""
    for name, shape, dtype, data in tensors:
        out += gguf_str(name) + struct.pack("<I", len(shape))
        out += b"".join(struct.pack("<Q", n) for n in shape) + struct.pack("<IQ", dtype, offset)
        data += bytes(-len(data) % alignment)
        blob += data
        offset += len(data)
    return out + bytes(-len(out) % alignment) + blob


TINY_TOKENS = ["<|im_start|>", "<s>", "</s>", "a", "b", "c", "\u0120", "ab", "\u0120a", "\u00c3", "\u00a9", "\u00c3\u00a9"]
TOKENIZER_KEYS = [
    ("tokenizer.ggml.model", STR, "gpt2"),
    ("tokenizer.ggml.pre", STR, "smollm"),
    ("tokenizer.ggml.tokens", ARR, (STR, TINY_TOKENS)),
    ("tokenizer.ggml.token_type", ARR, (I32, [3, 3, 3] + [1] * (len(TINY_TOKENS) - 3))),
    ("tokenizer.ggml.merges", ARR, (STR, ["a b", "\u0120 a", "\u00c3 \u00a9"])),
    ("tokenizer.ggml.bos_token_id", U32, 1),
    ("tokenizer.ggml.eos_token_id", U32, 2),
    ("tokenizer.ggml.add_bos_token", BOOL, 0),
]


def make_gguf():
    scalars = [("k%d" % kind, kind, 1) for kind in FORMATS]
    arrays = [("a%d" % kind, ARR, (kind, [0, 1])) for kind in FORMATS]
    nested = [("nested", ARR, (ARR, [(STR, ["x", ""]), (U8, [1])]))]
    put("gguf", "values.bin", gguf(scalars + arrays, []))
    put("gguf", "nested_array.bin", gguf(nested, []))  # refused, and a way to recursion
    put("gguf", "empty_v2.bin", gguf([], [], version=2))
    blocks = {0: (4, 16), 1: (4, 8), 2: (32, 18), 3: (32, 20), 8: (32, 34), 12: (256, 144),
              13: (256, 176), 14: (256, 210), 30: (4, 8)}
    tensors = [("t%d" % t, (n, 1), t, bytes(size)) for t, (n, size) in blocks.items()]
    put("gguf", "types.bin", gguf([("general.alignment", U32, 32)], tensors))
    model = [("general.architecture", STR, "llama"), ("llama.block_count", U32, 1),
             ("llama.embedding_length", U32, 32), ("llama.attention.head_count", U32, 2),
             ("llama.attention.layer_norm_rms_epsilon", F32, 1e-5)]
    put("gguf", "model.bin", gguf(model + TOKENIZER_KEYS, [("token_embd.weight", (32, 12), 8, bytes(34 * 12))]))


def tiny_model(arch, dtype, row_bytes):
    """One layer, d 32, 2 heads, 1 KV head, 12 tokens; every matrix of one type."""
    def matrix(name, rows, cols):
        data = bytes((7 * i + len(name)) % 64 for i in range(rows * cols // 32 * row_bytes))
        return (name, (cols, rows), dtype, data)

    def vector(name, n):
        return (name, (n,), 0, struct.pack("<%df" % n, *([0.5] * n)))

    layer = [vector("blk.0.attn_norm.weight", 32), matrix("blk.0.attn_q.weight", 32, 32),
             matrix("blk.0.attn_k.weight", 16, 32), matrix("blk.0.attn_v.weight", 16, 32),
             matrix("blk.0.attn_output.weight", 32, 32), vector("blk.0.ffn_norm.weight", 32),
             matrix("blk.0.ffn_gate.weight", 64, 32), matrix("blk.0.ffn_up.weight", 64, 32),
             matrix("blk.0.ffn_down.weight", 32, 64)]
    if arch == "qwen2":
        layer += [vector("blk.0.attn_%s.bias" % w, n) for w, n in (("q", 32), ("k", 16), ("v", 16))]
    keys = [("general.architecture", STR, arch)]
    keys += [("%s.%s" % (arch, k), U32, v) for k, v in (
        ("block_count", 1), ("context_length", 16), ("embedding_length", 32),
        ("feed_forward_length", 64), ("attention.head_count", 2), ("attention.head_count_kv", 1))]
    keys += [("%s.attention.layer_norm_rms_epsilon" % arch, F32, 1e-5),
             ("%s.rope.freq_base" % arch, F32, 10000.0)]
    tensors = [matrix("token_embd.weight", 12, 32), vector("output_norm.weight", 32)] + layer
    return gguf(keys + TOKENIZER_KEYS, tensors)


def make_models():
    put("model_gguf", "llama_q8_0.bin", tiny_model("llama", 8, 34))
    put("model_gguf", "qwen2_q4_0.bin", tiny_model("qwen2", 2, 18))


# Tokenizer ranks ----------------------------------------------------------------------------------
def make_ranks():
    tokens = [bytes([i]) for i in range(256)] + [b"It", b" c", b"ca", b"12", b"123", b"\xc3\xa9"]
    lines = [base64.b64encode(t) + b" %d\n" % i for i, t in enumerate(tokens)]
    put("tokenizer_ranks", "bytes.txt", b"".join(lines))
    put("tokenizer_ranks", "few.txt", b"".join(lines[:20]))


# Uploads ------------------------------------------------------------------------------------------
def make_multipart():
    parts = ['Content-Disposition: form-data; name="file"; filename="a \\"b\\".txt"\r\n'
             "Content-Type: text/plain\r\n\r\nThe file.\r\n--with dashes--\r\n",
             'Content-Disposition: form-data; name="attributes"\r\n\r\n{"year": 2024}']
    body = "".join("--XyZ\r\n%s\r\n" % part for part in parts) + "--XyZ--\r\n"
    put("multipart", "two_parts.txt", ("multipart/form-data; boundary=XyZ\n" + body).encode())
    put("multipart", "quoted.txt", ('multipart/form-data; boundary="X y"; charset=utf-8\n--X y\r\n'
        'content-disposition: form-data; name=file\r\n\r\n\r\n--X y--').encode())


# Safetensors --------------------------------------------------------------------------------------
def safetensors(tensors, metadata=None):
    header, offset, blob = {}, 0, b""
    if metadata:
        header["__metadata__"] = metadata
    for name, dtype, shape, data in tensors:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
        blob += data
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + blob


def make_safetensors():
    put("safetensors", "types.bin", safetensors([
        ("f32", "F32", [2, 2], bytes(16)), ("f16", "F16", [3], bytes(6)), ("bf16", "BF16", [1, 1, 5], bytes(10)),
        ("i32", "I32", [2], bytes(8)), ("i64", "I64", [1], bytes(8))], {"format": "pt"}))
    put("safetensors", "empty.bin", safetensors([]))
    put("safetensors", "scalar_and_none.bin", safetensors([
        ("scalar", "F32", [], bytes(4)), ("none", "F32", [0, 4], b"")]))


def make_dms_heads():
    """The fingerprint is that of the model without weights in fuzz_dms_heads.c."""
    metadata = {"format": "winnow-dms", "version": "1", "window_size": "256", "min_window": "64",
                "decision_shift": "1", "base_fingerprint": "450b9ccaec97d648f7498e4c828d72eafa70efcfae9529435c3b73399c3f0edb",
                "operating_points": '[{"window":256,"bias":-0.5,"ratio":4.5},{"window":64,"bias":0,"ratio":6}]'}
    for name, dtype, size in ("f32", "F32", 4), ("bf16", "BF16", 2):
        put("dms_heads", name + ".bin", safetensors(
            [t for i in range(2) for t in ((f"layers.{i}.weight", dtype, [2, 4], bytes(8 * size)),
                                           (f"layers.{i}.bias", dtype, [2], bytes(2 * size)))], metadata))


def make_session_snapshots():
    """Tokens, start of the tail, evict bits, slots: as fuzz_session_snapshot.c has its two stores."""
    put("session_snapshot", "dense.bin", bytes([70, 0]) + bytes(2 * 70 * 16))
    bits = struct.pack("<QQ", 0x5555555555555555, 0x3)
    n_log = 40 - bin(0x5555555555555555 & (1 << 40) - 1).count("1")
    put("session_snapshot", "evicted.bin", bytes([75, 40]) + 2 * bits + bytes(2 * (n_log + 35) * 12))
    put("session_snapshot", "short.bin", bytes([3, 0]) + 2 * bits[:8] + bytes(2 * 3 * 12))


if __name__ == "__main__":
    make_gguf()
    make_models()
    make_safetensors()
    make_dms_heads()
    make_session_snapshots()
    make_ranks()
    make_multipart()
    for folder in sorted(CORPUS.iterdir()):
        print(folder.name, sum(1 for _ in folder.iterdir()))
