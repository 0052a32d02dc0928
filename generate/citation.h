/* Which passage span supports a sentence of an answer: lexical overlap, weighted by rarity among
 * the given sources, plus the cosine of embeddings, turned into a probability.
 *
 *     WN_TRY(wn_attributor_open(&a, &(wn_attribution){.sources = s, .n_sources = n, .question = q},
 * err)); WN_TRY(wn_attributor_match(a, sentence, len, WN_NO_SOURCE, &m, err)); if (m.support >=
 * WN_SUPPORT_MIN) ... // sources[m.source].text + m.start .. m.end wn_attributor_close(a);
 *
 * Measured on 307 XQuAD questions that the weights were not fitted on, five passages each, answers
 * as bare gold string, "The answer is X.", question's words + X, and gold sentence
 * (tests/unit/api/test_citation_quality.c --all, MiniLM-L6, support >= WN_SUPPORT_MIN):
 *                      recall  precision  right span  cited though the passage    cited a
 *                                                     is not among the sources  wrong answer
 *   words              0.957     0.993      0.997             0.056                0.043
 *   words, embeddings  0.973     0.999      0.995             0.022                0.029
 *
 * The sources are borrowed and must outlive it; they are looked at from the first match on, so that
 * an answer's first word does not wait for that. Threads: one at a time.
 */
#ifndef WN_GENERATE_CITATION_H
#define WN_GENERATE_CITATION_H

#include "base/callbacks.h"
#include "generate/answer.h"

#define WN_NO_SOURCE SIZE_MAX

/* A span is quoted from this support on (marker: when the model itself named its source). */
#define WN_SUPPORT_MIN 0.4
#define WN_SUPPORT_MIN_MARKER 0.2

typedef struct wn_attribution {
    const wn_source *sources;
    size_t n_sources;
    const char *question;
    wn_embed_fn embed; /* NULL: lexical only */
    void *embed_ctx;
    size_t dim;
} wn_attribution;

/* What a span's support is computed from; each 0..1 (cosines -1..1). */
typedef struct wn_support_features {
    double window;   /* weight of the sentence's terms that the span has */
    double passage;  /* ... that the span's passage, title or headings have */
    double numbers;  /* of numbers, in the span, and names, in the passage; 1: there are none */
    double question; /* weight of the question's other terms that the span has */
    double cosine;   /* sentence with span */
    double cosine_joined; /* question + sentence with span */
} wn_support_features;

typedef struct wn_span_match {
    size_t source;     /* index; WN_NO_SOURCE: no sources, or nothing to compare */
    size_t start, end; /* bytes of the source's text */
    double support;    /* 0..1 */
    wn_support_features features;
} wn_span_match;

typedef struct wn_attributor wn_attributor;

wn_status wn_attributor_open(wn_attributor **out, const wn_attribution *options, wn_error *err);
void wn_attributor_close(wn_attributor *a); /* NULL is fine */
/* The best supporting span in all sources or, with only < n_sources, in that one. */
wn_status wn_attributor_match(wn_attributor *a, const char *sentence, size_t len, size_t only,
                              wn_span_match *out, wn_error *err);

#endif
