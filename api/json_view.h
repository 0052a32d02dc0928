/* Results as JSON, the same in the CLI's --json and in the HTTP answers. New references; NULL when
 * memory is out. */
#ifndef WN_API_JSON_VIEW_H
#define WN_API_JSON_VIEW_H

#include <jansson.h>

#include "api/service.h"

/* Array of hits: passage_id, document_id, filename, path, title, headings, page_start, page_end,
 * start_byte, end_byte, score, keyword {rank, score}, vector {rank, score}, attributes, text. */
json_t *wn_json_of_hits(const wn_search_result *r);
/* cached_tokens, new_tokens, source (none, host, disk), dense_bytes, held_bytes, load_ms. */
json_t *wn_json_of_prefix(const wn_answer_prefix *p);
/* mode, why (null: the mode was asked for), documents, passages, tokens, left_out [{document_id,
 * filename, tokens}]. */
json_t *wn_json_of_reading(const wn_ask_reading *r);
/* number, document_id, filename, path, title, headings, page_start, page_end, start_char, end_char,
 * cited_text, answer_start, answer_end (bytes of the answer), support, from_marker. */
json_t *wn_json_of_citation(const wn_citation *c, const wn_citation_place *place);
/* summary, tokens, dense_bytes, held_bytes, ratio (of bytes), slots_ratio, retention (layers of
 * heads: shares of the tokens); with texts also text, as [piece, share of heads that have it] per
 * token. JSON null for an empty report. */
json_t *wn_json_of_kv(const wn_kv_report *r);
json_t *wn_json_of_stats(const char *name, const wn_corpus_stats *s);

#endif
