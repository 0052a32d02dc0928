/* A model file from anywhere: it opens or is refused; what opens runs a few tokens. */
#include "generate/session.h"
#include "tests/gguf_builder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The sizes that a small file can claim are small; a context is asked for that fits anything. */
static void run_tokens(const wn_model *m, wn_compute *c)
{
    static const int32_t ids[] = {0, 1, 2, 3, 1};
    wn_session *s = NULL;
    if (wn_session_open(&s, m, c, &(wn_session_options){.n_ctx = 8}, NULL) == WN_OK) {
        (void)wn_session_append(s, ids, 5, NULL, NULL, NULL);
        (void)wn_session_decode(s, ids[0], NULL);
    }
    wn_session_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static wn_compute *c; /* one for all inputs */
    char path[48];
    wn_model *m = NULL;
    if (!c && wn_compute_open(&c, &(wn_compute_options){.n_threads = 1}, NULL) != WN_OK)
        return 0;
    int fd = wn_test_memory_file(data, size, path);
    if (fd < 0)
        return 0;
    if (wn_model_open(&m, c, path, NULL) == WN_OK)
        run_tokens(m, c);
    wn_model_close(m);
    close(fd);
    return 0;
}
