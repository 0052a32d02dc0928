/* Tokens are appended: prompts in chunks on a fixed grid, chosen tokens one by one, of one session
 * or of several at once. */
#include <assert.h>
#include <string.h>

#include "generate/session_internal.h"

static wn_status check_ids(const wn_session *s, const int32_t *ids, size_t n, wn_error *err)
{
    size_t n_vocab = wn_model_config_of(s->model)->n_vocab;
    if (n == 0)
        return wn_error_set(err, WN_INVALID, "no tokens to append");
    if (n > s->n_ctx - s->length)
        return wn_error_set(err, WN_LIMIT, "%zu tokens do not fit: %zu of %zu are taken", n,
                            s->length, s->n_ctx);
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || (size_t)ids[i] >= n_vocab)
            return wn_error_set(err, WN_INVALID, "token %zu has id %d, the vocabulary %zu", i,
                                ids[i], n_vocab);
    return WN_OK;
}

/* Tokens of the next chunk: cut at absolute multiples of n_chunk, so that the cuts of a text do not
 * depend on how it was handed in. */
static size_t chunk_size(const wn_session *s, size_t n_left)
{
    size_t room = s->n_chunk - s->length % s->n_chunk;
    return n_left < room ? n_left : room;
}

/* Sums over the log and over the tail differ in their last bits, so reading moves keys from one to
 * the other at the chunks' cuts only, wherever it stops. */
static size_t settled_at(const wn_session *s, size_t length, bool decode)
{
    return decode ? length : length / s->n_chunk * s->n_chunk;
}

/* Whether there was any. */
static bool drop_marks(const wn_session_rows *r)
{
    bool any = false;
    for (size_t i = 0; i < r->n; i++)
        any = wn_session_drop_marks(r->sessions[i], 0) || any;
    return any;
}

wn_status wn_session_step(const wn_session_rows *r, const int32_t *ids, size_t *full, wn_error *err)
{
    wn_kv_store *stores[WN_SESSIONS_MAX];
    size_t settled[WN_SESSIONS_MAX];
    for (size_t i = 0; i < r->n; i++) {
        stores[i] = r->sessions[i]->kv;
        if (r->decode) /* the next turn reads on from here */
            wn_session_set_mark(r->sessions[i], SESSION_MARK_END);
        settled[i] = settled_at(r->sessions[i], r->sessions[i]->length + r->n_each, r->decode);
    }
    wn_error no_room = {0};
    wn_status status = wn_kv_stores_extend(stores, r->n, r->n_each, settled, full, &no_room);
    if (status == WN_LIMIT && drop_marks(r)) { /* tokens go before */
        no_room = (wn_error){0};
        status = wn_kv_stores_extend(stores, r->n, r->n_each, settled, full, &no_room);
    }
    if (status != WN_OK)
        return wn_error_set(err, status, "%s", no_room.text);
    for (size_t i = 0; i < r->n; i++) {
        wn_session *s = r->sessions[i];
        memcpy(s->ids + s->length, ids + i * r->n_each, r->n_each * sizeof *ids);
    }
    wn_session_forward(r);
    for (size_t i = 0; i < r->n; i++) {
        wn_session *s = r->sessions[i];
        wn_kv_store_advance(s->kv, r->n_each, settled[i]);
        if (!r->decode && s->n_read == s->length)
            s->n_read += r->n_each;
        s->length += r->n_each;
    }
    return WN_OK;
}

static wn_status read_chunk(wn_session *s, const int32_t *ids, size_t n, size_t n_outputs,
                            wn_error *err)
{
    const wn_session_rows r = {.sessions = &s, .n = 1, .n_each = n, .n_outputs = n_outputs};
    size_t full = 0;
    return wn_session_step(&r, ids, &full, err);
}

wn_status wn_session_append(wn_session *s, const int32_t *ids, size_t n, wn_progress_fn progress,
                            void *progress_ctx, wn_error *err)
{
    WN_TRY(check_ids(s, ids, n, err));
    for (size_t done = 0; done < n;) {
        size_t m = chunk_size(s, n - done);
        WN_TRY(read_chunk(s, ids + done, m, done + m == n ? 1 : 0, err));
        done += m;
        if (s->length % s->n_chunk == 0 && n - done < s->n_chunk)
            wn_session_set_mark(s, SESSION_MARK_CUT);
        if (done == n) {
            wn_session_project(s, m - 1, 1, true, s->logits);
            wn_kv_store_trim(s->kv); /* the last chunk's */
        }
        wn_status status = progress ? progress(progress_ctx, done, n) : WN_OK;
        if (status != WN_OK)
            return wn_error_set(err, status, "stopped after %zu of %zu tokens", done, n);
    }
    return WN_OK;
}

wn_status wn_session_append_all_logits(wn_session *s, const int32_t *ids, size_t n, float *out,
                                       wn_error *err)
{
    size_t n_vocab = wn_model_config_of(s->model)->n_vocab;
    WN_TRY(check_ids(s, ids, n, err));
    for (size_t done = 0; done < n;) {
        size_t m = chunk_size(s, n - done);
        WN_TRY(read_chunk(s, ids + done, m, m, err));
        wn_session_project(s, 0, m, false, out + done * n_vocab);
        done += m;
    }
    memcpy(s->logits, out + (n - 1) * n_vocab, n_vocab * sizeof *out);
    return WN_OK;
}

/* out [n][n_vocab] */
static wn_status decode(wn_session *const *sessions, size_t n, const int32_t *ids, float *out,
                        size_t *which, wn_error *err)
{
    const wn_session_rows r = {
        .sessions = sessions, .n = n, .n_each = 1, .n_outputs = 1, .decode = true};
    for (*which = 0; *which < n; ++*which)
        WN_TRY(check_ids(sessions[*which], &ids[*which], 1, err));
    WN_TRY(wn_session_step(&r, ids, which, err));
    wn_session_project(sessions[0], 0, n, true, out);
    return WN_OK;
}

wn_status wn_session_decode(wn_session *s, int32_t id, wn_error *err)
{
    size_t which = 0;
    return decode(&s, 1, &id, s->logits, &which, err);
}

wn_status wn_sessions_decode(wn_session *const *sessions, size_t n, const int32_t *ids,
                             float *logits, size_t *which, wn_error *err)
{
    const size_t n_vocab = sessions[0]->model->config.n_vocab;
    size_t first = 0;
    assert(n >= 1 && n <= WN_SESSIONS_MAX);
    for (size_t i = 1; i < n; i++) {
        assert(sessions[i]->model == sessions[0]->model);
        assert(sessions[i]->compute == sessions[0]->compute);
        for (size_t j = 0; j < i; j++)
            assert(sessions[j] != sessions[i]);
    }
    wn_status status = decode(sessions, n, ids, logits, which ? which : &first, err);
    for (size_t i = 0; status == WN_OK && i < n; i++)
        memcpy(sessions[i]->logits, logits + i * n_vocab, n_vocab * sizeof *logits);
    return status;
}
