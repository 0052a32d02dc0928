/* A conversation in which a text is given and then repeated: what eviction heads learn from and are
 * tested on, since whatever a later question asks for, repeating the text asks for it too.
 *
 *     WN_TRY(wn_repeat_text_ids(model, text, len, 1000, &r, err));
 *     ... r.ids[0 .. r.n_given) is the user's turn, the repetition ends at r.n ...
 *     free(r.ids);
 */
#ifndef WN_GENERATE_REPEAT_TEXT_H
#define WN_GENERATE_REPEAT_TEXT_H

#include "generate/model.h"

typedef struct wn_repeat_text {
    int32_t *ids;
    size_t n;        /* all of them */
    size_t n_given;  /* up to the end of the user's turn, which holds the text and the request */
    size_t n_prompt; /* up to the repetition; about n - n_prompt tokens are the text */
} wn_repeat_text;

/* The first n_tokens tokens of the text or all, once more or less: tokens at its ends may merge
 * with the template's words. The caller frees r.ids. */
wn_status wn_repeat_text_ids(const wn_model *m, const char *text, size_t len, size_t n_tokens,
                             wn_repeat_text *out, wn_error *err);
/* Tokens of the template and the request, with room to spare. */
#define WN_REPEAT_TEXT_EXTRA 96

/* Ids of the first n_tokens tokens of a text, or fewer where it is shorter, behind BOS where the
 * model has one. The caller frees *ids. */
wn_status wn_first_ids(const wn_model *m, const char *text, size_t len, size_t n_tokens,
                       int32_t **ids, size_t *n, wn_error *err);
/* Appends the bytes of the first n_tokens tokens of a text to out, or of all; *n_cut: how many. */
wn_status wn_first_text(const wn_model *m, const char *text, size_t len, size_t n_tokens,
                        wn_strbuf *out, size_t *n_cut, wn_error *err);

#endif
