#include "api/kv_lengths.h"

#include <stdlib.h>

wn_status wn_kv_lengths_parse(const char *text, wn_kv_lengths *out, wn_error *err)
{
    *out = (wn_kv_lengths){0};
    for (const char *at = text; *at; at++) {
        char *end = NULL;
        const unsigned long value = strtoul(at, &end, 10);
        const size_t before = out->n ? out->at[out->n - 1] : 1;
        if (end == at || (*end && *end != ',') || value <= before || value > (1UL << 28) ||
            out->n == WN_KV_MAX_LENGTHS)
            break;
        out->at[out->n++] = value;
        if (!*end)
            return WN_OK;
        at = end;
    }
    return wn_error_set(err, WN_INVALID,
                        "lengths \"%.80s\": ascending numbers with commas between them, %d at most",
                        text, WN_KV_MAX_LENGTHS);
}

size_t wn_kv_lengths_limit(wn_kv_lengths *l, size_t n)
{
    while (l->n > 0 && l->at[l->n - 1] > n)
        l->n--;
    return l->n;
}
