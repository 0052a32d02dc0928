/* Files of ranks in tiktoken form, and folders without any tokenizer. */
#include "tests/tokenizer_files.h"

#include "generate/tokenizer.h"

static void refuse_ranks(const char *text, size_t len, const char *word)
{
    char path[128];
    wn_error err = {0};
    wn_tokenizer *t = NULL;
    test_write_file(path, "ranks.model", text, len);
    wn_status got = wn_tokenizer_from_tiktoken(&t, path, &err);
    assert_null(t);
    test_check_error(got, WN_FORMAT, &err, path, word);
}

static void test_ranks(void **state)
{
    (void)state;
    char path[128];
    wn_tokenizer *t = NULL;
    const char *good = "YQ== 0\nYg== 1\nYWI= 2\n";
    test_write_file(path, "ranks.model", good, strlen(good));
    WN_ASSERT_OK(wn_tokenizer_from_tiktoken(&t, path, err));
    assert_int_equal(wn_tokenizer_n_vocab(t), 3 + 256);
    assert_int_equal(wn_tokenizer_bos(t), 3);
    int32_t *ids = NULL;
    size_t n = 0;
    WN_ASSERT_OK(wn_tokenizer_encode(t, "abb", 3, 0, &ids, &n, err));
    assert_int_equal(n, 2);
    assert_int_equal(ids[0], 2);
    assert_int_equal(ids[1], 1);
    free(ids);
    wn_tokenizer_close(t);
    t = NULL;

    refuse_ranks("", 0, "0 lines");
    refuse_ranks("\n\x80\x02", 3, "line 1");
    refuse_ranks("YQ== 0\nYg==\n", 12, "line 2");
    refuse_ranks("YQ== 0\nYg== \n", 13, "line 2: no rank");
    refuse_ranks("YQ== 0\nYg== 1x\n", 15, "line 2: no rank");
    refuse_ranks("YQ== 0\nY=g= 1\n", 14, "line 2");
    refuse_ranks("YQ== 0\nYg= 1\n", 13, "line 2");
    refuse_ranks("YQ== 0\nYg== 2\n", 14, "rank 2 of 2");
    refuse_ranks("YQ== 0\nYg== 99999999\n", 21, "rank 99999999");
    refuse_ranks("YQ== 0\nYg== 123456789\n", 22, "no rank");
    refuse_ranks("YQ== 0\nYg== -1\n", 15, "no rank");
    refuse_ranks("YQ== 0\nYg== 0\n", 14, "given twice");
    refuse_ranks("YQ== 0\nYQ== 1\n", 14, "tokens 0 and 1 are the same");
    refuse_ranks("YQ== 0\n 1\n", 10, "line 2");
    char long_line[600];
    memset(long_line, 'A', 500);
    strcpy(long_line + 500, " 0\n");
    refuse_ranks(long_line, strlen(long_line), "at most 256 bytes");
}

static void test_absent(void **state)
{
    (void)state;
    wn_tokenizer *t = NULL;
    wn_error error = {0};
    char empty[128];
    snprintf(empty, sizeof empty, "%s/empty", test_dir);
    WN_ASSERT_OK(wn_fs_make_dirs(empty, err));
    assert_int_equal(wn_tokenizer_from_dir(&t, empty, &error), WN_NOT_FOUND);
    assert_non_null(strstr(error.text, "neither tokenizer.json nor tokenizer.model"));
    assert_int_equal(wn_tokenizer_from_json(&t, "/nonexistent.json", NULL), WN_NOT_FOUND);
    assert_int_equal(wn_tokenizer_from_tiktoken(&t, "/nonexistent.model", NULL), WN_NOT_FOUND);
    assert_null(t);
    wn_tokenizer_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranks),
        cmocka_unit_test(test_absent),
    };
    return cmocka_run_group_tests(tests, test_make_dir, test_remove_dir);
}
