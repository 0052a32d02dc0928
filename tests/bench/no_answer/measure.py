#!/usr/bin/env python3
"""When may winnow say "the documents do not say"? The best cosine and BM25 of questions that a corpus
answers (XQuAD, every 3rd) and of questions that it does not (Natural Questions over the XQuAD corpus, every
2nd), and the shares that a pair of thresholds refuses. Standard library only.

    measure.py WINNOW SHARED_DATA_DIR > no_answer.csv
"""
import json, math, os, re, subprocess, sys, tempfile, time, urllib.error, urllib.request

winnow, shared = sys.argv[1:3]
models = os.environ.get("WINNOW_DATA_DIR", os.path.expanduser("~/.local/share/winnow"))


def rows(path):
    with open(os.path.join(shared, path), encoding="utf-8") as f:
        return [json.loads(line) for line in f]


with tempfile.TemporaryDirectory() as work:
    for name in ("models", "lib"):
        os.symlink(os.path.join(models, name), os.path.join(work, name))
    docs = os.path.join(work, "docs")
    os.mkdir(docs)
    for row in rows("qa/xquad_en/passages.jsonl"):
        with open(os.path.join(docs, row["_id"] + ".md"), "w", encoding="utf-8") as f:
            f.write(f"# {row['title']}\n\n{row['text']}\n")
    base = [winnow]
    env = dict(os.environ, WINNOW_DATA_DIR=work)
    report = json.loads(subprocess.run(base + ["ingest", "--json", "--quiet", "--corpus", "xquad", docs],
                                       env=env, check=True, stdout=subprocess.PIPE).stdout)
    server = subprocess.Popen(base + ["serve", "--small", "--port", "0"], env=env,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        url = re.search(r"http://\S+", server.stdout.readline()).group(0).rstrip("/")

        while True:  # the models are still loading
            try:
                urllib.request.urlopen(url + "/readyz").close()
                break
            except urllib.error.HTTPError:
                time.sleep(0.2)

        def best(question):
            body = json.dumps({"query": question, "max_num_results": 20}).encode()
            with urllib.request.urlopen(urllib.request.Request(url + "/v1/corpora/xquad/search", data=body)) as r:
                hits = json.load(r)["data"]
            return (max([h["vector"]["score"] for h in hits if h.get("vector")] or [0]),
                    max([h["keyword"]["score"] for h in hits if h.get("keyword")] or [0]))

        answered = [best(r["question"]) for r in rows("qa/xquad_en/qa.jsonl")[::3]]
        foreign = [best(r["question"]) for r in rows("qa/nq_open_gold/qa.jsonl")[::2]]
    finally:
        server.terminate()
        server.wait()

scale = math.log(report["passages"] + 1)
print("cosine_below,rare_words_below,answerable_refused,unanswerable_refused,n_answerable,n_unanswerable")
for cosine in (0.25, 0.30, 0.35, 0.40, 0.45):
    for words in (1.5, 2.0, 2.5, 100):
        refused = [sum(c < cosine and k < words * scale for c, k in group) / len(group)
                   for group in (answered, foreign)]
        print(f"{cosine},{words},{refused[0]:.4f},{refused[1]:.4f},{len(answered)},{len(foreign)}")
