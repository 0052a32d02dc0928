"""The official openai client against a running server: python openai_client.py URL CORPUS."""

import sys

import openai

url, corpus = sys.argv[1:3]
client = openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0)
question = [{"role": "user", "content": "What do adult frogs eat?"}]

models = [m.id for m in client.models.list()]
assert f"winnow/{corpus}" in models, models

whole = client.chat.completions.create(
    model=f"winnow/{corpus}", messages=question, max_tokens=60, temperature=0, seed=1)
message = whole.choices[0].message
assert message.role == "assistant" and message.content
assert whole.choices[0].finish_reason in ("stop", "length")
assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
assert any("insects" in a.cited_text for a in message.annotations), message.annotations

text, annotations, usage, reasons = "", [], [], []
for chunk in client.chat.completions.create(
        model=f"winnow/{corpus}", messages=question, max_tokens=60, temperature=0, seed=1,
        stream=True, stream_options={"include_usage": True}):
    if chunk.usage:
        assert chunk.choices == []
        usage.append(chunk.usage)
        continue
    delta = chunk.choices[0].delta
    text += delta.content or ""
    annotations += getattr(delta, "annotations", None) or []
    reasons += [chunk.choices[0].finish_reason] if chunk.choices[0].finish_reason else []
assert text == message.content, (text, message.content)
assert len(usage) == 1 and len(reasons) == 1
assert usage[0].completion_tokens == whole.usage.completion_tokens
assert len(annotations) == len(message.annotations)

plain = client.chat.completions.create(
    model=models[0], messages=[{"role": "system", "content": "Be brief."}, *question],
    max_completion_tokens=8, stop=["\n\n"], top_p=0.9, seed=3)
assert plain.usage.completion_tokens <= 8
again = client.chat.completions.create(
    model=models[0], messages=[{"role": "system", "content": "Be brief."}, *question],
    max_completion_tokens=8, stop=["\n\n"], top_p=0.9, seed=3)
assert again.choices[0].message.content == plain.choices[0].message.content

# The client asks for base64 by itself and turns it into floats.
vectors = client.embeddings.create(model=models[1], input=["frogs eat insects", "tax law"])
plain_vectors = client.embeddings.create(
    model=models[1], input=["frogs eat insects", "tax law"], encoding_format="float")
assert len(vectors.data) == 2 and vectors.usage.prompt_tokens > 0
for a, b in zip(vectors.data, plain_vectors.data):
    assert abs(sum(x * x for x in a.embedding) - 1) < 1e-3
    assert max(abs(x - y) for x, y in zip(a.embedding, b.embedding)) < 1e-6

for kind, arguments in [
        (openai.NotFoundError, {"model": "gpt-4"}),
        (openai.NotFoundError, {"model": "winnow/none"}),
        (openai.BadRequestError, {"model": f"winnow/{corpus}", "n": 2}),
        (openai.BadRequestError, {"model": f"winnow/{corpus}", "temperature": 9})]:
    try:
        client.chat.completions.create(messages=question, **arguments)
    except kind as e:
        assert e.body["message"] and e.param, e.body
    else:
        raise AssertionError(f"{arguments} was accepted")
print("openai client", openai.__version__, "ok:", len(annotations), "annotations")
