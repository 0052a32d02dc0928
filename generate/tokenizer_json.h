/* Parts of a tokenizer.json while it is read: shared by tokenizer_json*.c only. */
#ifndef WN_GENERATE_TOKENIZER_JSON_H
#define WN_GENERATE_TOKENIZER_JSON_H

#include <jansson.h>

#include "generate/tokenizer.h"

typedef struct wn_tokenizer_json {
    const char *path;
    json_t *root;                         /* owned */
    const json_t *model, *merges, *added; /* borrowed from root; added may be NULL */
    json_t *vocab;                        /* borrowed; not const for jansson's iterators only */
} wn_tokenizer_json;

/* normalizer and pre_tokenizer, recognised by their structure; unknown ones are WN_UNSUPPORTED. */
wn_status wn_tokenizer_json_steps(wn_tokenizer *t, const wn_tokenizer_json *j, wn_error *err);
/* post_processor: the token put before a single text, if there is one. After the vocabulary. */
wn_status wn_tokenizer_json_bos(wn_tokenizer *t, const wn_tokenizer_json *j, wn_error *err);

#endif
