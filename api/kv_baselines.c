#include "api/kv_baselines.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

struct wn_kv_baselines {
    const wn_model_config *g;
    size_t n_max;
    float *losses; /* [n_layers][n][n_kv_heads] of the text in use */
    float *sorted; /* as many */
};

wn_status wn_kv_baselines_open(wn_kv_baselines **out, const wn_model *m, size_t n_max,
                               wn_error *err)
{
    wn_kv_baselines *b = wn_alloc(1, sizeof *b);
    if (!b)
        return wn_error_set(err, WN_NO_MEMORY, "eval kv: out of memory");
    b->g = wn_model_config_of(m);
    b->n_max = n_max;
    const size_t per_token = b->g->n_layers * b->g->n_kv_heads * sizeof *b->losses;
    b->losses = wn_alloc(n_max, per_token);
    b->sorted = wn_alloc(n_max, per_token);
    if (!b->losses || !b->sorted) {
        wn_kv_baselines_close(b);
        return wn_error_set(err, WN_NO_MEMORY, "eval kv: no memory for %zu tokens", n_max);
    }
    *out = b;
    return WN_OK;
}

void wn_kv_baselines_close(wn_kv_baselines *b)
{
    if (!b)
        return;
    free(b->losses);
    free(b->sorted);
    free(b);
}

static size_t tail_pages(size_t n, size_t window)
{
    return (n + WN_KV_SLOTS - 1) / WN_KV_SLOTS - (n - window) / WN_KV_SLOTS;
}

size_t wn_kv_baseline_window(size_t n, size_t window, double log_pages)
{
    const double pages = ceil(log_pages) + (double)tail_pages(n, window);
    /* one of them holds the first tokens, and the window ends where a page may have begun */
    const size_t longest =
        ((size_t)pages - 1) * WN_KV_SLOTS - (WN_KV_SLOTS - n % WN_KV_SLOTS) % WN_KV_SLOTS;
    return pages < 3 ? window : longest < n ? longest : n - 1;
}

/* The loss above which a key has a place among as many as the heads have beyond the window. */
static void set_oracle(wn_kv_baselines *b, wn_evict_rule *rule, size_t window, const wn_kv_match *m)
{
    const size_t far = (m->n_live - window) * b->g->n_kv_heads;
    for (size_t l = 0; l < b->g->n_layers; l++)
        memcpy(b->sorted + l * far, b->losses + l * m->n * b->g->n_kv_heads,
               far * sizeof *b->sorted);
    const double live = fmax(0, (double)m->n_live / m->row->slots - (double)window);
    const double keep = live * (double)(b->g->n_layers * b->g->n_kv_heads);
    const float least = wn_kv_offset(b->sorted, b->g->n_layers * far, (size_t)(keep + 0.5), true);
    rule->offset = logf(fmaxf(least, 0) + 1e-30f);
    rule->loss = b->losses;
    rule->loss_n = m->n;
}

wn_status wn_kv_baselines_judge(wn_kv_baselines *b, wn_kv_eval *e, wn_kv_case *cases,
                                const wn_kv_match *m, wn_error *err)
{
    const size_t window = cases[0].window;
    assert(m->n_live > window && m->n_live <= m->n && m->n <= b->n_max);
    WN_TRY(wn_kv_eval_losses(e, window, b->losses, err));
    for (size_t i = 1; i <= WN_KV_BASELINES; i++) {
        wn_kv_case *c = &cases[i];
        wn_kv_line *line = &c->lines[m->line];
        wn_kv_eval_row row = {0};
        c->window = window;
        c->rule.pages = m->row->log_pages;
        c->rule.among = m->n_live - window;
        if (c->rule.kind == WN_EVICT_WINDOW)
            c->window = wn_kv_baseline_window(m->n_live, window, m->row->log_pages);
        if (c->rule.kind == WN_EVICT_ORACLE)
            set_oracle(b, &c->rule, window, m);
        WN_TRY(wn_kv_eval_judge(e, &c->rule, c->window, m->judge_from, err));
        wn_kv_eval_row_of(e, m->n, m->n_live, &row);
        line->window = c->window;
        wn_kv_sum_add(m->copy ? &line->copy : &line->text, &row);
    }
    return WN_OK;
}
