/* Hybrid search over one corpus: FTS5 and vector legs, fused, filtered, neighbours merged.
 *
 *     wn_search_options o = WN_SEARCH_DEFAULTS;
 *     WN_TRY(wn_retrieve(corpus, embedder, question, len, &o, &result, err));
 *     for (size_t i = 0; i < result.n; i++) use(&result.hits[i]);
 *     wn_search_result_free(&result);
 *
 * embedder may be NULL (keyword search only). Threads: as the embedder (one at a time per
 * embedder).
 */
#ifndef WN_RETRIEVE_RETRIEVER_H
#define WN_RETRIEVE_RETRIEVER_H

#include "index/corpus.h"
#include "retrieve/embedder.h"
#include "retrieve/metadata_filter.h"
#include "retrieve/rank_fusion.h"

typedef struct wn_search_options {
    size_t top_k;           /* 1..100 passages in the result */
    size_t n_candidates;    /* of each leg; 0 = max(100, 4 top_k) */
    wn_fusion fusion;       /* method and weights */
    bool use_corpus_fusion; /* take method and weights from the corpus's settings where set */
    const wn_metadata_filter *filter; /* NULL = all documents */
    double score_threshold;           /* on the fused score, 0..1; hits below are dropped */
    bool merge_neighbours; /* join hits whose passages adjoin or overlap in one document */
} wn_search_options;

#define WN_SEARCH_DEFAULTS                                                                         \
    (wn_search_options)                                                                            \
    {                                                                                              \
        .top_k = 8, .fusion = WN_FUSION_DEFAULTS, .use_corpus_fusion = true,                       \
        .merge_neighbours = true                                                                   \
    }

typedef struct wn_hit {
    int64_t passage_id, document_id;
    int ordinal_first, ordinal_last; /* passages that it covers (merged ones: a range) */
    double score;                    /* fused, higher is better */
    double text_score, vector_score; /* of the legs: -bm25 and cosine; NAN where the leg lacks it */
    int text_rank, vector_rank;      /* from 1; 0 = not in the leg */
    size_t start, end;               /* bytes of the document's text */
    int page_start, page_end;
    char *text; /* the document's bytes [start, end) */
    size_t text_len;
    char *headings, *path, *filename, *title, *attributes;
} wn_hit;

typedef struct wn_search_result {
    wn_hit *hits; /* best first */
    size_t n;
    double text_ms, vector_ms, embed_ms;
    double best_cosine; /* of the whole corpus under the filter; NAN without vectors */
} wn_search_result;

wn_status wn_retrieve(wn_corpus *corpus, wn_embedder *embedder, const char *question, size_t len,
                      const wn_search_options *options, wn_search_result *out, wn_error *err);
/* As wn_retrieve with the question's vector at hand, f32 [dim], L2 = 1 (NULL: keyword search only),
 * so that no embedder is held meanwhile. Any thread. */
wn_status wn_retrieve_embedded(wn_corpus *corpus, const float *query, size_t dim,
                               const char *question, size_t len, const wn_search_options *options,
                               wn_search_result *out, wn_error *err);
void wn_search_result_free(wn_search_result *r);

#endif
