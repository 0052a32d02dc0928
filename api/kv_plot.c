#include "api/kv_plot.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/svg_plot.h"
#include "base/checked.h"
#include "base/fs.h"

#define N_KINDS (WN_EVICT_ORACLE + 1)

typedef struct plot_data {
    wn_plot_series series[WN_KV_MAX_LENGTHS * N_KINDS + N_KINDS];
    char labels[WN_KV_MAX_LENGTHS][32];
    wn_plot_point *points; /* [series][n_cases] */
    size_t n_series, n_points;
} plot_data;

static int by_x(const void *a, const void *b)
{
    const wn_plot_point *p = a, *q = b;
    return (p->x > q->x) - (p->x < q->x);
}

/* Points of one kind at one length. */
static void add_series(plot_data *d, wn_evict_kind kind, size_t line, const wn_kv_case *cases,
                       size_t n_cases)
{
    wn_plot_series *s = &d->series[d->n_series];
    wn_plot_point *points = d->points + d->n_points;
    *s = (wn_plot_series){.points = points,
                          .line = kind == WN_EVICT_HEADS,
                          .mark = (wn_plot_mark)kind,
                          .colour = 1 + line};
    for (size_t c = 0; c < n_cases; c++) {
        const wn_kv_sum *t = &cases[c].lines[line].text;
        if (cases[c].rule.kind == kind && t->n_texts > 0)
            points[s->n++] =
                (wn_plot_point){(double)t->n_texts / t->bytes, t->mean / (double)t->n_texts};
    }
    if (s->n == 0)
        return;
    qsort(points, s->n, sizeof *points, by_x);
    if (kind == WN_EVICT_HEADS)
        s->label = d->labels[line];
    d->n_points += s->n;
    d->n_series++;
}

static bool has_kind(const wn_kv_case *cases, size_t n_cases, wn_evict_kind kind)
{
    for (size_t c = 0; c < n_cases; c++)
        if (cases[c].rule.kind == kind)
            return true;
    return false;
}

static void collect(plot_data *d, const wn_kv_case *cases, size_t n_cases,
                    const wn_kv_lengths *lengths)
{
    for (size_t i = 0; i < lengths->n; i++) {
        snprintf(d->labels[i], sizeof d->labels[i], "heads, %zu tokens", lengths->at[i]);
        for (int kind = WN_EVICT_HEADS; kind < N_KINDS; kind++)
            add_series(d, (wn_evict_kind)kind, i, cases, n_cases);
    }
    for (int kind = WN_EVICT_WINDOW; kind < N_KINDS; kind++) /* shapes, in the legend */
        if (has_kind(cases, n_cases, (wn_evict_kind)kind))
            d->series[d->n_series++] = (wn_plot_series){
                .label = wn_evict_kind_name((wn_evict_kind)kind), .mark = (wn_plot_mark)kind};
}

wn_status wn_kv_plot_write(const char *path, const char *title, const wn_kv_case *cases,
                           size_t n_cases, const wn_kv_lengths *lengths, wn_error *err)
{
    wn_strbuf svg = {0};
    plot_data *d = wn_alloc(1, sizeof *d);
    if (d)
        d->points = wn_alloc(n_cases + 1, WN_KV_MAX_LENGTHS * sizeof *d->points);
    wn_status status =
        d && d->points ? WN_OK : wn_error_set(err, WN_NO_MEMORY, "plot: out of memory");
    if (status == WN_OK) {
        collect(d, cases, n_cases, lengths);
        const wn_plot p = {.title = title,
                           .x_label = "bytes of a dense bf16 cache / bytes held",
                           .y_label = "KL divergence from all keys, nats a token (mean)",
                           .series = d->series,
                           .n_series = d->n_series};
        wn_svg_plot(&p, &svg);
        status = wn_strbuf_failed(&svg) ? wn_error_set(err, WN_NO_MEMORY, "plot: out of memory")
                                        : wn_fs_write_atomic(path, svg.data, svg.len, err);
    }
    wn_strbuf_free(&svg);
    if (d)
        free(d->points);
    free(d);
    return status;
}
