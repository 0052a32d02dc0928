#include "api/kv_copying.h"

#include <stdlib.h>

#include "generate/repeat_text.h"

#define MAX_REPEATED 2048 /* tokens */

void wn_kv_copy_plan(size_t n, size_t n_max, size_t *n_given, size_t *n_repeated)
{
    *n_given = n;
    *n_repeated = n < MAX_REPEATED ? n : MAX_REPEATED;
    if (n + *n_repeated + WN_REPEAT_TEXT_EXTRA <= n_max)
        return;
    if (*n_repeated > n_max / 8)
        *n_repeated = n_max / 8;
    const size_t rest = *n_repeated + WN_REPEAT_TEXT_EXTRA;
    if (n + rest > n_max)
        *n_given = n_max > rest ? n_max - rest : 0;
}

static wn_status copy_one(wn_kv_eval *e, wn_kv_baselines *b, const wn_repeat_text *r,
                          wn_kv_case *cases, size_t line, wn_error *err)
{
    wn_kv_eval_row row = {0};
    WN_TRY(wn_kv_eval_judge(e, &cases[0].rule, cases[0].window, r->n_prompt - 1, err));
    wn_kv_eval_row_of(e, r->n, r->n_given, &row);
    wn_kv_sum_add(&cases[0].lines[line].copy, &row);
    if (!b)
        return WN_OK;
    const wn_kv_match m = {.row = &row,
                           .n = r->n,
                           .n_live = r->n_given,
                           .judge_from = r->n_prompt - 1,
                           .line = line,
                           .copy = true};
    return wn_kv_baselines_judge(b, e, cases, &m, err);
}

wn_status wn_kv_cases_copy(wn_kv_eval *e, wn_kv_baselines *b, const wn_model *m, wn_kv_case *cases,
                           size_t n_cases, const char *text, size_t len, size_t line,
                           size_t n_tokens, wn_error *err)
{
    size_t n_given = 0, n_repeated = 0;
    wn_repeat_text r = {0};
    wn_kv_copy_plan(n_tokens, wn_kv_eval_capacity(e), &n_given, &n_repeated);
    if (n_given == 0)
        return WN_OK;
    WN_TRY(wn_repeat_text_ids(m, text, len, n_given, &r, err));
    const bool enough = r.n_given >= n_given && r.n >= r.n_prompt + 2;
    if (r.n > r.n_prompt + n_repeated)
        r.n = r.n_prompt + n_repeated;
    wn_status status = enough ? wn_kv_eval_read(e, r.ids, r.n, err) : WN_OK;
    for (size_t i = 0; enough && status == WN_OK && i < n_cases; i += b ? 1 + WN_KV_BASELINES : 1)
        if (cases[i].window < n_given) {
            for (size_t k = i; k <= i + (b ? WN_KV_BASELINES : 0); k++)
                cases[k].lines[line].copied = n_given;
            status = copy_one(e, b, &r, &cases[i], line, err);
        }
    free(r.ids);
    return status;
}
