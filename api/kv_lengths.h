/* Lists of numbers as options give them: contexts in tokens. */
#ifndef WN_API_KV_LENGTHS_H
#define WN_API_KV_LENGTHS_H

#include <stddef.h>

#include "base/status.h"

#define WN_KV_MAX_LENGTHS 16

/* Contexts in tokens, ascending: "512,1024,2048". WN_INVALID for anything else. */
typedef struct wn_kv_lengths {
    size_t n, at[WN_KV_MAX_LENGTHS];
} wn_kv_lengths;
wn_status wn_kv_lengths_parse(const char *text, wn_kv_lengths *out, wn_error *err);
/* Drops those above n; how many are left. */
size_t wn_kv_lengths_limit(wn_kv_lengths *l, size_t n);

#endif
