/* The tiny model with eviction heads of either kind, and sessions on it. Each test program has its
 * own. */
#ifndef WN_TEST_TINY_HEADS_H
#define WN_TEST_TINY_HEADS_H

#include "base/fs.h"
#include "generate/model_internal.h"
#include "generate/session.h"
#include "tests/unit/generate/tiny_model.h"

enum { N_HEADS = TINY_LAYERS * TINY_KV };

static char dir[] = "/tmp/wn_test_heads_XXXXXX";
static wn_compute *compute;
static wn_model *model;
static int32_t ids[TINY_CTX];
static float weight[N_HEADS * TINY_D], bias[N_HEADS];

static inline int tiny_heads_open(void **state)
{
    (void)state;
    checkpoint_shape shape = tiny_shape(true, false);
    if (!mkdtemp(dir) ||
        wn_compute_open(&compute, &(wn_compute_options){.exact = true}, NULL) != WN_OK)
        return -1;
    write_checkpoint(dir, &shape, TINY_CONFIG("llama", ",\"tie_word_embeddings\":true"), false);
    for (int i = 0; i < TINY_CTX; i++)
        ids[i] = (i * i * 7 + i) % TINY_VOCAB;
    random_floats("heads", 64, weight, N_HEADS * TINY_D);
    for (size_t i = 0; i < N_HEADS; i++)
        bias[i] = (float)i / 4 - 0.25f;
    return wn_model_open_weights(&model, compute, dir, NULL) == WN_OK ? 0 : -1;
}

static inline int tiny_heads_close(void **state)
{
    (void)state;
    wn_model_close(model);
    wn_compute_close(compute);
    return wn_fs_remove_tree(dir, NULL) == WN_OK ? 0 : -1;
}

/* All of them evict some 40 to 80 % of the tokens. */
static inline wn_dms_heads linear_heads(wn_dms_point *point, size_t shift)
{
    return (wn_dms_heads){.kind = WN_DMS_LINEAR,
                          .decision_shift = shift,
                          .points = point,
                          .n_points = 1,
                          .d_model = TINY_D,
                          .n_kv_heads = TINY_KV,
                          .weight = weight,
                          .bias = bias};
}

static inline wn_dms_heads borrowed_heads(wn_dms_point *point, size_t shift, bool after_rope)
{
    return (wn_dms_heads){.kind = WN_DMS_BORROWED,
                          .decision_shift = shift,
                          .points = point,
                          .n_points = 1,
                          .alpha_scale = 100,
                          .alpha_offset = 1,
                          .zero_after_rope = after_rope};
}

static inline wn_session *open_with(const wn_model *m, wn_compute *c, const wn_dms_heads *heads,
                                    wn_kv_format format, size_t n_chunk)
{
    wn_session *s = NULL;
    const wn_session_options o = {.n_chunk = n_chunk, .heads = heads, .kv_format = format};
    WN_ASSERT_OK(wn_session_open(&s, m, c, &o, err));
    return s;
}

static inline void append(wn_session *s, const int32_t *from, size_t n)
{
    WN_ASSERT_OK(wn_session_append(s, from, n, NULL, NULL, err));
}

#endif
