/* The windows of the sources that a sentence is compared with: citation_windows.c makes them,
 * citation.c ranks them. Not for callers. */
#ifndef WN_GENERATE_CITATION_INTERNAL_H
#define WN_GENERATE_CITATION_INTERNAL_H

#include "generate/answer_terms.h"
#include "generate/citation.h"

/* Windows per sentence that are worth an embedding: the best by words. */
#define WN_N_EMBEDDED 12

typedef struct wn_window {
    size_t source, start, end; /* bytes of the source's text */
    bool pair;                 /* two adjacent windows joined */
    wn_term_list terms;
    float *vector;                /* [dim], NULL until it was needed */
    wn_support_features features; /* of the sentence being matched */
    double support;
} wn_window;

struct wn_attributor {
    wn_attribution options;
    bool ready; /* windows and counts are there */
    wn_window *windows;
    size_t n_windows, windows_cap, n_single;
    wn_term_list *passages; /* [n_sources]: text, title, headings */
    uint64_t *seen;         /* hashes of all single windows, sorted: their frequency */
    size_t n_seen;
    wn_window **order; /* [n_windows], for ranking */
    float *vectors;    /* [WN_N_EMBEDDED + 2][dim] */
};

/* Cuts all sources into windows (sentences, and pairs of them) and counts their terms. After a
 * failure there are none; it may be tried again. */
wn_status wn_attributor_cut_windows(wn_attributor *a, wn_error *err);
void wn_attributor_drop_windows(wn_attributor *a);
/* How many single windows have the term. */
size_t wn_attributor_frequency(const wn_attributor *a, uint64_t hash);

#endif
