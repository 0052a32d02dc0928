/* Figures of what was judged last (kv_eval.h). */
#include <math.h>
#include <stdlib.h>

#include "api/kv_eval_internal.h"

/* Keys of list i below position n that are not evicted. */
static size_t count_kept(const wn_kv_eval *e, size_t list, size_t n)
{
    size_t kept = 0;
    for (size_t t = 0; t < n; t++)
        kept += !(e->evicted[list * e->n_words + t / 64] >> t % 64 & 1);
    return kept;
}

/* Slots and bytes after n tokens, as wn_kv_store_bytes counts them: the log of what was kept beyond
 * the window, the window, and what lists take for every 64 positions. */
static void measure_size(const wn_kv_eval *e, size_t n, wn_kv_eval_row *out)
{
    const size_t first = n > e->window ? n - e->window : 0;
    const size_t tail_pages = (n + 63) / 64 - first / 64;
    double slots = 0, log_pages = 0;
    for (size_t i = 0; i < e->n_lists; i++) {
        const size_t log = count_kept(e, i, first);
        slots += (double)(log + n - first);
        log_pages += (double)((log + 63) / 64);
    }
    const double lists = (double)e->n_lists, dense = lists * (double)n;
    const double pages = log_pages + lists * (double)tail_pages;
    const double list_bytes = lists * (double)((n + 63) / 64) * (2 * sizeof(void *) + 8);
    out->slots = dense / slots;
    out->bytes =
        dense * 4 * (double)e->g->head_dim / (pages * (double)e->layout.page_bytes + list_bytes);
    out->log_pages = log_pages / lists;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void wn_kv_eval_row_of(wn_kv_eval *e, size_t n_prefix, size_t n_live, wn_kv_eval_row *out)
{
    double mean = 0, nll = 0, nll_dense = 0, right = 0, right_dense = 0;
    const size_t n = n_prefix - 1 - e->judge_from;
    for (size_t i = 0; i < n; i++) {
        const size_t at = e->judge_from + i;
        e->sorted[i] = e->tokens[at].kld;
        mean += e->tokens[at].kld;
        nll += e->tokens[at].nll;
        nll_dense += e->tokens[at].nll_exact;
        right += e->right[at];
        right_dense += e->right_dense[at];
    }
    qsort(e->sorted, n, sizeof *e->sorted, ascending);
    const double count = (double)n;
    *out = (wn_kv_eval_row){.n = n_prefix,
                            .n_judged = n,
                            .mean = mean / count,
                            .p99 = wn_kld_quantile(e->sorted, n, 0.99),
                            .max = e->sorted[n - 1],
                            .ppl = exp(nll / count),
                            .ppl_dense = exp(nll_dense / count),
                            .right = right / count,
                            .right_dense = right_dense / count};
    measure_size(e, n_live, out);
}
