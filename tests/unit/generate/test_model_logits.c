/* Logits against Hugging Face transformers in float32: tests/golden/logits (generate.py). */
#include "tests/unit/generate/golden_logits.h"

#include "generate/model_internal.h"
#include "generate/session.h"
#include "tests/sanitized.h"
#include "tests/unit/generate/random_checkpoint.h"

#define MAX_FAST_RMS 0.3   /* activations rounded to 8 bits */
#define MAX_BF16_ERROR 0.6 /* activations rounded to 8 bits */
#define MAX_ABS_ERROR 2e-3
#define STEP 128 /* positions a call, so that successive appends are tested too */

/* Runs the golden's first n ids through the model at path; under a sanitizer a few only. */
static difference run(const char *path, const golden *g, size_t n_ids, wn_compute_options options)
{
    if (WN_TEST_SANITIZED)
        n_ids = 32;
    difference d = {0};
    wn_compute *c = NULL;
    wn_model *m = NULL;
    wn_session *s = NULL;
    WN_ASSERT_OK(wn_compute_open(&c, &options, err));
    WN_ASSERT_OK(wn_model_open_weights(&m, c, path, err));
    WN_ASSERT_OK(
        wn_session_open(&s, m, c, &(wn_session_options){.n_ctx = n_ids, .n_chunk = 96}, err));
    size_t n_vocab = wn_model_config_of(m)->n_vocab;
    float *logits = malloc(STEP * n_vocab * sizeof *logits);
    assert_non_null(logits);
    for (size_t at = 0; at < n_ids; at += STEP) {
        size_t n = n_ids - at < STEP ? n_ids - at : STEP;
        WN_ASSERT_OK(wn_session_append_all_logits(s, g->ids + at, n, logits, err));
        for (size_t i = 0; i < n; i++)
            golden_compare(&d, g, at + i, logits + i * n_vocab, n_vocab);
    }
    free(logits);
    wn_session_close(s);
    wn_model_close(m);
    wn_compute_close(c);
    return d;
}

#define EXACT ((wn_compute_options){.exact = true})

/* Whether to run a further set over whole models: under a sanitizer that takes many minutes, and
 * the tests of the kernels run every set there. */
static bool has_isa(const char *isa)
{
    wn_compute *c = NULL;
    const bool has =
        !WN_TEST_SANITIZED && wn_compute_open(&c, &(wn_compute_options){.isa = isa}, NULL) == WN_OK;
    wn_compute_close(c);
    return has;
}

/* The AMX kernels on emulated tiles, which are slow: the first positions only. */
static void check_amx(const char *name, const char *path, const golden *g)
{
    enum { N = 144 };
    if (!has_isa("amx-emulated"))
        return;
    difference d = run(path, g, N, (wn_compute_options){.isa = "amx-emulated"});
    printf("%s, AMX emulated: max abs error %.2e, %zu other arg max\n", name, d.max_abs,
           d.n_argmax);
    assert_true(d.max_abs <= MAX_BF16_ERROR);
    assert_true(d.n_argmax <= N / 20);
}

static void assert_agrees(const char *name, const char *path, const golden *g)
{
    difference d = run(path, g, g->n, EXACT);
    printf("%s: %zu positions, max abs error %.2e, %zu other arg max\n", name, g->n, d.max_abs,
           d.n_argmax);
    assert_true(g->n >= 512);
    assert_true(d.max_abs <= MAX_ABS_ERROR);
    assert_int_equal(d.n_argmax, 0);
}

/* What users run: rounded activations, keys and values, whose noise must stay far below that of the
 * weights. */
static void check_rounded(const char *name, const char *path, const golden *g)
{
    static const char *const isas[] = {"auto", "avx2"};
    for (size_t i = 0; i < sizeof isas / sizeof *isas; i++) {
        if (i > 0 && !has_isa(isas[i]))
            continue;
        difference d = run(path, g, g->n, (wn_compute_options){.isa = isas[i]});
        const double rms = sqrt(d.sum_square / d.n);
        printf("%s, %s: rms error %.2e, %zu other arg max\n", name, isas[i], rms, d.n_argmax);
        assert_true(rms <= MAX_FAST_RMS);
        assert_true(d.n_argmax <= g->n / 20);
    }
}

static void check_real(const char *name, const char *file, bool with_amx)
{
    char path[512];
    golden g = {0};
    wn_test_model_path(path, sizeof path, file);
    WN_NEED_FILE(path);
    golden_load(&g, "logits", name, 0);
    assert_agrees(name, path, &g);
    check_rounded(name, path, &g);
    if (with_amx)
        check_amx(name, path, &g);
    golden_free(&g);
}

static void test_smollm2(void **state)
{
    (void)state;
    check_real("smollm2-135m", "smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf", true);
}

static void test_qwen2(void **state)
{
    (void)state;
    check_real("qwen2.5-1.5b", "qwen2.5-1.5b/Qwen2.5-Coder-1.5B-Instruct-Q4_K_M.gguf", false);
}

/* Random checkpoints of the Llama 3.2 shapes ------------------------------------------------------
 */

#define COMMON_CONFIG                                                                              \
    "\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\",\"hidden_act\":\"silu\","   \
    "\"intermediate_size\":8192,\"max_position_embeddings\":131072,\"num_hidden_layers\":2,"       \
    "\"num_key_value_heads\":8,\"rms_norm_eps\":1e-05,\"vocab_size\":4096,\"attention_bias\":"     \
    "false,\"mlp_bias\":false"
#define LLAMA3_NUMBERS                                                                             \
    "\"factor\":32.0,\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,"                            \
    "\"original_max_position_embeddings\":8192"

/* 1B: tied, bf16, one file, the field names of the published checkpoint. */
#define CONFIG_1B                                                                                  \
    "{" COMMON_CONFIG ",\"hidden_size\":2048,\"num_attention_heads\":32,\"head_dim\":64,"          \
    "\"tie_word_embeddings\":true,\"rope_theta\":500000.0,\"rope_scaling\":{\"rope_type\":"        \
    "\"llama3\"," LLAMA3_NUMBERS "}}"
/* 3B: untied, f16, two shards, the field names of transformers 5, head_dim left out. */
#define CONFIG_3B                                                                                  \
    "{" COMMON_CONFIG ",\"hidden_size\":3072,\"num_attention_heads\":24,"                          \
    "\"tie_word_embeddings\":false,\"rope_parameters\":{\"rope_theta\":500000.0,\"rope_type\":"    \
    "\"llama3\"," LLAMA3_NUMBERS "}}"

static char dir[] = "/tmp/wn_test_logits_XXXXXX";

static int make_dir(void **state)
{
    (void)state;
    memcpy(dir + sizeof dir - 7, "XXXXXX", 6);
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    return wn_fs_remove_tree(dir, NULL) == WN_OK ? 0 : -1;
}

static void test_random_llama_1b(void **state)
{
    (void)state;
    static const checkpoint_shape shape = {
        2, 2048, 2048, 512, 8192, 4096, true, CHECKPOINT_BF16, false, 1, false};
    golden g = {0};
    golden_load(&g, "logits", "llama3.2-1b-random", 0);
    write_checkpoint(dir, &shape, CONFIG_1B, false);
    assert_agrees("llama3.2-1b-random", dir, &g);
    check_amx("llama3.2-1b-random", dir, &g);

    /* the oracle notices when the scaling is left out */
    char path[128];
    snprintf(path, sizeof path, "%s/config.json", dir);
    write_text_file(path, "{" COMMON_CONFIG ",\"hidden_size\":2048,\"num_attention_heads\":32,"
                          "\"tie_word_embeddings\":true,\"rope_theta\":500000.0}");
    difference d = run(dir, &g, g.n, EXACT);
    assert_true(d.max_abs > 20 * MAX_ABS_ERROR);
    golden_free(&g);
}

static void test_random_llama_3b(void **state)
{
    (void)state;
    static const checkpoint_shape shape = {2,     3072,           3072,  1024, 8192, 4096,
                                           false, CHECKPOINT_F16, false, 1,    false};
    golden g = {0};
    golden_load(&g, "logits", "llama3.2-3b-random", 0);
    write_checkpoint(dir, &shape, CONFIG_3B, true);
    assert_agrees("llama3.2-3b-random", dir, &g);
    golden_free(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_smollm2),
        cmocka_unit_test_setup_teardown(test_random_llama_1b, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_random_llama_3b, make_dir, remove_dir),
        cmocka_unit_test(test_qwen2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
