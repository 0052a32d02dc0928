/* A filter of a request (first line) on the attributes of a document (the rest). */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/json.h"
#include "retrieve/metadata_filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *newline = size ? memchr(data, '\n', size) : NULL;
    size_t len = newline ? (size_t)(newline - data) : size;
    size_t rest = newline ? size - len - 1 : 0;
    json_t *json = NULL;
    wn_metadata_filter *filter = NULL;
    char *attributes = wn_strndup(rest ? (const char *)newline + 1 : "", rest);
    if (wn_json_parse(&json, (const char *)data, len, "filter", NULL) == WN_OK &&
        wn_metadata_filter_parse(&filter, json, NULL) == WN_OK && attributes) {
        (void)wn_metadata_filter_match(filter, attributes);
        (void)wn_metadata_filter_match(filter, "{}");
    }
    wn_metadata_filter_free(filter);
    json_decref(json);
    free(attributes);
    return 0;
}
