/* tokenizer.model in tiktoken's form (base64 token, rank) from anywhere. */
#include <stdlib.h>

#include "generate/tokenizer.h"
#include "tests/gguf_builder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] = "It's <|begin_of_text|> caf\xC3\xA9 1234\n\n x\xFF";
    char path[48];
    wn_tokenizer *t = NULL;
    int32_t *ids = NULL;
    size_t n = 0;
    int fd = wn_test_memory_file(data, size, path);
    if (fd < 0)
        return 0;
    if (wn_tokenizer_from_tiktoken(&t, path, NULL) == WN_OK &&
        wn_tokenizer_encode(t, text, sizeof text - 1, 0, &ids, &n, NULL) == WN_OK) {
        for (size_t i = 0; i < n; i++)
            if (ids[i] < 0 || (size_t)ids[i] >= wn_tokenizer_n_vocab(t))
                abort();
    }
    free(ids);
    wn_tokenizer_close(t);
    close(fd);
    return 0;
}
