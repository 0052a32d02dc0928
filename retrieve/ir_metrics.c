#include "retrieve/ir_metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

static int by_score_then_name(const void *pa, const void *pb)
{
    const wn_ir_scored *a = pa, *b = pb;
    float x = (float)a->score, y = (float)b->score;
    if (x != y)
        return x > y ? -1 : 1;
    return strcmp(b->document, a->document);
}

void wn_ir_rank(wn_ir_scored *run, size_t n)
{
    if (n > 1)
        qsort(run, n, sizeof *run, by_score_then_name);
}

static int by_name(const void *pa, const void *pb)
{
    const wn_ir_judged *a = pa, *b = pb;
    return strcmp(a->document, b->document);
}

static int by_gain_falling(const void *pa, const void *pb)
{
    const wn_ir_judged *a = pa, *b = pb;
    return (b->gain > a->gain) - (b->gain < a->gain);
}

static double discount(size_t rank) /* from 1 */
{
    return 1 / log2((double)rank + 1);
}

static double ideal_dcg(wn_ir_judged *judged, size_t n, size_t depth)
{
    double sum = 0;
    qsort(judged, n, sizeof *judged, by_gain_falling);
    for (size_t i = 0; i < n && i < depth && judged[i].gain > 0; i++)
        sum += judged[i].gain * discount(i + 1);
    return sum;
}

static void measure(const wn_ir_judged *sorted, size_t n_judged, const wn_ir_scored *run,
                    size_t n_run, const wn_ir_depths *d, size_t n_relevant, wn_ir_metrics *out)
{
    size_t n_hits = 0, n_recalled = 0;
    for (size_t i = 0; i < n_run; i++) {
        wn_ir_judged key = {run[i].document, 0};
        const wn_ir_judged *j = bsearch(&key, sorted, n_judged, sizeof *sorted, by_name);
        if (!j || j->gain < 1)
            continue;
        size_t rank = i + 1;
        n_hits++;
        if (rank <= d->ndcg)
            out->ndcg += j->gain * discount(rank);
        if (rank <= d->recall)
            n_recalled++;
        if (n_hits == 1 && rank <= d->mrr)
            out->mrr = 1 / (double)rank;
        if (rank <= d->map)
            out->map += (double)n_hits / (double)rank;
    }
    out->recall = (double)n_recalled / (double)n_relevant;
    out->map /= (double)n_relevant;
}

wn_status wn_ir_measure(const wn_ir_judged *judged, size_t n_judged, const wn_ir_scored *run,
                        size_t n_run, const wn_ir_depths *depths, wn_ir_metrics *out, wn_error *err)
{
    *out = (wn_ir_metrics){0};
    wn_ir_depths d = *depths;
    size_t *all[] = {&d.ndcg, &d.recall, &d.mrr, &d.map}, n_relevant = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (*all[i] == 0)
            *all[i] = SIZE_MAX;
    for (size_t i = 0; i < n_judged; i++)
        n_relevant += judged[i].gain >= 1;
    if (n_relevant == 0)
        return WN_OK;
    wn_ir_judged *copy = wn_alloc(n_judged, sizeof *copy);
    if (!copy)
        return wn_error_set(err, WN_NO_MEMORY, "metrics: out of memory");
    memcpy(copy, judged, n_judged * sizeof *copy);
    double ideal = ideal_dcg(copy, n_judged, d.ndcg);
    qsort(copy, n_judged, sizeof *copy, by_name);
    measure(copy, n_judged, run, n_run, &d, n_relevant, out);
    out->ndcg /= ideal;
    free(copy);
    return WN_OK;
}
