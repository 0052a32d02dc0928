/* What several routes say in JSON: ids, documents, hits, citations; and the fields that they share.
 * New references; NULL when memory is out. */
#ifndef WN_API_ROUTE_VIEW_H
#define WN_API_ROUTE_VIEW_H

#include "api/http_call.h"

#define WN_DOCUMENT_ID_LEN 24

/* "doc_12" and back; false for anything else. */
const char *wn_view_document_id(int64_t id, char out[WN_DOCUMENT_ID_LEN]);
bool wn_view_parse_document_id(const char *text, int64_t *out);

json_t *wn_view_corpus(const char *name, const wn_corpus_stats *stats, const char *description);
json_t *wn_view_document(const wn_document *d);
/* Array. Paths on the server's disk are not told. */
json_t *wn_view_hits(const wn_search_result *r);
/* Likewise, what the model was shown: without the texts where that is whole documents. */
json_t *wn_view_shown(const wn_search_result *r, const wn_ask_reading *reading);
json_t *wn_view_reading(const wn_ask_reading *r);
/* answer: the text that the citation's offsets refer to; they become characters. */
json_t *wn_view_citation(const wn_citation *c, const wn_citation_place *place, const char *answer,
                         size_t answer_len);
json_t *wn_view_usage(const wn_answer *a);
json_t *wn_view_timings(const wn_answer *a, double queue_ms, double retrieval_ms);

/* The corpus that {id} names, for reading or writing; false after a reply. Foreign, ill-named and
 * absent corpora get the same 404. */
bool wn_route_open_corpus(wn_http_call *call, const char *name, unsigned mode, wn_corpus **out);
void wn_route_no_corpus(wn_http_call *call, const char *name);

/* "filters" of the body; *out is the caller's. False after a 400. */
bool wn_route_filter(wn_http_call *call, wn_metadata_filter **out);

/* Longest question or query, bytes. */
#define WN_MAX_QUESTION (32u << 10)

#endif
