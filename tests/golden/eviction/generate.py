#!/usr/bin/env python3
"""Golden logits and decisions of models with eviction heads, from Hugging Face transformers in float64, for
tests/unit/generate/test_eviction_golden.c.

    python generate.py linear SMOLLM2.gguf TEXT         random Llama (rope scaling, grouped heads), side-car heads
    python generate.py borrowed SMOLLM2.gguf TEXT       the same (but for RoPE), heads in q_proj: decision by the
                                                        token itself, channel cleared before RoPE
    python generate.py borrowed-next SMOLLM2.gguf TEXT  decision by the next token, channel cleared after RoPE
    python generate.py smollm2-135m SMOLLM2.gguf TEXT   the real model, dequantised by gguf-py, side-car heads

All tokens are computed at once and every key is there: what a head must not see is in the additive mask
[1, n_heads, n, n] that its attention gets, and nothing else is done to the model. Key k is visible to query q
iff k <= q and (q - k <= window or k is not evicted).

Writes <case>.json and <case>.bin as ../logits/generate.py does, and behind its numbers one byte a decision,
u8 evict[n_layers][n_kv_heads][n]. Weights of side-car heads follow from their names, as the random model's do;
their biases are in the JSON file, each put into a wide gap between two tokens' logits, so that no decision
hangs on rounding.
"""
import importlib.util
import json
import pathlib
import sys

import torch
import transformers
from transformers.models.llama.modeling_llama import eager_attention_forward

spec = importlib.util.spec_from_file_location(
    "golden_logits", pathlib.Path(__file__).resolve().parent.parent / "logits" / "generate.py")
golden_logits = importlib.util.module_from_spec(spec)
spec.loader.exec_module(golden_logits)

N_COLUMNS, N_VOCAB, GAIN, HEADS_GAIN = 32, 512, 2, 64
CASES = {
    "linear": dict(kind="linear", window=33, shift=1),
    "borrowed": dict(kind="borrowed", window=64, shift=0, after_rope=False, scale=100.0, offset=-75.0),
    "borrowed-next": dict(kind="borrowed", window=17, shift=1, after_rope=True, scale=50.0, offset=-30.0),
    "smollm2-135m": dict(kind="linear", window=64, shift=0),
}


def random_model(case):
    """Llama 3.2 in small: 4 query heads share a KV head of 64 channels. The last channel, where borrowed heads
    are, turns slowest; with Llama's frequencies it would not matter here whether it is cleared before or after
    RoPE, so their models have others."""
    rope = golden_logits.LLAMA3_ROPE if case["kind"] == "linear" else {"rope_type": "default", "rope_theta": 100.0}
    config = transformers.LlamaConfig(
        vocab_size=N_VOCAB, hidden_size=512, intermediate_size=1024, num_hidden_layers=3,
        num_attention_heads=8, num_key_value_heads=2, head_dim=64, tie_word_embeddings=True, rms_norm_eps=1e-5,
        max_position_embeddings=131072, rope_parameters=dict(rope))
    model = transformers.LlamaForCausalLM(config)
    with torch.no_grad():
        for name, p in model.named_parameters():
            w = golden_logits.random_tensor(name, tuple(p.shape))
            p.copy_(w if "norm" in name else w * GAIN)
    return model


class Heads:
    """The eviction heads of a model; `evict` fills up layer by layer while the model runs."""

    def __init__(self, model, case):
        self.c = case
        self.n_kv = model.config.num_key_value_heads
        self.group = model.config.num_attention_heads // self.n_kv
        self.head_dim = model.config.head_dim or model.config.hidden_size // model.config.num_attention_heads
        self.evict, self.bias, self.margin = [], [], float("inf")
        for layer in model.model.layers:
            attention = layer.self_attn
            if case["kind"] == "linear":
                attention.register_forward_pre_hook(self.read_hidden, with_kwargs=True)
            else:
                attention.q_proj.register_forward_hook(self.read_query)

    def decide(self, z):
        """z [n_kv, n]: the logit of token t is about token t - shift."""
        shift, n = self.c["shift"], z.shape[1]
        self.margin = min(self.margin, z.abs().min().item())
        e = torch.zeros(self.n_kv, n, dtype=torch.bool)
        e[:, :n - shift] = z[:, shift:] > 0
        self.evict.append(e)

    def read_hidden(self, attention, args, kwargs):
        x = kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]
        name = f"layers.{attention.layer_idx}.weight"
        w = golden_logits.random_tensor(name, (self.n_kv, x.shape[-1])).double() * HEADS_GAIN
        z = w @ x[0].T
        bias = torch.tensor([self.gap(row, len(self.bias) + i) for i, row in enumerate(z)])
        self.bias += bias.tolist()
        self.decide(z + bias.double()[:, None])

    @staticmethod
    def gap(z, i):
        """Minus the middle of the widest gap between logits near a quantile of this head's: 45 to 90 % go."""
        share, n = 0.45 + 0.45 * (i * 0.618 % 1), len(z)
        s = torch.sort(z).values
        first = int((1 - share) * n) - n // 40
        at = max(first, 0) + int(torch.argmax(torch.diff(s[max(first, 0):first + n // 20])))
        return -((s[at] + s[at + 1]) / 2).float().item()

    def channel(self, q):
        """q [..., n_heads, head_dim]: the last channel of every group's first head."""
        return q[..., ::self.group, self.head_dim - 1]

    def read_query(self, module, args, out):
        q = out.clone().view(*out.shape[:-1], -1, self.head_dim)
        self.decide((self.c["scale"] * self.channel(q) - self.c["offset"])[0].T)
        if not self.c["after_rope"]:
            self.channel(q).zero_()
        return q.view(out.shape)

    def attend(self, module, query, key, value, attention_mask, scaling, dropout=0.0, **kwargs):
        """transformers' own attention with the heads' mask in place of the causal one."""
        n = query.shape[2]
        age = torch.arange(n)[:, None] - torch.arange(n)[None, :]
        seen = (age >= 0) & ((age <= self.c["window"]) | ~self.evict[module.layer_idx][:, None, :])
        mask = torch.zeros(self.n_kv, n, n, dtype=query.dtype).masked_fill(~seen, float("-inf"))
        if self.c.get("after_rope"):
            query = query.clone()
            self.channel(query.transpose(1, 2)).zero_()
        return eager_attention_forward(module, query, key, value, mask.repeat_interleave(self.group, 0)[None],
                                       scaling, dropout, **kwargs)


def write(name, case, heads, ids, logits, text_path):
    columns = [(i * 2654435761 + 12345) % logits.shape[1] for i in range(N_COLUMNS)]
    evict = torch.stack(heads.evict)
    top = torch.topk(logits, 2).values
    with open(f"{name}.bin", "wb") as f:
        f.write(logits.argmax(-1).numpy().astype("<i4").tobytes())
        for x in (top[:, 0], torch.logsumexp(logits, -1), logits[:, columns]):
            f.write(x.numpy().astype("<f4").tobytes())
        f.write(evict.numpy().astype("u1").tobytes())
    meta = {
        "generator": "tests/golden/eviction/generate.py", "case": name, "text": text_path.rsplit("/", 1)[-1],
        "n": len(ids), "n_columns": N_COLUMNS, "n_vocab": logits.shape[1], "heads": case,
        "evicted_share": evict.double().mean().item(), "smallest_decision_margin": heads.margin,
        "smallest_margin": (top[:, 0] - top[:, 1]).min().item(),
        "versions": dict(golden_logits.versions(), dtype="float64, eager attention, its softmax in float32"),
        "columns": columns, "bias": heads.bias, "ids": ids,
    }
    with open(f"{name}.json", "w") as f:
        json.dump(meta, f)
        f.write("\n")
    print({k: v for k, v in meta.items() if k not in ("columns", "bias", "ids")})


def main():
    name, gguf_path, text_path = sys.argv[1:]
    case = CASES[name]
    torch.set_num_threads(1)
    ids = golden_logits.text_ids(gguf_path, text_path)
    if name == "smollm2-135m":
        model = golden_logits.gguf_model(golden_logits.gguf.GGUFReader(gguf_path))
    else:
        ids = [i % N_VOCAB for i in ids]
        model = random_model(case)
    model = model.double().eval()
    heads = Heads(model, case)
    transformers.AttentionInterface.register("masked_by_heads", heads.attend)
    model.config._attn_implementation = "masked_by_heads"
    with torch.no_grad():
        logits = model(torch.tensor([ids]), use_cache=False).logits[0]
    assert torch.isfinite(logits).all() and logits.dtype == torch.float64
    assert len(heads.evict) == model.config.num_hidden_layers and heads.margin > 1e-3
    write(name, case, heads, ids, logits, text_path)


if __name__ == "__main__":
    main()
