/* First stage: the fit. */
#include <stdio.h>
#include <stdlib.h>

#include "api/asked_text.h"
#include "api/retrofit_internal.h"
#include "base/clock.h"
#include "base/fs.h"
#include "generate/head_fit.h"

#define SAVE_EVERY_S 60

wn_status wn_retrofit_fit_key(const wn_retrofit *r, uint8_t key[WN_SHA256_BYTES], wn_error *err)
{
    char text[256], model[WN_SHA256_HEX], data[WN_SHA256_HEX];
    WN_TRY(wn_model_fingerprint(r->model, model, err));
    wn_hex(r->o.text->digest, WN_SHA256_BYTES, data);
    const int len = snprintf(text, sizeof text, "fit 4 %s %s %zu %zu %zu %zu", model, data,
                             r->o.n_texts, r->o.n_tokens, r->o.n_questions, r->o.window);
    return wn_sha256_of(text, (size_t)len, key, err);
}

static wn_status learn(wn_retrofit *r, wn_head_fit *f, size_t i, wn_error *err)
{
    wn_asked_text_options o = {.n_tokens = r->o.n_tokens, .n_questions = r->o.n_questions};
    wn_asked_text ids = {0};
    wn_training_text_piece(r->o.text, WN_PIECE_LEARN, i, r->o.n_texts,
                           WN_BYTES_PER_TOKEN * r->o.n_tokens, &o.text, &o.len);
    WN_TRY(wn_asked_text_ids(&ids, r->model, r->compute, &o, err));
    wn_status status =
        ids.n_given > r->o.window
            ? wn_head_fit_add(f, ids.ids, ids.n, ids.n_given, err)
            : wn_error_set(err, WN_INVALID, "retrofit: text %zu: only %zu tokens", i, ids.n_given);
    r->n_asked += ids.n_questions;
    free(ids.ids);
    return status;
}

static wn_status fit(wn_retrofit *r, wn_head_fit *f, wn_error *err)
{
    uint8_t key[WN_SHA256_BYTES];
    const char *path = r->o.state_path;
    double saved = wn_clock_ms();
    if (path) {
        WN_TRY(wn_retrofit_fit_key(r, key, err));
        if (wn_fs_exists(path))
            WN_TRY(wn_head_fit_load(f, key, path, err));
    }
    for (size_t i = wn_head_fit_n_texts(f); i < r->o.n_texts; i++) {
        WN_TRY(learn(r, f, i, err));
        const bool due = wn_clock_ms() - saved > 1e3 * SAVE_EVERY_S || i + 1 == r->o.n_texts;
        if (path && due) {
            WN_TRY(wn_head_fit_save(f, key, path, err));
            saved = wn_clock_ms();
        }
        wn_status status = wn_retrofit_progress(r, "Fitting", i + 1, r->o.n_texts);
        if (status != WN_OK) {
            if (path && !due)
                WN_TRY(wn_head_fit_save(f, key, path, err));
            return wn_error_set(err, status, "retrofit: stopped after %zu of %zu texts", i + 1,
                                r->o.n_texts);
        }
    }
    return wn_head_fit_solve(f, r->weight, r->bias, &r->r2, err);
}

wn_status wn_retrofit_fit(wn_retrofit *r, wn_error *err)
{
    wn_head_fit *f = NULL;
    const wn_head_fit_options o = {.n_max = wn_asked_text_max(r->o.n_tokens, r->o.n_questions),
                                   .window = r->o.window,
                                   .means = r->o.head_means};
    WN_TRY(wn_head_fit_open(&f, r->model, r->compute, &o, err));
    wn_status status = fit(r, f, err);
    wn_head_fit_close(f);
    return status;
}
