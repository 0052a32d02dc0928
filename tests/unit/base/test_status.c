/* Error texts: first one wins, cut at a character border, printable whatever the names were. */
#include "tests/test_support.h"

#include <errno.h>

#include "base/utf8.h"

static void test_table(void **state)
{
    (void)state;
    assert_int_equal(WN_OK, 0);
    assert_string_equal(wn_status_name(WN_OK), "WN_OK");
    assert_string_equal(wn_status_name(WN_IO), "WN_IO");
    assert_string_equal(wn_status_text(WN_IO), "input/output error");
    assert_string_equal(wn_status_name(WN_INTERNAL), "WN_INTERNAL");
    assert_string_equal(wn_status_name((wn_status)999), "WN_?");
    assert_string_equal(wn_status_text((wn_status)-1), "unknown status");
}

static void test_first_error_wins(void **state)
{
    (void)state;
    wn_error err = {0};
    assert_int_equal(wn_error_set(&err, WN_FORMAT, "%s: field %d", "a.json", 7), WN_FORMAT);
    assert_int_equal(wn_error_set(&err, WN_LIMIT, "later"), WN_LIMIT);
    assert_int_equal(err.status, WN_FORMAT);
    assert_string_equal(err.text, "a.json: field 7");
    assert_int_equal(wn_error_set_errno(&err, EIO, "later"), WN_IO);
    assert_string_equal(err.text, "a.json: field 7");
    assert_int_equal(wn_error_set(NULL, WN_BUSY, "nobody listens"), WN_BUSY);
    wn_error_prefix(NULL, "x");
}

static void test_errno(void **state)
{
    (void)state;
    static const struct {
        int errnum;
        wn_status status;
    } cases[] = {{ENOENT, WN_NOT_FOUND}, {EACCES, WN_DENIED},   {EPERM, WN_DENIED},
                 {ENOSPC, WN_NO_SPACE},  {EDQUOT, WN_NO_SPACE}, {ENOMEM, WN_NO_MEMORY},
                 {EIO, WN_IO},           {EBADF, WN_IO}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        wn_error err = {0};
        assert_int_equal(wn_error_set_errno(&err, cases[i].errnum, "f"), cases[i].status);
        assert_int_equal(err.status, cases[i].status);
    }
    wn_error err = {0};
    wn_error_set_errno(&err, ENOENT, "%s", "notes.pdf");
    assert_string_equal(err.text, "notes.pdf: No such file or directory");
}

static void test_prefix(void **state)
{
    (void)state;
    wn_error err = {0};
    wn_error_prefix(&err, "file");
    assert_string_equal(err.text, "");
    wn_error_set(&err, WN_FORMAT, "bad value");
    wn_error_prefix(&err, "x.conf:3");
    assert_string_equal(err.text, "x.conf:3: bad value");

    char context[600];
    memset(context, 'c', sizeof context - 1);
    context[sizeof context - 1] = '\0';
    wn_error_prefix(&err, context); /* no room for it: the reason matters more */
    assert_string_equal(err.text, "x.conf:3: bad value");
    context[200] = '\0';
    wn_error_prefix(&err, context);
    assert_memory_equal(err.text, context, 200);
    assert_string_equal(err.text + 200, ": x.conf:3: bad value");
}

/* Whatever the length, no text ends in half a character. */
static void test_cut_at_character_border(void **state)
{
    (void)state;
    static const char *const characters[] = {"a", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x8C\xBE"};
    for (size_t c = 0; c < 4; c++) {
        for (size_t shift = 0; shift < 8; shift++) {
            char name[600] = "";
            size_t len = shift;
            memset(name, '-', shift);
            for (; len + 5 < sizeof name; len += strlen(characters[c]))
                strcpy(name + len, characters[c]);
            wn_error err = {0};
            wn_error_set(&err, WN_INVALID, "%s", name);
            size_t got = strlen(err.text);
            assert_true(got >= sizeof err.text - 4 && got < sizeof err.text);
            assert_memory_equal(err.text, name, got);
            assert_true(wn_utf8_valid(err.text, got));
            wn_error_prefix(&err, "\xC3\xA9t\xC3\xA9");
            assert_true(wn_utf8_valid(err.text, strlen(err.text)));
        }
    }
}

static void test_printable(void **state)
{
    (void)state;
    wn_error err = {0};
    wn_error_set(&err, WN_INVALID, "%s", "a\x1b[2Jb\nc\x7f\xff\xc3(\xE2\x82\xACz\xEF\xBF\xBD");
    assert_string_equal(err.text, "a?[2Jb?c?\?\?(\xE2\x82\xACz\xEF\xBF\xBD");
    wn_error one = {0};
    wn_error_set(&one, WN_INVALID, "x\xC2\x9Bm"); /* the one-character form of ESC [ */
    assert_string_equal(one.text, "x??m");

    unsigned seed = 1;
    for (int round = 0; round < 3000; round++) {
        char name[300];
        for (size_t i = 0; i < sizeof name - 1; i++) {
            seed = seed * 1103515245u + 12345u;
            name[i] = (char)(1 + (seed >> 16) % 255);
        }
        name[sizeof name - 1] = '\0';
        wn_error random = {0};
        wn_error_set_errno(&random, ENOENT, "%.*s", round % 299, name);
        assert_true(wn_utf8_valid(random.text, strlen(random.text)));
        for (const char *p = random.text; *p; p++)
            assert_true((unsigned char)*p >= 0x20 && *p != 0x7F);
    }
}

static wn_status forwards(wn_status status)
{
    WN_TRY(status);
    return WN_BUSY;
}

static wn_status forwards_out(wn_status wanted, int *cleaned)
{
    wn_status status = WN_OK;
    WN_TRY_OUT(wanted);
    status = WN_BUSY;
out:
    (*cleaned)++;
    return status;
}

static void test_try(void **state)
{
    (void)state;
    int cleaned = 0;
    assert_int_equal(forwards(WN_OK), WN_BUSY);
    assert_int_equal(forwards(WN_IO), WN_IO);
    assert_int_equal(forwards_out(WN_OK, &cleaned), WN_BUSY);
    assert_int_equal(forwards_out(WN_IO, &cleaned), WN_IO);
    assert_int_equal(cleaned, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_first_error_wins),
        cmocka_unit_test(test_errno),
        cmocka_unit_test(test_prefix),
        cmocka_unit_test(test_cut_at_character_border),
        cmocka_unit_test(test_printable),
        cmocka_unit_test(test_try),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
