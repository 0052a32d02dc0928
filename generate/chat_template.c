/* What the published templates render for conversations without tools:
 *
 * ChatML (SmolLM2, Qwen2.5): "<|im_start|>" role "\n" content "<|im_end|>" "\n" for every message.
 *
 * Llama 3.2: bos, then a system turn that always stands, with two fixed lines before the given
 * text,
 * "<|start_header_id|>" role "<|end_header_id|>" "\n\n" content "<|eot_id|>" for every turn;
 * contents lose white space at both ends. The template's own default date is used, never today's: a
 * prompt must not change overnight, or no prefix of it could be kept.
 *
 * Text between two special tokens is encoded as one piece of plain text ("user\n" with the content
 * behind it), since byte-pair merging looks across that border.
 */
#include "generate/chat_template.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/unicode.h"
#include "base/utf8.h"

#define LLAMA3_DATES "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"

static const char *const default_system[] = {
    [WN_CHAT_CHATML_SMOLLM2] =
        "You are a helpful AI assistant named SmolLM, trained by Hugging Face",
    [WN_CHAT_CHATML_QWEN2] = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
};

typedef struct writer {
    const wn_tokenizer *t;
    int32_t *ids;
    size_t n, cap;
    wn_strbuf text; /* plain text since the last special token */
    size_t *ends;   /* where the next content's end is told; NULL: nowhere */
    wn_error *err;
} writer;

static wn_status append(writer *w, const int32_t *ids, size_t n)
{
    if (n > w->cap - w->n) {
        size_t cap = 0;
        if (!wn_size_add(w->n + w->cap + 64, n, &cap))
            return wn_error_set(w->err, WN_NO_MEMORY, "conversation is too long");
        int32_t *grown = wn_realloc(w->ids, cap, sizeof *grown);
        if (!grown)
            return wn_error_set(w->err, WN_NO_MEMORY, "out of memory for %zu tokens", cap);
        w->ids = grown;
        w->cap = cap;
    }
    if (n)
        memcpy(w->ids + w->n, ids, n * sizeof *ids);
    w->n += n;
    return WN_OK;
}

/* Encodes the text that has gathered. */
static wn_status flush_text(writer *w)
{
    int32_t *ids = NULL;
    size_t n = 0;
    if (wn_strbuf_failed(&w->text))
        return wn_error_set(w->err, WN_NO_MEMORY, "out of memory for the conversation");
    WN_TRY(wn_tokenizer_encode(w->t, wn_strbuf_cstr(&w->text), w->text.len, WN_ENCODE_PLAIN, &ids,
                               &n, w->err));
    wn_status status = append(w, ids, n);
    free(ids);
    wn_strbuf_clear(&w->text);
    return status;
}

/* Encodes the text that has gathered as it is encoded where more follows behind the cut. Only
 * GPT-2's rule looks there: of blanks, the last goes with what follows or stays alone. "[" is a
 * piece of its own and stands for it. */
static wn_status flush_cut(writer *w)
{
    size_t len = 0;
    wn_strbuf_addc(&w->text, '[');
    WN_TRY(flush_text(w));
    const char *last = w->n ? wn_tokenizer_bytes(w->t, w->ids[w->n - 1], &len) : "";
    if (len != 1 || *last != '[')
        return wn_error_set(w->err, WN_UNSUPPORTED,
                            "this tokenizer has no token for \"[\" behind a line break");
    w->n--;
    return WN_OK;
}

static wn_status special(writer *w, const char *name)
{
    WN_TRY(flush_text(w));
    int32_t id = wn_tokenizer_find(w->t, name);
    if (id < 0)
        return wn_error_set(
            w->err, WN_UNSUPPORTED,
            "the chat template needs the special token %s, which this tokenizer lacks", name);
    return append(w, &id, 1);
}

/* White space as Python's str.strip sees it, which the templates' `trim` is. */
static bool is_strippable(uint32_t cp)
{
    return wn_unicode_is_space(cp) || (cp >= 0x1C && cp <= 0x1F);
}

static size_t blanks_in_front(const char *s, size_t len)
{
    uint32_t cp = 0;
    size_t at = 0;
    while (at < len) {
        size_t n = wn_utf8_decode(s + at, len - at, &cp);
        if (!is_strippable(cp))
            break;
        at += n;
    }
    return at;
}

static size_t len_without_blanks_behind(const char *s, size_t len)
{
    uint32_t cp = 0;
    while (len > 0) {
        size_t last = wn_utf8_floor(s, len - 1);
        wn_utf8_decode(s + last, len - last, &cp);
        if (!is_strippable(cp))
            break;
        len = last;
    }
    return len;
}

/* The turn's content, in n pieces. */
static wn_status add_content(writer *w, const wn_chat_message *m, size_t n, bool trim)
{
    for (size_t i = 0; i < n; i++) {
        const char *s = m[i].content;
        size_t len = m[i].len, skip = trim && i == 0 ? blanks_in_front(s, len) : 0;
        if (trim && i + 1 == n)
            len = skip + len_without_blanks_behind(s + skip, len - skip);
        wn_strbuf_add(&w->text, s + skip, len - skip);
        WN_TRY(i + 1 < n ? flush_cut(w) : flush_text(w));
        if (w->ends)
            *w->ends++ = w->n;
    }
    return WN_OK;
}

static wn_status chatml_open(writer *w, const char *role)
{
    WN_TRY(special(w, "<|im_start|>"));
    wn_strbuf_adds(&w->text, role);
    wn_strbuf_adds(&w->text, "\n");
    return WN_OK;
}

static wn_status chatml_turn(writer *w, const wn_chat_message *m, size_t n)
{
    WN_TRY(chatml_open(w, m->role));
    WN_TRY(add_content(w, m, n, false));
    WN_TRY(special(w, "<|im_end|>"));
    wn_strbuf_adds(&w->text, "\n");
    return WN_OK;
}

static wn_status llama3_open(writer *w, const char *role)
{
    WN_TRY(special(w, "<|start_header_id|>"));
    wn_strbuf_adds(&w->text, role);
    WN_TRY(special(w, "<|end_header_id|>"));
    wn_strbuf_adds(&w->text, "\n\n");
    return WN_OK;
}

static wn_status llama3_turn(writer *w, const char *before, const wn_chat_message *m, size_t n)
{
    WN_TRY(llama3_open(w, m->role));
    wn_strbuf_adds(&w->text, before);
    WN_TRY(add_content(w, m, n, true));
    return special(w, "<|eot_id|>");
}

static bool is_role(const char *role, const char *name)
{
    return strcmp(role, name) == 0;
}

/* Some tokenizers cut out digits first: blanks before one are at the end of their piece. */
static bool may_be_cut(const wn_chat_message *before, const wn_chat_message *behind)
{
    return before->len && before->content[before->len - 1] == '\n' && behind->len &&
           behind->content[0] > ' ' && behind->content[0] < 0x7f &&
           !(behind->content[0] >= '0' && behind->content[0] <= '9');
}

static wn_status check_messages(const wn_chat_message *m, size_t n, wn_error *err)
{
    if (n == 0)
        return wn_error_set(err, WN_INVALID, "messages: at least one is needed");
    for (size_t i = 0; i < n; i++) {
        if ((!m[i].role && i == 0) || !m[i].content)
            return wn_error_set(err, WN_INVALID, "messages[%zu]: role and content are needed", i);
        if (!m[i].role && !may_be_cut(&m[i - 1], &m[i]))
            return wn_error_set(err, WN_INVALID,
                                "messages[%zu]: a turn is cut behind a line break and before a "
                                "printable ASCII character but a digit only",
                                i);
        if (m[i].role && !is_role(m[i].role, "system") && !is_role(m[i].role, "user") &&
            !is_role(m[i].role, "assistant"))
            return wn_error_set(err, WN_INVALID,
                                "messages[%zu].role is \"%.40s\" (system, user or assistant)", i,
                                m[i].role);
    }
    return WN_OK;
}

/* Messages from m on that make one turn. */
static size_t pieces_of(const wn_chat_message *m, size_t n)
{
    size_t n_pieces = 1;
    while (n_pieces < n && !m[n_pieces].role)
        n_pieces++;
    return n_pieces;
}

static wn_status write_llama3(writer *w, const wn_chat_message *m, size_t n, bool prompt)
{
    size_t i = 0;
    WN_TRY(special(w, "<|begin_of_text|>"));
    if (is_role(m[0].role, "system")) {
        i = pieces_of(m, n);
        WN_TRY(llama3_turn(w, LLAMA3_DATES, m, i));
    } else {
        WN_TRY(llama3_open(w, "system"));
        wn_strbuf_adds(&w->text, LLAMA3_DATES);
        WN_TRY(special(w, "<|eot_id|>"));
    }
    for (size_t k = 0; i < n; i += k) {
        k = pieces_of(m + i, n - i);
        WN_TRY(llama3_turn(w, "", m + i, k));
    }
    return prompt ? llama3_open(w, "assistant") : WN_OK;
}

static wn_status write_chatml(writer *w, const char *system, const wn_chat_message *m, size_t n,
                              bool prompt)
{
    if (!is_role(m[0].role, "system")) {
        WN_TRY(chatml_open(w, "system"));
        wn_strbuf_adds(&w->text, system);
        WN_TRY(special(w, "<|im_end|>"));
        wn_strbuf_adds(&w->text, "\n");
    }
    for (size_t i = 0, k = 0; i < n; i += k) {
        k = pieces_of(m + i, n - i);
        WN_TRY(chatml_turn(w, m + i, k));
    }
    return prompt ? chatml_open(w, "assistant") : WN_OK;
}

wn_status wn_chat_encode_pieces(const wn_tokenizer *t, wn_chat_family family,
                                const wn_chat_message *messages, size_t n_messages,
                                bool add_generation_prompt, int32_t **ids, size_t *n, size_t *ends,
                                wn_error *err)
{
    writer w = {.t = t, .ends = ends, .err = err};
    WN_TRY(check_messages(messages, n_messages, err));
    wn_status status =
        family == WN_CHAT_LLAMA3
            ? write_llama3(&w, messages, n_messages, add_generation_prompt)
            : write_chatml(&w, default_system[family], messages, n_messages, add_generation_prompt);
    if (status == WN_OK)
        status = flush_text(&w);
    wn_strbuf_free(&w.text);
    if (status != WN_OK) {
        free(w.ids);
        return status;
    }
    *ids = w.ids;
    *n = w.n;
    return WN_OK;
}

wn_status wn_chat_encode(const wn_tokenizer *t, wn_chat_family family,
                         const wn_chat_message *messages, size_t n_messages,
                         bool add_generation_prompt, int32_t **ids, size_t *n, wn_error *err)
{
    return wn_chat_encode_pieces(t, family, messages, n_messages, add_generation_prompt, ids, n,
                                 NULL, err);
}
