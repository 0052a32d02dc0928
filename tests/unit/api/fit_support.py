"""Fits the weights of generate/citation.c's support_of to features of XQuAD answers.

    test_citation_quality --dump features.tsv && python fit_support.py features.tsv

Logistic regression by Newton's method (numpy 2.4.6). Prints the weights and, for some thresholds, what they
give on the questions that they were fitted on; test_citation_quality --all measures on the others.
"""

import sys

import numpy as np

rows = [line.split("\t") for line in open(sys.argv[1])]
question, kind, form = ([r[i] for r in rows] for i in range(3))
label = np.array([int(r[3]) for r in rows])
window, passage, numbers, asked, cosine, joined = np.array([[float(v) for v in r[4:]] for r in rows]).T

cases = {}  # one answer: the rows of its sources
for i, key in enumerate(zip(question, kind, form)):
    cases.setdefault(key, []).append(i)


def fit(design):
    weights = np.zeros(design.shape[1])
    for _ in range(60):
        p = 1 / (1 + np.exp(-design @ weights))
        gradient = design.T @ (p - label) + 1e-5 * len(label) * np.r_[0, weights[1:]]
        hessian = (design * (p * (1 - p))[:, None]).T @ design + 1e-6 * np.eye(len(weights))
        weights -= np.linalg.solve(hessian, gradient)
    return weights


for name, more in (("words", []), ("words and embeddings", [cosine, joined])):
    design = np.stack([np.ones(len(label)), window, passage, numbers, window * asked, *more], 1)
    weights = fit(design)
    support = 1 / (1 + np.exp(-design @ weights))
    print(name, dict(zip(("1", "window", "passage", "numbers", "asked", "cosine", "joined"), weights.round(2).tolist())))
    for threshold in (0.3, 0.4, 0.5, 0.6, 0.7):
        n, cited, right = {"P": 0, "A": 0, "W": 0}, {"P": 0, "A": 0, "W": 0}, 0
        for (_, k, _), members in cases.items():
            best = max(members, key=lambda i: support[i])
            n[k] += 1
            cited[k] += support[best] >= threshold
            right += k == "P" and support[best] >= threshold and label[best]
        print(f"  {threshold}: recall {right / n['P']:.3f} precision {right / max(cited['P'], 1):.3f} "
              f"absent {cited['A'] / n['A']:.3f} wrong {cited['W'] / n['W']:.3f}")
