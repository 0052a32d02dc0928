/* Eviction heads from anywhere: a side-car, and the metadata of a borrowed checkpoint. They load or
 * are refused; what loads has the model's shapes. */
#include <math.h>
#include <stdlib.h>

#include "generate/dms_internal.h"
#include "generate/model_internal.h"
#include "tests/gguf_builder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(wn_dms_heads *h, const wn_model_config *c)
{
    const size_t n = h->kind == WN_DMS_LINEAR ? c->n_layers * c->n_kv_heads : 0;
    double sum = 0;
    for (size_t i = 0; i < n * c->d_model; i++)
        sum += (double)h->weight[i];
    for (size_t i = 0; i < n; i++)
        sum += (double)h->bias[i];
    if (!isfinite(sum) || h->n_points == 0 || h->points[0].window == 0 || h->decision_shift > 1)
        abort();
}

/* A model without weights: its fingerprint is that of the corpus. */
static wn_model *small_model(void)
{
    static const char empty[] = "\x08\0\0\0\0\0\0\0{}      ";
    static wn_model m = {.config = {.n_layers = 2, .n_kv_heads = 2, .n_heads = 2, .d_model = 4}};
    static char path[48], name[] = "small";
    if (!m.tensors) {
        (void)wn_test_memory_file(empty, sizeof empty - 1, path);
        m.path = path;
        m.name = name;
        if (wn_safetensors_open(&m.tensors, path, NULL) != WN_OK)
            abort();
    }
    return &m;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[48];
    const wn_model *m = small_model();
    const int fd = wn_test_memory_file(data, size, path);
    if (fd < 0)
        return 0;
    for (int borrowed = 0; borrowed < 2; borrowed++) {
        bool found = false;
        wn_dms_heads *h = calloc(1, sizeof *h);
        if (!h)
            abort();
        wn_status status = borrowed ? wn_dms_borrowed_load(h, m, path, &found, NULL)
                                    : wn_dms_linear_load(h, m, path, NULL);
        if (status == WN_OK)
            check(h, wn_model_config_of(m));
        wn_dms_heads_close(h);
    }
    close(fd);
    return 0;
}
