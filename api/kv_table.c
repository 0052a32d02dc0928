#include "api/kv_table.h"

#include <math.h>
#include <stdlib.h>

#include "api/terminal.h"

void wn_kv_sum_add(wn_kv_sum *s, const wn_kv_eval_row *r)
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
            wn_kv_sum_add(&c->lines[i].text, &row);
        }
    return WN_OK;
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

static void print_line(const wn_kv_case *c, size_t tokens, const wn_kv_line *line)
{
    const wn_kv_eval_row t = mean_of(&line->text), p = mean_of(&line->copy);
    const wn_kv_agreement *a = &line->agree;
    wn_out("%-13s %6zu %6zu %6.2fx %6.2fx  %8.4f %8.3f %8.2f %+7.2f%%", c->name,
           line->window ? line->window : c->window, tokens, t.slots, t.bytes, t.mean, t.p99, t.max,
           100 * (t.ppl / t.ppl_dense - 1));
    if (line->copy.n_texts)
        wn_out("  %6zu %5.2fx %6.2f%% %.4f", line->copied, p.slots, 100 * p.right / p.right_dense,
               p.mean);
    else
        wn_out("  %6s %6s %7s %6s", "-", "-", "-", "-");
    if (a->n_places)
        wn_out("  %5.1f%% %6.1f", 100 * (double)a->n_equal / (double)a->n_tokens,
               (double)a->n_before / (double)a->n_places);
    wn_out("\n");
}

void wn_kv_table_print(const wn_kv_case *cases, size_t n_cases, const wn_kv_lengths *lengths)
{
    wn_out("%-13s %6s %6s %7s %7s  %8s %8s %8s %8s  %28s  %13s\n", "", "", "", "", "", "", "", "",
           "", "repeating", "writing freely");
    wn_out("%-13s %6s %6s %7s %7s  %8s %8s %8s %8s  %6s %6s %7s %6s  %6s %6s\n", "keys", "window",
           "tokens", "slots", "bytes", "KLD", "p99", "max", "PPL", "tokens", "slots", "right",
           "KLD", "equal", "first");
    for (size_t c = 0; c < n_cases; c++)
        for (size_t i = 0; i < lengths->n; i++)
            if (cases[c].lines[i].text.n_texts)
                print_line(&cases[c], lengths->at[i], &cases[c].lines[i]);
}

static json_t *line_json(const wn_kv_case *c, size_t length, const wn_kv_line *line)
{
    const wn_kv_eval_row t = mean_of(&line->text), p = mean_of(&line->copy);
    const wn_kv_agreement *a = &line->agree;
    json_t *o = json_pack(
        "{s:s, s:I, s:f, s:f, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "keys", c->name,
        "window", (json_int_t)(line->window ? line->window : c->window), "mark", c->mark, "bias",
        c->rule.kind == WN_EVICT_HEADS ? (double)c->rule.offset : 0.0, "tokens", (json_int_t)length,
        "texts", (json_int_t)line->text.n_texts, "judged", (json_int_t)t.n_judged, "ratio", t.slots,
        "byte_ratio", t.bytes, "kld_mean", t.mean, "kld_p99", t.p99, "kld_max", t.max, "ppl", t.ppl,
        "ppl_dense", t.ppl_dense);
    if (o && line->copy.n_texts) {
        json_object_set_new(o, "copy_tokens", json_integer((json_int_t)line->copied));
        json_object_set_new(o, "copy_judged", json_integer((json_int_t)p.n_judged));
        json_object_set_new(o, "copy_ratio", json_real(p.slots));
        json_object_set_new(o, "copy_right", json_real(p.right));
        json_object_set_new(o, "copy_right_dense", json_real(p.right_dense));
        json_object_set_new(o, "copy_kld_mean", json_real(p.mean));
    }
    if (o && a->n_places) {
        const double n = (double)a->n_places;
        json_object_set_new(o, "free_places", json_integer((json_int_t)a->n_places));
        json_object_set_new(o, "free_tokens",
                            json_integer((json_int_t)(a->n_tokens / a->n_places)));
        json_object_set_new(o, "free_same", json_real((double)a->n_same / n));
        json_object_set_new(o, "free_first", json_real((double)a->n_before / n));
        json_object_set_new(o, "free_equal", json_real((double)a->n_equal / (double)a->n_tokens));
        if (a->n_tokens > a->n_before)
            json_object_set_new(o, "free_equal_after",
                                json_real((double)(a->n_equal - a->n_before) /
                                          (double)(a->n_tokens - a->n_before)));
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
