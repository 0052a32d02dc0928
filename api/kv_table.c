#include "api/kv_table.h"

#include <math.h>
#include <stdlib.h>

#include "api/terminal.h"
#include "generate/repeat_text.h"

wn_status wn_kv_lengths_parse(const char *text, wn_kv_lengths *out, wn_error *err)
{
    *out = (wn_kv_lengths){0};
    for (const char *at = text; *at; at++) {
        char *end = NULL;
        const unsigned long value = strtoul(at, &end, 10);
        const size_t before = out->n ? out->at[out->n - 1] : 1;
        if (end == at || (*end && *end != ',') || value <= before || value > (1UL << 28) ||
            out->n == WN_KV_MAX_LENGTHS)
            break;
        out->at[out->n++] = value;
        if (!*end)
            return WN_OK;
        at = end;
    }
    return wn_error_set(err, WN_INVALID,
                        "lengths \"%.80s\": ascending numbers with commas between them, %d at most",
                        text, WN_KV_MAX_LENGTHS);
}

static void add(wn_kv_sum *s, const wn_kv_eval_row *r)
{
    s->n_texts++;
    s->n_judged += r->n_judged;
    s->live += 1 / r->slots;
    s->bytes += 1 / r->bytes;
    s->mean += r->mean;
    s->p99 += r->p99;
    s->max = fmax(s->max, r->max);
    s->nll += log(r->ppl);
    s->nll_dense += log(r->ppl_dense);
    s->right += r->right;
    s->right_dense += r->right_dense;
}

wn_status wn_kv_case_read(wn_kv_eval *e, wn_kv_case *c, size_t n, const wn_kv_lengths *lengths,
                          size_t judge_from, wn_error *err)
{
    wn_kv_eval_row row = {0};
    WN_TRY(wn_kv_eval_judge(e, &c->rule, c->window, judge_from, err));
    for (size_t i = 0; i < lengths->n; i++)
        if (lengths->at[i] > judge_from + 1 && lengths->at[i] <= n) {
            wn_kv_eval_row_of(e, lengths->at[i], lengths->at[i], &row);
            add(&c->lines[i].text, &row);
        }
    return WN_OK;
}

static wn_status copy_one(wn_kv_eval *e, const wn_repeat_text *r, wn_kv_case *cases, size_t n_cases,
                          size_t line, wn_error *err)
{
    wn_kv_eval_row row = {0};
    WN_TRY(wn_kv_eval_read(e, r->ids, r->n, err));
    for (size_t i = 0; i < n_cases; i++) {
        WN_TRY(wn_kv_eval_judge(e, &cases[i].rule, cases[i].window, r->n_prompt - 1, err));
        wn_kv_eval_row_of(e, r->n, r->n_given, &row);
        add(&cases[i].lines[line].copy, &row);
    }
    return WN_OK;
}

wn_status wn_kv_cases_copy(wn_kv_eval *e, const wn_model *m, wn_kv_case *cases, size_t n_cases,
                           const char *text, size_t len, size_t line, size_t n_tokens,
                           wn_error *err)
{
    wn_repeat_text r = {0};
    WN_TRY(wn_repeat_text_ids(m, text, len, n_tokens, &r, err));
    wn_status status = r.n_given >= n_tokens ? copy_one(e, &r, cases, n_cases, line, err) : WN_OK;
    free(r.ids);
    return status;
}

double wn_kv_slots(wn_kv_eval *e, size_t n)
{
    wn_kv_eval_row row = {0};
    wn_kv_eval_row_of(e, n, n, &row);
    return row.slots;
}

static int ascending(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

float wn_kv_offset(float *values, size_t n_values, size_t keep, bool largest)
{
    qsort(values, n_values, sizeof *values, ascending);
    if (largest)
        return keep == 0 ? INFINITY : keep >= n_values ? -INFINITY : values[n_values - keep];
    return keep == 0 ? INFINITY : keep >= n_values ? -INFINITY : -values[keep - 1];
}

static wn_kv_eval_row mean_of(const wn_kv_sum *s)
{
    const double n = s->n_texts ? (double)s->n_texts : 1;
    return (wn_kv_eval_row){.n_judged = s->n_judged,
                            .slots = n / s->live,
                            .bytes = n / s->bytes,
                            .mean = s->mean / n,
                            .p99 = s->p99 / n,
                            .max = s->max,
                            .ppl = exp(s->nll / n),
                            .ppl_dense = exp(s->nll_dense / n),
                            .right = s->right / n,
                            .right_dense = s->right_dense / n};
}

void wn_kv_table_print(const wn_kv_case *cases, size_t n_cases, const wn_kv_lengths *lengths)
{
    wn_out("%-13s %6s %6s %7s %7s  %8s %8s %8s %8s  %22s\n", "keys", "window", "tokens", "slots",
           "bytes", "KLD", "p99", "max", "PPL", "copied: slots right KLD");
    for (size_t c = 0; c < n_cases; c++)
        for (size_t i = 0; i < lengths->n; i++) {
            const wn_kv_line *line = &cases[c].lines[i];
            const wn_kv_eval_row t = mean_of(&line->text), p = mean_of(&line->copy);
            if (!line->text.n_texts)
                continue;
            wn_out("%-13s %6zu %6zu %6.2fx %6.2fx  %8.4f %8.3f %8.2f %+7.2f%%", cases[c].name,
                   cases[c].window, lengths->at[i], t.slots, t.bytes, t.mean, t.p99, t.max,
                   100 * (t.ppl / t.ppl_dense - 1));
            if (line->copy.n_texts)
                wn_out("  %5.2fx %6.2f%% %.4f", p.slots, 100 * p.right / p.right_dense, p.mean);
            wn_out("\n");
        }
}

static json_t *line_json(const wn_kv_case *c, size_t length, const wn_kv_line *line)
{
    const wn_kv_eval_row t = mean_of(&line->text), p = mean_of(&line->copy);
    json_t *o = json_pack("{s:s, s:I, s:f, s:f, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f}",
                          "keys", c->name, "window", (json_int_t)c->window, "mark", c->mark, "bias",
                          (double)c->rule.offset, "tokens", (json_int_t)length, "texts",
                          (json_int_t)line->text.n_texts, "judged", (json_int_t)t.n_judged, "ratio",
                          t.slots, "byte_ratio", t.bytes, "kld_mean", t.mean, "kld_p99", t.p99,
                          "kld_max", t.max, "ppl", t.ppl, "ppl_dense", t.ppl_dense);
    if (o && line->copy.n_texts) {
        json_object_set_new(o, "copy_ratio", json_real(p.slots));
        json_object_set_new(o, "copy_right", json_real(p.right));
        json_object_set_new(o, "copy_right_dense", json_real(p.right_dense));
        json_object_set_new(o, "copy_kld_mean", json_real(p.mean));
    }
    return o;
}

json_t *wn_kv_table_json(const wn_kv_case *cases, size_t n_cases, const wn_kv_lengths *lengths)
{
    json_t *rows = json_array();
    for (size_t c = 0; c < n_cases; c++)
        for (size_t i = 0; i < lengths->n; i++)
            if (cases[c].lines[i].text.n_texts)
                json_array_append_new(rows,
                                      line_json(&cases[c], lengths->at[i], &cases[c].lines[i]));
    return rows;
}
