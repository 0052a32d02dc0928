/* Attention of the reference table: plain C, sums in double, two passes over the scores. */
#include <math.h>

#include "kernels/attention_pages.h"

#define LOG2_E 1.44269504088896340736

typedef struct ref_row {
    const wn_attention_args *args;
    const wn_attention_span *span;
    const float *q;
    size_t position;
    double top, total;
    double *sum; /* [head_dim] */
} ref_row;

/* One page: finds the top, or (adding) adds up what lies below it. */
static void ref_page(ref_row *r, size_t index, bool adding)
{
    const wn_attention_args *a = r->args;
    const size_t d = a->layout->head_dim;
    const wn_attention_page page = wn_attention_page_at(a, r->span->kv, index);
    const uint64_t visible = wn_attention_visible(a, &page, r->position);
    float k[WN_ATTENTION_MAX_HEAD_DIM], v[WN_ATTENTION_MAX_HEAD_DIM];
    for (size_t slot = 0; slot < WN_KV_SLOTS; slot++) {
        if (!(visible >> slot & 1))
            continue;
        wn_kv_read(a->layout, page.data, slot, k, v);
        double s = 0;
        for (size_t i = 0; i < d; i++)
            s += (double)r->q[i] * (double)k[i];
        s *= (double)a->scale * LOG2_E;
        if (!adding) {
            r->top = fmax(r->top, s);
            continue;
        }
        const double p = exp2(s - r->top);
        r->total += p;
        for (size_t i = 0; i < d; i++)
            r->sum[i] += p * (double)v[i];
    }
}

static void ref_store(const ref_row *r, size_t i, float *out)
{
    const size_t d = r->args->layout->head_dim;
    float *partial = r->span->partial;
    if (!partial) {
        for (size_t j = 0; j < d; j++)
            out[j] = r->total == 0 ? 0.0f : (float)(r->sum[j] / r->total);
        return;
    }
    partial += i * (d + 2);
    for (size_t j = 0; j < d; j++)
        partial[j] = (float)r->sum[j];
    partial[d] = (float)r->top;
    partial[d + 1] = (float)r->total;
}

void wn_attention_ref(const wn_attention_args *a, const wn_attention_span *span, void *scratch)
{
    const size_t group = a->n_heads / a->n_kv_heads, d = a->layout->head_dim;
    for (size_t i = 0; i < span->n_rows; i++) {
        const size_t t = (span->row0 + i) / group;
        const size_t head = span->kv * group + (span->row0 + i) % group;
        ref_row r = {.args = a,
                     .span = span,
                     .q = a->q + t * a->q_stride + head * d,
                     .position = wn_attention_position(a, t),
                     .top = -1e30,
                     .sum = scratch};
        for (size_t j = 0; j < d; j++)
            r.sum[j] = 0;
        for (size_t p = 0; p < span->n_pages; p++)
            ref_page(&r, span->page0 + p, false);
        r.top = (double)(float)r.top; /* what a partial result can hold */
        for (size_t p = 0; p < span->n_pages; p++)
            ref_page(&r, span->page0 + p, true);
        ref_store(&r, i, a->out + t * a->out_stride + head * d);
    }
}
