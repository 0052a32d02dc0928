#!/usr/bin/env python3
"""Golden gradients by torch's autograd in float64, for tests/unit/generate/test_soft_pass_golden.c.

    python generate.py soft-pass    a linear loss of the last hidden states, by what the prefix's keys are kept to
    python generate.py distill      what questions lose when heads evict, by the heads' weights and biases

The model is transformers' Qwen2 with random weights. Prefix and pieces are one sequence, computed at once; where a
row stands is in its position, what it sees and how much of it is in an additive mask [n_kv_heads, n, n] of every
layer, and nothing else is done to the model:
    prefix to prefix   0, causal; keys that heads evicted, beyond the window: -inf
    piece to prefix    log p of every key, which gradients flow to; keys that are not there: -inf
    piece to piece     0, causal, its own only

Writes <case>.json (ids, pieces, versions) and <case>.bin, f32, little endian:
    soft-pass   hidden[n_rows][d_model], before the final norm; grad[n_layers * n_kv_heads][n_prefix]
    distill     grad[n_layers * n_kv_heads][d_model], bias_grad[n_layers * n_kv_heads]
All weights and numbers put in follow from names, as in ../logits/generate.py (random_tensor).
"""
import importlib.util
import json
import pathlib
import sys

import torch
import transformers

spec = importlib.util.spec_from_file_location(
    "golden_logits", pathlib.Path(__file__).resolve().parent.parent / "logits" / "generate.py")
golden_logits = importlib.util.module_from_spec(spec)
spec.loader.exec_module(golden_logits)

N_LAYERS, N_KV, GROUP, HEAD_DIM, D_MODEL, N_VOCAB, GAIN = 3, 2, 3, 16, 96, 200, 4
N_LISTS = N_LAYERS * N_KV
# A list of more keys than one unit of the gradient sums (256), and shorter ones.
N_PREFIX = 320
CASES = {
    "soft-pass": dict(pieces=[1, 17, 33, 13], whole=2),
    "distill": dict(pieces=[13, 7, 20, 16], judged=[5, 1, 9, 16], window=40, keep=0.35, temperature=1.5),
}


def random(name, shape, scale):
    """scale: a power of two; int8 times that."""
    return golden_logits.random_tensor(name, shape).double() * 2**12 * scale


def random_model():
    """With this base all of RoPE's frequencies are powers of two and all angles exact, whoever computes them."""
    config = transformers.Qwen2Config(
        vocab_size=N_VOCAB, hidden_size=D_MODEL, intermediate_size=160, num_hidden_layers=N_LAYERS,
        num_attention_heads=GROUP * N_KV, num_key_value_heads=N_KV, tie_word_embeddings=False, rms_norm_eps=1e-5,
        max_position_embeddings=512, rope_parameters={"rope_type": "default", "rope_theta": 256.0})
    model = transformers.Qwen2ForCausalLM(config)
    assert model.model.rotary_emb.inv_freq.tolist() == [2.0**-i for i in range(HEAD_DIM // 2)]
    with torch.no_grad():
        for name, p in model.named_parameters():
            w = golden_logits.random_tensor(name, tuple(p.shape))
            p.copy_(w if "norm" in name else w * GAIN)
    return model.double().eval().requires_grad_(False)


def open_where(seen):
    """A mask for scores: 0 there, -inf elsewhere."""
    return torch.zeros(seen.shape, dtype=torch.double).masked_fill(~seen, float("-inf"))


class Text:
    """A prefix with pieces behind it."""

    def __init__(self, model, pieces):
        self.model = model
        self.ids = [b % 256 % N_VOCAB for b in random("ids", (N_PREFIX + sum(pieces),), 1).long().tolist()]
        self.piece = torch.repeat_interleave(torch.arange(len(pieces)), torch.tensor(pieces))
        self.position = torch.cat([torch.arange(N_PREFIX)] + [N_PREFIX + torch.arange(n) for n in pieces])
        self.decide = self.log_keep = None
        transformers.AttentionInterface.register("with_soft_keys", self.attend)
        model.config._attn_implementation = "with_soft_keys"
        model.model.norm.register_forward_pre_hook(self.keep_last)
        for layer in model.model.layers:
            layer.self_attn.q_proj.register_forward_pre_hook(self.keep_input)

    def keep_last(self, module, args):
        self.last = args[0][0, N_PREFIX:]

    def keep_input(self, module, args):
        self.inputs.append(args[0][0, :N_PREFIX])

    def mask(self, layer):
        age = torch.arange(N_PREFIX)[:, None] - torch.arange(N_PREFIX)[None, :]
        seen = (age >= 0).expand(N_KV, -1, -1)
        if self.decide:
            seen = seen & self.decide(layer, age, self.inputs[layer])
        n = len(self.piece)
        own = (self.piece[:, None] == self.piece[None, :]).tril()
        past = self.log_keep[layer * N_KV:(layer + 1) * N_KV, None, :].expand(-1, n, -1)
        later = open_where(torch.zeros(N_KV, N_PREFIX, n, dtype=torch.bool))
        return torch.cat([torch.cat([open_where(seen), later], 2),
                          torch.cat([past, open_where(own).expand(N_KV, -1, -1)], 2)], 1)

    def attend(self, module, query, key, value, attention_mask, scaling, **kwargs):
        k, v = (x.repeat_interleave(GROUP, 1) for x in (key, value))
        scores = query @ k.transpose(2, 3) * scaling + self.mask(module.layer_idx).repeat_interleave(GROUP, 0)
        return (scores.softmax(-1) @ v).transpose(1, 2), None

    def run(self, log_keep, decide=None):
        """log_keep [n_lists, n_prefix]. The last hidden states of the pieces' rows; logits are at hand."""
        self.log_keep, self.decide, self.inputs = log_keep, decide, []
        out = self.model(torch.tensor([self.ids]), position_ids=self.position[None], use_cache=False)
        self.logits = out.logits[0, N_PREFIX:]
        assert self.last.dtype == torch.float64 and torch.isfinite(self.logits).all()
        return self.last


def soft_pass(case, text):
    """Lists have between two thirds of the keys and all; those of one list are kept whole."""
    t = torch.arange(N_PREFIX)
    there = torch.stack([(7 * t + i) % (i + 3) != 0 for i in range(N_LISTS)])
    log_keep = -random("kept", (N_LISTS, N_PREFIX), 1 / 16).abs()
    log_keep[case["whole"]] = 0
    log_keep.requires_grad_()
    hidden = text.run(log_keep.masked_fill(~there, float("-inf")))
    (hidden * random("loss", tuple(hidden.shape), 1 / 256)).sum().backward()
    return {"n_keys": there.sum(1).tolist()}, [hidden.detach(), log_keep.grad]


class Heads:
    """Linear eviction heads: a logit above an offset evicts. Only keys beyond the window can go."""

    def __init__(self, case):
        self.c = case
        self.n_far = N_PREFIX - case["window"]
        self.w = random("heads", (N_LISTS, D_MODEL), 1 / 512).requires_grad_()
        self.b = random("heads.bias", (N_LISTS,), 1 / 128).requires_grad_()
        self.margin = float("inf")

    def logits(self, layer, h):
        rows = slice(layer * N_KV, (layer + 1) * N_KV)
        return self.w[rows] @ h[:self.n_far].T + self.b[rows, None]

    def all_logits(self, inputs):
        return torch.cat([self.logits(layer, h.detach()) for layer, h in enumerate(inputs)])

    def cut(self, z):
        """With the offset that leaves so many keys, the last of them just stays."""
        self.hard = -torch.sort(z.flatten()).values[int(self.c["keep"] * z.numel()) - 1]

    def visible(self, layer, age, h):
        z = self.logits(layer, h) + self.hard
        self.margin = min(self.margin, z.abs().min().item())
        evicted = torch.zeros(N_KV, N_PREFIX, dtype=torch.bool)
        evicted[:, :self.n_far] = z > 0
        return (age <= self.c["window"]) | ~evicted[:, None, :]

    def gates(self, z):
        """Arguments of the sigmoids. The offset that makes these sum to `keep` of the keys by bisection; then a
        step of Newton's, which moves it no more but gives it its derivative (the implicit function's)."""
        excess = lambda offset: torch.sigmoid(-(z + offset) / self.c["temperature"]).sum() - self.c["keep"] * z.numel()
        low, high = -1e3, 1e3
        for _ in range(200):
            middle = (low + high) / 2
            low, high = (middle, high) if excess(middle) > 0 else (low, middle)
        offset = torch.tensor(high, dtype=torch.double, requires_grad=True)
        slope, = torch.autograd.grad(excess(offset), offset)
        return -(z + (high - excess(high) / slope)) / self.c["temperature"]


def distill(case, text):
    """Without noise: that is random."""
    heads = Heads(case)
    whole = torch.zeros(N_LISTS, N_PREFIX, dtype=torch.double)
    ends = torch.tensor(case["pieces"]).cumsum(0)
    judged = torch.cat([torch.arange(end - n, end) for end, n in zip(ends, case["judged"])])
    with torch.no_grad():
        text.run(whole)
        taught = text.logits[judged].log_softmax(-1)
        heads.cut(heads.all_logits(text.inputs))
        text.run(whole, heads.visible)
        kept = [h.clone() for h in text.inputs]
    x = heads.gates(heads.all_logits(kept))
    # Gates below -5 or so may be taken for closed; decisions shall not hang on rounding.
    assert x.min() > -4.75 and heads.margin > 1e-4
    with torch.no_grad():
        closed = torch.sigmoid(x).mean().item()
    text.run(torch.cat([torch.nn.functional.logsigmoid(x), whole[:, heads.n_far:]], 1), heads.visible)
    loss = (taught.exp() * (taught - text.logits[judged].log_softmax(-1))).sum(-1).mean()
    loss.backward()
    return ({"loss": loss.item(), "gates": [x.min().item(), closed, x.max().item()], "hard_offset": heads.hard.item(),
             "smallest_decision_margin": heads.margin}, [heads.w.grad, heads.b.grad])


def main():
    name, = sys.argv[1:]
    case = CASES[name]
    torch.set_num_threads(1)
    text = Text(random_model(), case["pieces"])
    more, arrays = {"soft-pass": soft_pass, "distill": distill}[name](case, text)
    with open(f"{name}.bin", "wb") as f:
        for x in arrays:
            assert torch.isfinite(x).all() and x.dtype == torch.float64
            f.write(x.numpy().astype("<f4").tobytes())
    meta = {
        "generator": "tests/golden/soft_pass/generate.py", "case": name, "n_prefix": N_PREFIX, **case, **more,
        "versions": dict(golden_logits.versions(), dtype="float64; norms and RoPE's table in float32"),
        "ids": text.ids,
    }
    with open(f"{name}.json", "w") as f:
        json.dump(meta, f)
        f.write("\n")
    print({k: v for k, v in meta.items() if k != "ids"}, [x.abs().amax(-1).tolist() for x in arrays[-2:]])


if __name__ == "__main__":
    main()
