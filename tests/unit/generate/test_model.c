#include "tests/test_support.h"

#include <math.h>

#include "base/fs.h"
#include "generate/model_internal.h"
#include "generate/session.h"
#include "tests/alloc_failure.h"
#include "tests/unit/generate/tiny_model.h"

static wn_compute *compute;
static char dir[] = "/tmp/wn_test_model_XXXXXX";

static int open_compute(void **state)
{
    (void)state;
    return wn_compute_open(&compute, &(wn_compute_options){.n_threads = 1}, NULL) == WN_OK ? 0 : -1;
}

static int close_compute(void **state)
{
    (void)state;
    wn_compute_close(compute);
    return 0;
}

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

static void put_config(const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/config.json", dir);
    write_text_file(path, text);
}

static void assert_refused(const char *path, wn_status status, const char *text)
{
    wn_model *m = NULL;
    wn_error err = {0};
    wn_status got = wn_model_open_weights(&m, compute, path, &err);
    assert_null(m);
    if (got != status || !strstr(err.text, text))
        fail_msg("%s with \"%s\" expected, got %s: \"%s\"", wn_status_name(status), text,
                 wn_status_name(got), err.text);
}

static void assert_config_refused(const char *config, wn_status status, const char *text)
{
    put_config(config);
    assert_refused(dir, status, text);
    assert_refused(dir, status, "/config.json"); /* the file is named too */
}

/* Logits [TINY_CTX][TINY_VOCAB] of fixed ids; caller frees. */
static float *logits_of(const char *path)
{
    int32_t ids[TINY_CTX];
    wn_model *m = NULL;
    wn_session *s = NULL;
    float *out = malloc(sizeof *out * TINY_CTX * TINY_VOCAB);
    assert_non_null(out);
    for (int i = 0; i < TINY_CTX; i++)
        ids[i] = (i * i * 7 + i) % TINY_VOCAB;
    WN_ASSERT_OK(wn_model_open_weights(&m, compute, path, err));
    WN_ASSERT_OK(wn_session_open(&s, m, compute, &(wn_session_options){0}, err));
    WN_ASSERT_OK(wn_session_append_all_logits(s, ids, TINY_CTX, out, err));
    wn_session_close(s);
    wn_model_close(m);
    return out;
}

/* Sums run in another order. Without BF16 instructions, a key may then be rounded the other way. */
#define SAME 1e-3

static double distance(const float *a, const float *b)
{
    double d = 0;
    for (size_t i = 0; i < (size_t)TINY_CTX * TINY_VOCAB; i++)
        d = fmax(d, fabs((double)a[i] - (double)b[i]));
    return d;
}

static float *gguf_logits(const char *arch, const checkpoint_shape *s, const float *factors,
                          const char *scaling)
{
    char path[48];
    wn_strbuf b = {0};
    tiny_gguf(&b, arch, s, factors, scaling);
    int fd = wn_test_memory_file(b.data, b.len, path);
    float *out = logits_of(path);
    close(fd);
    wn_strbuf_free(&b);
    return out;
}

static void test_folder_opens(void **state)
{
    (void)state;
    checkpoint_shape shape = tiny_shape(true, false);
    write_checkpoint(dir, &shape, TINY_CONFIG("llama", ",\"tie_word_embeddings\":true"), false);
    wn_model *m = NULL;
    char slashed[128];
    snprintf(slashed, sizeof slashed, "%s///", dir);
    WN_ASSERT_OK(wn_model_open_weights(&m, compute, slashed, err));
    const wn_model_config *c = wn_model_config_of(m);
    assert_string_equal(c->architecture, "llama");
    assert_true(c->n_layers == 2 && c->d_model == 32 && c->n_heads == 4 && c->n_kv_heads == 2);
    assert_true(c->head_dim == 8 && c->d_ff == 64 && c->n_vocab == 100 && c->n_ctx == 160);
    assert_true(c->tied_embeddings && !c->qkv_bias && !c->rope_llama3);
    assert_int_equal(c->rope_order, WN_ROPE_NEOX);
    assert_string_equal(wn_model_path(m), dir);
    assert_string_equal(wn_model_name(m), dir + 5);
    /* per layer: 2 norms, q and o 32x32, k and v 16x32, three 64x32; bf16 embeddings, a norm */
    size_t layer = 4 * (2 * 32 + 2 * 32 * 32 + 2 * 16 * 32 + 3 * 64 * 32);
    assert_int_equal(wn_model_weight_bytes(m), 2 * layer + 2 * 100 * 32 + 4 * 32);
    wn_model_close(m);
}

/* Its embeddings are in bf16 and its layers, most of it, in the type given. */
static wn_kv_format kv_format_with(checkpoint_dtype dtype, wn_kv_format asked)
{
    checkpoint_shape shape = tiny_shape(true, false);
    shape.dtype = dtype;
    write_checkpoint(dir, &shape, TINY_CONFIG("llama", ",\"tie_word_embeddings\":true"), false);
    wn_model *m = NULL;
    WN_ASSERT_OK(wn_model_open_weights(&m, compute, dir, err));
    wn_kv_format got = wn_model_kv_format(m, compute, asked);
    wn_model_close(m);
    return got;
}

static void test_keys_are_as_precise_as_weights(void **state)
{
    (void)state;
    assert_int_equal(kv_format_with(CHECKPOINT_F32, WN_KV_AUTO), WN_KV_F32);
    assert_int_equal(kv_format_with(CHECKPOINT_F16, WN_KV_AUTO), WN_KV_F32);
    assert_int_equal(kv_format_with(CHECKPOINT_BF16, WN_KV_AUTO), WN_KV_BF16);
    assert_int_equal(kv_format_with(CHECKPOINT_F16, WN_KV_BF16), WN_KV_BF16);
    assert_int_equal(kv_format_with(CHECKPOINT_BF16, WN_KV_INT8), WN_KV_INT8);
}

/* The same weights as a folder (halves rotated) and as GGUF (rows permuted, neighbours rotated). */
static void test_gguf_llama_equals_folder(void **state)
{
    (void)state;
    checkpoint_shape shape = tiny_shape(true, false);
    write_checkpoint(dir, &shape, TINY_CONFIG("llama", ",\"tie_word_embeddings\":true"), false);
    float *folder = logits_of(dir), *file = gguf_logits("llama", &shape, NULL, NULL);
    assert_true(distance(folder, file) < SAME);
    put_config(TINY_CONFIG("llama", ",\"tie_word_embeddings\":true,"
                                    "\"rope_parameters\":{\"rope_theta\":50}"));
    float *wrong = logits_of(dir);
    assert_true(distance(folder, wrong) > 1e-2); /* the distance can tell */
    free(folder);
    free(file);
    free(wrong);
}

static void test_gguf_qwen2_equals_folder(void **state)
{
    (void)state;
    checkpoint_shape shape = tiny_shape(false, true);
    write_checkpoint(dir, &shape, TINY_CONFIG("qwen2", ",\"use_sliding_window\":false"), true);
    float *folder = logits_of(dir), *file = gguf_logits("qwen2", &shape, NULL, NULL);
    assert_true(distance(folder, file) < SAME);
    free(folder);
    free(file);
}

#define LLAMA3_ROPE(field, type)                                                                   \
    ",\"tie_word_embeddings\":true,\"" field "\":{\"" type "\":\"llama3\",\"factor\":8.0,"         \
    "\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,\"original_max_position_embeddings\":64}"

/* config.json's numbers, and the factors that a converter would have put into rope_freqs.weight. */
static void test_llama3_scaling_both_ways(void **state)
{
    (void)state;
    checkpoint_shape shape = tiny_shape(true, false);
    float factors[TINY_HEAD / 2];
    for (int i = 0; i < TINY_HEAD / 2; i++) {
        double f = pow(1000, -2.0 * i / TINY_HEAD), wavelength = 2 * M_PI / f;
        double smooth = (64 / wavelength - 1) / 3;
        factors[i] = (float)(wavelength > 64       ? 8
                             : wavelength < 64 / 4 ? 1
                                                   : 1 / ((1 - smooth) / 8 + smooth));
    }
    assert_true(factors[0] == 1 && factors[3] == 8 && factors[1] > 1 && factors[1] < 8);
    float *file = gguf_logits("llama", &shape, factors, NULL),
          *plain = gguf_logits("llama", &shape, NULL, NULL);
    write_checkpoint(dir, &shape, TINY_CONFIG("llama", LLAMA3_ROPE("rope_scaling", "rope_type")),
                     false);
    float *folder = logits_of(dir);
    assert_true(distance(folder, file) < SAME);
    assert_true(distance(folder, plain) > 1e-2);
    free(folder);
    put_config(TINY_CONFIG("llama", LLAMA3_ROPE("rope_parameters", "type")));
    folder = logits_of(dir);
    assert_true(distance(folder, file) < SAME);
    free(folder);
    free(file);
    free(plain);
}

static void test_config_errors(void **state)
{
    (void)state;
    checkpoint_shape shape = tiny_shape(true, false);
    write_checkpoint(dir, &shape, "{}", false);
    assert_config_refused("[]", WN_FORMAT, "not an object");
    assert_config_refused("{", WN_FORMAT, "JSON");
    assert_config_refused("{}", WN_UNSUPPORTED, "model_type \"\"");
    assert_config_refused("{\"model_type\":\"phi3\"}", WN_UNSUPPORTED, "model_type \"phi3\"");
    assert_config_refused("{\"model_type\":\"llama\"}", WN_FORMAT, "num_hidden_layers is missing");
    assert_config_refused("{\"model_type\":\"llama\",\"num_hidden_layers\":-1}", WN_INVALID,
                          "num_hidden_layers");
    assert_config_refused("{\"model_type\":\"llama\",\"num_hidden_layers\":\"2\"}", WN_INVALID,
                          "num_hidden_layers");
#define REFUSE(more, status, text) assert_config_refused(TINY_CONFIG("llama", more), status, text)
    REFUSE(",\"attention_bias\":true", WN_UNSUPPORTED, "attention_bias");
    REFUSE(",\"mlp_bias\":true", WN_UNSUPPORTED, "mlp_bias");
    REFUSE(",\"use_sliding_window\":true", WN_UNSUPPORTED, "use_sliding_window");
    REFUSE(",\"hidden_act\":\"gelu\"", WN_UNSUPPORTED, "hidden_act \"gelu\"");
    REFUSE(",\"quantization_config\":{}", WN_UNSUPPORTED, "quantization_config");
    REFUSE(",\"head_dim\":7", WN_FORMAT, "head size 7 is odd");
    REFUSE(",\"head_dim\":4096", WN_FORMAT, "head size is 4096");
    REFUSE(",\"partial_rotary_factor\":0.5", WN_UNSUPPORTED, "partial_rotary_factor");
    REFUSE(",\"rope_scaling\":7", WN_FORMAT, "rope_scaling must be an object");
    REFUSE(",\"rope_scaling\":{\"type\":\"yarn\"}", WN_UNSUPPORTED, "rope_scaling: type \"yarn\"");
    REFUSE(",\"rope_scaling\":{\"rope_type\":\"llama3\"}", WN_FORMAT, "rope_scaling: factor");
    REFUSE(",\"rope_parameters\":{\"rope_theta\":-1}", WN_INVALID, "rope_theta");
    REFUSE(",\"rope_parameters\":{\"rope_theta\":0.5}", WN_FORMAT, "rope base");
    assert_config_refused(
        "{\"model_type\":\"llama\",\"hidden_size\":32,\"num_attention_heads\":4,"
        "\"num_key_value_heads\":3,\"intermediate_size\":64,\"num_hidden_layers\":2,"
        "\"max_position_embeddings\":160,\"vocab_size\":100}",
        WN_FORMAT, "4 heads are no multiple of 3 KV heads");
}

static void test_tensor_errors(void **state)
{
    (void)state;
    checkpoint_shape shape = tiny_shape(true, false);
    write_checkpoint(dir, &shape, TINY_CONFIG("llama", ""), false);
    assert_refused(dir, WN_FORMAT, "tensor lm_head.weight is missing"); /* untied by default */
    put_config(TINY_CONFIG("qwen2", ",\"tie_word_embeddings\":true"));
    assert_refused(dir, WN_FORMAT, "tensor model.layers.0.self_attn.q_proj.bias is missing");
    put_config(TINY_CONFIG("llama", ",\"tie_word_embeddings\":true,\"head_dim\":16"));
    assert_refused(dir, WN_FORMAT,
                   "tensor model.layers.0.self_attn.q_proj.weight: shape [32, 32], the "
                   "configuration asks for [64, 32]");
    shape.n_layers = 3;
    write_checkpoint(dir, &shape, TINY_CONFIG("llama", ",\"tie_word_embeddings\":true"), false);
    assert_refused(dir, WN_UNSUPPORTED, "tensor model.layers.2");
    shape = tiny_shape(true, true);
    write_checkpoint(dir, &shape, TINY_CONFIG("llama", ",\"tie_word_embeddings\":true"), false);
    assert_refused(dir, WN_UNSUPPORTED, "_proj.bias is no part of architecture llama");
    shape = tiny_shape(false, false); /* a copy of tied embeddings does no harm */
    write_checkpoint(dir, &shape, TINY_CONFIG("llama", ",\"tie_word_embeddings\":true"), false);
    free(logits_of(dir));
}

/* The tiny GGUF file with one key's or tensor's value replaced by way of its bytes. */
static void assert_gguf_refused(const char *arch, const char *find, const char *replace,
                                wn_status status, const char *text)
{
    char path[48];
    wn_strbuf b = {0};
    checkpoint_shape shape = tiny_shape(true, false);
    tiny_gguf(&b, arch, &shape, NULL, NULL);
    char *at = memmem(b.data, b.len, find, strlen(find));
    assert_non_null(at);
    assert_int_equal(strlen(find), strlen(replace));
    memcpy(at, replace, strlen(replace));
    int fd = wn_test_memory_file(b.data, b.len, path);
    assert_refused(path, status, text);
    close(fd);
    wn_strbuf_free(&b);
}

static void test_gguf_errors(void **state)
{
    (void)state;
    assert_gguf_refused("phi33", "phi33", "phi33", WN_UNSUPPORTED,
                        "general.architecture \"phi33\"");
    assert_gguf_refused("llama", "llama.block_count", "llama.clock_count", WN_NOT_FOUND,
                        "key llama.block_count is missing");
    assert_gguf_refused("llama", "head_count", "head_coumt", WN_NOT_FOUND, "head_count is missing");
    assert_gguf_refused("llama", "token_embd", "token_emby", WN_FORMAT, "token_embd.weight");
    assert_gguf_refused("llama", "output_norm", "output_nurm", WN_FORMAT,
                        "tensor output_norm.weight is missing");
    assert_gguf_refused("llama", "blk.1.ffn_up", "blk.7.ffn_up", WN_FORMAT,
                        "tensor blk.1.ffn_up.weight is missing");
    assert_gguf_refused("qwen2", "qwen2", "qwen2", WN_FORMAT,
                        "tensor blk.0.attn_q.bias is missing");
    /* with the key gone the default takes over, which is four heads here, and k no longer fits */
    assert_gguf_refused("llama", "head_count_kv", "head_count_kw", WN_FORMAT,
                        "tensor blk.0.attn_k.weight: shape [16, 32]");
}

static void test_gguf_scaling_keys(void **state)
{
    (void)state;
    char path[48];
    wn_strbuf b = {0};
    checkpoint_shape shape = tiny_shape(true, false);
    float *plain = gguf_logits("llama", &shape, NULL, NULL);
    float *none = gguf_logits("llama", &shape, NULL, "none");
    float *linear = gguf_logits("llama", &shape, NULL, "linear");
    float *factors = gguf_logits("llama", &shape, (float[]){4, 4, 4, 4}, NULL);
    assert_true(distance(plain, none) == 0);
    assert_true(distance(linear, factors) < 1e-4);
    assert_true(distance(linear, plain) > 1e-2);
    tiny_gguf(&b, "llama", &shape, NULL, "yarn");
    int fd = wn_test_memory_file(b.data, b.len, path);
    assert_refused(path, WN_UNSUPPORTED, "llama.rope.scaling.type \"yarn\"");
    close(fd);
    wn_strbuf_clear(&b);
    tiny_gguf(&b, "llama", &shape, (float[]){1, 0, 1, 1}, NULL);
    fd = wn_test_memory_file(b.data, b.len, path);
    assert_refused(path, WN_FORMAT, "rope_freqs.weight: element 1 is 0");
    close(fd);
    wn_strbuf_free(&b);
    free(plain);
    free(none);
    free(linear);
    free(factors);
}

static void test_folder_of_one_gguf(void **state)
{
    (void)state;
    char path[128];
    checkpoint_shape shape = tiny_shape(true, false);
    wn_strbuf b = {0};
    assert_refused(dir, WN_NOT_FOUND, "neither config.json nor a .gguf file");
    tiny_gguf(&b, "llama", &shape, NULL, NULL);
    snprintf(path, sizeof path, "%s/Tiny-1.5.gguf", dir);
    WN_ASSERT_OK(wn_fs_write_atomic(path, b.data, b.len, err));
    wn_model *m = NULL;
    WN_ASSERT_OK(wn_model_open_weights(&m, compute, dir, err));
    assert_string_equal(wn_model_path(m), path);
    assert_string_equal(wn_model_name(m), "Tiny-1.5");
    wn_model_close(m);
    snprintf(path, sizeof path, "%s/second.gguf", dir);
    WN_ASSERT_OK(wn_fs_write_atomic(path, b.data, b.len, err));
    assert_refused(dir, WN_INVALID, "more than one .gguf file");
    wn_strbuf_free(&b);
}

static void test_folder_without_tokenizer(void **state)
{
    (void)state;
    wn_model *m = NULL;
    wn_error err = {0};
    checkpoint_shape shape = tiny_shape(true, false);
    write_checkpoint(dir, &shape, TINY_CONFIG("llama", ",\"tie_word_embeddings\":true"), false);
    assert_int_equal(wn_model_open(&m, compute, dir, &err), WN_NOT_FOUND);
    assert_null(m);
    assert_non_null(strstr(err.text, "tokenizer"));
}

/* Whatever opens must run: a few tokens through a small session. */
static bool opens_and_runs(const char *path)
{
    wn_model *m = NULL;
    wn_session *s = NULL;
    wn_error err = {0};
    static const int32_t ids[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    wn_status status = wn_model_open_weights(&m, compute, path, &err);
    assert_true(status == WN_OK || err.text[0]);
    if (status == WN_OK &&
        wn_session_open(&s, m, compute, &(wn_session_options){.n_ctx = 11}, NULL) == WN_OK)
        (void)wn_session_append(s, ids, 11, NULL, NULL, NULL);
    wn_session_close(s);
    wn_model_close(m);
    return status == WN_OK;
}

static uint64_t next_random(uint64_t *r)
{
    *r = *r * 6364136223846793005u + 1442695040888963407u;
    return *r >> 24;
}

static void test_random_damage_of_gguf(void **state)
{
    (void)state;
    char path[48];
    wn_strbuf b = {0};
    checkpoint_shape shape = tiny_shape(false, true);
    uint64_t r = 3;
    size_t n_opened = 0;
    tiny_gguf(&b, "qwen2", &shape, (float[]){1, 2, 3, 4}, "linear");
    float first[4];
    random_floats("model.embed_tokens.weight", 8, first, 4);
    const char *data = memmem(b.data, b.len, first, sizeof first);
    assert_non_null(data);
    size_t n_described = (size_t)(data - b.data);
    for (int round = 0; round < 2000; round++) {
        size_t at = next_random(&r) % n_described;
        char old = b.data[at];
        b.data[at] = (char)(round % 2 ? old ^ 1 << next_random(&r) % 8 : (int)next_random(&r));
        int fd = wn_test_memory_file(b.data, b.len, path);
        n_opened += opens_and_runs(path);
        close(fd);
        b.data[at] = old;
    }
    assert_in_range(n_opened, 20, 1500);
    wn_strbuf_free(&b);
}

static void test_random_damage_of_config(void **state)
{
    (void)state;
    static const char good[] = TINY_CONFIG("llama", LLAMA3_ROPE("rope_scaling", "rope_type"));
    checkpoint_shape shape = tiny_shape(true, false);
    char text[sizeof good];
    uint64_t r = 5;
    size_t n_opened = 0;
    write_checkpoint(dir, &shape, good, false);
    for (int round = 0; round < 1500; round++) {
        memcpy(text, good, sizeof good);
        size_t at = next_random(&r) % (sizeof good - 1);
        text[at] = (char)(text[at] >= '0' && text[at] <= '9' ? '0' + next_random(&r) % 10
                                                             : 1 + next_random(&r) % 126);
        put_config(text);
        n_opened += opens_and_runs(dir);
    }
    assert_in_range(n_opened, 20, 1400);
}

static wn_status open_and_close(void *ctx, wn_error *err)
{
    wn_model *m = NULL;
    wn_status status = wn_model_open_weights(&m, compute, ctx, err);
    wn_model_close(m);
    return status;
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    char path[48];
    checkpoint_shape shape = tiny_shape(false, true);
    write_checkpoint(dir, &shape, TINY_CONFIG("qwen2", ""), true);
    wn_test_each_alloc_fails(open_and_close, dir);
    wn_strbuf b = {0};
    tiny_gguf(&b, "qwen2", &shape, (float[]){1, 2, 3, 4}, NULL);
    int fd = wn_test_memory_file(b.data, b.len, path);
    wn_test_each_alloc_fails(open_and_close, path);
    close(fd);
    wn_strbuf_free(&b);
}

int main(void)
{
#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        IN_DIR(test_folder_opens),
        IN_DIR(test_keys_are_as_precise_as_weights),
        IN_DIR(test_gguf_llama_equals_folder),
        IN_DIR(test_gguf_qwen2_equals_folder),
        IN_DIR(test_llama3_scaling_both_ways),
        IN_DIR(test_config_errors),
        IN_DIR(test_tensor_errors),
        cmocka_unit_test(test_gguf_errors),
        cmocka_unit_test(test_gguf_scaling_keys),
        IN_DIR(test_folder_of_one_gguf),
        IN_DIR(test_folder_without_tokenizer),
        cmocka_unit_test(test_random_damage_of_gguf),
        IN_DIR(test_random_damage_of_config),
        IN_DIR(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, open_compute, close_compute);
}
