#include "api/kv_reader.h"

#include <assert.h>
#include <stdlib.h>

#include "api/greedy_eval.h"
#include "base/checked.h"
#include "generate/generation.h"

struct wn_kv_reader {
    wn_kv_reader_options o;
    wn_kv_pool *pool;
    wn_session *session;
};

/* Address space for the prefix and one fork of it. */
static wn_status open_pool(wn_kv_reader *r, wn_error *err)
{
    const wn_model_config *g = wn_model_config_of(r->o.model);
    const wn_kv_layout layout =
        wn_kv_layout_of(wn_model_kv_format(r->o.model, r->o.compute, r->o.kv_format), g->head_dim);
    const size_t pages = 2 * (r->o.n_ctx / WN_KV_SLOTS + 8);
    size_t bytes = 0;
    if (!wn_size_mul(g->n_layers * g->n_kv_heads, pages, &bytes) ||
        !wn_size_mul(bytes, layout.page_bytes, &bytes))
        return wn_error_set(err, WN_NO_MEMORY, "no memory for sessions of %zu tokens", r->o.n_ctx);
    return wn_session_pool_open(&r->pool, r->o.model, r->o.compute, r->o.kv_format, bytes, err);
}

wn_status wn_kv_reader_open(wn_kv_reader **out, const wn_kv_reader_options *o, wn_error *err)
{
    wn_kv_reader *r = wn_alloc(1, sizeof *r);
    if (!r)
        return wn_error_set(err, WN_NO_MEMORY, "eval kv: out of memory");
    r->o = *o;
    /* Heads that a checkpoint carries speak in a channel of q, which is cleared all the same. */
    const bool carried = o->heads && o->heads->kind == WN_DMS_BORROWED;
    const wn_dms_point never = {.window = o->n_ctx};
    wn_session_options so = {.n_ctx = o->n_ctx,
                             .kv_format = o->kv_format,
                             .heads = o->point || carried ? o->heads : NULL,
                             .point = o->point ? o->point : &never};
    wn_status status = open_pool(r, err);
    so.pool = r->pool;
    if (status == WN_OK)
        status = wn_session_open(&r->session, o->model, o->compute, &so, err);
    if (status != WN_OK) {
        wn_kv_reader_close(r);
        return status;
    }
    *out = r;
    return WN_OK;
}

void wn_kv_reader_close(wn_kv_reader *r)
{
    if (!r)
        return;
    wn_session_close(r->session);
    wn_kv_pool_close(r->pool);
    free(r);
}

wn_status wn_kv_reader_read(wn_kv_reader *r, const int32_t *ids, size_t n, wn_error *err)
{
    return wn_session_append(r->session, ids, n, NULL, NULL, err);
}

size_t wn_kv_reader_length(const wn_kv_reader *r)
{
    return wn_session_length(r->session);
}

wn_status wn_kv_reader_report(const wn_kv_reader *r, wn_kv_report *out, wn_error *err)
{
    const size_t n_vocab = wn_model_config_of(r->o.model)->n_vocab;
    wn_session *fork = NULL;
    WN_TRY(wn_session_fork(&fork, r->session, err));
    wn_status status = wn_session_decode(fork, wn_likeliest(wn_session_logits(fork), n_vocab), err);
    if (status == WN_OK)
        status = wn_kv_report_make(fork, NULL, out, err);
    wn_session_close(fork);
    return status;
}

wn_status wn_kv_reader_write(const wn_kv_reader *r, int32_t *out, size_t n, wn_error *err)
{
    const size_t n_vocab = wn_model_config_of(r->o.model)->n_vocab;
    wn_session *fork = NULL;
    WN_TRY(wn_session_fork(&fork, r->session, err));
    const wn_status status = wn_write_likeliest(fork, n_vocab, out, n, err);
    wn_session_close(fork);
    return status;
}

wn_status wn_kv_reader_ask(const wn_kv_reader *r, const int32_t *ids, size_t n, size_t max_tokens,
                           char **answer, wn_error *err)
{
    wn_session *fork = NULL;
    wn_generation_result result = {0};
    const int32_t *prefix = wn_session_ids(r->session);
    const size_t n_prefix = wn_session_length(r->session);
    size_t same = 0;
    while (same < n && same < n_prefix && ids[same] == prefix[same])
        same++;
    if (same < n_prefix || n == n_prefix)
        return wn_error_set(err, WN_INVALID,
                            "a prompt of %zu tokens shares %zu of the prefix's %zu", n, same,
                            n_prefix);
    WN_TRY(wn_session_fork(&fork, r->session, err));
    const wn_generation_request request = {.session = fork,
                                           .tokenizer = wn_model_tokenizer(r->o.model),
                                           .ids = ids,
                                           .n_ids = n,
                                           .sampler = WN_SAMPLER_GREEDY,
                                           .max_tokens = max_tokens};
    wn_status status = wn_generate(&request, &result, err);
    wn_session_close(fork);
    assert(status != WN_OK || result.cached_tokens == n_prefix); /* nothing was read again */
    if (status == WN_OK)
        *answer = result.text;
    return status;
}
