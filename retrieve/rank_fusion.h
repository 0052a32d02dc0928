/* Fusing two ranked lists: weighted sum of min-max normalised scores, or reciprocal rank fusion. */
#ifndef WN_RETRIEVE_RANK_FUSION_H
#define WN_RETRIEVE_RANK_FUSION_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef enum wn_fusion_method { WN_FUSION_MINMAX, WN_FUSION_RRF } wn_fusion_method;

typedef struct wn_fusion {
    wn_fusion_method method;
    double text_weight, vector_weight; /* >= 0, not both 0; 0 leaves the leg out */
    double rrf_k;                      /* RRF's constant, > 0 */
} wn_fusion;

#define WN_FUSION_DEFAULTS                                                                         \
    (wn_fusion)                                                                                    \
    {                                                                                              \
        .method = WN_FUSION_MINMAX, .text_weight = 0.5, .vector_weight = 0.5, .rrf_k = 60          \
    }

typedef struct wn_ranked {
    int64_t id;
    double score; /* higher is better */
} wn_ranked;

typedef struct wn_fused {
    int64_t id;
    double score;                    /* in [0, 1] */
    double text_score, vector_score; /* as given; NAN where absent */
    int text_rank, vector_rank;      /* from 1; 0 = absent */
} wn_fused;

/* text and vector are sorted best first. *out is a new array (caller frees), best first, ties by
 * id. */
wn_status wn_rank_fuse(const wn_fusion *f, const wn_ranked *text, size_t n_text,
                       const wn_ranked *vector, size_t n_vector, wn_fused **out, size_t *n,
                       wn_error *err);
/* "minmax" or "rrf"; false for anything else. */
wn_status wn_fusion_parse(const char *method, wn_fusion_method *out, wn_error *err);

#endif
