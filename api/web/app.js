"use strict";
/* The page: pick a corpus, add documents, ask, read the answer as it comes, look at its citations. All
 * text from the server enters the page through textContent. */
(() => {
  const $ = (id) => document.getElementById(id);
  let running = null; // AbortController of the question being answered

  // Requests ---------------------------------------------------------------------------------------
  function headers(extra) {
    const key = sessionStorage.getItem("winnow-key");
    return Object.assign(key ? { Authorization: "Bearer " + key } : {}, extra || {});
  }

  async function api(path, options) {
    const o = options || {};
    const response = await fetch(path, Object.assign({}, o, { headers: headers(o.headers) }));
    if (response.status === 401) $("key-form").hidden = false;
    if (response.ok) return response;
    let text = response.status + " " + response.statusText;
    try {
      text = (await response.json()).error.message;
    } catch (ignored) { /* not one of our errors */ }
    throw new Error(text);
  }

  function say(text) {
    $("status").textContent = text;
  }

  // Corpora ----------------------------------------------------------------------------------------
  async function loadCorpora(wanted) {
    const select = $("corpus");
    const list = await (await api("/v1/corpora?limit=100")).json();
    const chosen = wanted || select.value;
    select.replaceChildren();
    for (const corpus of list.data) {
      const option = document.createElement("option");
      option.value = corpus.id;
      option.textContent = corpus.id;
      option.dataset.info = corpus.error ? corpus.error
        : corpus.documents + " documents, " + corpus.passages + " passages";
      select.append(option);
    }
    if (list.data.some((c) => c.id === chosen)) select.value = chosen;
    $("manage").open = list.data.length === 0;
    if (list.data.length === 0) say("There is no corpus yet: create one and add documents.");
    showInfo();
  }

  function showInfo() {
    const option = $("corpus").selectedOptions[0];
    $("corpus-info").textContent = option ? option.dataset.info : "";
  }

  function corpusPath(rest) {
    if (!$("corpus").value) throw new Error("Choose or create a corpus first.");
    return "/v1/corpora/" + encodeURIComponent($("corpus").value) + rest;
  }

  async function create() {
    const name = $("new-name").value;
    await api("/v1/corpora", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ name })
    });
    $("new-name").value = "";
    await loadCorpora(name);
    say("Corpus " + name + " is there.");
  }

  async function upload() {
    const path = corpusPath("/documents");
    const files = Array.from($("file").files);
    const failed = [];
    for (let i = 0; i < files.length; i++) {
      say("Adding " + files[i].name + " (" + (i + 1) + " of " + files.length + ") ...");
      const form = new FormData();
      form.append("file", files[i], files[i].name);
      try {
        await api(path, { method: "POST", body: form });
      } catch (e) {
        failed.push(files[i].name + ": " + e.message);
      }
    }
    $("file").value = "";
    await loadCorpora();
    say(files.length - failed.length + " of " + files.length + " added. " + failed.join(" "));
  }

  // Answers ----------------------------------------------------------------------------------------
  function place(c) {
    const parts = [c.title || c.filename];
    if (c.title && c.title !== c.filename) parts.push(c.filename);
    if (c.page_start > 0)
      parts.push(c.page_end > c.page_start ? "pages " + c.page_start + "-" + c.page_end : "page " + c.page_start);
    if (c.headings) parts.push(c.headings);
    return parts.join(", ");
  }

  function addSource(state, c) {
    if (state.shown.has(c.id)) return;
    state.shown.set(c.id, c);
    const item = document.createElement("li");
    const where = document.createElement("div");
    const quote = document.createElement("blockquote");
    item.id = "source-" + c.id;
    item.value = state.shown.size;
    item.tabIndex = -1;
    where.className = "place";
    where.textContent = place(c);
    quote.textContent = c.cited_text;
    item.append(where, quote);
    $("sources").append(item);
    $("sources-box").hidden = false;
  }

  function showSource(id) {
    for (const item of $("sources").children) item.classList.remove("shown");
    const item = $("source-" + id);
    item.classList.add("shown");
    item.scrollIntoView({ block: "nearest" });
    item.focus();
  }

  function citeButton(state, id) {
    const ids = Array.from(state.shown.keys());
    const button = document.createElement("button");
    const c = state.shown.get(id);
    button.type = "button";
    button.className = "cite";
    button.textContent = String(ids.indexOf(id) + 1);
    button.title = c.cited_text;
    button.setAttribute("aria-label", "Source " + button.textContent + ": " + place(c));
    button.addEventListener("click", () => showSource(id));
    return button;
  }

  /* The answer's text with a button behind each supported sentence. Offsets count code points. Markers
   * that the model wrote are replaced by the buttons. */
  function render(state) {
    const points = Array.from(state.text);
    const out = [];
    let at = 0;
    const marks = state.marks.slice().sort((a, b) => a.answer_end - b.answer_end);
    const tidy = (s) => s.replace(/\s?\[\d+\]/g, "");
    for (const mark of marks) {
      const end = Math.min(mark.answer_end, points.length);
      if (end > at) {
        out.push(document.createTextNode(tidy(points.slice(at, end).join(""))));
        at = end;
      }
      out.push(citeButton(state, mark.id));
    }
    out.push(document.createTextNode(tidy(points.slice(at).join(""))));
    $("answer").replaceChildren(...out);
  }

  /** What was read, where auto chose; what did not fit; what was held already. */
  function readingRemark(data) {
    const reading = data.reading, out = [];
    if (data.prefix.cached_tokens) out.push(data.prefix.cached_tokens + " of the tokens were read before");
    if (reading.why) out.push("mode " + reading.mode + ": " + reading.why);
    if (reading.left_out.length)
      out.push("no room for " + reading.left_out.map((d) => d.filename).join(", "));
    return out.map((part) => "; " + part).join("");
  }

  function handle(state, event, data) {
    if (event === "retrieval") {
      $("phase").textContent = "reading " + data.passages.length + " passages of " + data.reading.documents +
        (data.reading.documents === 1 ? " document" : " documents") + " ...";
    } else if (event === "progress") {
      $("progress").hidden = data.done_tokens >= data.total_tokens;
      $("progress").value = data.total_tokens ? data.done_tokens / data.total_tokens : 0;
    } else if (event === "token") {
      $("progress").hidden = true;
      $("phase").textContent = "writing ...";
      state.text += data.text;
      render(state);
    } else if (event === "citation") {
      if (data.cited_text) addSource(state, data);
      state.marks.push(data);
      render(state);
    } else if (event === "done") {
      state.ended = true;
      state.text = data.text;
      render(state);
      const seconds = (data.timings.retrieval_ms + data.timings.prefill_ms + data.timings.decode_ms) / 1000;
      $("figures").textContent = data.usage.prompt_tokens + " tokens read, " + data.usage.completion_tokens +
        " written, " + seconds.toFixed(1) + " s" + (data.finish_reason === "length" ? "; cut at the length limit" : "") + readingRemark(data);
    } else if (event === "error") {
      state.ended = true;
      throw new Error(data.error.message);
    }
  }

  async function readEvents(response, state) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let buffer = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      buffer += value;
      for (let cut; (cut = buffer.indexOf("\n\n")) >= 0; buffer = buffer.slice(cut + 2)) {
        let event = "message", data = "";
        for (const line of buffer.slice(0, cut).split("\n")) {
          if (line.startsWith("event: ")) event = line.slice(7);
          else if (line.startsWith("data: ")) data += line.slice(6);
        }
        if (data) handle(state, event, JSON.parse(data));
      }
    }
    if (!state.ended) throw new Error("The connection ended before the answer did.");
  }

  async function ask() {
    const state = { text: "", marks: [], shown: new Map(), ended: false };
    running = new AbortController();
    $("answer-section").hidden = false;
    $("answer").classList.remove("failed");
    $("answer").replaceChildren();
    $("sources").replaceChildren();
    $("sources-box").hidden = true;
    $("figures").textContent = "";
    $("ask").disabled = true;
    $("stop").hidden = false;
    $("phase").textContent = "searching ...";
    try {
      const response = await api(corpusPath("/answers"), {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ question: $("question").value, mode: $("mode").value, stream: true }),
        signal: running.signal
      });
      await readEvents(response, state);
    } catch (e) {
      if (e.name !== "AbortError") {
        $("answer").classList.add("failed");
        $("answer").append(document.createTextNode((state.text ? "\n" : "") + "Failed: " + e.message));
      }
    } finally {
      running = null;
      $("ask").disabled = false;
      $("stop").hidden = true;
      $("progress").hidden = true;
      $("phase").textContent = "";
    }
  }

  // Wiring -----------------------------------------------------------------------------------------
  function onSubmit(id, action) {
    $(id).addEventListener("submit", (event) => {
      event.preventDefault();
      action().catch((e) => say(e.message));
    });
  }

  onSubmit("create-form", create);
  onSubmit("upload-form", upload);
  onSubmit("ask-form", ask);
  onSubmit("key-form", async () => {
    sessionStorage.setItem("winnow-key", $("key").value);
    $("key").value = "";
    $("key-form").hidden = true;
    await loadCorpora();
    say("");
  });
  $("stop").addEventListener("click", () => running && running.abort());
  $("corpus").addEventListener("change", showInfo);
  $("question").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("ask-form").requestSubmit();
  });
  loadCorpora().catch((e) => say(e.message));
})();
