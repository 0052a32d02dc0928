#include "api/greedy_eval.h"

#include <stdlib.h>
#include <string.h>

#include "api/exact_pair.h"
#include "base/checked.h"

int32_t wn_likeliest(const float *logits, size_t n_vocab)
{
    size_t top = 0;
    for (size_t i = 1; i < n_vocab; i++)
        if (logits[i] > logits[top])
            top = i;
    return (int32_t)top;
}

wn_status wn_write_likeliest(wn_session *s, size_t n_vocab, int32_t *out, size_t n, wn_error *err)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = wn_likeliest(wn_session_logits(s), n_vocab);
        if (i + 1 < n)
            WN_TRY(wn_session_decode(s, out[i], err));
    }
    return WN_OK;
}

static wn_status continue_text(const wn_exact_side *side, const int32_t *prompt, size_t n_prompt,
                               int32_t *out, size_t n, wn_error *err)
{
    wn_session_truncate(side->session, 0);
    WN_TRY(wn_session_append(side->session, prompt, n_prompt, NULL, NULL, err));
    return wn_write_likeliest(side->session, wn_model_config_of(side->model)->n_vocab, out, n, err);
}

static void compare(wn_greedy_texts *t)
{
    t->first_difference = t->n;
    t->n_equal = 0;
    for (size_t i = t->n; i-- > 0;) {
        if (t->usual[i] == t->exact[i])
            t->n_equal++;
        else
            t->first_difference = i;
    }
}

/* buffers: the prompt, then both continuations. */
static wn_status run_prompt(const wn_exact_pair *pair, const wn_greedy_options *o,
                            const int32_t *from, int32_t *buffers, wn_greedy_visit_fn visit,
                            void *ctx, wn_error *err)
{
    int32_t bos = wn_tokenizer_bos(wn_model_tokenizer(pair->usual.model));
    size_t n_bos = bos >= 0 ? 1 : 0, n_prompt = n_bos + o->n_prompt;
    int32_t *usual = buffers + n_prompt, *exact = usual + o->n_generate;
    if (n_bos)
        buffers[0] = bos;
    memcpy(buffers + n_bos, from, o->n_prompt * sizeof *from);
    WN_TRY(continue_text(&pair->usual, buffers, n_prompt, usual, o->n_generate, err));
    WN_TRY(continue_text(&pair->exact, buffers, n_prompt, exact, o->n_generate, err));
    wn_greedy_texts texts = {.prompt = buffers,
                             .n_prompt = n_prompt,
                             .usual = usual,
                             .exact = exact,
                             .n = o->n_generate};
    compare(&texts);
    return visit(ctx, &texts, err);
}

static wn_status run_prompts(const wn_exact_pair *pair, const wn_greedy_options *o,
                             wn_greedy_visit_fn visit, void *ctx, wn_error *err)
{
    int32_t *ids = NULL;
    size_t n = 0;
    WN_TRY(wn_tokenizer_encode(wn_model_tokenizer(pair->usual.model), o->text, o->len,
                               WN_ENCODE_PLAIN, &ids, &n, err));
    int32_t *buffers = wn_alloc(o->n_prompt + 1 + 2 * o->n_generate, sizeof *buffers);
    wn_status status =
        buffers ? WN_OK : wn_error_set(err, WN_NO_MEMORY, "greedy texts: out of memory");
    size_t step = n / o->n_prompts;
    if (status == WN_OK && step < o->n_prompt)
        status = wn_error_set(err, WN_INVALID, "%zu tokens are too few for %zu prompts of %zu", n,
                              o->n_prompts, o->n_prompt);
    for (size_t i = 0; status == WN_OK && i < o->n_prompts; i++)
        status = run_prompt(pair, o, ids + i * step, buffers, visit, ctx, err);
    free(buffers);
    free(ids);
    return status;
}

wn_status wn_greedy_eval(wn_service *s, const wn_greedy_options *o, wn_greedy_visit_fn visit,
                         void *ctx, wn_error *err)
{
    wn_exact_pair pair = {0};
    WN_TRY(wn_exact_pair_open(&pair, s, o->n_prompt + 1 + o->n_generate, err));
    wn_status status = run_prompts(&pair, o, visit, ctx, err);
    wn_exact_pair_close(&pair);
    return status;
}
