/* GGUF reader on arbitrary bytes: it must refuse or read; whatever opens is readable to its end. */
#include "base/gguf.h"
#include "tests/gguf_builder.h"

static volatile unsigned sum; /* keeps the reads */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(const wn_gguf *g)
{
    static const char *const keys[] = {"tokenizer.ggml.tokens", "tokens", "general.architecture"};
    for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
        size_t n = 0;
        wn_gguf_string s = {0};
        int32_t id = 0;
        (void)wn_gguf_array_len(g, keys[k], &n, NULL);
        for (size_t i = 0; i < n; i++) {
            if (wn_gguf_array_str(g, keys[k], i, &s, NULL) == WN_OK && s.len)
                sum = sum + (unsigned char)s.data[s.len - 1];
            (void)wn_gguf_array_i32(g, keys[k], i, &id, NULL);
        }
    }
    for (size_t i = 0; i < wn_gguf_n_tensors(g); i++) {
        const wn_tensor *t = wn_gguf_tensor_at(g, i);
        sum = sum + ((const unsigned char *)t->data)[t->bytes - 1];
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[48];
    wn_gguf *g = NULL;
    int fd = wn_test_memory_file(data, size, path);
    if (fd < 0)
        return 0;
    if (wn_gguf_open(&g, path, NULL) == WN_OK)
        read_all(g);
    wn_gguf_close(g);
    close(fd);
    return 0;
}
