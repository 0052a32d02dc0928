/* Eviction heads: side-cars and what of them is refused, the metadata of borrowed ones, the
 * fingerprint of a model. */
#include "tests/test_support.h"

#include <sys/stat.h>

#include "base/checked.h"
#include "base/fs.h"
#include "generate/dms_heads.h"
#include "generate/model_internal.h"
#include "tests/alloc_failure.h"
#include "tests/unit/generate/side_car.h"
#include "tests/unit/generate/tiny_model.h"

enum { N = TINY_LAYERS * TINY_KV };

static char root[] = "/tmp/wn_test_dms_XXXXXX";
static char folder[64], side_car[96];
static wn_compute *compute;
static wn_model *model;
static char fingerprint[WN_SHA256_HEX];
static float weight[N * TINY_D], bias[N];

static int open_model(void **state)
{
    (void)state;
    checkpoint_shape shape = tiny_shape(true, false);
    if (!mkdtemp(root) ||
        wn_compute_open(&compute, &(wn_compute_options){.exact = true}, NULL) != WN_OK)
        return -1;
    snprintf(folder, sizeof folder, "%s/model", root);
    snprintf(side_car, sizeof side_car, "%s/heads.safetensors", root);
    if (mkdir(folder, 0700) != 0)
        return -1;
    write_checkpoint(folder, &shape, TINY_CONFIG("llama", ",\"tie_word_embeddings\":true"), false);
    for (size_t i = 0; i < N * TINY_D; i++)
        weight[i] = (float)((int)(i * 37 % 101) - 50) / 64;
    for (size_t i = 0; i < N; i++)
        bias[i] = (float)i - 1.5f;
    if (wn_model_open_weights(&model, compute, folder, NULL) != WN_OK)
        return -1;
    return wn_model_fingerprint(model, fingerprint, NULL) == WN_OK ? 0 : -1;
}

static int close_model(void **state)
{
    (void)state;
    wn_model_close(model);
    wn_compute_close(compute);
    return wn_fs_remove_tree(root, NULL) == WN_OK ? 0 : -1;
}

static side_car_spec sound(void)
{
    return (side_car_spec){
        .n_layers = TINY_LAYERS,
        .n_kv_heads = TINY_KV,
        .d_model = TINY_D,
        .fingerprint = fingerprint,
        .window = "256",
        .points = "[{'window':256,'bias':0.5,'ratio':4.5,'kept':0.2},"
                  "{'window':512,'bias':-1,'ratio':3},{'window':256,'bias':2,'ratio':6}]",
        .weight = weight,
        .bias = bias};
}

static void test_side_car(void **state)
{
    (void)state;
    uint8_t first[WN_SHA256_BYTES];
    for (int bf16 = 0; bf16 < 2; bf16++) {
        wn_dms_heads *h = NULL;
        side_car_spec s = sound();
        s.bf16 = bf16 != 0;
        s.shift = bf16 ? "1" : NULL;
        side_car_write(side_car, &s);
        WN_ASSERT_OK(wn_dms_heads_open(&h, model, side_car, err));
        assert_int_equal(h->kind, WN_DMS_LINEAR);
        assert_int_equal(h->decision_shift, bf16);
        assert_int_equal(h->n_points, 3);
        assert_int_equal(h->points[1].window, 512);
        assert_true(h->points[1].bias == -1 && h->points[1].ratio == 3);
        /* All are of few bits, so that bf16 holds them. */
        assert_memory_equal(h->weight, weight, sizeof weight);
        assert_memory_equal(h->bias, bias, sizeof bias);
        if (bf16)
            assert_memory_not_equal(first, h->fingerprint, sizeof first); /* the shift decides */
        else
            memcpy(first, h->fingerprint, sizeof first);
        wn_dms_heads_close(h);
    }
    wn_dms_heads_close(NULL);
}

static void test_dial(void **state)
{
    (void)state;
    static const double asked[][2] = {{3, 3}, {4.49, 3}, {4.5, 4.5}, {5.9, 4.5}, {100, 6}};
    wn_dms_heads *h = NULL;
    wn_error error = {0};
    const wn_dms_point *p = NULL;
    const side_car_spec s = sound();
    side_car_write(side_car, &s);
    WN_ASSERT_OK(wn_dms_heads_open(&h, model, side_car, err));
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        WN_ASSERT_OK(wn_dms_point_pick(h, asked[i][0], &p, err));
        assert_true(p->ratio == asked[i][1]);
    }
    assert_int_equal(wn_dms_point_pick(h, 2, &p, &error), WN_INVALID);
    assert_non_null(strstr(error.text, "4.5, 3, 6"));
    wn_dms_heads_close(h);
}

static void expect_refused(const side_car_spec *s, wn_status status, const char *text)
{
    wn_error error = {0};
    wn_dms_heads *h = NULL;
    side_car_write(side_car, s);
    assert_int_equal(wn_dms_heads_open(&h, model, side_car, &error), status);
    assert_null(h);
    if (!strstr(error.text, text) || !strstr(error.text, "heads.safetensors"))
        fail_msg("\"%s\" does not say \"%s\"", error.text, text);
}

static void test_wrong_model(void **state)
{
    (void)state;
    char other[WN_SHA256_HEX];
    side_car_spec s = sound();
    memcpy(other, fingerprint, sizeof other);
    other[3] = other[3] == '0' ? '1' : '0';
    s.fingerprint = other;
    expect_refused(&s, WN_CONFLICT, "trained for the model");
}

/* Where the model has a tokenizer, it must be the one that the side-car names, if it names one. */
static void test_wrong_tokenizer(void **state)
{
    (void)state;
    char path[96], hex[WN_SHA256_HEX], more[128];
    uint8_t digest[WN_SHA256_BYTES];
    wn_dms_heads *h = NULL;
    side_car_spec s = sound();
    snprintf(path, sizeof path, "%s/tokenizer.json", root);
    write_text_file(path, "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},"
                          "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},"
                          "\"merges\":[\"a b\"]}}");
    WN_ASSERT_OK(wn_tokenizer_from_json(&model->tokenizer, path, err));
    wn_tokenizer_fingerprint(model->tokenizer, digest);
    wn_hex(digest, sizeof digest, hex);
    for (int wrong = 0; wrong < 2; wrong++) {
        hex[7] = wrong ? hex[7] == '0' ? '1' : '0' : hex[7];
        snprintf(more, sizeof more, "'tokenizer_fingerprint':'%s',", hex);
        s.more = more;
        if (wrong) {
            expect_refused(&s, WN_CONFLICT, "trained with the tokenizer");
            continue;
        }
        side_car_write(side_car, &s);
        WN_ASSERT_OK(wn_dms_heads_open(&h, model, side_car, err));
        wn_dms_heads_close(h);
    }
    wn_tokenizer_close(model->tokenizer);
    model->tokenizer = NULL; /* weights alone: there is nothing to compare with */
    WN_ASSERT_OK(wn_dms_heads_open(&h, model, side_car, err));
    wn_dms_heads_close(h);
}

static void test_malformed(void **state)
{
    (void)state;
    static const char *const keys[] = {"format", "version", "base_fingerprint", "window_size",
                                       "operating_points"};
    static const char *const points[] = {"[]",
                                         "{}",
                                         "[3]",
                                         "[{'window':256,'bias':0}]",
                                         "[{'window':255,'bias':0,'ratio':2}]",
                                         "[{'window':256,'bias':'x','ratio':2}]",
                                         "[{'window':256,'bias':0,'ratio':0.5}]",
                                         "nonsense"};
    static const char *const windows[] = {"0", "", "-1", "1e3", "99999999999", "2x"};
    float broken[N] = {0};
    side_car_spec s = sound();
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        s.leave_out = keys[i];
        expect_refused(&s, WN_FORMAT, keys[i]);
    }
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        s = sound();
        s.points = points[i];
        expect_refused(&s, WN_FORMAT, "");
    }
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
        s = sound();
        s.window = windows[i];
        expect_refused(&s, WN_FORMAT, "window_size");
    }
    s = sound();
    s.shift = "2";
    expect_refused(&s, WN_FORMAT, "decision_shift");
    s = sound();
    s.more = "'min_window':'257',";
    expect_refused(&s, WN_FORMAT, "min_window");
    s = sound();
    broken[N - 1] = 1.0f / broken[0];
    s.bias = broken;
    expect_refused(&s, WN_FORMAT, "layers.1.bias");
}

static void test_wrong_shapes(void **state)
{
    (void)state;
    side_car_spec s = sound();
    s.n_layers = 1;
    expect_refused(&s, WN_FORMAT, "tensors");
    s = sound();
    s.d_model = TINY_D - 1;
    expect_refused(&s, WN_FORMAT, "layers.0.weight");
    s = sound();
    s.n_kv_heads = 1;
    expect_refused(&s, WN_FORMAT, "layers.0.weight");
    wn_error error = {0};
    wn_dms_heads *h = NULL;
    assert_int_equal(wn_dms_heads_open(&h, model, "/nowhere/x.safetensors", &error), WN_NOT_FOUND);
    s = sound();
    s.leave_out = "version";
    s.more = "'version':'2',";
    expect_refused(&s, WN_UNSUPPORTED, "version 2");
    s.leave_out = "format";
    s.more = "'format':'pt',";
    expect_refused(&s, WN_FORMAT, "\"pt\"");
}

static void test_min_window_serves_smaller_points(void **state)
{
    (void)state;
    wn_dms_heads *h = NULL;
    side_car_spec s = sound();
    s.more = "'min_window':'32',";
    s.points = "[{'window':32,'bias':0,'ratio':8}]";
    side_car_write(side_car, &s);
    WN_ASSERT_OK(wn_dms_heads_open(&h, model, side_car, err));
    assert_int_equal(h->points[0].window, 32);
    wn_dms_heads_close(h);
}

/* Files of the borrowed kind: [0] asked for, [1] dms_metadata.json, [2] training log, [3] config.
 */
static void write_sources(char path[4][96], const char *const text[4])
{
    static const char *const names[] = {"/asked.json", "/model/dms_metadata.json",
                                        "/training_log.json"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(path[i], 96, "%s%s", root, names[i]);
        unlink(path[i]);
        if (text[i])
            write_text_file(path[i], text[i]);
    }
    snprintf(path[3], 96, "%s/config.json", folder);
    char config[512];
    snprintf(config, sizeof config, TINY_CONFIG("llama", ",\"tie_word_embeddings\":true%s"),
             text[3] ? text[3] : "");
    write_text_file(path[3], config);
}

typedef struct borrowed_case {
    const char *text[4];
    bool none;
    size_t window, shift;
    float scale, offset;
    bool after_rope;
    double ratio;
} borrowed_case;

static const borrowed_case borrowed[] = {
    {.none = true},
    {{[3] = ",\"window_size\":64,\"context_len\":9"}, .none = true}, /* of another family */
    {{[2] = "{\"steps\":[1]}"}, .none = true},
    {{[1] = "{}"}, false, 256, 0, 100, 5, false, 0}, /* silent: the file's name speaks */
    {{"{}"}, false, 256, 0, 100, 5, false, 0},
    {{[1] = "{\"window_size\":64,\"alpha_scale\":50,\"alpha_offset\":2.5,\"target_cr\":8,"
            "\"decision_shift\":1,\"zero_after_rope\":true}"},
     false,
     64,
     1,
     50,
     2.5f,
     true,
     8},
    {{[3] = ",\"dms_window_size\":512,\"dms_alpha_scale\":10,\"dms_initial_alpha_offset\":3,"
            "\"dms_cr\":4"},
     false,
     512,
     0,
     10,
     3,
     false,
     4},
    {{[3] = ",\"alpha_offset\":1,\"dms_alpha_offset\":2"}, false, 256, 0, 100, 1, false, 0},
    {{[2] = "{\"config\":{\"dms_window_size\":128,\"alpha_scale\":7}}"},
     false,
     128,
     0,
     7,
     5,
     false,
     0},
    /* Key by key, from the first file that has it. */
    {{"{\"window_size\":16}", "{\"window_size\":32,\"alpha_scale\":1}",
      "{\"config\":{\"window_size\":48,\"alpha_scale\":2,\"alpha_offset\":20}}",
      ",\"dms_window_size\":64,\"dms_alpha_offset\":30,\"decision_shift\":1,\"dms_cr\":6"},
     false,
     16,
     1,
     1,
     20,
     false,
     6},
};

static void test_borrowed(void **state)
{
    (void)state;
    char path[4][96];
    for (size_t i = 0; i < sizeof borrowed / sizeof *borrowed; i++) {
        const borrowed_case *b = &borrowed[i];
        wn_dms_heads *h = NULL;
        write_sources(path, b->text);
        WN_ASSERT_OK(wn_dms_heads_open(&h, model, b->text[0] ? path[0] : NULL, err));
        if (b->none) {
            assert_null(h);
            continue;
        }
        assert_non_null(h);
        assert_int_equal(h->kind, WN_DMS_BORROWED);
        assert_int_equal(h->n_points, 1);
        assert_int_equal(h->points[0].window, b->window);
        assert_int_equal(h->decision_shift, b->shift);
        assert_true(h->alpha_scale == b->scale && h->alpha_offset == b->offset);
        assert_int_equal(h->zero_after_rope, b->after_rope);
        assert_true(h->points[0].ratio == b->ratio && h->points[0].bias == 0);
        wn_dms_heads_close(h);
    }
    write_sources(path, (const char *const[4]){0});
}

static void test_bad_metadata(void **state)
{
    (void)state;
    static const char *const bad[] = {"[]",
                                      "nonsense",
                                      "{\"window_size\":0}",
                                      "{\"window_size\":2.5}",
                                      "{\"alpha_scale\":\"100\"}",
                                      "{\"decision_shift\":2}",
                                      "{\"zero_after_rope\":1}",
                                      "{\"target_cr\":0.5}"};
    char path[4][96];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        wn_dms_heads *h = NULL;
        wn_error error = {0};
        write_sources(path, (const char *const[4]){[1] = bad[i]});
        assert_int_equal(wn_dms_heads_open(&h, model, NULL, &error), WN_FORMAT);
        assert_non_null(strstr(error.text, "dms_metadata.json"));
        assert_null(h);
    }
    write_sources(path, (const char *const[4]){0});
}

/* The same bytes, the same digest; another byte, type or number in the configuration, another. */
static void test_fingerprint(void **state)
{
    (void)state;
    char again[WN_SHA256_HEX], sampled[WN_SHA256_HEX], sampled_again[WN_SHA256_HEX];
    wn_model *m = NULL;
    WN_ASSERT_OK(wn_model_open_weights(&m, compute, folder, err));
    WN_ASSERT_OK(wn_model_fingerprint(m, again, err));
    assert_string_equal(again, fingerprint);
    WN_ASSERT_OK(wn_model_sample_fingerprint(m, sampled, err));
    m->config.rope_theta += 1;
    WN_ASSERT_OK(wn_model_fingerprint(m, again, err));
    assert_string_not_equal(again, fingerprint);
    WN_ASSERT_OK(wn_model_sample_fingerprint(m, sampled_again, err));
    assert_string_not_equal(sampled_again, sampled);
    wn_model_close(m);
    char path[96];
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, -1, SEEK_END), 0);
    const int last = fgetc(f);
    assert_int_equal(fseek(f, -1, SEEK_END), 0);
    fputc(last ^ 1, f);
    assert_int_equal(fclose(f), 0);
    WN_ASSERT_OK(wn_model_open_weights(&m, compute, folder, err));
    WN_ASSERT_OK(wn_model_fingerprint(m, again, err));
    assert_string_not_equal(again, fingerprint);
    WN_ASSERT_OK(wn_model_sample_fingerprint(m, sampled_again, err));
    assert_string_not_equal(sampled_again, sampled);
    wn_model_close(m);
}

static wn_status open_and_close(void *ctx, wn_error *err)
{
    wn_dms_heads *h = NULL;
    const wn_status status = wn_dms_heads_open(&h, model, ctx, err);
    wn_dms_heads_close(h);
    return status;
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    const side_car_spec s = sound();
    side_car_write(side_car, &s);
    wn_test_each_alloc_fails(open_and_close, side_car);
    wn_test_each_alloc_fails(open_and_close, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_side_car),
        cmocka_unit_test(test_dial),
        cmocka_unit_test(test_wrong_model),
        cmocka_unit_test(test_wrong_tokenizer),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_wrong_shapes),
        cmocka_unit_test(test_min_window_serves_smaller_points),
        cmocka_unit_test(test_borrowed),
        cmocka_unit_test(test_bad_metadata),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_fingerprint), /* last: changes the file */
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
