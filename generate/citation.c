/* Attribution of sentences to passage spans (citation.h). */
#include "generate/citation_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

static wn_status no_memory(wn_error *err)
{
    return wn_error_set(err, WN_NO_MEMORY, "no memory to attribute an answer");
}

wn_status wn_attributor_open(wn_attributor **out, const wn_attribution *options, wn_error *err)
{
    wn_attributor *a = wn_alloc(1, sizeof *a);
    if (!a)
        return no_memory(err);
    a->options = *options;
    *out = a;
    return WN_OK;
}

void wn_attributor_close(wn_attributor *a)
{
    if (!a)
        return;
    wn_attributor_drop_windows(a);
    free(a);
}

#define GIVEN_WEIGHT 0.5

/* Rarer terms, names and numbers weigh more. A plain word that no source has is as a rule the
 * model's way of putting it; a name or a number that none has is made up. */
static double term_weight(const wn_attributor *a, const wn_term *t)
{
    static const double factor[] = {
        [WN_TERM_WORD] = 1, [WN_TERM_NAME] = 1.3, [WN_TERM_NUMBER] = 1.6};
    size_t n = wn_attributor_frequency(a, t->hash);
    double weight = factor[t->kind] * log(1 + (double)a->n_single / ((double)n + 0.5));
    return n == 0 && t->kind == WN_TERM_WORD ? weight / 2 : weight;
}

/* The terms of the sentence at hand, weighed once. */
typedef struct weighed {
    wn_term_list terms;
    double *weights;
    double total, total_numbers;
} weighed;

/* A term that the sentence only repeats from the question is no claim of its own ("In 1962, Kennedy
 * ..."): it weighs half, and as a name or number it need not stand in the span. given: NULL = none.
 */
static wn_status weigh(const wn_attributor *a, weighed *w, const wn_term_list *given, wn_error *err)
{
    w->weights = wn_alloc(w->terms.n, sizeof *w->weights);
    if (!w->weights)
        return no_memory(err);
    for (size_t i = 0; i < w->terms.n; i++) {
        w->weights[i] = term_weight(a, &w->terms.terms[i]);
        if (given && wn_terms_find(given, w->terms.terms[i].hash)) {
            w->weights[i] *= GIVEN_WEIGHT;
            w->terms.terms[i].kind = WN_TERM_WORD;
        }
        w->total += w->weights[i];
        if (w->terms.terms[i].kind != WN_TERM_WORD)
            w->total_numbers += w->weights[i];
    }
    return WN_OK;
}

static void weighed_free(weighed *w)
{
    wn_terms_free(&w->terms);
    free(w->weights);
}

/* Share of w's weight whose terms are in the list. */
static double covered(const weighed *w, const wn_term_list *list)
{
    double sum = 0;
    for (size_t i = 0; i < w->terms.n; i++)
        if (wn_terms_find(list, w->terms.terms[i].hash))
            sum += w->weights[i];
    return w->total > 0 ? sum / w->total : 0;
}

/* As covered, of numbers, which must stand in the span, and of names, for which a span may have a
 * pronoun while its passage has the name. */
static double covered_numbers(const weighed *w, const wn_term_list *span,
                              const wn_term_list *passage)
{
    double sum = 0;
    for (size_t i = 0; i < w->terms.n; i++) {
        const wn_term *t = &w->terms.terms[i];
        if (t->kind != WN_TERM_WORD &&
            wn_terms_find(t->kind == WN_TERM_NUMBER ? span : passage, t->hash))
            sum += w->weights[i];
    }
    return w->total_numbers > 0 ? sum / w->total_numbers : 1;
}

/* Logistic regression on the even articles of XQuAD (tests/unit/api/fit_support.py). The question
 * counts only as far as the sentence itself is found: its words alone support nothing. */
static double support_of(const wn_support_features *f, bool embedded, bool pair)
{
    double asked = f->window * f->question;
    double z = -7.8 + 3.5 * f->window + 4.1 * f->passage + 1.6 * f->numbers + 2.5 * asked;
    if (embedded)
        z = -13.4 + 3.1 * f->window + 3.1 * f->passage + 2.0 * f->numbers + 4.3 * asked +
            5.1 * f->cosine + 5.8 * f->cosine_joined;
    if (pair)
        z -= 0.6; /* two sentences cover more by nature: only where it helps */
    return 1 / (1 + exp(-z));
}

static int by_support(const void *a, const void *b)
{
    const wn_window *x = *(wn_window *const *)a, *y = *(wn_window *const *)b;
    if (x->support != y->support)
        return x->support > y->support ? -1 : 1;
    return x < y ? -1 : x > y; /* earlier, and single before pair */
}

/* Ranks the windows by words alone; a->order[0 .. result) best first. */
static size_t rank_by_words(wn_attributor *a, const weighed *sentence, const weighed *question,
                            size_t only)
{
    size_t n = 0;
    for (size_t i = 0; i < a->n_windows; i++) {
        wn_window *w = &a->windows[i];
        if (only != WN_NO_SOURCE && w->source != only)
            continue;
        w->features = (wn_support_features){
            .window = covered(sentence, &w->terms),
            .passage = covered(sentence, &a->passages[w->source]),
            .numbers = covered_numbers(sentence, &w->terms, &a->passages[w->source]),
            .question = covered(question, &w->terms),
        };
        w->support = support_of(&w->features, false, w->pair);
        a->order[n++] = w;
    }
    if (n > 1)
        qsort(a->order, n, sizeof *a->order, by_support);
    return n;
}

static double dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

/* Embeds the sentence, question + sentence, and those of the n windows that have no vector yet. */
static wn_status embed_all(wn_attributor *a, const char *sentence, size_t len, const char *joined,
                           size_t joined_len, size_t n, wn_error *err)
{
    const wn_attribution *o = &a->options;
    const char *texts[WN_N_EMBEDDED + 2] = {sentence, joined};
    size_t lens[WN_N_EMBEDDED + 2] = {len, joined_len}, n_texts = 2;
    for (size_t i = 0; i < n; i++) {
        const wn_window *w = a->order[i];
        if (w->vector)
            continue;
        texts[n_texts] = o->sources[w->source].text + w->start;
        lens[n_texts++] = w->end - w->start;
    }
    WN_TRY(o->embed(o->embed_ctx, texts, lens, n_texts, a->vectors, err));
    for (size_t i = 0, used = 2; i < n; i++) {
        wn_window *w = a->order[i];
        if (w->vector)
            continue;
        w->vector = wn_alloc(o->dim, sizeof(float));
        if (!w->vector)
            return no_memory(err);
        memcpy(w->vector, a->vectors + used++ * o->dim, o->dim * sizeof(float));
    }
    return WN_OK;
}

static wn_status rank_by_meaning(wn_attributor *a, const char *sentence, size_t len, size_t n,
                                 wn_error *err)
{
    size_t question_len = strlen(a->options.question), joined_len = question_len + 1 + len;
    char *joined = wn_alloc(joined_len + 1, 1);
    if (!joined)
        return no_memory(err);
    memcpy(joined, a->options.question, question_len);
    joined[question_len] = ' ';
    memcpy(joined + question_len + 1, sentence, len);
    wn_status status = embed_all(a, sentence, len, joined, joined_len, n, err);
    free(joined);
    WN_TRY(status);
    for (size_t i = 0; i < n; i++) {
        wn_window *w = a->order[i];
        w->features.cosine = dot(a->vectors, w->vector, a->options.dim);
        w->features.cosine_joined = dot(a->vectors + a->options.dim, w->vector, a->options.dim);
        w->support = support_of(&w->features, true, w->pair);
    }
    qsort(a->order, n, sizeof *a->order, by_support);
    return WN_OK;
}

/* Terms of the sentence, and those of the question that it does not repeat. A sentence without
 * terms ("Yes.") says what the question says. */
static wn_status weigh_both(const wn_attributor *a, const char *sentence, size_t len, weighed *said,
                            weighed *asked, wn_error *err)
{
    if (!wn_terms_extract(sentence, len, &said->terms) ||
        (said->terms.n == 0 &&
         !wn_terms_extract(a->options.question, strlen(a->options.question), &said->terms)) ||
        !wn_terms_extract(a->options.question, strlen(a->options.question), &asked->terms))
        return no_memory(err);
    WN_TRY(weigh(a, said, &asked->terms, err));
    size_t n = 0;
    for (size_t i = 0; i < asked->terms.n; i++)
        if (!wn_terms_find(&said->terms, asked->terms.terms[i].hash))
            asked->terms.terms[n++] = asked->terms.terms[i];
    asked->terms.n = n;
    return weigh(a, asked, NULL, err);
}

wn_status wn_attributor_match(wn_attributor *a, const char *sentence, size_t len, size_t only,
                              wn_span_match *out, wn_error *err)
{
    wn_status status = WN_OK;
    weighed said = {0}, asked = {0};
    *out = (wn_span_match){.source = WN_NO_SOURCE};
    if (!a->ready) /* the first sentence waits for it: nobody waits for its end */
        WN_TRY(wn_attributor_cut_windows(a, err));
    WN_TRY_OUT(weigh_both(a, sentence, len, &said, &asked, err));
    size_t n = rank_by_words(a, &said, &asked, only);
    if (n == 0)
        goto out;
    if (a->options.embed)
        WN_TRY_OUT(rank_by_meaning(a, sentence, len, n < WN_N_EMBEDDED ? n : WN_N_EMBEDDED, err));
    const wn_window *best = a->order[0];
    *out = (wn_span_match){.source = best->source,
                           .start = best->start,
                           .end = best->end,
                           .support = best->support,
                           .features = best->features};
out:
    weighed_free(&said);
    weighed_free(&asked);
    return status;
}
