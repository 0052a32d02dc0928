#include "generate/dms_heads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/fs.h"
#include "base/strbuf.h"
#include "generate/dms_internal.h"

/* Kind and numbers as text, then the weights. */
static wn_status set_fingerprint(wn_dms_heads *h, size_t n_layers, wn_error *err)
{
    wn_sha256 *sha = NULL;
    char text[160];
    const size_t n = n_layers * h->n_kv_heads; /* 0 when borrowed */
    const int len =
        snprintf(text, sizeof text, "winnow-dms kind=%d shift=%zu scale=%a offset=%a after_rope=%d",
                 (int)h->kind, h->decision_shift, (double)h->alpha_scale, (double)h->alpha_offset,
                 h->zero_after_rope);
    WN_TRY(wn_sha256_open(&sha, err));
    wn_status status = wn_sha256_add(sha, text, (size_t)len, err);
    if (status == WN_OK && n)
        status = wn_sha256_add(sha, h->weight, n * h->d_model * sizeof *h->weight, err);
    if (status == WN_OK && n)
        status = wn_sha256_add(sha, h->bias, n * sizeof *h->bias, err);
    wn_sha256_close(sha, h->fingerprint);
    return status;
}

wn_status wn_dms_heads_open(wn_dms_heads **out, const wn_model *m, const char *path, wn_error *err)
{
    bool found = true;
    const bool borrowed = !path || strcmp(wn_fs_extension(path), "json") == 0;
    wn_dms_heads *h = wn_alloc(1, sizeof *h);
    *out = NULL;
    if (!h)
        return wn_error_set(err, WN_NO_MEMORY, "eviction heads: out of memory");
    wn_status status = borrowed ? wn_dms_borrowed_load(h, m, path, &found, err)
                                : wn_dms_linear_load(h, m, path, err);
    if (status == WN_OK && found)
        status = set_fingerprint(h, wn_model_config_of(m)->n_layers, err);
    if (status != WN_OK || !found) {
        wn_dms_heads_close(h);
        return status;
    }
    *out = h;
    return WN_OK;
}

void wn_dms_heads_close(wn_dms_heads *h)
{
    if (!h)
        return;
    free(h->points);
    free(h->weight);
    free(h->bias);
    free(h);
}

static wn_status no_such_mark(const wn_dms_heads *h, double ratio, wn_error *err)
{
    wn_strbuf marks = {0};
    for (size_t i = 0; i < h->n_points; i++)
        wn_strbuf_printf(&marks, "%s%g", i ? ", " : "", h->points[i].ratio);
    wn_status status = wn_error_set(err, WN_INVALID,
                                    "no operating point of these heads is at or below a ratio of "
                                    "%g: they have %s",
                                    ratio, wn_strbuf_cstr(&marks));
    wn_strbuf_free(&marks);
    return status;
}

wn_status wn_dms_point_pick(const wn_dms_heads *h, double ratio, const wn_dms_point **out,
                            wn_error *err)
{
    const wn_dms_point *best = NULL;
    for (size_t i = 0; i < h->n_points; i++)
        if (h->points[i].ratio <= ratio && (!best || h->points[i].ratio > best->ratio))
            best = &h->points[i];
    if (!best)
        return no_such_mark(h, ratio, err);
    *out = best;
    return WN_OK;
}
