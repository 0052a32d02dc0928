/* Metadata filters of the OpenAI vector-store API: {"type":"eq","key":"year","value":2020} with eq
 * ne gt gte lt lte in nin, and {"type":"and"|"or","filters":[...]}; depth <= 8, <= 64 nodes. */
#ifndef WN_RETRIEVE_METADATA_FILTER_H
#define WN_RETRIEVE_METADATA_FILTER_H

#include <jansson.h>
#include <stdbool.h>

#include "base/status.h"

typedef struct wn_metadata_filter wn_metadata_filter;

/* json is not kept. WN_INVALID names the field. */
wn_status wn_metadata_filter_parse(wn_metadata_filter **out, const json_t *json, wn_error *err);
void wn_metadata_filter_free(wn_metadata_filter *f);
/* attributes: JSON text of an object ("{}" matches only ne / nin). A key that is absent or of
 * another type fails every comparison but ne and nin. */
bool wn_metadata_filter_match(const wn_metadata_filter *f, const char *attributes);

#endif
