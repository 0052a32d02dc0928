#include "tests/test_support.h"

#include "base/gguf.h"
#include "tests/alloc_failure.h"
#include "tests/gguf_builder.h"

/* Every kind of value and two tensors; where[] gets byte positions that matter. */
enum { POS_ARRAY_COUNT, POS_TENSORS, POS_SECOND_OFFSET, POS_DATA, POS_COUNT };

static void build_sample(wn_strbuf *b, size_t where[POS_COUNT])
{
    gb_header(b, 3, 2, 9);
    gb_key_str(b, "general.architecture", "llama");
    gb_key_u32(b, "llama.block_count", 7);
    gb_key_f32(b, "llama.eps", 1e-5f);
    gb_key(b, "flag", GB_BOOL);
    wn_strbuf_addc(b, 1);
    gb_key(b, "tokens", GB_ARR);
    gb_u32(b, GB_STR);
    where[POS_ARRAY_COUNT] = b->len;
    gb_u64(b, 3);
    gb_str(b, "a");
    gb_str(b, "");
    gb_str(b, "three");
    gb_key(b, "types", GB_ARR);
    gb_u32(b, GB_I32);
    gb_u64(b, 2);
    gb_u32(b, 5);
    gb_u32(b, (uint32_t)-6);
    gb_key(b, "scores", GB_ARR);
    gb_u32(b, GB_F32);
    gb_u64(b, 1);
    gb_f32(b, 0.5f);
    gb_key(b, "wide", GB_U64);
    gb_u64(b, 1ull << 40);
    gb_key(b, "negative", GB_I32);
    gb_u32(b, (uint32_t)-1);
    where[POS_TENSORS] = b->len;
    gb_tensor(b, "norm", 4, 0, 0, 0);     /* F32 [4]: 16 bytes, padded to 32 */
    gb_tensor(b, "matrix", 32, 2, 8, 32); /* Q8_0 [2, 32]: 68 bytes */
    where[POS_SECOND_OFFSET] = b->len - 8;
    gb_align(b, 32);
    where[POS_DATA] = b->len;
    for (int i = 0; i < 4; i++)
        gb_f32(b, (float)i);
    gb_align(b, 32);
    for (int i = 0; i < 68; i++)
        wn_strbuf_addc(b, (char)i);
}

static wn_status open_bytes(const void *data, size_t len, wn_gguf **g, wn_error *err)
{
    char path[48];
    int fd = wn_test_memory_file(data, len, path);
    assert_true(fd >= 0);
    wn_status status = wn_gguf_open(g, path, err);
    close(fd);
    return status;
}

static void assert_refused(const wn_strbuf *b, wn_status status, const char *text)
{
    wn_gguf *g = NULL;
    wn_error err = {0};
    assert_int_equal(open_bytes(b->data, b->len, &g, &err), status);
    assert_null(g);
    if (!strstr(err.text, text))
        fail_msg("\"%s\" is not in \"%s\"", text, err.text);
}

static void test_reads_everything(void **state)
{
    (void)state;
    wn_strbuf b = {0};
    size_t where[POS_COUNT];
    build_sample(&b, where);
    wn_gguf *g = NULL;
    WN_ASSERT_OK(open_bytes(b.data, b.len, &g, err));
    uint32_t u = 0;
    float f = 0;
    bool flag = false;
    int32_t i = 0;
    size_t n = 0;
    wn_gguf_string s = {0};
    WN_ASSERT_OK(wn_gguf_u32(g, "llama.block_count", &u, err));
    assert_int_equal(u, 7);
    WN_ASSERT_OK(wn_gguf_f32(g, "llama.eps", &f, err));
    assert_true(f == 1e-5f);
    WN_ASSERT_OK(wn_gguf_bool(g, "flag", &flag, err));
    assert_true(flag);
    WN_ASSERT_OK(wn_gguf_str(g, "general.architecture", &s, err));
    assert_int_equal(s.len, 5);
    assert_memory_equal(s.data, "llama", 5);
    WN_ASSERT_OK(wn_gguf_array_len(g, "tokens", &n, err));
    assert_int_equal(n, 3);
    WN_ASSERT_OK(wn_gguf_array_str(g, "tokens", 2, &s, err));
    assert_int_equal(s.len, 5);
    assert_memory_equal(s.data, "three", 5);
    WN_ASSERT_OK(wn_gguf_array_str(g, "tokens", 1, &s, err));
    assert_int_equal(s.len, 0);
    WN_ASSERT_OK(wn_gguf_array_i32(g, "types", 1, &i, err));
    assert_int_equal(i, -6);
    WN_ASSERT_OK(wn_gguf_array_f32(g, "scores", 0, &f, err));
    assert_true(f == 0.5f);
    assert_true(wn_gguf_has(g, "wide") && !wn_gguf_has(g, "wid"));

    assert_int_equal(wn_gguf_n_tensors(g), 2);
    const wn_tensor *t = wn_gguf_tensor(g, "matrix");
    assert_non_null(t);
    assert_int_equal(t->n_dims, 2);
    assert_int_equal(t->shape[0], 2);
    assert_int_equal(t->shape[1], 32);
    assert_int_equal(t->dtype, WN_DTYPE_Q8_0);
    assert_int_equal(t->bytes, 68);
    assert_memory_equal(t->data, b.data + where[POS_DATA] + 32, 68);
    assert_null(wn_gguf_tensor(g, "absent"));
    assert_null(wn_gguf_tensor_at(g, 2));
    wn_gguf_close(g);
    wn_strbuf_free(&b);
}

static void test_typed_reads_refuse(void **state)
{
    (void)state;
    wn_strbuf b = {0};
    size_t where[POS_COUNT];
    build_sample(&b, where);
    wn_gguf *g = NULL;
    WN_ASSERT_OK(open_bytes(b.data, b.len, &g, err));
    uint32_t u = 99;
    float f = 99;
    int32_t i = 99;
    size_t n = 99;
    bool flag = false;
    wn_gguf_string s = {0};
    wn_error err = {0};
    assert_int_equal(wn_gguf_u32(g, "none", &u, &err), WN_NOT_FOUND);
    assert_non_null(strstr(err.text, "none"));
    assert_int_equal(wn_gguf_u32(g, "wide", &u, NULL), WN_FORMAT);
    assert_int_equal(wn_gguf_u32(g, "negative", &u, NULL), WN_FORMAT);
    assert_int_equal(wn_gguf_u32(g, "flag", &u, NULL), WN_FORMAT);
    assert_int_equal(wn_gguf_u32(g, "tokens", &u, NULL), WN_FORMAT);
    assert_int_equal(wn_gguf_f32(g, "flag", &f, NULL), WN_FORMAT);
    assert_int_equal(wn_gguf_bool(g, "wide", &flag, NULL), WN_FORMAT);
    assert_int_equal(wn_gguf_str(g, "tokens", &s, NULL), WN_FORMAT);
    assert_int_equal(wn_gguf_array_len(g, "wide", &n, NULL), WN_FORMAT);
    assert_int_equal(wn_gguf_array_str(g, "tokens", 3, &s, NULL), WN_INVALID);
    assert_int_equal(wn_gguf_array_str(g, "types", 0, &s, NULL), WN_FORMAT);
    assert_int_equal(wn_gguf_array_i32(g, "tokens", 0, &i, NULL), WN_FORMAT);
    assert_int_equal(wn_gguf_array_i32(g, "scores", 0, &i, NULL), WN_FORMAT);
    assert_int_equal(wn_gguf_array_f32(g, "types", 0, &f, NULL), WN_FORMAT);
    assert_true(u == 99 && f == 99 && i == 99 && n == 99);
    wn_gguf_close(g);
    wn_strbuf_free(&b);
}

/* The last byte of data belongs to a tensor, so no proper prefix is a valid file. */
static void test_every_truncation_is_refused(void **state)
{
    (void)state;
    wn_strbuf b = {0};
    size_t where[POS_COUNT];
    build_sample(&b, where);
    for (size_t len = 0; len < b.len; len++) {
        wn_gguf *g = NULL;
        wn_error err = {0};
        if (open_bytes(b.data, len, &g, &err) != WN_FORMAT || g)
            fail_msg("%zu of %zu bytes: %s", len, b.len, err.text);
    }
    wn_strbuf_free(&b);
}

static void test_header_errors(void **state)
{
    (void)state;
    wn_strbuf b = {0};
    wn_strbuf_adds(&b, "GGML0000000000000000000000000000");
    assert_refused(&b, WN_FORMAT, "magic");
    wn_strbuf_clear(&b);
    gb_header(&b, 1, 0, 0);
    assert_refused(&b, WN_UNSUPPORTED, "version 1");
    wn_strbuf_clear(&b);
    gb_header(&b, 0x03000000, 0, 0);
    assert_refused(&b, WN_UNSUPPORTED, "big-endian");
    wn_strbuf_clear(&b);
    gb_header(&b, 3, UINT64_MAX, 0);
    assert_refused(&b, WN_FORMAT, "do not fit");
    wn_strbuf_clear(&b);
    gb_header(&b, 3, 0, UINT64_MAX / 8);
    assert_refused(&b, WN_FORMAT, "do not fit");
    wn_strbuf_clear(&b);
    gb_header(&b, 3, 0, 0); /* nothing at all is fine */
    wn_gguf *g = NULL;
    WN_ASSERT_OK(open_bytes(b.data, b.len, &g, err));
    wn_gguf_close(g);
    wn_strbuf_free(&b);
}

static void test_key_errors(void **state)
{
    (void)state;
    wn_strbuf b = {0};
    size_t where[POS_COUNT];
    build_sample(&b, where);
    uint64_t huge = UINT64_MAX - 3;
    memcpy(b.data + where[POS_ARRAY_COUNT], &huge, 8);
    assert_refused(&b, WN_FORMAT, "tokens");

    wn_strbuf_clear(&b);
    gb_header(&b, 3, 0, 2);
    gb_key_u32(&b, "twice", 1);
    gb_key_u32(&b, "twice", 1);
    assert_refused(&b, WN_FORMAT, "key twice");

    wn_strbuf_clear(&b);
    gb_header(&b, 3, 0, 1);
    gb_key(&b, "odd", 13);
    gb_u64(&b, 0);
    assert_refused(&b, WN_FORMAT, "odd: unknown value type 13");

    wn_strbuf_clear(&b);
    gb_header(&b, 3, 0, 1);
    gb_key(&b, "nested", GB_ARR);
    gb_u32(&b, GB_ARR);
    gb_u64(&b, 1);
    gb_u64(&b, 0);
    assert_refused(&b, WN_UNSUPPORTED, "nested");

    wn_strbuf_clear(&b);
    gb_header(&b, 3, 0, 1);
    gb_key_u32(&b, "line\nbreak", 1);
    assert_refused(&b, WN_FORMAT, "a key at byte 32");

    wn_strbuf_clear(&b);
    gb_header(&b, 3, 0, 1);
    gb_key_u32(&b, "general.alignment", 24);
    assert_refused(&b, WN_FORMAT, "general.alignment is 24");
    wn_strbuf_free(&b);
}

/* One file with two tensors of the given dimensions, types and offsets, and 256 bytes of data. */
static void two_tensors(wn_strbuf *b, const char *second, uint64_t n0, uint64_t n1, uint32_t type,
                        uint64_t offset)
{
    wn_strbuf_clear(b);
    gb_header(b, 2, 2, 0);
    gb_tensor(b, "first", 8, 0, 0, 0); /* 32 bytes */
    gb_tensor(b, second, n0, n1, type, offset);
    gb_align(b, 32);
    for (int i = 0; i < 256; i++)
        wn_strbuf_addc(b, 0);
}

static void test_tensor_errors(void **state)
{
    (void)state;
    wn_strbuf b = {0};
    two_tensors(&b, "second", 8, 7, 0, 32);
    wn_gguf *g = NULL;
    WN_ASSERT_OK(open_bytes(b.data, b.len, &g, err)); /* fits exactly */
    wn_gguf_close(g);
    two_tensors(&b, "second", 8, 7, 0, 64);
    assert_refused(&b, WN_FORMAT, "second: 224 bytes at offset 64 pass the end");
    two_tensors(&b, "second", 8, 7, 0, 0);
    assert_refused(&b, WN_FORMAT, "overlap");
    two_tensors(&b, "second", 8, 1, 0, 16);
    assert_refused(&b, WN_FORMAT, "second: offset 16 is not aligned");
    two_tensors(&b, "second", 8, 1, 0, UINT64_MAX - 31);
    assert_refused(&b, WN_FORMAT, "second");
    two_tensors(&b, "first", 8, 1, 0, 32);
    assert_refused(&b, WN_FORMAT, "two tensors are named first");
    two_tensors(&b, "second", 8, 1, 16, 32);
    assert_refused(&b, WN_UNSUPPORTED, "second: type IQ2_XXS (16)");
    two_tensors(&b, "second", 8, 1, 77, 32);
    assert_refused(&b, WN_UNSUPPORTED, "second: type unknown (77)");
    two_tensors(&b, "second", 48, 1, 8, 32);
    assert_refused(&b, WN_FORMAT, "second: rows of 48 do not suit type Q8_0");
    two_tensors(&b, "second", 1ull << 40, 1ull << 40, 0, 32);
    assert_refused(&b, WN_FORMAT, "second");
    two_tensors(&b, "second", 0, 0, 0, 32);
    assert_refused(&b, WN_FORMAT, "dimension 0 is 0");
    wn_strbuf_clear(&b);
    gb_header(&b, 3, 1, 0);
    gb_str(&b, "deep");
    gb_u32(&b, 5);
    for (int i = 0; i < 8; i++)
        gb_u64(&b, 1);
    assert_refused(&b, WN_FORMAT, "deep: 5 dimensions");
    wn_strbuf_free(&b);
}

static void touch(const wn_gguf *g)
{
    size_t n = 0;
    uint32_t u = 0;
    wn_gguf_string s = {0};
    unsigned sum = 0;
    if (wn_gguf_array_len(g, "tokens", &n, NULL) == WN_OK)
        for (size_t i = 0; i < n; i++)
            if (wn_gguf_array_str(g, "tokens", i, &s, NULL) == WN_OK && s.len)
                sum += (unsigned char)s.data[s.len - 1];
    (void)wn_gguf_u32(g, "llama.block_count", &u, NULL);
    for (size_t i = 0; i < wn_gguf_n_tensors(g); i++) {
        const wn_tensor *t = wn_gguf_tensor_at(g, i);
        sum += ((const unsigned char *)t->data)[t->bytes - 1] + (unsigned)strlen(t->name);
    }
    assert_true(sum < 1u << 24);
}

/* Random damage: whatever opens must be readable from end to end (ASan watches). */
static void test_random_damage(void **state)
{
    (void)state;
    wn_strbuf b = {0};
    size_t where[POS_COUNT], n_opened = 0;
    build_sample(&b, where);
    char *copy = malloc(b.len);
    assert_non_null(copy);
    uint64_t r = 1;
    for (int round = 0; round < 6000; round++) {
        memcpy(copy, b.data, b.len);
        size_t len = b.len;
        for (int k = 0; k <= round % 3; k++) {
            r = r * 6364136223846793005u + 1442695040888963407u;
            copy[(r >> 33) % (round % 2 ? b.len : where[POS_DATA])] = (char)(r >> 24);
        }
        if (round % 5 == 0)
            len = (r >> 20) % b.len;
        wn_gguf *g = NULL;
        wn_error err = {0};
        if (open_bytes(copy, len, &g, &err) == WN_OK) {
            touch(g);
            n_opened++;
        } else {
            assert_true(err.text[0]);
        }
        wn_gguf_close(g);
    }
    assert_in_range(n_opened, 100, 5000); /* both outcomes are really exercised */
    free(copy);
    wn_strbuf_free(&b);
}

static wn_status open_and_close(void *ctx, wn_error *err)
{
    const wn_strbuf *b = ctx;
    wn_gguf *g = NULL;
    wn_status status = open_bytes(b->data, b->len, &g, err);
    wn_gguf_close(g);
    return status;
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    wn_strbuf b = {0};
    size_t where[POS_COUNT];
    build_sample(&b, where);
    wn_test_each_alloc_fails(open_and_close, &b);
    wn_strbuf_free(&b);
}

static void test_missing_file(void **state)
{
    (void)state;
    wn_gguf *g = NULL;
    wn_error err = {0};
    assert_int_equal(wn_gguf_open(&g, "/nonexistent/m.gguf", &err), WN_NOT_FOUND);
    assert_non_null(strstr(err.text, "/nonexistent/m.gguf"));
    assert_int_equal(wn_gguf_open(&g, "/", NULL), WN_INVALID);
}

static void test_real_file(void **state)
{
    (void)state;
    char path[512];
    wn_test_model_path(path, sizeof path, "smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf");
    WN_NEED_FILE(path);
    wn_gguf *g = NULL;
    WN_ASSERT_OK(wn_gguf_open(&g, path, err));
    assert_int_equal(wn_gguf_n_tensors(g), 272);
    size_t n = 0;
    WN_ASSERT_OK(wn_gguf_array_len(g, "tokenizer.ggml.tokens", &n, err));
    assert_int_equal(n, 49152);
    const wn_tensor *t = wn_gguf_tensor(g, "blk.29.ffn_down.weight");
    assert_non_null(t);
    assert_int_equal(t->shape[0], 576);
    assert_int_equal(t->shape[1], 1536);
    assert_int_equal(t->dtype, WN_DTYPE_Q4_1);
    wn_gguf_close(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_everything),
        cmocka_unit_test(test_typed_reads_refuse),
        cmocka_unit_test(test_every_truncation_is_refused),
        cmocka_unit_test(test_header_errors),
        cmocka_unit_test(test_key_errors),
        cmocka_unit_test(test_tensor_errors),
        cmocka_unit_test(test_random_damage),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_missing_file),
        cmocka_unit_test(test_real_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
