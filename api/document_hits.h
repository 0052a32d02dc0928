/* Whole documents as an answer's sources: their passages, without what neighbours overlap by.
 *
 *     wn_search_result r = {0};
 *     WN_TRY(wn_document_hits_add(corpus, document_id, &r, err));   // appends to r.hits
 *     WN_TRY(wn_document_hits_add_all(corpus, filter, max_bytes, &r, err));
 *
 * Together the hits of a document have its text from the first word to the last, in order. Scores
 * and ranks are 0: nothing searched for them. Any thread.
 */
#ifndef WN_API_DOCUMENT_HITS_H
#define WN_API_DOCUMENT_HITS_H

#include "retrieve/retriever.h"

/* r: all zero, or of earlier calls. WN_NOT_FOUND: no such document; WN_CONFLICT: it was replaced
 * meanwhile; r is to be freed all the same. */
wn_status wn_document_hits_add(wn_corpus *corpus, int64_t document_id, wn_search_result *r,
                               wn_error *err);
/* Of all documents that match the filter (NULL: all), by id. WN_LIMIT where their texts have more
 * than max_bytes. */
wn_status wn_document_hits_add_all(wn_corpus *corpus, const wn_metadata_filter *filter,
                                   size_t max_bytes, wn_search_result *r, wn_error *err);

/* Whether the document of hits [0, n) still has their texts where they say. */
bool wn_document_hits_stand(wn_corpus *corpus, const wn_hit *hits, size_t n);

#endif
