#!/usr/bin/env python3
"""Golden logits from Hugging Face transformers, float32, for tests/unit/generate/test_model_logits.c.

    python generate.py smollm2-135m MODEL.gguf TEXT        real model, dequantised by gguf-py
    python generate.py qwen2.5-1.5b MODEL.gguf TEXT        the same (6 GB of memory)
    python generate.py llama3.2-1b-random SMOLLM2.gguf TEXT   seeded checkpoint of the real shape, 2 layers
    python generate.py llama3.2-3b-random SMOLLM2.gguf TEXT   (ids: the text's by SmolLM2, modulo 4096)
    python generate.py greedy SMOLLM2.gguf PROMPT          greedy.json: prompt ids, up to 64 ids and text

Writes <case>.json (ids, columns, versions) and <case>.bin, little endian, for n positions:
    int32 argmax[n], f32 max[n], f32 logsumexp[n], f32 logits[n][n_columns]
The weights of random checkpoints follow from their names (see random_tensor), so that the test makes the
same files without storing them.
"""
import json
import sys

import gguf
import numpy as np
import torch
import transformers

N_POSITIONS, N_COLUMNS = 512, 64

LLAMA3_ROPE = {
    "rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
}
SHAPES = {
    "llama3.2-1b-random": dict(hidden_size=2048, num_attention_heads=32, num_key_value_heads=8,
                               head_dim=64, tie_word_embeddings=True),
    "llama3.2-3b-random": dict(hidden_size=3072, num_attention_heads=24, num_key_value_heads=8,
                               head_dim=128, tie_word_embeddings=False),
}


def random_tensor(name, shape):
    """int8 bytes of splitmix64(fnv1a64(name) + i * gamma), i = 1, 2 ..., times a power of two: exact in
    bf16, f16 and f32. Norm weights are 1 + (byte >> 2) / 64."""
    key = 0xCBF29CE484222325
    for b in name.encode():
        key = ((key ^ b) * 0x100000001B3) & (2**64 - 1)
    n = int(np.prod(shape))
    z = np.arange(1, (n + 7) // 8 + 1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        z = z * np.uint64(0x9E3779B97F4A7C15) + np.uint64(key)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    k = z.astype("<u8").view(np.int8)[:n]
    if "norm" in name:
        w = np.float32(1) + (k >> 2).astype(np.float32) / np.float32(64)
    else:
        e = 9 if "embed" in name else 10 if "lm_head" in name else 11 if "q_proj" in name or "k_proj" in name else 12
        w = k.astype(np.float32) * np.float32(2.0**-e)
    return torch.from_numpy(w.reshape(shape))


def random_model(case):
    config = transformers.LlamaConfig(
        vocab_size=4096, intermediate_size=8192, num_hidden_layers=2, rms_norm_eps=1e-5,
        max_position_embeddings=131072, rope_parameters=dict(LLAMA3_ROPE), **SHAPES[case])
    config._attn_implementation = "eager"
    model = transformers.LlamaForCausalLM(config)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(random_tensor(name, tuple(p.shape)))
    return model


def field(reader, key, default=None):
    f = reader.fields.get(key)
    return default if f is None else f.contents()


def unpermute(w, n_heads):
    """Converters store llama's q and k rows for interleaved rotary pairs; transformers wants halves."""
    rows = w.shape[0]
    return w.reshape(n_heads, rows // n_heads // 2, 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


HF_NAMES = {
    "token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight", "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def hf_name(name):
    if name in HF_NAMES:
        return HF_NAMES[name]
    _, layer, part, kind = name.split(".")
    return f"model.layers.{layer}.{HF_NAMES[part]}.{kind}"


def gguf_model(reader):
    arch = field(reader, "general.architecture")
    get = lambda key, default=None: field(reader, f"{arch}.{key}", default)
    names = {t.name for t in reader.tensors}
    cls, config_cls = {
        "llama": (transformers.LlamaForCausalLM, transformers.LlamaConfig),
        "qwen2": (transformers.Qwen2ForCausalLM, transformers.Qwen2Config),
    }[arch]
    config = config_cls(
        vocab_size=len(reader.fields["tokenizer.ggml.tokens"].data),
        hidden_size=get("embedding_length"), intermediate_size=get("feed_forward_length"),
        num_hidden_layers=get("block_count"), num_attention_heads=get("attention.head_count"),
        num_key_value_heads=get("attention.head_count_kv"),
        max_position_embeddings=get("context_length"),
        rms_norm_eps=get("attention.layer_norm_rms_epsilon"),
        rope_parameters={"rope_type": "default", "rope_theta": get("rope.freq_base")},
        tie_word_embeddings="output.weight" not in names)
    config._attn_implementation = "eager"
    with torch.device("meta"):
        model = cls(config)
    model = model.to_empty(device="cpu")
    model.tie_weights()
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    params = dict(model.named_parameters())
    left = set(params)
    with torch.no_grad():
        for t in reader.tensors:
            w = gguf.dequantize(t.data, t.tensor_type).astype(np.float32)
            part = t.name.split(".")[2] if t.name.startswith("blk.") else ""
            if arch == "llama" and part in heads:
                w = unpermute(w, heads[part])
            p = params[hf_name(t.name)]
            assert tuple(p.shape) == w.shape, (t.name, p.shape, w.shape)
            p.copy_(torch.from_numpy(np.ascontiguousarray(w)))
            left.discard(hf_name(t.name))
    assert not left, left
    # the rotary buffers were made on the meta device
    model.model.rotary_emb = type(model.model.rotary_emb)(config=config)
    return model


def text_ids(gguf_path, text_path):
    folder, file = gguf_path.rsplit("/", 1)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=file)
    text = open(text_path, encoding="utf-8").read(8000)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert len(ids) >= N_POSITIONS
    return ids[:N_POSITIONS]


def greedy(gguf_path, prompt):
    """Greedy continuation, for tests/unit/generate/test_generation.c."""
    folder, file = gguf_path.rsplit("/", 1)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=file)
    model = gguf_model(gguf.GGUFReader(gguf_path)).eval()
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    out, end = [], tokenizer.convert_tokens_to_ids("<|im_end|>")
    finish, margins = "length", []
    with torch.no_grad():
        step, past = ids, None
        while len(out) < 64:
            r = model(torch.tensor([step]), past_key_values=past, use_cache=True)
            top, past = torch.topk(r.logits[0, -1].float(), 2), r.past_key_values
            margins.append((top.values[0] - top.values[1]).item())
            if top.indices[0].item() == end:
                finish = "stop"
                break
            step = [top.indices[0].item()]
            out += step
    with open("greedy.json", "w") as f:
        json.dump({"generator": "tests/golden/logits/generate.py", "model": file, "prompt": prompt,
                   "smallest_margin": min(margins), "versions": versions(), "finish": finish,
                   "prompt_ids": ids, "ids": out, "text": tokenizer.decode(out)}, f)
        f.write("\n")
    print(finish, len(out), min(margins), repr(tokenizer.decode(out)))


def versions():
    return {"torch": torch.__version__, "transformers": transformers.__version__,
            "gguf": __import__("importlib.metadata").metadata.version("gguf"),
            "numpy": np.__version__, "dtype": "float32, eager attention"}


def main():
    case, gguf_path, text_path = sys.argv[1:]
    torch.set_num_threads(1)
    if case == "greedy":
        greedy(gguf_path, text_path)
        return
    ids = text_ids(gguf_path, text_path)
    if case in SHAPES:
        ids = [i % 4096 for i in ids]
        model = random_model(case)
    else:
        model = gguf_model(gguf.GGUFReader(gguf_path))
    with torch.no_grad():
        logits = model.eval()(torch.tensor([ids])).logits[0].float()
    assert torch.isfinite(logits).all()
    columns = [(i * 2654435761 + 12345) % logits.shape[1] for i in range(N_COLUMNS)]
    top = torch.topk(logits, 2).values
    margin = (top[:, 0] - top[:, 1]).min().item()
    with open(f"{case}.bin", "wb") as f:
        f.write(logits.argmax(-1).numpy().astype("<i4").tobytes())
        f.write(top[:, 0].numpy().astype("<f4").tobytes())
        f.write(torch.logsumexp(logits.double(), -1).numpy().astype("<f4").tobytes())
        f.write(logits[:, columns].numpy().astype("<f4").tobytes())
    meta = {
        "generator": "tests/golden/logits/generate.py", "case": case,
        "text": text_path.rsplit("/", 1)[-1], "n": len(ids), "n_columns": N_COLUMNS,
        "n_vocab": logits.shape[1], "smallest_margin": margin,
        "versions": versions(),
        "columns": columns, "ids": ids,
    }
    with open(f"{case}.json", "w") as f:
        json.dump(meta, f)
        f.write("\n")
    print(case, "logit range", logits.min().item(), logits.max().item(), "smallest margin", margin)


if __name__ == "__main__":
    main()
