/* Matcher of added tokens in text: leftmost, longest first.
 *
 *     WN_TRY(wn_added_add(&a, "<|im_end|>", 10, 151645, err));
 *     wn_added_match m;
 *     for (size_t pos = 0; wn_added_find(&a, text, len, pos, &m); pos = m.end) ...
 *
 * A byte trie. Immutable after loading: any thread.
 */
#ifndef WN_GENERATE_TOKENIZER_ADDED_H
#define WN_GENERATE_TOKENIZER_ADDED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct wn_added_node {
    uint32_t child, sibling; /* index of a node, 0 = none */
    int32_t id;              /* token that ends here, or -1 */
    uint8_t byte;
} wn_added_node;

typedef struct wn_added {
    wn_added_node *nodes; /* nodes[0] is the root; NULL while empty */
    size_t n, cap;
    bool first[256]; /* bytes that some token begins with */
} wn_added;

typedef struct wn_added_match {
    size_t begin, end; /* bytes */
    int32_t id;
} wn_added_match;

/* Empty text is WN_FORMAT; the same text again takes the later id. */
wn_status wn_added_add(wn_added *a, const char *text, size_t len, int32_t id, wn_error *err);
void wn_added_free(wn_added *a);
bool wn_added_find(const wn_added *a, const char *text, size_t len, size_t pos, wn_added_match *m);

#endif
