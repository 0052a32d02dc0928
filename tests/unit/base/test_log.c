/* One line a call, whatever the text; levels; nothing before wn_log_init. */
#include "tests/test_support.h"

#include <fcntl.h>

#include "base/log.h"

static int ends[2];

static int open_pipe(void **state)
{
    (void)state;
    return pipe2(ends, O_NONBLOCK | O_CLOEXEC);
}

/* What was logged since the last call, "" when nothing. */
static const char *logged(void)
{
    static char text[8192];
    ssize_t n = read(ends[0], text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void test_silent_by_default(void **state)
{
    (void)state;
    wn_log(WN_LOG_ERROR, "base", "into nothing");
    assert_string_equal(logged(), "");
}

static void test_levels_and_form(void **state)
{
    (void)state;
    wn_log_init(ends[1], WN_LOG_WARN);
    wn_log(WN_LOG_INFO, "api", "too much");
    assert_string_equal(logged(), "");
    wn_log(WN_LOG_WARN, "api", "%d of %d", 3, 4);
    const char *line = logged();
    assert_int_equal(strlen(line), strlen("2026-01-01T00:00:00.000Z warn api: 3 of 4\n"));
    assert_string_equal(line + 24, " warn api: 3 of 4\n");
    assert_true(line[10] == 'T' && line[19] == '.' && line[23] == 'Z');
    wn_log_init(ends[1], WN_LOG_DEBUG);
    wn_log(WN_LOG_DEBUG, "api", "all");
    assert_non_null(strstr(logged(), " debug api: all\n"));
}

static void test_one_line_whatever_the_text(void **state)
{
    (void)state;
    char text[3000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    wn_log(WN_LOG_ERROR, "base", "%s", text);
    const char *line = logged();
    size_t len = strlen(line);
    assert_int_equal(len, 1024 - 1); /* cut */
    assert_ptr_equal(strchr(line, '\n'), line + len - 1);
    wn_log(WN_LOG_ERROR, "base", "%s", "a\nb\r\x1b[2Jc\x7f");
    assert_non_null(strstr(logged(), " error base: a b  [2Jc \n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_silent_by_default),
        cmocka_unit_test(test_levels_and_form),
        cmocka_unit_test(test_one_line_whatever_the_text),
    };
    return cmocka_run_group_tests(tests, open_pipe, NULL);
}
