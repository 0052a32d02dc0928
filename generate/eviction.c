/* Which keys stay: eviction heads (dms_heads.h), or a fixed pattern for measurements. Decisions
 * come from the token's own state, before attention; they are sums in one fixed order of plain C,
 * so that they depend neither on how a text is cut nor on the machine's threads. */
#include <string.h>

#include "generate/dms_internal.h"
#include "generate/session_internal.h"

#define LANES 16
#define ROWS 16 /* tokens that a thread takes at once */

static float dot(const float *a, const float *b, size_t n)
{
    float lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++)
            lane[j] += a[i + j] * b[i + j];
    for (size_t j = 0; i < n; i++, j++)
        lane[j] += a[i] * b[i];
    for (size_t half = LANES / 2; half; half /= 2)
        for (size_t j = 0; j < half; j++)
            lane[j] += lane[j + half];
    return lane[0];
}

static bool linear(const wn_session *s, size_t layer, size_t head, const float *h)
{
    const wn_dms_heads *d = s->heads;
    const size_t at = layer * d->n_kv_heads + head;
    const float z = dot(d->weight + at * d->d_model, h, d->d_model);
    return z + d->bias[at] + s->point.bias > 0;
}

/* The channel of q that a checkpoint with borrowed heads decides in. */
static float *channel(const wn_session *s, float *q, size_t row, size_t head)
{
    const wn_model_config *c = &s->model->config;
    return q + row * c->n_heads * c->head_dim + wn_dms_channel(c, head);
}

static bool borrowed(const wn_session *s, float *q)
{
    const float z = s->heads->alpha_scale * *q - s->heads->alpha_offset;
    if (!s->heads->zero_after_rope)
        *q = 0;
    return z + s->point.bias > 0;
}

/* A multiplicative hash of position and list, so that lists differ. */
static bool thinned(const wn_session *s, size_t layer, size_t row, size_t head)
{
    const size_t list = layer * s->model->config.n_kv_heads + head;
    const uint64_t hash = ((uint64_t)(s->length + row) * 1000003u + list) * 0x9e3779b97f4a7c15u;
    return (hash >> 32) % s->thin != 0;
}

typedef struct decisions {
    wn_session *s;
    size_t layer, n;
    const float *h;
    float *q;
} decisions;

static void decide_rows(void *ctx, size_t unit, size_t worker)
{
    const decisions *d = ctx;
    wn_session *s = d->s;
    const size_t n_heads = s->model->config.n_kv_heads, d_model = s->model->config.d_model;
    (void)worker;
    for (size_t row = unit * ROWS; row < (unit + 1) * ROWS && row < d->n; row++)
        for (size_t h = 0; h < n_heads; h++)
            s->evict[row * n_heads + h] = !s->heads ? thinned(s, d->layer, row, h)
                                          : s->heads->kind == WN_DMS_LINEAR
                                              ? linear(s, d->layer, h, d->h + row * d_model)
                                              : borrowed(s, channel(s, d->q, row, h));
}

static bool must_stay(const wn_session *s, size_t position)
{
    for (size_t i = 0; i < s->n_keep; i++)
        if (position >= s->keep[i].first && position - s->keep[i].first < s->keep[i].n)
            return true;
    return false;
}

void wn_session_decide(wn_session *s, size_t layer, const float *h, float *q, size_t n)
{
    decisions d = {s, layer, n, h, q};
    const size_t shift = s->heads ? s->heads->decision_shift : 0;
    const size_t skip = s->length < shift ? shift : 0; /* about the token before the first */
    if (!s->point.window)
        return;
    if (n < ROWS) /* not worth waking anyone */
        decide_rows(&d, 0, 0);
    else
        wn_thread_pool_run(wn_compute_pool(s->compute), (n + ROWS - 1) / ROWS, decide_rows, &d);
    const size_t n_heads = s->model->config.n_kv_heads;
    for (size_t row = skip; s->n_keep && row < n; row++)
        if (must_stay(s, s->length + row - shift))
            memset(s->evict + row * n_heads, 0, n_heads);
    wn_kv_store_decide(s->kv, layer, s->length + skip - shift, n - skip, s->evict + skip * n_heads);
}

void wn_session_clear_channel(const wn_session *s, float *q, size_t n)
{
    if (!s->heads || s->heads->kind != WN_DMS_BORROWED || !s->heads->zero_after_rope)
        return;
    for (size_t row = 0; row < n; row++)
        for (size_t h = 0; h < s->model->config.n_kv_heads; h++)
            *channel(s, q, row, h) = 0;
}
