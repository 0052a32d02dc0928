/* Safetensors reader on arbitrary bytes: it must refuse or read; whatever opens is readable. */
#include "base/safetensors.h"
#include "tests/gguf_builder.h"

static volatile unsigned sum; /* keeps the reads */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[48];
    wn_safetensors *st = NULL;
    int fd = wn_test_memory_file(data, size, path);
    if (fd < 0)
        return 0;
    if (wn_safetensors_open(&st, path, NULL) == WN_OK) {
        for (size_t i = 0; i < wn_safetensors_n_tensors(st); i++) {
            const wn_tensor *t = wn_safetensors_tensor_at(st, i);
            if (t->bytes)
                sum = sum + ((const unsigned char *)t->data)[t->bytes - 1];
        }
        (void)wn_safetensors_metadata(st, "format");
    }
    wn_safetensors_close(st);
    close(fd);
    return 0;
}
