/* What is kept of corpora's prefixes, added up by corpus, and as JSON.
 *
 *     WN_TRY(wn_prefix_summaries(service, "notes", &rows, &n, err));   // NULL: of all corpora
 *     free(rows);
 *
 * JSON: new references; NULL when memory is out. Any thread.
 */
#ifndef WN_API_PREFIX_VIEW_H
#define WN_API_PREFIX_VIEW_H

#include <jansson.h>

#include "api/service.h"

typedef struct wn_prefix_summary {
    char corpus[WN_PREFIX_MAX_NAME + 1];
    size_t n_nodes;
    size_t n_tokens, n_texts;        /* of the longest */
    size_t dense_bytes, held_bytes;  /* of the longest; held 0: it is not in memory */
    size_t memory_bytes, disk_bytes; /* of all */
    uint64_t n_hits;
    int64_t used_unix_s;
} wn_prefix_summary;

wn_status wn_prefix_summaries(wn_service *s, const char *corpus, wn_prefix_summary **rows,
                              size_t *n, wn_error *err);

/* id, corpus, tokens, texts, children, memory_bytes, held_bytes, dense_bytes, disk_bytes, hits,
 * created_at, used_at. */
json_t *wn_json_of_prefix_node(const wn_prefix_info *i);
/* corpus, n_nodes, tokens, texts, dense_bytes, held_bytes, ratio (null: not in memory),
 * memory_bytes, disk_bytes, hits, used_at. */
json_t *wn_json_of_prefix_summary(const wn_prefix_summary *r);

#endif
