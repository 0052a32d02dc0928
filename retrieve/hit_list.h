/* From fused ranks to hits: passages with their text, neighbours joined. */
#ifndef WN_RETRIEVE_HIT_LIST_H
#define WN_RETRIEVE_HIT_LIST_H

#include "retrieve/rank_fusion.h"
#include "retrieve/retriever.h"

/* The first max of `fused` whose passages still exist, filled in. *hits (new array [*n]) is freed
 * with wn_hits_free. */
wn_status wn_hits_fetch(wn_corpus *corpus, const wn_fused *fused, size_t n_fused, size_t max,
                        wn_hit **hits, size_t *n, wn_error *err);
/* Joins hits of one document whose passages follow one another: one hit with the text from the
 * first to the last, scores, ranks and passage_id of the best. Best first again. */
wn_status wn_hits_merge(wn_corpus *corpus, wn_hit *hits, size_t *n, wn_error *err);
void wn_hits_free(wn_hit *hits, size_t n);

#endif
