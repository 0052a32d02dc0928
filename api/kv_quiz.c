#include "api/kv_quiz.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

wn_status wn_kv_sides_open(wn_kv_sides *out, const wn_dms_heads *heads, wn_error *err)
{
    const size_t n = 1 + (heads ? heads->n_points : 0);
    *out = (wn_kv_sides){.n = n, .all = wn_alloc(n, sizeof *out->all)};
    if (!out->all)
        return wn_error_set(err, WN_NO_MEMORY, "eval kv: out of memory");
    for (size_t i = 1; i < n; i++)
        out->all[i].point = &heads->points[i - 1];
    return WN_OK;
}

void wn_kv_sides_close(wn_kv_sides *s)
{
    free(s->all);
    *s = (wn_kv_sides){0};
}

const char *wn_kv_side_name(const wn_kv_side *s)
{
    return s->point ? "heads" : "dense";
}

double wn_kv_side_slots(const wn_kv_side *s)
{
    return s->n_prefixes ? (double)s->n_prefixes / s->live : 1;
}

double wn_kv_side_byte_ratio(const wn_kv_side *s)
{
    return s->n_prefixes ? (double)s->n_prefixes / s->bytes : 1;
}

wn_status wn_kv_prompt_make(const wn_model *m, const char *system, const wn_strbuf *user,
                            wn_kv_prompt *out, wn_error *err)
{
    const wn_chat_message messages[] = {{"system", system, system ? strlen(system) : 0},
                                        {"user", wn_strbuf_cstr(user), user->len}};
    if (wn_strbuf_failed(user))
        return wn_error_set(err, WN_NO_MEMORY, "eval kv: out of memory");
    return wn_chat_encode(wn_model_tokenizer(m), wn_model_chat_family(m), messages + !system,
                          system ? 2 : 1, true, &out->ids, &out->n, err);
}

void wn_kv_prompts_free(wn_kv_prompt *p, size_t n)
{
    for (size_t i = 0; p && i < n; i++)
        free(p[i].ids);
    free(p);
}

size_t wn_kv_common_prefix(const wn_kv_prompt *p, size_t n)
{
    size_t same = n ? p[0].n : 0;
    for (size_t i = 1; i < n; i++) {
        size_t k = 0;
        while (k < same && k < p[i].n && p[i].ids[k] == p[0].ids[k])
            k++;
        same = k;
    }
    return same;
}

static size_t longest(const wn_kv_prompt *p, size_t n)
{
    size_t most = 0;
    for (size_t i = 0; i < n; i++)
        most = p[i].n > most ? p[i].n : most;
    return most;
}

static wn_status count_prefix(const wn_kv_reader *r, wn_kv_side *side, wn_error *err)
{
    wn_kv_report report = {0};
    WN_TRY(wn_kv_reader_report(r, &report, err));
    side->n_prefixes++;
    side->n_tokens += wn_kv_reader_length(r);
    side->live += 1 / report.slots_ratio;
    side->bytes += 1 / report.bytes_ratio;
    wn_kv_report_free(&report);
    return WN_OK;
}

static wn_status ask_all(const wn_kv_quiz *q, const wn_kv_reader *r, const wn_kv_sides *sides,
                         size_t side, wn_kv_answer_fn visit, void *ctx, wn_error *err)
{
    wn_status status = WN_OK;
    for (size_t i = 0; status == WN_OK && i < q->n_asked; i++) {
        char *answer = NULL;
        status =
            wn_kv_reader_ask(r, q->prompts[i].ids, q->prompts[i].n, q->max_tokens, &answer, err);
        if (status == WN_OK)
            status = visit(ctx, side, i, answer, err);
        free(answer);
        if (status == WN_OK && q->progress)
            status = q->progress(q->progress_ctx, side * q->n_asked + i + 1, sides->n * q->n_asked);
    }
    return status;
}

wn_status wn_kv_quiz_run(const wn_kv_quiz *q, wn_kv_sides *sides, wn_kv_answer_fn visit, void *ctx,
                         wn_error *err)
{
    const size_t n_prefix = wn_kv_common_prefix(q->prompts, q->n_prompts);
    wn_kv_reader_options o = {.model = q->model,
                              .compute = q->compute,
                              .kv_format = q->kv_format,
                              .heads = q->heads,
                              .n_ctx = longest(q->prompts, q->n_prompts) + q->max_tokens};
    if (n_prefix == 0)
        return wn_error_set(err, WN_INVALID, "eval kv: the prompts have nothing in common");
    wn_status status = WN_OK;
    for (size_t side = 0; status == WN_OK && side < sides->n; side++) {
        wn_kv_reader *r = NULL;
        o.point = sides->all[side].point;
        status = wn_kv_reader_open(&r, &o, err);
        if (status == WN_OK)
            status = wn_kv_reader_read(r, q->prompts[0].ids, n_prefix, err);
        if (status == WN_OK)
            status = count_prefix(r, &sides->all[side], err);
        if (status == WN_OK)
            status = ask_all(q, r, sides, side, visit, ctx, err);
        wn_kv_reader_close(r);
    }
    return status;
}
