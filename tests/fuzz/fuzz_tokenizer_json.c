/* tokenizer.json from anywhere: loads or is refused; what loads encodes with ids in range. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "generate/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] = "Alice's <|im_start|> caf\xC3\xA9 e\xCC\x81 \xFF\xE2\x82 123  \n x";
    char path[64];
    wn_tokenizer *t = NULL;
    snprintf(path, sizeof path, "/tmp/winnow-fuzz-tokenizer-%d.json", (int)getpid());
    FILE *f = fopen(path, "wb");
    if (!f)
        return 0;
    size_t written = fwrite(data, 1, size, f);
    if (fclose(f) != 0 || written != size)
        return 0;
    wn_status status = wn_tokenizer_from_json(&t, path, NULL);
    unlink(path);
    for (unsigned flags = 0; status == WN_OK && flags < 2; flags++) {
        int32_t *ids = NULL;
        size_t n = 0;
        if (wn_tokenizer_encode(t, text, sizeof text, flags, &ids, &n, NULL) != WN_OK)
            continue;
        for (size_t i = 0; i < n; i++) {
            if (ids[i] < 0 || (size_t)ids[i] >= wn_tokenizer_n_vocab(t))
                abort();
        }
        free(ids);
    }
    wn_tokenizer_close(t);
    return 0;
}
