#include "retrieve/rank_fusion.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

typedef struct leg {
    const wn_ranked *items;
    size_t n;
    double weight; /* share of the sum; 0 = the leg is left out */
} leg;

/* A leg's contribution to one item, in [0, 1]. */
static double contribution(const wn_fusion *f, const leg *l, size_t i)
{
    if (f->method == WN_FUSION_RRF) /* 1 / (k + rank), scaled so that rank 1 gives 1 */
        return (f->rrf_k + 1) / (f->rrf_k + (double)i + 1);
    double best = l->items[0].score, worst = l->items[l->n - 1].score;
    return best > worst ? (l->items[i].score - worst) / (best - worst) : 1;
}

static wn_status check(const wn_fusion *f, const leg *text, const leg *vector, wn_error *err)
{
    if (!(f->text_weight >= 0 && f->vector_weight >= 0) || !isfinite(f->text_weight) ||
        !isfinite(f->vector_weight) || f->text_weight + f->vector_weight <= 0)
        return wn_error_set(err, WN_INVALID,
                            "fusion: weights %g and %g: both must be >= 0, one above 0",
                            f->text_weight, f->vector_weight);
    if (f->method == WN_FUSION_RRF && !(f->rrf_k > 0 && isfinite(f->rrf_k)))
        return wn_error_set(err, WN_INVALID, "fusion: rrf_k %g must be above 0", f->rrf_k);
    const leg *legs[] = {text, vector};
    for (size_t i = 0; i < 2; i++)
        for (size_t j = 0; j < legs[i]->n; j++)
            if (!isfinite(legs[i]->items[j].score) ||
                (j > 0 && legs[i]->items[j].score > legs[i]->items[j - 1].score))
                return wn_error_set(err, WN_INVALID, "fusion: a list is not sorted at place %zu",
                                    j);
    return WN_OK;
}

static int by_id_then_rank(const void *pa, const void *pb)
{
    const wn_fused *a = pa, *b = pb;
    if (a->id != b->id)
        return a->id < b->id ? -1 : 1;
    return (a->text_rank + a->vector_rank > b->text_rank + b->vector_rank) -
           (a->text_rank + a->vector_rank < b->text_rank + b->vector_rank);
}

static int by_score_then_id(const void *pa, const void *pb)
{
    const wn_fused *a = pa, *b = pb;
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return (a->id > b->id) - (a->id < b->id);
}

/* One entry an item of each leg; equal ids meet after sorting. */
static size_t list_items(const wn_fusion *f, const leg *text, const leg *vector, wn_fused *out)
{
    size_t n = 0;
    if (text->weight > 0)
        for (size_t i = 0; i < text->n; i++)
            out[n++] = (wn_fused){.id = text->items[i].id,
                                  .score = text->weight * contribution(f, text, i),
                                  .text_score = text->items[i].score,
                                  .vector_score = NAN,
                                  .text_rank = (int)i + 1};
    if (vector->weight > 0)
        for (size_t i = 0; i < vector->n; i++)
            out[n++] = (wn_fused){.id = vector->items[i].id,
                                  .score = vector->weight * contribution(f, vector, i),
                                  .text_score = NAN,
                                  .vector_score = vector->items[i].score,
                                  .vector_rank = (int)i + 1};
    return n;
}

/* Entries of one id become one; a leg that names an id twice counts with its better rank. */
static size_t join_items(wn_fused *items, size_t n)
{
    size_t n_out = 0;
    for (size_t i = 0; i < n; i++) {
        wn_fused *last = n_out > 0 ? &items[n_out - 1] : NULL;
        const wn_fused *item = &items[i];
        if (!last || last->id != item->id) {
            items[n_out++] = *item;
        } else if (item->text_rank > 0 && last->text_rank == 0) {
            last->score += item->score;
            last->text_score = item->text_score;
            last->text_rank = item->text_rank;
        } else if (item->vector_rank > 0 && last->vector_rank == 0) {
            last->score += item->score;
            last->vector_score = item->vector_score;
            last->vector_rank = item->vector_rank;
        }
    }
    return n_out;
}

wn_status wn_rank_fuse(const wn_fusion *f, const wn_ranked *text, size_t n_text,
                       const wn_ranked *vector, size_t n_vector, wn_fused **out, size_t *n,
                       wn_error *err)
{
    *out = NULL;
    *n = 0;
    leg a = {text, n_text, 0}, b = {vector, n_vector, 0};
    WN_TRY(check(f, &a, &b, err));
    /* A leg without items leaves its weight to the other, so that a score of 1 stays within reach.
     */
    double text_weight = n_text > 0 ? f->text_weight : 0;
    double vector_weight = n_vector > 0 ? f->vector_weight : 0;
    double sum = text_weight + vector_weight;
    a.weight = sum > 0 ? text_weight / sum : 0;
    b.weight = sum > 0 ? vector_weight / sum : 0;
    size_t total = 0;
    wn_fused *items = wn_size_add(n_text, n_vector, &total) ? wn_alloc(total, sizeof *items) : NULL;
    if (!items)
        return wn_error_set(err, WN_NO_MEMORY, "fusion: out of memory");
    total = list_items(f, &a, &b, items);
    if (total > 1)
        qsort(items, total, sizeof *items, by_id_then_rank);
    total = join_items(items, total);
    if (total > 1)
        qsort(items, total, sizeof *items, by_score_then_id);
    *out = items;
    *n = total;
    return WN_OK;
}

wn_status wn_fusion_parse(const char *method, wn_fusion_method *out, wn_error *err)
{
    if (strcmp(method, "minmax") == 0)
        *out = WN_FUSION_MINMAX;
    else if (strcmp(method, "rrf") == 0)
        *out = WN_FUSION_RRF;
    else
        return wn_error_set(err, WN_INVALID, "fusion \"%.60s\": minmax or rrf", method);
    return WN_OK;
}
