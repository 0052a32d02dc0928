"""Golden vectors of the embedder's tests.

    python make_embed_golden.py MINILM_DIR SCIFACT_DIR

minilm_passages.f16   float16 [200][384]: the first 200 SciFact abstracts, text = title + " " + text
minilm_queries.f16    float16 [20][384]: the first 20 SciFact queries
minilm_tokens.txt     tokens of each of the 200 passages before the cut, specials included
tiny_cls/             a seeded random BERT of 2 layers in the shape of bge (CLS pooling, query prefix,
                      tensor names with "bert.", F16 weights, at most 48 tokens) with its vocabulary
tiny_cls.json         texts and the vectors that transformers gives for them (f32, from the F16 weights)
versions.txt          what made them
"""

import json
import platform
import sys
from pathlib import Path

import numpy as np
import sentence_transformers
import tokenizers
import torch
import transformers
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from transformers import BertConfig, BertModel

HERE = Path(__file__).parent
PREFIX = "Represent this sentence for searching relevant passages: "


def minilm(model_dir, scifact):
    model = SentenceTransformer(model_dir, device="cpu")
    model.max_seq_length = 256
    rows = [json.loads(line) for line in open(f"{scifact}/corpus.jsonl", encoding="utf-8")][:200]
    texts = [f"{r['title']} {r['text']}" for r in rows]
    queries = [json.loads(line)["text"] for line in open(f"{scifact}/queries.jsonl", encoding="utf-8")][:20]
    for name, batch in (("passages", texts), ("queries", queries)):
        vectors = model.encode(batch, normalize_embeddings=True, batch_size=8)
        vectors.astype("<f2").tofile(HERE / f"minilm_{name}.f16")
    fast = tokenizers.Tokenizer.from_file(f"{model_dir}/tokenizer.json")
    fast.no_truncation()
    fast.no_padding()
    lens = [len(fast.encode(t).ids) for t in texts]
    (HERE / "minilm_tokens.txt").write_text("".join(f"{n}\n" for n in lens))
    print(f"{sum(n > 256 for n in lens)} of {len(lens)} passages are longer than 256 tokens")


def tiny_vocabulary():
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    words = "the of and in to a is for with sentence represent this searching relevant passages cell protein".split()
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *".,:;!?()-'\""] + sorted(
        set(letters) | set(words)) + [f"##{c}" for c in letters] + ["##ing", "##ed"]


def tiny():
    out = HERE / "tiny_cls"
    (out / "1_Pooling").mkdir(parents=True, exist_ok=True)
    vocab = tiny_vocabulary()
    (out / "vocab.txt").write_text("".join(f"{w}\n" for w in vocab))
    config = dict(model_type="bert", hidden_act="gelu", hidden_size=48, num_hidden_layers=2,
                  num_attention_heads=4, intermediate_size=96, vocab_size=len(vocab),
                  max_position_embeddings=64, type_vocab_size=2, layer_norm_eps=1e-12,
                  position_embedding_type="absolute", _name_or_path="BAAI_bge-small-en")
    (out / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    (out / "tokenizer_config.json").write_text('{"do_lower_case": true}\n')
    (out / "sentence_bert_config.json").write_text('{"max_seq_length": 48, "do_lower_case": true}\n')
    (out / "1_Pooling/config.json").write_text(json.dumps(
        dict(word_embedding_dimension=48, pooling_mode_cls_token=True,
             pooling_mode_mean_tokens=False)) + "\n")
    torch.manual_seed(20240607)
    model = BertModel(BertConfig(**config, attn_implementation="eager")).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():  # spread out, so that every term matters
            p.copy_((torch.randn_like(p) * (0.3 if p.dim() > 1 else 0.2)).half().float())
            if name.endswith("LayerNorm.weight"):
                p.add_(1.0).copy_(p.half().float())
    save_file({f"bert.{k}": v.half().contiguous() for k, v in model.state_dict().items()
               if not k.endswith("position_ids")}, out / "model.safetensors")
    tokenizer = tokenizers.BertWordPieceTokenizer(str(out / "vocab.txt"), lowercase=True)
    texts = ["The cell is a protein.", "", "Searching 42 passages!", "word " * 60, "a",
             "Mitochondria, and the rest of it: (x-ray) 'quoted'."]
    queries = ["what is a cell?", "proteins"]
    cases = []
    for role, text in [("passage", t) for t in texts] + [("query", q) for q in queries]:
        full = PREFIX + text if role == "query" else text
        ids = tokenizer.encode(full).ids
        ids = ids if len(ids) <= 48 else ids[:47] + ids[-1:]
        with torch.no_grad():
            hidden = model(input_ids=torch.tensor([ids])).last_hidden_state[0, 0].double()
        vector = (hidden / hidden.norm()).tolist()
        cases.append(dict(role=role, text=text, n_tokens=len(ids),
                          vector=[round(v, 7) for v in vector]))
    (HERE / "tiny_cls.json").write_text(json.dumps(cases, indent=0) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(2)
    minilm(sys.argv[1], sys.argv[2])
    tiny()
    (HERE / "versions.txt").write_text("".join(
        f"{m.__name__} {m.__version__}\n"
        for m in (sentence_transformers, transformers, tokenizers, torch, np)) +
        f"python {platform.python_version()}\n")
