/* A prefix that is read once, and forks of it that go on: how sessions with evicted keys serve
 * questions that nobody knew while the prefix was read.
 *
 *     const wn_kv_reader_options o = {.model = m, .compute = c, .heads = heads, .point = point,
 * ...}; WN_TRY(wn_kv_reader_open(&r, &o, err)); WN_TRY(wn_kv_reader_read(r, ids, n, err));
 *     WN_TRY(wn_kv_reader_ask(r, question_ids, n_ids, 32, &answer, err));   // as often as wanted
 *
 * Threads: as the compute context, one at a time.
 */
#ifndef WN_API_KV_READER_H
#define WN_API_KV_READER_H

#include "generate/kv_report.h"

typedef struct wn_kv_reader wn_kv_reader;

typedef struct wn_kv_reader_options {
    const wn_model *model;
    wn_compute *compute;
    wn_kv_format kv_format;
    const wn_dms_heads *heads; /* borrowed; NULL: the model has none */
    const wn_dms_point *point; /* NULL: no key is evicted */
    size_t n_ctx;              /* tokens of the prefix and of what follows it */
} wn_kv_reader_options;

wn_status wn_kv_reader_open(wn_kv_reader **out, const wn_kv_reader_options *o, wn_error *err);
void wn_kv_reader_close(wn_kv_reader *r); /* NULL is fine */

/* Appends n tokens to the prefix. */
wn_status wn_kv_reader_read(wn_kv_reader *r, const int32_t *ids, size_t n, wn_error *err);
size_t wn_kv_reader_length(const wn_kv_reader *r);
/* Of the prefix and one token that was written behind it, without texts: reading drops keys at the
 * end of a chunk, writing at once. wn_kv_report_free. */
wn_status wn_kv_reader_report(const wn_kv_reader *r, wn_kv_report *out, wn_error *err);

/* The likeliest token again and again, behind the prefix: out [n]. End tokens do not end it. */
wn_status wn_kv_reader_write(const wn_kv_reader *r, int32_t *out, size_t n, wn_error *err);
/* The likeliest answer, of max_tokens at most, to a prompt that begins with the prefix, of which
 * nothing is read again; WN_INVALID where it does not. The caller frees *answer. */
wn_status wn_kv_reader_ask(const wn_kv_reader *r, const int32_t *ids, size_t n, size_t max_tokens,
                           char **answer, wn_error *err);

#endif
