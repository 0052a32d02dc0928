/* Distils linear eviction heads: gradient descent on what questions behind a prefix lose when its
 * keys are evicted, through the frozen model (soft_pass.h). It starts from fitted heads
 * (head_fit.h), whose target is what single keys are worth while a text is repeated; what questions
 * need, and what keys are worth together, it cannot know.
 *
 *     WN_TRY(wn_head_distill_open(&d, model, compute, &o, err));
 *     for (each text)
 *         WN_TRY(wn_head_distill_add(d, ids, n, questions, n_questions, err));
 *     for (each text, again and again) {
 *         WN_TRY(wn_head_distill_read(d, text, err));
 *         for (one or two steps) WN_TRY(wn_head_distill_step(d, &loss, err));
 *     }
 *     wn_head_distill_heads(d, weight, bias);
 *
 * A step takes some of the questions and a sigmoid of every key's logit, with noise, as the
 * probability that it is kept; the offset of all logits is such that these probabilities sum to
 * `keep` of the keys beyond the window, so heads trade keys with each other and nothing else. Loss:
 * mean KL divergence of the answers' tokens from the distribution with all keys. Adam on weights in
 * units of their inputs' root mean square. The prefix is read with the evictions of the heads as
 * they are then; gradients do not reach into it.
 *
 * Sources: the soft gate and its noise are those of DMS (arXiv 2506.05345).
 * Memory: the prefix as f32, n * n_layers * (d_model + 2 kv_dim); the soft pass's.
 * Threads: as the compute context. The same questions give the same heads on the same machine.
 */
#ifndef WN_GENERATE_HEAD_DISTILL_H
#define WN_GENERATE_HEAD_DISTILL_H

#include "base/hash.h"
#include "generate/model.h"

typedef struct wn_head_distill wn_head_distill;

typedef struct wn_head_distill_options {
    const float *weight, *bias; /* to start from: [n_layers][n_kv_heads][d_model], and without the
                                   last; a logit above an offset evicts */
    size_t n_max;               /* tokens of a prefix at most */
    size_t window;              /* tokens before the prefix's end that are never evicted */
    double keep;                /* share of the others that stays */
    size_t n_rows;              /* of questions and answers in one step, at most; 0 = 320 */
    size_t n_steps;             /* in all: the rate falls to a tenth over them */
    double rate;                /* 0 = 1.5e-3; of biases 20 times that */
    double temperature;         /* of the sigmoid; 0 = 0.35 */
    double noise;               /* how much of a logistic variable is added; 0 = 0.7 */
} wn_head_distill_options;

/* What follows the prefix: a question and the answer with all keys but its last token. */
typedef struct wn_distill_question {
    const int32_t *ids; /* [n]; copied */
    size_t n;
    size_t n_judged; /* of the last of them the next tokens' distributions are compared */
} wn_distill_question;

wn_status wn_head_distill_open(wn_head_distill **out, const wn_model *m, wn_compute *c,
                               const wn_head_distill_options *options, wn_error *err);
void wn_head_distill_close(wn_head_distill *d); /* NULL is fine */

/* A prefix of more than `window` tokens and questions behind it: read with all keys, and what the
 * questions' rows are then is kept. WN_INVALID for a question of more than n_rows tokens, or
 * none. */
wn_status wn_head_distill_add(wn_head_distill *d, const int32_t *ids, size_t n,
                              const wn_distill_question *questions, size_t n_questions,
                              wn_error *err);
size_t wn_head_distill_n_texts(const wn_head_distill *d);
/* Reads one of them again, with evictions, for the steps that follow. Many steps behind one text
 * and then many behind the next move heads to and fro. */
wn_status wn_head_distill_read(wn_head_distill *d, size_t text, wn_error *err);
/* One step on the text's next questions, in random order, as many as there are rows for. */
wn_status wn_head_distill_step(wn_head_distill *d, double *loss, wn_error *err);
/* Mean divergence of all questions behind the text when the keys with the highest logits are
 * gone: what the steps are to lower. */
wn_status wn_head_distill_judge(wn_head_distill *d, double *divergence, wn_error *err);
size_t wn_head_distill_n_steps(const wn_head_distill *d); /* done */
/* Mean of the steps' losses since a text was read last; 0 before the first. */
double wn_head_distill_loss(const wn_head_distill *d);
/* All of it (training_state.h): loaded before anything is added, the next read and its steps are
 * what they would have been. After a failed load it is to be closed. */
wn_status wn_head_distill_save(wn_head_distill *d, const uint8_t key[WN_SHA256_BYTES],
                               const char *path, wn_error *err);
wn_status wn_head_distill_load(wn_head_distill *d, const uint8_t key[WN_SHA256_BYTES],
                               const char *path, wn_error *err);
/* As options->weight and bias. */
void wn_head_distill_heads(const wn_head_distill *d, float *weight, float *bias);

#endif
