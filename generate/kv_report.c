#include "generate/kv_report.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/checked.h"
#include "generate/session_internal.h"

static void summarize(const wn_session *s, wn_kv_report *r)
{
    size_t n_kept = 0;
    for (size_t i = 0; i < r->n_layers * r->n_kv_heads; i++) {
        const size_t kept = wn_session_n_kept(s, i / r->n_kv_heads, i % r->n_kv_heads);
        r->kept[i] = (float)kept / (float)r->n_tokens;
        n_kept += kept;
    }
    const double n = (double)(r->n_layers * r->n_kv_heads * r->n_tokens);
    r->slots_ratio = n / (double)n_kept;
    r->bytes_ratio = (double)r->dense_bytes / (double)r->held_bytes;
    r->evicts = s->point.window > 0 && s->point.window < s->n_ctx;
    if (r->evicts)
        snprintf(r->summary, sizeof r->summary, "%.1fx (%.1fx in bytes)", r->slots_ratio,
                 r->bytes_ratio);
    else
        snprintf(r->summary, sizeof r->summary, "1.0x (%s)",
                 s->heads ? "eviction is off" : "no eviction heads");
}

static wn_status add_texts(const wn_session *s, const wn_tokenizer *tokenizer, wn_kv_report *r,
                           wn_error *err)
{
    wn_strbuf text = {0};
    wn_token_decoder decoder = {0};
    const size_t n_heads = r->n_layers * r->n_kv_heads;
    r->ends = wn_alloc(r->n_tokens, sizeof *r->ends);
    r->share = wn_alloc(r->n_tokens, sizeof *r->share);
    for (size_t t = 0; r->ends && r->share && t < r->n_tokens; t++) {
        size_t n = 0;
        for (size_t i = 0; i < n_heads; i++)
            n += wn_session_has(s, i / r->n_kv_heads, i % r->n_kv_heads, t);
        r->share[t] = (float)n / (float)n_heads;
        wn_token_decoder_push(&decoder, tokenizer, s->ids[t], &text);
        if (t + 1 == r->n_tokens)
            wn_token_decoder_finish(&decoder, &text);
        r->ends[t] = text.len;
    }
    wn_strbuf_add(&text, "", 0);
    const bool failed = wn_strbuf_failed(&text) || !r->ends || !r->share;
    r->text = wn_strbuf_detach(&text);
    return failed || !r->text ? wn_error_set(err, WN_NO_MEMORY, "no memory for a report of keys")
                              : WN_OK;
}

wn_status wn_kv_report_make(const wn_session *s, const wn_tokenizer *tokenizer, wn_kv_report *out,
                            wn_error *err)
{
    const wn_model_config *c = &s->model->config;
    *out = (wn_kv_report){.n_tokens = s->length,
                          .n_layers = c->n_layers,
                          .n_kv_heads = c->n_kv_heads,
                          .dense_bytes = wn_session_dense_bytes(s),
                          .held_bytes = wn_session_kv_bytes(s)};
    if (s->length == 0)
        return WN_OK;
    out->kept = wn_alloc(c->n_layers, c->n_kv_heads * sizeof *out->kept);
    if (!out->kept)
        return wn_error_set(err, WN_NO_MEMORY, "no memory for a report of keys");
    summarize(s, out);
    wn_status status = tokenizer ? add_texts(s, tokenizer, out, err) : WN_OK;
    if (status != WN_OK)
        wn_kv_report_free(out);
    return status;
}

void wn_kv_report_free(wn_kv_report *r)
{
    free(r->kept);
    free(r->text);
    free(r->ends);
    free(r->share);
    *r = (wn_kv_report){0};
}
