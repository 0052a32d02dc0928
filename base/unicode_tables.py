#!/usr/bin/env python3
"""Writes base/unicode_tables.c.

The tokenizers of the models were trained with, and are measured against, the `tokenizers` library, whose
tables come from several Unicode versions at once (regex engine, Rust's std, two older crates). So every
table here is asked of that library itself, code point by code point; Python's unicodedata only names the
candidates for canonical composition.

    python base/unicode_tables.py > base/unicode_tables.c     # needs: pip install tokenizers
"""
import sys
import unicodedata

import tokenizers
from tokenizers import Regex, normalizers as N, pre_tokenizers as P

ALL = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
BLOCK = 128


def matches(pattern):
    """Code points that the library's regex engine lets `pattern` match."""
    split = P.Split(Regex(pattern), "removed")
    out = set()
    for i in range(0, len(ALL), 4096):
        chunk = ALL[i : i + 4096]
        kept = set()
        for _, (a, b) in split.pre_tokenize_str("".join(map(chr, chunk))):
            kept.update(range(a, b))
        out.update(c for j, c in enumerate(chunk) if j not in kept)
    return out


def bert(**on):
    args = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return N.BertNormalizer(**{**args, **on}).normalize_str


def properties(unstable):
    digits, punct = P.Digits(individual_digits=True), P.BertPreTokenizer()
    clean, strip = bert(clean_text=True), bert(strip_accents=True)
    ascii_symbols = set(map(ord, "$+<=>^`|~"))  # BERT's punctuation, but not \p{P}
    keep = {0x9, 0xA, 0xD}  # controls that clean_text turns into spaces
    return [
        ("LETTER", matches(r"\p{L}")),
        ("NUMBER", matches(r"\p{N}")),
        ("SPACE", matches(r"\s")),
        ("DIGIT", {c for c in ALL if len(digits.pre_tokenize_str("a" + chr(c))) == 2}),
        ("MARK", {c for c in ALL if strip("a" + chr(c)) == "a"}),
        ("PUNCT", {c for c in ALL if len(punct.pre_tokenize_str(f"a{chr(c)}b")) == 3} - ascii_symbols),
        ("CONTROL", {c for c in ALL if clean(f"a{chr(c)}b") == "ab"} - {0xFFFD} | keep),
        ("UNSTABLE", unstable),
    ]


def numbers(name, ctype, values, per_line, form):
    print(f"const {ctype} {name}[{len(values)}] = {{")
    for i in range(0, len(values), per_line):
        print("    " + ", ".join(form(v) for v in values[i : i + per_line]) + ",")
    print("};\n")


def two_stage(props):
    flags = bytearray(0x110000)
    for bit, (_, members) in enumerate(props):
        for c in members:
            flags[c] |= 1 << bit
    blocks, index = {}, []
    for i in range(0, 0x110000, BLOCK):
        index.append(blocks.setdefault(bytes(flags[i : i + BLOCK]), len(blocks)))
    assert len(blocks) < 0x10000
    numbers("wn_unicode_index", "uint16_t", index, 24, str)
    numbers("wn_unicode_blocks", "uint8_t", list(b"".join(blocks)), 32, str)


def combining_classes(nfd):
    """Classes as the library orders them: c > k exactly when nfd(c + rep_k) swaps the two."""
    old = unicodedata.ucd_3_2_0
    reps = {}
    for c in ALL:
        k = old.combining(chr(c))
        if k and old.combining(chr(c)) == unicodedata.combining(chr(c)) and nfd(chr(c)) == chr(c):
            reps.setdefault(k, chr(c))
    known = sorted(reps)
    first, last = reps[known[0]], reps[known[-1]]
    out = {}
    for c in ALL:
        x = chr(c)
        if nfd(x) != x or (nfd(x + first) == x + first and nfd(last + x) == last + x):
            continue
        greater = [k for k in known if nfd(x + reps[k]) != x + reps[k]]
        i = known.index(greater[-1]) + 1 if greater else 0
        k = unicodedata.combining(x)
        assert known[i] == k or (known[i] > k > (greater[-1] if greater else 0)), (hex(c), known[i], k)
        out[c] = k
    return out


def ranges(mapping):
    out = []
    for c in sorted(mapping):
        if out and out[-1][1] == c - 1 and out[-1][2] == mapping[c]:
            out[-1][1] = c
        else:
            out.append([c, c, mapping[c]])
    return out


def braces(values):
    return "{" + ", ".join(braces(v) if isinstance(v, tuple) else f"0x{v:X}" for v in values) + "}"


def structs(name, ctype, rows, per_line):
    print(f"const {ctype} {name}[{len(rows)}] = {{")
    for i in range(0, len(rows), per_line):
        print("    " + ", ".join(map(braces, rows[i : i + per_line])) + ",")
    print(f"}};\nconst size_t {name}_count = {len(rows)};\n")


def main():
    nfd, nfc, lower = N.NFD().normalize_str, N.NFC().normalize_str, N.Lowercase().normalize_str
    hangul = range(0xAC00, 0xAC00 + 11172)
    decomposed = {c: nfd(chr(c)) for c in ALL if c not in hangul and nfd(chr(c)) != chr(c)}
    rows = [(c, tuple([ord(x) for x in d] + [0] * (4 - len(d)))) for c, d in sorted(decomposed.items())]
    pairs = []
    for c in ALL:
        d = unicodedata.decomposition(chr(c))
        if d and not d.startswith("<") and len(d.split()) == 2:
            a, b = (int(x, 16) for x in d.split())
            if nfc(chr(a) + chr(b)) == chr(c):
                pairs.append((a, b, c))
    lowered = {c: lower(chr(c)) for c in ALL if lower(chr(c)) != chr(c)}
    wide = {c for c, low in lowered.items() if len(low) > 1}
    assert wide == {0x130}, wide  # the one that unicode.c handles by hand

    classes = combining_classes(nfd)
    jamo = set(range(0x1161, 0x1176)) | set(range(0x11A8, 0x11C3))
    seconds = {b for _, b, _ in pairs}
    changed = {c for c in ALL if nfc(chr(c)) != chr(c)}
    props = properties(changed | seconds | jamo | set(classes))
    print("/* Generated by base/unicode_tables.py; do not edit. Oracle: tokenizers", tokenizers.__version__)
    print(f" * (composition candidates from Python {sys.version.split()[0]},", end=" ")
    print(f"unicodedata {unicodedata.unidata_version}). */")
    print("/* clang-format off */")
    print('#include "base/unicode_tables.h"\n')
    two_stage(props)
    structs("wn_unicode_ccc", "wn_unicode_range", ranges(classes), 4)
    structs("wn_unicode_decomposed", "wn_unicode_expansion", rows, 3)
    structs("wn_unicode_pairs", "wn_unicode_pair", sorted(pairs), 4)
    single = [(c, ord(low)) for c, low in sorted(lowered.items()) if len(low) == 1]
    structs("wn_unicode_lowered", "wn_unicode_mapping", single, 6)


if __name__ == "__main__":
    main()
