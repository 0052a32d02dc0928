/* Golden logits (tests/golden/logits and eviction: generate.py): reads them, and says how far a row
 * of ours is from them. */
#ifndef WN_TEST_GOLDEN_LOGITS_H
#define WN_TEST_GOLDEN_LOGITS_H

#include "tests/test_support.h"

#include <math.h>

#include "base/fs.h"
#include "base/json.h"

typedef struct golden {
    json_t *json;
    size_t n, n_columns;
    int32_t *ids, *columns;
    wn_strbuf data;
    const int32_t *argmax;
    const float *max, *logsumexp, *logits; /* [n], [n], [n][n_columns] */
} golden;

static inline int32_t *golden_ints(const json_t *array, size_t *n)
{
    *n = json_array_size(array);
    int32_t *out = calloc(*n ? *n : 1, sizeof *out);
    assert_non_null(out);
    for (size_t i = 0; i < *n; i++)
        out[i] = (int32_t)json_integer_value(json_array_get(array, i));
    return out;
}

/* tests/golden/<topic>/<name>.json and .bin. n_more: bytes that follow the numbers. */
static inline void golden_load(golden *g, const char *topic, const char *name, size_t n_more)
{
    char file[512];
    snprintf(file, sizeof file, WN_SOURCE_DIR "/tests/golden/%s/%s.json", topic, name);
    WN_ASSERT_OK(wn_json_load_file(&g->json, file, 1 << 20, err));
    g->ids = golden_ints(json_object_get(g->json, "ids"), &g->n);
    g->columns = golden_ints(json_object_get(g->json, "columns"), &g->n_columns);
    snprintf(file, sizeof file, WN_SOURCE_DIR "/tests/golden/%s/%s.bin", topic, name);
    WN_ASSERT_OK(wn_fs_read(&g->data, file, 1 << 24, err));
    assert_int_equal(g->data.len, g->n * (3 + g->n_columns) * 4 + n_more);
    g->argmax = (const int32_t *)(const void *)g->data.data;
    g->max = (const float *)(g->argmax + g->n);
    g->logsumexp = g->max + g->n;
    g->logits = g->logsumexp + g->n;
}

static inline void golden_free(golden *g)
{
    free(g->ids);
    free(g->columns);
    json_decref(g->json);
    wn_strbuf_free(&g->data);
}

typedef struct difference {
    double max_abs, sum_square, n;
    size_t n_argmax; /* positions with another arg max */
} difference;

static inline void difference_widen(difference *d, double got, double expected)
{
    double e = fabs(got - expected);
    if (!(e <= d->max_abs)) /* a NaN counts */
        d->max_abs = e;
    d->sum_square += e * e;
    d->n++;
}

/* row [n_vocab] against the golden's position `at`. */
static inline void golden_compare(difference *d, const golden *g, size_t at, const float *row,
                                  size_t n_vocab)
{
    size_t best = 0;
    double sum = 0;
    for (size_t i = 1; i < n_vocab; i++)
        if (row[i] > row[best])
            best = i;
    for (size_t i = 0; i < n_vocab; i++)
        sum += exp((double)row[i] - (double)row[best]);
    if ((int32_t)best != g->argmax[at])
        d->n_argmax++;
    difference_widen(d, (double)row[best], (double)g->max[at]);
    difference_widen(d, (double)row[best] + log(sum), (double)g->logsumexp[at]);
    for (size_t i = 0; i < g->n_columns; i++)
        difference_widen(d, (double)row[g->columns[i]], (double)g->logits[at * g->n_columns + i]);
}

#endif
