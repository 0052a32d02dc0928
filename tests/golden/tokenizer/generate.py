#!/usr/bin/env python3
"""Writes the golden files of this folder with the `tokenizers` library (see README.md).

    python tests/golden/tokenizer/generate.py SHARED MODELS    # .../shared  ~/.local/share/winnow/models
"""
import base64
import hashlib
import json
import os
import random
import re
import struct
import sys
import unicodedata
from importlib.metadata import version

import gguf
import jinja2.sandbox
import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

HERE = os.path.dirname(os.path.abspath(__file__))
SHARED, MODELS = sys.argv[1:3]
CUT = 1 << 20  # bytes of each real text
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")


def split_then_bytes(regex):
    return pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(regex), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])


def digits_then_gpt2():
    return pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
    ])


def from_gguf(path, pre, normalizer=None):
    r = gguf.GGUFReader(path)
    tokens = r.fields["tokenizer.ggml.tokens"].contents()
    types = r.fields["tokenizer.ggml.token_type"].contents()
    merges = [tuple(m.split(" ")) for m in r.fields["tokenizer.ggml.merges"].contents()]
    # Added tokens get the next free ids in order, so those below the last normal one stay in the vocabulary.
    last = max(i for i, t in enumerate(types) if t == 1)
    vocab = {t: i for i, t in enumerate(tokens) if i <= last}
    tok = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tok.pre_tokenizer = pre
    if normalizer:
        tok.normalizer = normalizer
    for i, t in enumerate(tokens):
        if types[i] in (3, 4):
            tok.add_tokens([AddedToken(t, special=types[i] == 3, normalized=False)])
            assert tok.token_to_id(t) == i, (t, i)
    return tok, r.fields["tokenizer.chat_template"].contents()


def byte_alphabet():
    """GPT-2's printable character of each byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    other = iter(range(256, 512))
    return [chr(b) if b in plain else chr(next(other)) for b in range(256)]


def llama3(path):
    """The published conversion of a tiktoken file: every split of a token into two is a merge."""
    ranks = {}
    for line in open(path, "rb"):
        token, rank = line.split()
        ranks[base64.b64decode(token)] = int(rank)
    byte = byte_alphabet()
    text = lambda b: "".join(byte[x] for x in b)
    merges = []
    for token, rank in ranks.items():
        local = [(token[:i], token[i:]) for i in range(1, len(token)) if token[:i] in ranks and token[i:] in ranks]
        local.sort(key=lambda p: (ranks[p[0]], ranks[p[1]]))
        merges += [(rank, n, text(a), text(b)) for n, (a, b) in enumerate(local)]
    merges.sort()
    vocab = {text(t): r for t, r in ranks.items()}
    tok = Tokenizer(models.BPE(vocab=vocab, merges=[(a, b) for _, _, a, b in merges], ignore_merges=True))
    tok.pre_tokenizer = split_then_bytes(LLAMA3)
    names = {0: "begin_of_text", 1: "end_of_text", 4: "finetune_right_pad_id", 6: "start_header_id",
             7: "end_header_id", 8: "eom_id", 9: "eot_id", 10: "python_tag"}
    reserved = iter(range(256))
    specials = [f"<|{names[i]}|>" if i in names else f"<|reserved_special_token_{next(reserved)}|>" for i in range(256)]
    tok.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in specials])
    return tok


def wordpiece(path):
    spec = json.load(open(path))
    spec.update(added_tokens=[], truncation=None, padding=None, post_processor=None)
    return Tokenizer.from_str(json.dumps(spec))


def ids_of(tok, text, specials=False):
    tok.encode_special_tokens = not specials
    return tok.encode(text, add_special_tokens=False).ids


def varint(n):
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes(out + bytearray([n]))


def write_ids(name, lists):
    with open(os.path.join(HERE, name), "wb") as f:
        for ids in lists:
            f.write(varint(len(ids)) + b"".join(map(varint, ids)))


def write_strings(name, strings):
    with open(os.path.join(HERE, name), "wb") as f:
        for s in strings:
            b = s.encode()
            f.write(varint(len(b)) + b)


# Random text ---------------------------------------------------------------------------------------

SPACES = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000 and chr(c).isspace()] + ["\u200b", "\ufeff"]
MARKS = [c for c in range(0x110000) if unicodedata.category(chr(c))[0] == "M"]
NUMBERS = [c for c in range(0x110000) if unicodedata.category(chr(c))[0] == "N"]
COMPOSED = [c for c in range(0x110000) if unicodedata.decomposition(chr(c)) and unicodedata.decomposition(chr(c))[0] != "<"]
CONTRACTIONS = ["'s", "'S", "'\u017f", "'t", "'T", "'re", "'rE", "'Re", "'RE", "'ve", "'VE", "'m", "'M", "'ll", "'lL",
                "'LL", "'d", "'D", "'l", "'r", "'v", "\u2019s", "''", "'\u212a"]
WORDS = "the of Tokenizer passages HELLO don't it's naïve Straße İstanbul ÀÉÎ ǅ ﬁne ΣΊΣΥΦΟΣ привет Ёж 3D x86_64 e.g. U.S.A. C++ http://a.b/c?d=e&f#g".split()
EMOJI = ["👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇩🇪", "❤️", "1️⃣", "🦙", "🧑🏿‍🚀"]


def some(r, lo, hi):
    """A random assigned-or-not character of a range."""
    while True:
        c = r.randint(lo, hi)
        if not 0xD800 <= c < 0xE000:
            return chr(c)


ATOMS = [
    lambda r: r.choice(WORDS), lambda r: " " + r.choice(WORDS), lambda r: r.choice(WORDS).upper(),
    lambda r: r.choice(CONTRACTIONS), lambda r: "x" + r.choice(CONTRACTIONS) + r.choice(["", "a", " ", "s"]),
    lambda r: r.choice(SPACES), lambda r: "".join(r.choice(SPACES) for _ in range(r.randint(2, 5))),
    lambda r: r.choice([" ", "\n", "\t", "\r\n", "\r"]) * r.randint(1, 6), lambda r: " " * r.randint(1, 9) + "\n",
    lambda r: str(r.randint(0, 10 ** r.randint(1, 12))), lambda r: chr(r.choice(NUMBERS)) * r.randint(1, 4),
    lambda r: chr(r.choice(NUMBERS)) + r.choice("12a٣"), lambda r: chr(r.choice(MARKS)),
    lambda r: r.choice("aeouAEIOnĂ가ᄀ") + "".join(chr(r.choice(MARKS)) for _ in range(r.randint(1, 4))),
    lambda r: r.choice("aeo") + "".join(r.choice("\u0301\u0323\u0308\u0327\u0300") for _ in range(r.randint(1, 5))),
    lambda r: chr(r.choice(COMPOSED)), lambda r: unicodedata.normalize("NFD", chr(r.choice(COMPOSED))),
    lambda r: some(r, 0xAC00, 0xD7A3), lambda r: unicodedata.normalize("NFD", some(r, 0xAC00, 0xD7A3)),
    lambda r: "".join(some(r, 0x1100, 0x11FF) for _ in range(3)), lambda r: "".join(some(r, 0x4E00, 0x9FFF) for _ in range(r.randint(1, 5))),
    lambda r: some(r, 0x3040, 0x30FF), lambda r: some(r, 0xF900, 0xFAFF), lambda r: some(r, 0x20000, 0x2FA1F),
    lambda r: some(r, 0x590, 0x6FF), lambda r: some(r, 0x900, 0xDFF), lambda r: some(r, 0xE00, 0xFFF),
    lambda r: r.choice(EMOJI), lambda r: some(r, 0x1F300, 0x1FAFF), lambda r: some(r, 0, 0x1F), lambda r: some(r, 0x7F, 0x9F),
    lambda r: "\0", lambda r: some(r, 0x21, 0x2F) * r.randint(1, 5), lambda r: some(r, 0x2000, 0x2BFF), lambda r: some(r, 0, 0x24F),
    lambda r: some(r, 0, 0xFFFF), lambda r: some(r, 0x10000, 0x10FFFF), lambda r: "\ufffd", lambda r: some(r, 0xE000, 0xF8FF),
    lambda r: some(r, 0x370, 0x52F), lambda r: "".join(some(r, 0x61, 0x7A) for _ in range(r.randint(1, 20))),
    lambda r: some(r, 0x61, 0x7A) * r.randint(2, 60), lambda r: some(r, 0x2E80, 0x2FFF),
]


def random_strings(n, seed):
    r = random.Random(seed)
    out = []
    for _ in range(n):
        out.append("".join(r.choice(ATOMS)(r) for _ in range(r.randint(1, 9))))
    # Long words: on both sides of WordPiece's limit of 100 characters, and of the short merge.
    for k in (46, 47, 48, 49, 50, 99, 100, 101, 130):
        out += ["a" * k, "ab" * (k // 2), "é" * k, "e\u0301" * k, "x" + "\u0323\u0301" * k, " " * k + "z", "z" + "\n" * k]
    return out


def special_strings(names, n, seed):
    r = random.Random(seed)
    parts = names + [name[:-1] for name in names] + [name[1:] for name in names] + [" ", "\n", "<", "<|", "|>", "e\u0301", "a", "é"]
    return ["".join(r.choice(parts) if r.random() < 0.7 else r.choice(ATOMS)(r) for _ in range(r.randint(1, 8))) for _ in range(n)]


# Parts of the golden set ------------------------------------------------------------------------------

def real_texts(toks):
    """path, bytes used, then count and hash of the ids of each tokenizer."""
    data = os.path.join(SHARED, "data")
    rows = []
    for top in ("wikitext2", "longctx", "qa", "ir", "docs"):
        for folder, dirs, files in os.walk(os.path.join(data, top)):
            dirs.sort()
            for name in sorted(files):
                if name.endswith((".txt", ".md", ".html", ".htm", ".jsonl", ".raw")) and not name.startswith(("SOURCE", "LICENSE", "NOTICE")):
                    rows.append(os.path.join(folder, name))
    with open(os.path.join(HERE, "real_texts.tsv"), "w") as f:
        f.write("path\tbytes\t" + "\t".join(f"{k}.n\t{k}.sha256" for k in toks) + "\n")
        for path in rows:
            raw = open(path, "rb").read(CUT)
            text = raw.decode(errors="ignore")  # drops a character that the cut split
            if len(raw) - len(text.encode()) > 3 or (len(raw) < CUT and text.encode() != raw):
                print("not UTF-8, left out:", os.path.relpath(path, data))
                continue
            cells = []
            for tok in toks.values():
                ids = ids_of(tok, text)
                cells.append(f"{len(ids)}\t{hashlib.sha256(struct.pack(f'<{len(ids)}i', *ids)).hexdigest()}")
            f.write(f"{os.path.relpath(path, data)}\t{len(text.encode())}\t" + "\t".join(cells) + "\n")


def pieces():
    """Byte lengths of the pieces that each pre-tokenizer makes of random.strings."""
    gpt2 = pre_tokenizers.Split(Regex(GPT2), "isolated")
    steps = {
        "llama3": pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
        "qwen2": pre_tokenizers.Split(Regex(QWEN2), "isolated"),
        "gpt2": gpt2,
        "smollm2": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), gpt2]),
    }
    for name, step in steps.items():
        write_ids(f"pieces.{name}.ids", [[len(s[a:b].encode()) for _, (a, b) in step.pre_tokenize_str(s)] for s in random_strings(4000, 1)])


def small_json():
    """A small tokenizer.json with all kinds of added tokens, trained here."""
    text = open(os.path.join(SHARED, "data/longctx/gutenberg/alice-in-wonderland.txt")).read()
    tok = Tokenizer(models.BPE())
    tok.normalizer = normalizers.NFC()
    tok.pre_tokenizer = split_then_bytes(LLAMA3)
    tok.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=500, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
                                  special_tokens=["<|pad|>", "<|im_end|>"], show_progress=False)
    tok.train_from_iterator(text.split("\n\n"), trainer)
    tok.add_special_tokens([AddedToken("<|im_start|>", special=True, normalized=False),
                            AddedToken("<|im_start|>user", special=True, normalized=False),
                            AddedToken("<NFC\u00e9>", special=True, normalized=True)])
    tok.add_tokens([AddedToken("<tool>", normalized=False), AddedToken("<tool>>", normalized=False), AddedToken("Alice", normalized=True),
                    AddedToken("caf\u00e9", normalized=True), AddedToken("cafe\u0301s", normalized=False), AddedToken("  ", normalized=False)])
    spec = json.loads(tok.to_str())
    with open(os.path.join(HERE, "small_pairs.json"), "w") as f:
        json.dump(spec, f, ensure_ascii=True)
    spec["model"]["merges"] = [" ".join(m) for m in spec["model"]["merges"]]
    with open(os.path.join(HERE, "small_strings.json"), "w") as f:
        json.dump(spec, f, ensure_ascii=False)
    names = ["<|im_start|>", "<|im_start|>user", "<|im_end|>", "<|pad|>", "<NFC\u00e9>", "<NFCe\u0301>", "<tool>", "<tool>>", "Alice",
             "caf\u00e9", "cafe\u0301", "cafe\u0301s", "caf\u00e9s", "  "]
    strings = special_strings(names, 500, 3)
    write_strings("small.strings", strings)
    write_ids("small.plain.ids", [ids_of(tok, s) for s in strings])
    write_ids("small.specials.ids", [ids_of(tok, s, True) for s in strings])


# Conversations --------------------------------------------------------------------------------------

# What Llama 3.2's published template renders without tools.
LLAMA3_TEMPLATE = """{{- bos_token + "<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n" }}
{{- "Today Date: 26 Jul 2024\n\n" }}
{%- for message in messages %}
    {%- if loop.first and message.role == "system" %}
        {{- message.content | trim + "<|eot_id|>" }}
    {%- else %}
        {{- "<|eot_id|>" if loop.first else "" }}
        {{- "<|start_header_id|>" + message.role + "<|end_header_id|>\n\n" + message.content | trim + "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{{- "<|start_header_id|>assistant<|end_header_id|>\n\n" if add_generation_prompt else "" }}"""


def conversations(n, seed):
    r = random.Random(seed)
    names = ["<|im_start|>", "<|im_end|>", "<|eot_id|>", "<|start_header_id|>", "<|endoftext|>", "<tool_call>"]
    edges = ["", "", "", " ", "\n", "\n\n", "  ", "\t", "\u3000", "\x1c", "\x85", "\ufeff", "\u0301"]
    out = [[{"role": "user", "content": "Hi"}], [{"role": "system", "content": ""}, {"role": "user", "content": ""}],
           [{"role": "assistant", "content": "first"}, {"role": "system", "content": " late system "}]]
    for _ in range(n):
        roles = (["system"] if r.random() < 0.5 else []) + ["user", "assistant"] * r.randint(1, 3)
        roles = roles[: r.randint(1, len(roles))]
        out.append([])
        for role in roles:
            parts = [r.choice(ATOMS)(r) if r.random() < 0.8 else r.choice(names) for _ in range(r.randint(1, 8))]
            out[-1].append({"role": role, "content": r.choice(edges) + "".join(parts).replace("\0", "") + r.choice(edges)})
    return out


def chat_ids(tok, template, messages, prompt):
    """Ids of the rendered conversation; special tokens that a content names stay text."""
    mark = "\U000f1234"  # breaks names inside contents until the template's own tokens are found
    cut = lambda s: s.replace("<", "<" + mark)
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    text = env.from_string(template).render(
        messages=[{**m, "content": cut(m["content"])} for m in messages], bos_token="<|begin_of_text|>", add_generation_prompt=prompt)
    ids = []
    for part in re.split(r"(<\|[a-z_]+\|>)", text):
        if re.fullmatch(r"<\|[a-z_]+\|>", part):
            ids.append(tok.token_to_id(part))
        elif part:
            ids += ids_of(tok, part.replace(mark, ""))
    return ids


def write_chats(toks, templates):
    chats = conversations(200, 4)
    with open(os.path.join(HERE, "chats.json"), "w") as f:
        json.dump(chats, f, ensure_ascii=True, indent=0)
    for name, template in templates.items():
        write_ids(f"chats.{name}.ids", [chat_ids(toks[name], template, m, p) for m in chats for p in (False, True)])


def unicode_properties():
    """Members of each property (count, SHA-256 of them as little-endian uint32), and of each mapping the
    SHA-256 of its UTF-8 results for all code points but surrogates, one after the other."""
    sys.path.insert(0, os.path.join(HERE, "../../../base"))
    import unicode_tables as tables
    from tokenizers import normalizers as N
    with open(os.path.join(HERE, "unicode.tsv"), "w") as f:
        for name, members in tables.properties(set())[:-1]:
            packed = struct.pack(f"<{len(members)}I", *sorted(members))
            f.write(f"{name}\t{len(members)}\t{hashlib.sha256(packed).hexdigest()}\n")
        for name, step in (("lower", N.Lowercase()), ("nfd", N.NFD()), ("nfc", N.NFC())):
            text = "".join(step.normalize_str(chr(c)) for c in tables.ALL)
            f.write(f"{name}\t{len(text)}\t{hashlib.sha256(text.encode()).hexdigest()}\n")


def main():
    unicode_properties()
    smollm2, smollm2_template = from_gguf(os.path.join(MODELS, "smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf"), digits_then_gpt2())
    qwen2, qwen2_template = from_gguf(os.path.join(MODELS, "qwen2.5-1.5b/Qwen2.5-Coder-1.5B-Instruct-Q4_K_M.gguf"),
                                      split_then_bytes(QWEN2), normalizers.NFC())
    toks = {"llama3": llama3(os.path.join(SHARED, "data/tokenizer/llama3/tokenizer.model")), "smollm2": smollm2,
            "qwen2": qwen2, "wordpiece": wordpiece(os.path.join(MODELS, "minilm-l6/tokenizer.json"))}
    if len(sys.argv) > 3:  # whole tokenizer.json files, for a check by hand of that loader at full size
        for name in ("llama3", "smollm2", "qwen2"):
            os.makedirs(os.path.join(sys.argv[3], name), exist_ok=True)
            toks[name].save(os.path.join(sys.argv[3], name, "tokenizer.json"))
    strings = random_strings(4000, 1)
    write_strings("random.strings", strings)
    for name, tok in toks.items():
        write_ids(f"random.{name}.ids", [ids_of(tok, s) for s in strings])
    specials = special_strings(["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<tool_call>", "</tool_call>", "<file_sep>", "<|eot_id|>",
                                "<|begin_of_text|>", "<|reserved_special_token_1|>", "<|reserved_special_token_10|>"], 300, 2)
    write_strings("specials.strings", specials)
    for name in ("llama3", "smollm2", "qwen2"):
        write_ids(f"specials.{name}.plain.ids", [ids_of(toks[name], s) for s in specials])
        write_ids(f"specials.{name}.specials.ids", [ids_of(toks[name], s, True) for s in specials])
    nfc = [unicodedata.normalize("NFC", s) for s in strings]
    library = [normalizers.NFC().normalize_str(s) for s in strings]
    print("NFC of unicodedata differs from the library's in", sum(a != b for a, b in zip(nfc, library)), "strings")
    write_strings("random.nfc", library)
    pieces()
    small_json()
    write_chats(toks, {"llama3": LLAMA3_TEMPLATE, "smollm2": smollm2_template, "qwen2": qwen2_template})
    real_texts(toks)
    print("tokenizers", tokenizers.__version__, "gguf", version("gguf"), "python", sys.version.split()[0])


if __name__ == "__main__":
    main()
