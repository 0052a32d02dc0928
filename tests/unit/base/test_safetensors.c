#include "tests/test_support.h"

#include <sys/stat.h>

#include "base/safetensors.h"
#include "tests/alloc_failure.h"
#include "tests/gguf_builder.h"

/* Length, header, then n_data bytes 0, 1, 2 ... */
static void build(wn_strbuf *b, const char *header, size_t n_data)
{
    wn_strbuf_clear(b);
    gb_u64(b, strlen(header));
    wn_strbuf_adds(b, header);
    for (size_t i = 0; i < n_data; i++)
        wn_strbuf_addc(b, (char)i);
}

static const char sample[] =
    "{\"__metadata__\":{\"format\":\"pt\"},"
    "\"b\":{\"dtype\":\"BF16\",\"shape\":[2,3],\"data_offsets\":[8,20]},"
    "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
    "\"s\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[20,28]},"
    "\"z\":{\"dtype\":\"F16\",\"shape\":[0,5],\"data_offsets\":[20,20]}}  ";

static wn_status open_bytes(const void *data, size_t len, wn_safetensors **st, wn_error *err)
{
    char path[48];
    int fd = wn_test_memory_file(data, len, path);
    assert_true(fd >= 0);
    wn_status status = wn_safetensors_open(st, path, err);
    close(fd);
    return status;
}

static void assert_refused(const char *header, size_t n_data, wn_status status, const char *text)
{
    wn_strbuf b = {0};
    build(&b, header, n_data);
    wn_safetensors *st = NULL;
    wn_error err = {0};
    assert_int_equal(open_bytes(b.data, b.len, &st, &err), status);
    assert_null(st);
    if (!strstr(err.text, text))
        fail_msg("\"%s\" is not in \"%s\"", text, err.text);
    wn_strbuf_free(&b);
}

static void test_reads_everything(void **state)
{
    (void)state;
    wn_strbuf b = {0};
    build(&b, sample, 28);
    wn_safetensors *st = NULL;
    WN_ASSERT_OK(open_bytes(b.data, b.len, &st, err));
    assert_int_equal(wn_safetensors_n_tensors(st), 4);
    const wn_tensor *t = wn_safetensors_tensor(st, "b");
    assert_non_null(t);
    assert_int_equal(t->dtype, WN_DTYPE_BF16);
    assert_int_equal(t->n_dims, 2);
    assert_int_equal(t->shape[0], 2);
    assert_int_equal(t->shape[1], 3);
    assert_int_equal(t->bytes, 12);
    assert_int_equal(*(const unsigned char *)t->data, 8);
    assert_int_equal(wn_safetensors_tensor(st, "s")->n_dims, 0);
    assert_int_equal(wn_safetensors_tensor(st, "z")->bytes, 0);
    assert_null(wn_safetensors_tensor(st, "__metadata__"));
    assert_null(wn_safetensors_tensor_at(st, 4));
    assert_string_equal(wn_safetensors_metadata(st, "format"), "pt");
    assert_null(wn_safetensors_metadata(st, "absent"));
    wn_safetensors_close(st);
    wn_strbuf_free(&b);
}

static void test_every_truncation_is_refused(void **state)
{
    (void)state;
    wn_strbuf b = {0};
    build(&b, sample, 28);
    for (size_t len = 0; len < b.len; len++) {
        wn_safetensors *st = NULL;
        if (open_bytes(b.data, len, &st, NULL) != WN_FORMAT || st)
            fail_msg("%zu of %zu bytes were accepted", len, b.len);
    }
    wn_strbuf_addc(&b, 0);
    wn_safetensors *st = NULL;
    assert_int_equal(open_bytes(b.data, b.len, &st, NULL), WN_FORMAT);
    wn_strbuf_free(&b);
}

#define ONE(dtype, shape, offsets)                                                                 \
    "{\"w\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static void test_header_errors(void **state)
{
    (void)state;
    assert_refused("[1]", 0, WN_FORMAT, "no object");
    assert_refused("{\"a\":", 0, WN_FORMAT, "JSON");
    assert_refused("{\"__metadata__\":3}", 0, WN_FORMAT, "__metadata__");
    assert_refused("{\"__metadata__\":{\"x\":3}}", 0, WN_FORMAT, "__metadata__ x");
    assert_refused("{\"w\":7}", 0, WN_FORMAT, "tensor w");
    assert_refused("{\"\":7}", 0, WN_FORMAT, "name");
    assert_refused("{\"a\\nb\":7}", 0, WN_FORMAT, "name");
    assert_refused(ONE("3", "[1]", "[0,4]"), 4, WN_FORMAT, "w: dtype");
    assert_refused(ONE("\"F8_E4M3\"", "[4]", "[0,4]"), 4, WN_UNSUPPORTED, "w: dtype F8_E4M3");
    assert_refused(ONE("\"F32\"", "7", "[0,4]"), 4, WN_FORMAT, "w: shape");
    assert_refused(ONE("\"F32\"", "[-1]", "[0,4]"), 4, WN_FORMAT, "w: shape");
    assert_refused(ONE("\"F32\"", "[1.0]", "[0,4]"), 4, WN_FORMAT, "w: shape");
    assert_refused(ONE("\"F32\"", "[1,1,1,1,1]", "[0,4]"), 4, WN_UNSUPPORTED, "w: 5 dimensions");
    assert_refused(ONE("\"F32\"", "[9223372036854775807,3]", "[0,4]"), 4, WN_FORMAT, "too large");
    assert_refused(ONE("\"F32\"", "[9223372036854775807]", "[0,4]"), 4, WN_FORMAT, "too large");
    assert_refused(ONE("\"F32\"", "[1]", "[0]"), 4, WN_FORMAT, "w: data_offsets");
    assert_refused(ONE("\"F32\"", "[1]", "[0,\"4\"]"), 4, WN_FORMAT, "w: data_offsets");
    assert_refused(ONE("\"F32\"", "[1]", "[-4,0]"), 4, WN_FORMAT, "w: data_offsets");
    assert_refused(ONE("\"F32\"", "[1]", "[4,0]"), 4, WN_FORMAT, "w: data_offsets");
    assert_refused(ONE("\"F32\"", "[1]", "[0,8]"), 4, WN_FORMAT, "do not fit into 4 bytes");
    assert_refused(ONE("\"F32\"", "[2]", "[0,4]"), 4, WN_FORMAT, "make 8 bytes");
    assert_refused(ONE("\"F32\"", "[1]", "[4,8]"), 8, WN_FORMAT, "4 bytes before tensor w");
    assert_refused(ONE("\"F32\"", "[1]", "[0,4]"), 8, WN_FORMAT, "4 bytes after");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                   "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}",
                   12, WN_FORMAT, "overlap");
    assert_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
                   "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
                   8, WN_FORMAT, "duplicate");
}

static void test_header_length(void **state)
{
    (void)state;
    wn_strbuf b = {0};
    gb_u64(&b, UINT64_MAX);
    wn_strbuf_adds(&b, "{}");
    wn_safetensors *st = NULL;
    wn_error error = {0};
    assert_int_equal(open_bytes(b.data, b.len, &st, &error), WN_FORMAT);
    assert_non_null(strstr(error.text, "header of 18446744073709551615 bytes"));
    build(&b, "{}", 0);
    WN_ASSERT_OK(open_bytes(b.data, b.len, &st, err));
    assert_int_equal(wn_safetensors_n_tensors(st), 0);
    wn_safetensors_close(st);
    wn_strbuf_free(&b);
}

static void test_random_damage(void **state)
{
    (void)state;
    wn_strbuf b = {0};
    build(&b, sample, 28);
    char *copy = malloc(b.len);
    assert_non_null(copy);
    uint64_t r = 7;
    size_t n_opened = 0;
    for (int round = 0; round < 6000; round++) {
        memcpy(copy, b.data, b.len);
        for (int k = 0; k <= round % 2; k++) {
            r = r * 6364136223846793005u + 1442695040888963407u;
            copy[(r >> 33) % b.len] = (char)(r >> 24);
        }
        size_t len = round % 7 == 0 ? (r >> 20) % b.len : b.len;
        wn_safetensors *st = NULL;
        wn_error err = {0};
        if (open_bytes(copy, len, &st, &err) == WN_OK) {
            n_opened++;
            for (size_t i = 0; i < wn_safetensors_n_tensors(st); i++) {
                const wn_tensor *t = wn_safetensors_tensor_at(st, i);
                const volatile unsigned char *p = t->data;
                if (t->bytes)
                    (void)p[t->bytes - 1];
                assert_ptr_equal(wn_safetensors_tensor(st, t->name), t);
            }
        } else {
            assert_true(err.text[0]);
        }
        wn_safetensors_close(st);
    }
    assert_in_range(n_opened, 100, 5000);
    free(copy);
    wn_strbuf_free(&b);
}

/* Folders ------------------------------------------------------------------------------------- */

static char dir[64];

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/wn_test_st_XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static const char *const file_names[] = {"model.safetensors", "model.safetensors.index.json",
                                         "one.safetensors", "two.safetensors"};

static int remove_dir(void **state)
{
    (void)state;
    char path[128];
    for (size_t i = 0; i < sizeof file_names / sizeof file_names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, file_names[i]);
        unlink(path);
    }
    return rmdir(dir);
}

static void put(const char *name, const void *data, size_t len)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    fclose(f);
}

static void put_shard(const char *name, const char *tensor, int first)
{
    char header[128];
    wn_strbuf b = {0};
    snprintf(header, sizeof header,
             "{\"%s\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", tensor);
    build(&b, header, 0);
    for (int i = 0; i < 4; i++)
        wn_strbuf_addc(&b, (char)(first + i));
    put(name, b.data, b.len);
    wn_strbuf_free(&b);
}

static void assert_dir_refused(const char *index, wn_status status, const char *text)
{
    wn_safetensors *st = NULL;
    wn_error err = {0};
    put("model.safetensors.index.json", index, strlen(index));
    assert_int_equal(wn_safetensors_open(&st, dir, &err), status);
    assert_null(st);
    if (!strstr(err.text, text))
        fail_msg("\"%s\" is not in \"%s\"", text, err.text);
}

static void test_sharded_folder(void **state)
{
    (void)state;
    static const char index[] = "{\"metadata\":{\"total_size\":8},\"weight_map\":{"
                                "\"x\":\"one.safetensors\",\"y\":\"two.safetensors\"}}";
    put_shard("one.safetensors", "x", 10);
    put_shard("two.safetensors", "y", 20);
    put("model.safetensors.index.json", index, sizeof index - 1);
    wn_safetensors *st = NULL;
    WN_ASSERT_OK(wn_safetensors_open(&st, dir, err));
    assert_int_equal(wn_safetensors_n_tensors(st), 2);
    assert_int_equal(*(const char *)wn_safetensors_tensor(st, "x")->data, 10);
    assert_int_equal(*(const char *)wn_safetensors_tensor(st, "y")->data, 20);
    wn_safetensors_close(st);
}

static void test_folder_errors(void **state)
{
    (void)state;
    wn_safetensors *st = NULL;
    wn_error err = {0};
    assert_int_equal(wn_safetensors_open(&st, dir, &err), WN_NOT_FOUND);
    assert_non_null(strstr(err.text, "model.safetensors"));
    put_shard("one.safetensors", "x", 10);
    put_shard("two.safetensors", "x", 20);
    assert_dir_refused("{}", WN_FORMAT, "weight_map");
    assert_dir_refused("{\"weight_map\":{\"x\":\"../one.safetensors\"}}", WN_FORMAT, "x: no plain");
    assert_dir_refused("{\"weight_map\":{\"x\":\"/etc/passwd\"}}", WN_FORMAT, "x: no plain");
    assert_dir_refused("{\"weight_map\":{\"x\":\"..\"}}", WN_FORMAT, "x: no plain");
    assert_dir_refused("{\"weight_map\":{\"x\":5}}", WN_FORMAT, "x: no plain");
    assert_dir_refused("{\"weight_map\":{\"x\":\"absent\"}}", WN_NOT_FOUND, "absent");
    assert_dir_refused("{\"weight_map\":{\"q\":\"one.safetensors\"}}", WN_FORMAT,
                       "tensor q is not");
    assert_dir_refused("{\"weight_map\":{\"x\":\"one.safetensors\",\"y\":\"two.safetensors\"}}",
                       WN_FORMAT, "two tensors are named x");
}

static wn_status open_and_close(void *ctx, wn_error *err)
{
    wn_safetensors *st = NULL;
    wn_status status = wn_safetensors_open(&st, ctx, err);
    wn_safetensors_close(st);
    return status;
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    static const char index[] =
        "{\"weight_map\":{\"x\":\"one.safetensors\",\"y\":\"two.safetensors\"}}";
    put_shard("one.safetensors", "x", 10);
    put_shard("two.safetensors", "y", 20);
    put("model.safetensors.index.json", index, sizeof index - 1);
    wn_test_each_alloc_fails(open_and_close, dir);
}

static void test_real_file(void **state)
{
    (void)state;
    char path[512];
    wn_test_model_path(path, sizeof path, "minilm-l6");
    WN_NEED_FILE(path);
    wn_safetensors *st = NULL;
    WN_ASSERT_OK(wn_safetensors_open(&st, path, err));
    const wn_tensor *t = wn_safetensors_tensor(st, "embeddings.word_embeddings.weight");
    assert_non_null(t);
    assert_int_equal(t->shape[0], 30522);
    assert_int_equal(t->shape[1], 384);
    assert_int_equal(t->dtype, WN_DTYPE_F32);
    wn_safetensors_close(st);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_everything),
        cmocka_unit_test(test_every_truncation_is_refused),
        cmocka_unit_test(test_header_errors),
        cmocka_unit_test(test_header_length),
        cmocka_unit_test(test_random_damage),
        cmocka_unit_test_setup_teardown(test_sharded_folder, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_folder_errors, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_every_allocation_may_fail, make_dir, remove_dir),
        cmocka_unit_test(test_real_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
