#include "generate/repeat_text.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

#define REQUEST "\n\nRepeat the text above."
#define BYTES_PER_TOKEN 16 /* more than any text needs on average: no more of it is encoded */

static size_t useful_bytes(const char *text, size_t len, size_t n_tokens)
{
    if (len / BYTES_PER_TOKEN < n_tokens)
        return len;
    return wn_utf8_floor(text, n_tokens * BYTES_PER_TOKEN);
}

wn_status wn_first_ids(const wn_model *m, const char *text, size_t len, size_t n_tokens,
                       int32_t **ids, size_t *n, wn_error *err)
{
    const wn_tokenizer *t = wn_model_tokenizer(m);
    const int32_t bos = wn_tokenizer_bos(t);
    WN_TRY(wn_tokenizer_encode(t, text, useful_bytes(text, len, n_tokens), WN_ENCODE_PLAIN, ids, n,
                               err));
    if (*n > n_tokens)
        *n = n_tokens;
    if (bos >= 0 && *n > 0) {
        memmove(*ids + 1, *ids, (*n - 1) * sizeof **ids);
        (*ids)[0] = bos;
    }
    return WN_OK;
}

wn_status wn_first_text(const wn_model *m, const char *text, size_t len, size_t n_tokens,
                        wn_strbuf *out, size_t *n_cut, wn_error *err)
{
    const wn_tokenizer *t = wn_model_tokenizer(m);
    int32_t *ids = NULL;
    size_t n = 0;
    wn_token_decoder d = {0};
    WN_TRY(wn_tokenizer_encode(t, text, useful_bytes(text, len, n_tokens), WN_ENCODE_PLAIN, &ids,
                               &n, err));
    *n_cut = n < n_tokens ? n : n_tokens;
    for (size_t i = 0; i < *n_cut; i++)
        wn_token_decoder_push(&d, t, ids[i], out);
    free(ids); /* an unfinished character at the end is left out */
    return wn_strbuf_failed(out) ? wn_error_set(err, WN_NO_MEMORY, "text: out of memory") : WN_OK;
}

static wn_status encode(const wn_model *m, const wn_strbuf *user, size_t n_messages,
                        const wn_strbuf *text, bool prompt, int32_t **ids, size_t *n, wn_error *err)
{
    const wn_chat_message messages[] = {{"user", user->data, user->len},
                                        {"assistant", text->data, text->len}};
    return wn_chat_encode(wn_model_tokenizer(m), wn_model_chat_family(m), messages, n_messages,
                          prompt, ids, n, err);
}

/* Length of the conversation's beginning alone. */
static wn_status count(const wn_model *m, const wn_strbuf *user, bool prompt, size_t *n,
                       wn_error *err)
{
    int32_t *ids = NULL;
    WN_TRY(encode(m, user, 1, user, prompt, &ids, n, err));
    free(ids);
    return WN_OK;
}

wn_status wn_repeat_text_ids(const wn_model *m, const char *text, size_t len, size_t n_tokens,
                             wn_repeat_text *out, wn_error *err)
{
    wn_strbuf given = {0}, user = {0};
    size_t n_cut = 0;
    *out = (wn_repeat_text){0};
    wn_status status = wn_first_text(m, text, len, n_tokens, &given, &n_cut, err);
    if (status == WN_OK && given.len == 0)
        status = wn_error_set(err, WN_INVALID, "there is no text to repeat");
    if (status == WN_OK) {
        wn_strbuf_add(&user, given.data, given.len);
        wn_strbuf_adds(&user, REQUEST);
        if (wn_strbuf_failed(&user))
            status = wn_error_set(err, WN_NO_MEMORY, "text: out of memory");
    }
    if (status == WN_OK)
        status = count(m, &user, false, &out->n_given, err);
    if (status == WN_OK)
        status = count(m, &user, true, &out->n_prompt, err);
    if (status == WN_OK)
        status = encode(m, &user, 2, &given, false, &out->ids, &out->n, err);
    wn_strbuf_free(&given);
    wn_strbuf_free(&user);
    return status;
}
