"""Golden blocks for dequantisation: random bytes with finite scales, values by gguf.quants.dequantize.

    python make_dequant.py   # writes <TYPE>.blocks and <TYPE>.f32 beside itself

Random bytes reach every bit of a block; scales (f16) are kept finite, among them subnormal, negative
and zero ones. Deterministic: numpy's PCG64 with seed 7.
"""
import importlib.metadata
import pathlib
import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import quants

HERE = pathlib.Path(__file__).parent
# type -> (block bytes, offsets of its f16 numbers)
FORMATS = {"Q8_0": (34, [0]), "Q4_0": (18, [0]), "Q4_1": (20, [0, 2]), "Q4_K": (144, [0, 2]),
           "Q5_K": (176, [0, 2]), "Q6_K": (210, [208])}
N_BLOCKS = 12


def finite_f16(rng, n):
    bits = rng.integers(0, 1 << 16, n, dtype=np.uint16)
    bits[(bits & 0x7C00) == 0x7C00] ^= 0x4000
    bits[:4] = [0x0001, 0x8000, 0x83FF, 0x7BFF]  # smallest subnormal, -0, a subnormal, the largest
    return bits


def main():
    rng = np.random.default_rng(7)
    for name, (size, offsets) in FORMATS.items():
        blocks = rng.integers(0, 256, (N_BLOCKS, size), dtype=np.uint8)
        for offset in offsets:
            blocks[:, offset:offset + 2] = finite_f16(rng, N_BLOCKS).view(np.uint8).reshape(-1, 2)
        values = quants.dequantize(blocks, T[name]).astype("<f4")
        (HERE / f"{name}.blocks").write_bytes(blocks.tobytes())
        (HERE / f"{name}.f32").write_bytes(values.tobytes())
    versions = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in ("gguf", "numpy"))
    (HERE / "SOURCE").write_text(
        "Made by make_dequant.py (random blocks, seed 7; values by gguf.quants.dequantize).\n"
        "License of the data: ours.\n"
        f"Versions: {versions}.\n")


main()
