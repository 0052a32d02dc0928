/* Snapshots from anywhere. The checksum would stop nearly all of them, so the bytes go to the KV
 * store below it as well, behind two numbers: the tokens, and where the tail starts. */
#include <stdlib.h>
#include <string.h>

#include "generate/kv_store.h"
#include "tests/gguf_builder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static wn_kv_store *small_store(size_t window)
{
    wn_kv_store *s = NULL;
    const wn_kv_store_options o = {.format = window ? WN_KV_INT8 : WN_KV_F32,
                                   .head_dim = 2,
                                   .n_layers = 2,
                                   .n_kv_heads = 1,
                                   .n_ctx = 200,
                                   .n_chunk = 64,
                                   .window = window};
    if (wn_kv_store_open(&s, &o, NULL) != WN_OK)
        abort();
    return s;
}

/* What loads can be saved again, to as many bytes, and grows. */
static void check(wn_kv_store *s, size_t length, size_t n_bytes)
{
    wn_strbuf again = {0};
    if (wn_kv_store_save(s, &again, NULL) != WN_OK || again.len != n_bytes)
        abort();
    wn_strbuf_free(&again);
    if (length < 200) {
        if (wn_kv_store_extend(s, 1, length + 1, NULL) != WN_OK)
            abort();
        wn_kv_store_advance(s, 1, length + 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t head[2];
    if (size < sizeof head)
        return 0;
    memcpy(head, data, sizeof head);
    for (size_t window = 0; window < 40; window += 32) {
        wn_kv_store *s = small_store(window);
        for (size_t times = 0; times < 2; times++) /* over an empty and over a full one */
            if (wn_kv_store_load(s, head[0], head[1], data + 2, size - 2, NULL) == WN_OK)
                check(s, head[0], size - 2);
        wn_kv_store_close(s);
    }
    return 0;
}
