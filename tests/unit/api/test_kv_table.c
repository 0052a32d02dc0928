/* Lists of lengths, offsets for a number of keys, and the pieces of training text. */
#include "tests/test_support.h"

#include <math.h>
#include <sys/stat.h>

#include "api/kv_table.h"
#include "api/training_text.h"
#include "base/fs.h"

static void test_lengths(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "x", "512,", "512,512", "512 1024", "1", "0", "5,-6"};
    wn_kv_lengths l = {0};
    WN_ASSERT_OK(wn_kv_lengths_parse("512,1024,8192", &l, err));
    assert_true(l.n == 3 && l.at[0] == 512 && l.at[1] == 1024 && l.at[2] == 8192);
    WN_ASSERT_OK(wn_kv_lengths_parse("2", &l, err));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(wn_kv_lengths_parse(bad[i], &l, NULL), WN_INVALID);
    assert_int_equal(wn_kv_lengths_parse("2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18", &l, NULL),
                     WN_INVALID);
}

/* Of the values, `keep` stay: evicted is logit + offset > 0, or a loss below the offset. */
static void test_offsets(void **state)
{
    (void)state;
    for (size_t keep = 0; keep <= 5; keep++)
        for (int largest = 0; largest < 2; largest++) {
            float values[] = {0.5f, -3, 2, 7, -1};
            size_t kept = 0;
            const float offset = wn_kv_offset(values, 5, keep, largest);
            for (size_t i = 0; i < 5; i++)
                kept += largest ? values[i] >= offset : !(values[i] + offset > 0);
            assert_int_equal(kept, keep);
        }
}

static void put(const char *dir, const char *name, const char *text, size_t len)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    WN_ASSERT_OK(wn_fs_write_atomic(path, text, len, err));
}

static void test_training_text(void **state)
{
    (void)state;
    char dir[] = "/tmp/wn_test_text_XXXXXX", folder[64], lines[80], one[64], big[3001];
    const char *text = NULL;
    size_t len = 0, n_learnt = 0;
    assert_non_null(mkdtemp(dir));
    snprintf(folder, sizeof folder, "%s/folder", dir);
    snprintf(lines, sizeof lines, "%s/b.jsonl", dir);
    snprintf(one, sizeof one, "%s/a.txt", dir);
    assert_int_equal(mkdir(folder, 0700), 0);
    for (size_t i = 0; i < 3000; i++) /* lines of 10 bytes, numbered */
        big[i] = i % 10 == 9 ? '\n' : (char)('a' + i / 10 % 26);
    put(dir, "a.txt", big, 3000);
    put(folder, "binary.bin", "ab\0cd", 5);
    put(dir, "b.jsonl", "{\"title\":\"T\",\"text\":\"body\"}\n\n{\"text\":\"x\"}", 41);
    wn_training_text t = {0};
    char *paths[] = {one, lines, folder};
    WN_ASSERT_OK(wn_training_text_read(&t, paths, 2, err));
    assert_true(t.n_parts == 2 && t.n_files == 2 && t.n_bytes == t.parts[0].len + t.parts[1].len);
    assert_string_equal(wn_strbuf_cstr(&t.parts[1]), "T\nbody\n\n\nx\n\n");
    /* Nothing that is learnt from is measured on; pieces begin at lines. */
    for (size_t i = 0; i < 20; i += 2) {
        wn_training_text_piece(&t, WN_PIECE_LEARN, i, 20, 100, &text, &len);
        const size_t at = (size_t)(text - t.parts[0].data);
        assert_true(at % 10 == 0 && len >= 90 && at + len <= t.parts[0].len / 3 * 2);
        n_learnt += at >= (i / 2) * 190 && at <= (i / 2) * 210;
    }
    assert_int_equal(n_learnt, 10); /* evenly */
    wn_training_text_piece(&t, WN_PIECE_MEASURE, 0, 2, 100, &text, &len);
    assert_true(text >= t.parts[0].data + t.parts[0].len / 3 * 2);
    assert_ptr_equal(text + len, t.parts[0].data + t.parts[0].len);
    wn_training_text_free(&t);
    assert_int_equal(wn_training_text_read(&t, paths, 3, NULL), WN_INVALID); /* no text there */
    assert_int_equal(wn_training_text_read(&t, paths, 0, NULL), WN_INVALID);
    put(dir, "b.jsonl", "{\"text\":", 8);
    assert_true(wn_training_text_read(&t, paths, 2, NULL) != WN_OK);
    WN_ASSERT_OK(wn_fs_remove_tree(dir, err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_offsets),
        cmocka_unit_test(test_training_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
