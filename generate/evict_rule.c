#include "generate/evict_rule.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/splitmix.h"
#include "generate/float_matmul.h"
#include "generate/model_internal.h"

#define SINKS 4 /* first tokens that every head attends to (StreamingLLM, arXiv 2309.17453) */

const char *wn_evict_kind_name(wn_evict_kind kind)
{
    static const char *const names[] = {"heads", "window only", "random", "low key norm", "oracle"};
    return names[kind];
}

wn_status wn_evict_logits(const wn_evict_rule *r, const wn_model *m, wn_compute *c,
                          const wn_text_layer *y, float *out, wn_error *err)
{
    const size_t d = m->config.d_model, n_heads = m->config.n_kv_heads;
    if (!r->weight) {
        assert(y->own);
        memcpy(out, y->own, y->n * n_heads * sizeof *out);
        return WN_OK;
    }
    WN_TRY(wn_float_matmul(c, r->weight + y->layer * n_heads * d, n_heads, d, y->h, y->n, false,
                           out, err));
    for (size_t i = 0; i < y->n * n_heads; i++)
        out[i] += r->bias[y->layer * n_heads + i % n_heads];
    return WN_OK;
}

static void evict(const wn_text_layer *y, size_t head, size_t t)
{
    y->evicted[head * y->n_words + t / 64] |= (uint64_t)1 << t % 64;
}

static wn_status by_heads(const wn_evict_rule *r, const wn_model *m, wn_compute *c,
                          const wn_text_layer *y, wn_error *err)
{
    const size_t n_heads = m->config.n_kv_heads;
    float *logits = wn_alloc(y->n, n_heads * sizeof *logits);
    if (!logits)
        return wn_error_set(err, WN_NO_MEMORY, "eviction heads: out of memory");
    wn_status status = wn_evict_logits(r, m, c, y, logits, err);
    for (size_t i = r->decision_shift * n_heads; status == WN_OK && i < y->n * n_heads; i++)
        if (logits[i] + r->offset > 0)
            evict(y, i % n_heads, i / n_heads - r->decision_shift);
    free(logits);
    return status;
}

/* In [0, 1), from position and list. */
static double chance(size_t list, size_t t)
{
    return wn_splitmix_share(wn_splitmix_of(((uint64_t)list << 32 | t) * WN_SPLITMIX_STEP));
}

typedef struct scored_key {
    float score;
    uint32_t t;
} scored_key;

/* Keys of one token have equal norms in the first layer: the earlier one goes first. */
static int by_score_and_place(const void *a, const void *b)
{
    const scored_key *x = a, *y = b;
    return x->score != y->score ? (x->score > y->score) - (x->score < y->score)
                                : (x->t > y->t) - (x->t < y->t);
}

/* Keys that the rule leaves of one list: whole pages, which add up to `pages` a list. */
static size_t n_kept(const wn_evict_rule *r, size_t list)
{
    const double before = floor(r->pages * (double)list + 1e-6);
    const double after = floor(r->pages * (double)(list + 1) + 1e-6);
    return WN_KV_SLOTS * (size_t)(after - before);
}

static float key_norm(const wn_text_layer *y, size_t n_heads, size_t d, size_t head, size_t t)
{
    const float *k = y->k + (t * n_heads + head) * d;
    float norm = 0;
    for (size_t i = 0; i < d; i++)
        norm += k[i] * k[i];
    return norm;
}

static float score_of(const wn_evict_rule *r, const wn_model *m, const wn_text_layer *y,
                      size_t head, size_t t)
{
    const size_t n_heads = m->config.n_kv_heads;
    if (t < SINKS)
        return -1; /* before all others */
    return r->kind == WN_EVICT_RANDOM ? (float)chance(y->layer * n_heads + head, t)
                                      : key_norm(y, n_heads, m->config.head_dim, head, t);
}

/* Every list keeps the keys with the smallest scores. */
static wn_status by_score(const wn_evict_rule *r, const wn_model *m, const wn_text_layer *y,
                          wn_error *err)
{
    const size_t n_heads = m->config.n_kv_heads, among = r->among < y->n ? r->among : y->n;
    scored_key *keys = wn_alloc(y->n, sizeof *keys);
    if (!keys)
        return wn_error_set(err, WN_NO_MEMORY, "scores of keys: out of memory");
    for (size_t head = 0; head < n_heads; head++) {
        const size_t kept = n_kept(r, y->layer * n_heads + head);
        if (kept >= among)
            continue;
        for (size_t t = 0; t < y->n; t++)
            keys[t] = (scored_key){score_of(r, m, y, head, t), (uint32_t)t};
        qsort(keys, among, sizeof *keys, by_score_and_place);
        for (size_t i = kept; i < y->n; i++)
            if (keys[i].t >= SINKS &&
                (i < among || kept == 0 || keys[i].score > keys[kept - 1].score))
                evict(y, head, keys[i].t);
    }
    free(keys);
    return WN_OK;
}

wn_status wn_evict_rule_decide(const wn_evict_rule *r, const wn_model *m, wn_compute *c,
                               const wn_text_layer *y, wn_error *err)
{
    const size_t n_heads = m->config.n_kv_heads;
    if (r->kind == WN_EVICT_HEADS)
        return by_heads(r, m, c, y, err);
    if (r->kind == WN_EVICT_RANDOM || r->kind == WN_EVICT_KEY_NORM)
        return by_score(r, m, y, err);
    for (size_t head = 0; head < n_heads; head++)
        for (size_t t = 0; t < y->n; t++) {
            const bool out =
                r->kind == WN_EVICT_ORACLE
                    ? t < r->loss_n && logf(r->loss[(y->layer * r->loss_n + t) * n_heads + head] +
                                            1e-30f) < r->offset
                    : t >= SINKS;
            if (out)
                evict(y, head, t);
        }
    return WN_OK;
}
