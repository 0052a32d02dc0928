/* What reading (head_distill.c) and steps (distill_step.c) share. */
#ifndef WN_GENERATE_HEAD_DISTILL_INTERNAL_H
#define WN_GENERATE_HEAD_DISTILL_INTERNAL_H

#include "generate/evict_rule.h"
#include "generate/head_distill.h"
#include "generate/soft_pass.h"

typedef struct distill_question {
    int32_t *ids;  /* [n] */
    float *taught; /* [n_judged][d_model]: last hidden states with all keys */
    size_t n, n_judged;
} distill_question;

typedef struct distill_text {
    int32_t *ids; /* [n] */
    distill_question *questions;
    size_t *order; /* of the questions, random */
    size_t n, n_questions, next;
} distill_text;

struct wn_head_distill {
    const wn_model *model;
    wn_compute *compute;
    wn_head_distill_options o;
    wn_soft_pass *pass;
    size_t n_lists;
    uint64_t random;
    distill_text *texts;
    size_t n_texts;
    /* the one that was read last */
    distill_text *text;  /* NULL: none since a state was loaded */
    size_t n, n_far;     /* tokens; of them those that may be evicted */
    float **k, **v, **h; /* [n_layers] of [n_max][kv_dim], [n_max][kv_dim], [n_max][d_model] */
    wn_evict_rule rule;  /* that it was read with */
    wn_status status;    /* of that */
    wn_error *err;
    /* heads and their moments */
    float *weight, *bias, *grad, *bias_grad; /* [n_lists][d_model], [n_lists] */
    float *mean, *square;                    /* [n_lists][d_model], then [n_lists] */
    float *rms;                              /* [n_layers][d_model] */
    double offset; /* above which, behind the text, all but `keep` are evicted; see refresh */
    size_t n_done;
    double loss_sum; /* of the last n_turn steps, those since a text was read last */
    size_t n_turn;
    /* one step */
    float *logits;              /* [n_lists][n_max] */
    float *log_keep, *key_grad; /* [n_lists][n_max], of the keys that are there */
    uint32_t *at;               /* likewise */
    wn_soft_keys *keys;         /* [n_lists] */
    int32_t *ids;               /* [n_rows] */
    uint32_t *piece;
    float *owed, *normed, *own; /* [n_rows][d_model] */
};

/* Puts the first questions of order[0 .. n) that there are rows for into ids and piece. */
size_t wn_distill_fill(wn_head_distill *d, const size_t *order, size_t n, size_t *n_rows);
/* The soft pass of these rows with d->keys. */
wn_status wn_distill_run(wn_head_distill *d, size_t n_rows, wn_error *err);
/* d->offset, by the heads as they are now and the text that was read last, if there is one. */
wn_status wn_distill_refresh(wn_head_distill *d, wn_error *err);
/* An empty one behind the others; NULL when memory is out. */
distill_text *wn_distill_new_text(wn_head_distill *d);
/* grad and bias_grad of one step of these questions, which ids and piece hold; uses up random
 * numbers. */
wn_status wn_head_distill_gradient(wn_head_distill *d, const size_t *order, size_t n, size_t n_rows,
                                   double *loss, wn_error *err);
/* Gathers their judged rows in d->own, and says how many there are. */
size_t wn_distill_judged(wn_head_distill *d, const size_t *order, size_t n);

#endif
