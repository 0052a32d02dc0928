/* Order of the four sources, types and ranges, errors that name the option and the nearest one. */
#include "tests/alloc_failure.h"

#include "base/fs.h"
#include "base/options.h"
#include "base/utf8.h"

static const wn_option table[] = {
    {"port", WN_OPT_INT, "8080", 0, 65535, "PORT", "TCP port to listen on; 0 picks a free one"},
    {"top-p", WN_OPT_NUM, "0.9", 0, 1, "P", "probability mass kept"},
    {"model", WN_OPT_STR, NULL, 0, 0, "NAME", "model to load"},
    {"json", WN_OPT_BOOL, NULL, 0, 0, NULL, "machine-readable output"},
    {"stream", WN_OPT_BOOL, "true", 0, 0, NULL, "send tokens as they come"},
    {"seed", WN_OPT_INT, "-1", 0, 0, "N", "any whole number"},
    {NULL, WN_OPT_BOOL, NULL, 0, 0, NULL, NULL},
};

static const wn_option foreign[] = {
    {"threads", WN_OPT_INT, "0", 0, 256, "N", "another program's option"},
    {NULL, WN_OPT_BOOL, NULL, 0, 0, NULL, NULL},
};

static char path[] = "/tmp/winnow-test-options-XXXXXX";

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd >= 0 ? close(fd) : -1;
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static wn_options *open_options(void)
{
    wn_options *o = NULL;
    WN_ASSERT_OK(wn_options_open(&o, table, err));
    return o;
}

static void test_defaults(void **state)
{
    (void)state;
    wn_options *o = open_options();
    assert_int_equal(wn_options_int(o, "port"), 8080);
    assert_true(wn_options_num(o, "top-p") == 0.9);
    assert_null(wn_options_str(o, "model"));
    assert_false(wn_options_bool(o, "json"));
    assert_true(wn_options_bool(o, "stream"));
    assert_false(wn_options_is_set(o, "port"));
    assert_false(wn_options_is_set(o, "model"));
    wn_options_close(o);
    wn_options_close(NULL);
}

static wn_status set_args(wn_options *o, int *n, char **argv, wn_error *err)
{
    int argc = 0;
    while (argv[argc])
        argc++;
    return wn_options_args(o, argc, argv, n, err);
}

static void test_arguments(void **state)
{
    (void)state;
    wn_options *o = open_options();
    int n = -1;
    char *argv[] = {(char[]){"first"},       (char[]){"--port"},
                    (char[]){"90"},          (char[]){"-"},
                    (char[]){"--top-p=0.5"}, (char[]){"--json"},
                    (char[]){"mid"},         (char[]){"--no-stream"},
                    (char[]){"--model=a=b"}, (char[]){"--seed"},
                    (char[]){"-5"},          (char[]){"--"},
                    (char[]){"--port"},      NULL};
    WN_ASSERT_OK(set_args(o, &n, argv, err));
    assert_int_equal(n, 4);
    assert_string_equal(argv[0], "first");
    assert_string_equal(argv[1], "-");
    assert_string_equal(argv[2], "mid");
    assert_string_equal(argv[3], "--port");
    assert_int_equal(wn_options_int(o, "port"), 90);
    assert_true(wn_options_num(o, "top-p") == 0.5);
    assert_true(wn_options_bool(o, "json"));
    assert_false(wn_options_bool(o, "stream"));
    assert_string_equal(wn_options_str(o, "model"), "a=b");
    assert_int_equal(wn_options_int(o, "seed"), -5);
    assert_true(wn_options_is_set(o, "stream"));
    wn_options_close(o);
}

static void test_argument_errors(void **state)
{
    (void)state;
    static const struct {
        const char *argument, *text;
    } cases[] = {
        {"--prot=1", "unknown option \"prot\"; did you mean \"port\"?"},
        {"--nothing-like-it", "unknown option \"nothing-like-it\"; see --help"},
        {"-p", "unknown option \"-p\"; options are --name"},
        {"--port", "--port needs a value (PORT)"},
        {"--port=", "port: \"\" is not a whole number"},
        {"--port=12x", "port: \"12x\" is not a whole number"},
        {"--port=1.5", "port: \"1.5\" is not a whole number"},
        {"--port=65536", "port: 65536 is outside 0 to 65535"},
        {"--port=-1", "port: -1 is outside 0 to 65535"},
        {"--seed=9223372036854775808", "seed: \"9223372036854775808\" is not a whole number"},
        {"--top-p=nan", "top-p: \"nan\" is not a number"},
        {"--top-p=inf", "top-p: \"inf\" is not a number"},
        {"--top-p=1.01", "top-p: 1.01 is outside 0 to 1"},
        {"--json=maybe", "json: \"maybe\" is not true or false"},
        {"--no-port", "unknown option \"no-port\"; did you mean \"port\"?"},
        {"--no-json=true", "unknown option \"no-json\"; did you mean \"json\"?"},
        {"--=x", "unknown option \"\"; see --help"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        wn_options *o = open_options();
        wn_error failure = {0};
        int n = 0;
        char argument[64];
        strcpy(argument, cases[i].argument);
        assert_int_equal(set_args(o, &n, (char *[]){argument, NULL}, &failure), WN_INVALID);
        assert_string_equal(failure.text, cases[i].text);
        assert_int_equal(wn_options_int(o, "port"), 8080); /* a refused value changes nothing */
        wn_options_close(o);
    }
    wn_options *o = open_options();
    char longest[3000];
    memset(longest, '-', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    int n = 0;
    assert_int_equal(set_args(o, &n, (char *[]){longest, NULL}, NULL), WN_INVALID);
    wn_options_close(o);
}

static wn_status set_file(wn_options *o, const char *text, size_t len, wn_error *failure)
{
    WN_ASSERT_OK(wn_fs_write_atomic(path, text, len, err));
    return wn_options_file(o, path, foreign, failure);
}

static void test_file(void **state)
{
    (void)state;
    wn_options *o = open_options();
    static const char text[] = "# comment\n\n  port = 81 \r\nmodel=\"two words \"\njson = yes\n"
                               "threads = 4\nstream=off\ntop-p = .25";
    WN_ASSERT_OK(set_file(o, text, sizeof text - 1, err));
    assert_int_equal(wn_options_int(o, "port"), 81);
    assert_string_equal(wn_options_str(o, "model"), "two words ");
    assert_true(wn_options_bool(o, "json"));
    assert_false(wn_options_bool(o, "stream"));
    assert_true(wn_options_num(o, "top-p") == 0.25);
    WN_ASSERT_OK(set_file(o, "", 0, err));
    wn_options_close(o);
}

static void test_file_errors(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error; /* after "path:" */
    } cases[] = {
        {"port = 80\nprot = 81\n", "2: unknown option \"prot\"; did you mean \"port\"?"},
        {"\n\nport = many\n", "3: port: \"many\" is not a whole number"},
        {"port\n", "1: \"port\" is not \"key = value\""},
        {"= 5", "1: unknown option \"\"; see --help"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        wn_options *o = open_options();
        wn_error failure = {0};
        char expected[240];
        snprintf(expected, sizeof expected, "%s:%s", path, cases[i].error);
        assert_int_equal(set_file(o, cases[i].text, strlen(cases[i].text), &failure), WN_INVALID);
        assert_string_equal(failure.text, expected);
        wn_options_close(o);
    }
    wn_options *o = open_options();
    assert_int_equal(set_file(o, "port = 1\0port = 2\n", 18, NULL), WN_FORMAT);
    assert_int_equal(wn_options_file(o, "/nonexistent/file", NULL, NULL), WN_NOT_FOUND);
    WN_ASSERT_OK(wn_fs_write_atomic(path, "threads = 1\n", 12, err));
    assert_int_equal(wn_options_file(o, path, NULL, NULL), WN_INVALID); /* no foreign table */
    wn_options_close(o);
}

static void test_order_of_sources(void **state)
{
    (void)state;
    wn_options *o = open_options();
    assert_int_equal(setenv("WINNOW_PORT", "82", 1), 0);
    assert_int_equal(setenv("WINNOW_TOP_P", "0.125", 1), 0);
    assert_int_equal(setenv("WINNOW_MODEL", "", 1), 0); /* empty = not given */
    WN_ASSERT_OK(set_file(o, "port = 81\nmodel = m\nseed = 3\n", 29, err));
    WN_ASSERT_OK(wn_options_env(o, err));
    assert_int_equal(wn_options_int(o, "port"), 82);
    assert_true(wn_options_num(o, "top-p") == 0.125);
    assert_string_equal(wn_options_str(o, "model"), "m");
    int n = 0;
    char argument[] = "--port=83";
    WN_ASSERT_OK(set_args(o, &n, (char *[]){argument, NULL}, err));
    assert_int_equal(wn_options_int(o, "port"), 83);
    assert_int_equal(wn_options_int(o, "seed"), 3);
    assert_int_equal(setenv("WINNOW_TOP_P", "2", 1), 0);
    wn_error failure = {0};
    assert_int_equal(wn_options_env(o, &failure), WN_INVALID);
    assert_string_equal(failure.text, "WINNOW_TOP_P: top-p: 2 is outside 0 to 1");
    unsetenv("WINNOW_PORT");
    unsetenv("WINNOW_TOP_P");
    unsetenv("WINNOW_MODEL");
    WN_ASSERT_OK(wn_options_set(o, "port", "84", err));
    assert_int_equal(wn_options_int(o, "port"), 84);
    assert_int_equal(wn_options_set(o, "prt", "84", NULL), WN_INVALID);
    wn_options_close(o);
}

static void test_help(void **state)
{
    (void)state;
    static const wn_option long_help[] = {
        {"port", WN_OPT_INT, "8080", 0, 65535, "PORT", "TCP port"},
        {"a-name-that-is-longer-than-its-column", WN_OPT_BOOL, NULL, 0, 0, NULL,
         "words words words words words words words words words words words words words words "
         "w\xC3\xB6rter end"},
        {NULL, WN_OPT_BOOL, NULL, 0, 0, NULL, NULL},
    };
    wn_strbuf out = {0};
    wn_options_help(long_help, &out);
    assert_string_equal(
        out.data,
        "  --port PORT               TCP port [8080]\n"
        "  --a-name-that-is-longer-than-its-column\n"
        "                            words words words words words words words words words words "
        "words words\n"
        "                            words words w\xC3\xB6rter end\n");
    wn_strbuf_clear(&out);
    wn_options_help(table, &out);
    for (char *line = strtok(out.data, "\n"); line; line = strtok(NULL, "\n"))
        assert_true(wn_utf8_count(line, strlen(line)) <= 100);
    wn_strbuf_free(&out);
}

static void test_nearest_name(void **state)
{
    (void)state;
    static const char *const names[] = {"corpus", "ingest", "search", NULL};
    assert_string_equal(wn_nearest_name("ingset", names), "ingest");
    assert_string_equal(wn_nearest_name("serch", names), "search");
    assert_string_equal(wn_nearest_name("corpus", names), "corpus");
    assert_null(wn_nearest_name("doctor!", names));
    assert_null(wn_nearest_name("corpus", (const char *const[]){NULL}));
    char longest[200];
    memset(longest, 'c', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_null(wn_nearest_name(longest, names));
}

static wn_status use(void *ctx, wn_error *err)
{
    (void)ctx;
    wn_options *o = NULL;
    WN_TRY(wn_options_open(&o, table, err));
    int n = 0;
    char argument[] = "--model=x";
    wn_status status = wn_options_file(o, path, foreign, err);
    if (status == WN_OK)
        status = set_args(o, &n, (char *[]){argument, NULL}, err);
    wn_options_close(o);
    return status;
}

static void test_each_alloc_fails(void **state)
{
    (void)state;
    WN_ASSERT_OK(wn_fs_write_atomic(path, "port = 1\nmodel = m\n", 19, err));
    assert_true(wn_test_each_alloc_fails(use, NULL) >= 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_argument_errors),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_file_errors),
        cmocka_unit_test(test_order_of_sources),
        cmocka_unit_test(test_help),
        cmocka_unit_test(test_nearest_name),
        cmocka_unit_test(test_each_alloc_fails),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
