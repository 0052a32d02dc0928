"""Writes qrels.tsv, run.tsv and expected.tsv: a small random collection with graded and negative gains,
score ties (also ties only at float precision), unjudged documents and queries without a hit, scored by
pytrec_eval. Run: python make_ir_golden.py   (pytrec-eval-terrier; version in SOURCE.txt)"""
import importlib.metadata
import os
import random

import pytrec_eval

HERE = os.path.dirname(os.path.abspath(__file__))
random.seed(20240607)
DEPTHS = {"ndcg": 10, "recall": 100, "mrr": 10}

qrels, run = {}, {}
for q in range(40):
    name = f"q{q}"
    docs = [f"d{n}" for n in random.sample(range(1000), 160)]
    judged = random.sample(docs, random.randint(1, 25))
    qrels[name] = {d: random.choice([-1, 0, 0, 1, 1, 2, 3]) for d in judged}
    if not any(g > 0 for g in qrels[name].values()):
        qrels[name][judged[0]] = 1
    kind = q % 4
    scores = {}
    for d in random.sample(docs, random.randint(1, 150)):
        if kind == 0:
            scores[d] = random.random()
        elif kind == 1:
            scores[d] = float(random.randint(0, 5))  # many ties
        elif kind == 2:
            scores[d] = 0.1 + random.randint(0, 40) * 1e-10  # ties as float, not as double
        else:
            scores[d] = random.uniform(-5, 5)
    run[name] = scores
run["q39"] = {"d-unjudged": 1.0}

measures = {"ndcg_cut.10", "recall.100", "map"}
full = pytrec_eval.RelevanceEvaluator(qrels, measures).evaluate(run)


def top(scores, k):
    """trec_eval's own order: float score falling, then name falling."""
    import struct

    as_float = lambda x: struct.unpack("f", struct.pack("f", x))[0]
    order = sorted(scores, key=lambda d: d.encode(), reverse=True)
    order.sort(key=lambda d: -as_float(scores[d]))
    return {d: scores[d] for d in order[:k]}


# recip_rank has no cutoff of its own: the run is cut instead.
cut = {q: top(s, DEPTHS["mrr"]) for q, s in run.items()}
mrr = pytrec_eval.RelevanceEvaluator(qrels, {"recip_rank"}).evaluate(cut)

with open(f"{HERE}/qrels.tsv", "w") as f:
    for q, judged in qrels.items():
        for d, g in judged.items():
            f.write(f"{q}\t{d}\t{g}\n")
with open(f"{HERE}/run.tsv", "w") as f:
    for q, scores in run.items():
        for d, s in scores.items():
            f.write(f"{q}\t{d}\t{s!r}\n")
with open(f"{HERE}/expected.tsv", "w") as f:
    for q in run:
        m = full[q]
        f.write(f"{q}\t{m['ndcg_cut_10']!r}\t{m['recall_100']!r}\t{mrr[q]['recip_rank']!r}\t{m['map']!r}\n")
with open(f"{HERE}/SOURCE.txt", "w") as f:
    f.write("Made by make_ir_golden.py with pytrec-eval-terrier "
            f"{importlib.metadata.version('pytrec-eval-terrier')}; random data, no licence.\n"
            "expected.tsv: query, ndcg_cut.10, recall.100, recip_rank of the first ten, map of the whole run.\n")
