/* Typed fields of a request's JSON. Each reader leaves *out (the default) as it is when the field
 * is absent or null; a wrong type or range makes a 400 whose `param` names the field, and gives
 * false.
 *
 *     int64_t top_k = 8;
 *     const char *question = NULL;
 *     if (!wn_field_string(call, call->json, "question", 8192, &question) ||
 *         !wn_field_int(call, call->json, "top_k", 1, 50, &top_k))
 *         return;
 *
 * Strings are borrowed from the JSON; length limits are in bytes.
 */
#ifndef WN_API_HTTP_FIELDS_H
#define WN_API_HTTP_FIELDS_H

#include "api/http_call.h"

/* The value, NULL when absent or null. */
const json_t *wn_field(const json_t *obj, const char *name);
bool wn_field_string(wn_http_call *call, const json_t *obj, const char *name, size_t max_len,
                     const char **out);
/* As above, and present and not empty. */
bool wn_field_required_string(wn_http_call *call, const json_t *obj, const char *name,
                              size_t max_len, const char **out);
bool wn_field_int(wn_http_call *call, const json_t *obj, const char *name, int64_t min, int64_t max,
                  int64_t *out);
bool wn_field_number(wn_http_call *call, const json_t *obj, const char *name, double min,
                     double max, double *out);
bool wn_field_bool(wn_http_call *call, const json_t *obj, const char *name, bool *out);
bool wn_field_object(wn_http_call *call, const json_t *obj, const char *name, const json_t **out);
bool wn_field_array(wn_http_call *call, const json_t *obj, const char *name, size_t max_items,
                    const json_t **out);

/* limit, after and order of a listing, from the query: false after a 400. */
typedef struct wn_http_paging {
    size_t limit; /* 1..100, default 20 */
    const char *after;
    bool descending;
} wn_http_paging;
bool wn_http_paging_read(wn_http_call *call, bool descending_by_default, wn_http_paging *out);
/* The list object; takes over `data`, whose items have an "id". */
json_t *wn_http_list_json(json_t *data, bool has_more);

#endif
