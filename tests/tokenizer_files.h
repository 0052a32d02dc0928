/* A folder of its own for tests that write files for loaders, and the check of the error they give.
 */
#ifndef WN_TESTS_TOKENIZER_FILES_H
#define WN_TESTS_TOKENIZER_FILES_H

#include "tests/golden_tokens.h"

static char test_dir[64];

static inline int test_make_dir(void **state)
{
    (void)state;
    strcpy(test_dir, "/tmp/winnow-tokenizer-XXXXXX");
    return mkdtemp(test_dir) ? 0 : -1;
}

static inline int test_remove_dir(void **state)
{
    (void)state;
    return wn_fs_remove_tree(test_dir, NULL) == WN_OK ? 0 : -1;
}

static inline void test_write_file(char path[128], const char *name, const void *data, size_t len)
{
    snprintf(path, 128, "%s/%s", test_dir, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static inline void test_check_error(wn_status got, wn_status want, const wn_error *error,
                                    const char *path, const char *word)
{
    if (got != want || !strstr(error->text, path) || !strstr(error->text, word))
        fail_msg("%s \"%s\"; expected %s with \"%s\" and the path", wn_status_name(got),
                 error->text, wn_status_name(want), word);
}

#endif
