/* Damaged and hostile files: an answer or a clear error for each, and the next file works. */
#include "tests/unit/ingest/ingest_test_support.h"

#include "base/utf8.h"
#include "ingest/chunker.h"

static wn_parse_pool *pool;

static wn_status parse(const char *name, const void *data, size_t len, wn_parsed_doc *doc,
                       wn_error *err)
{
    return parse_bytes(pool, name, data, len, doc, err);
}

static void check_text(const char *name, const char *data, size_t len, const char *expected)
{
    wn_parsed_doc doc;
    wn_error err;
    if (parse(name, data, len, &doc, &err) != WN_OK)
        fail_msg("%s: %s", name, err.text);
    assert_string_equal(doc.text, expected);
    wn_parsed_doc_free(&doc);
}

#define CHECK_TEXT(name, data, expected) check_text(name, data, sizeof(data) - 1, expected)

static void test_encodings(void **state)
{
    (void)state;
    CHECK_TEXT("a.txt", "\xEF\xBB\xBFplain\r\nmac\rend", "plain\nmac\nend");
    CHECK_TEXT("a.txt", "\xFF\xFEh\0\xE4\0\x3D\xD8\x00\xDE", "h\xC3\xA4\xF0\x9F\x98\x80");
    CHECK_TEXT("a.txt", "\xFE\xFF\0h\x4E\x2D", "h\xE4\xB8\xAD");
    CHECK_TEXT("a.txt", "\xFF\xFE\0\0h\0\0\0\x00\xF6\x01\0", "h\xF0\x9F\x98\x80");
    CHECK_TEXT("a.txt", "\xFF\xFEh\0\x3D\xD8x\0", "h\xEF\xBF\xBDx"); /* half a pair */
    CHECK_TEXT("a.md", "# caf\xC3\xA9", "caf\xC3\xA9");
    CHECK_TEXT("a.html", "<meta charset=windows-1251><p>\xCF\xF0\xE8", "\xD0\x9F\xD1\x80\xD0\xB8");
    CHECK_TEXT("a.html", "<meta content='text/html; charset=Shift_JIS'><p>\x93\xFA\x96\x7B",
               "\xE6\x97\xA5\xE6\x9C\xAC");
    CHECK_TEXT("a.html", "<meta charset=utf-8><p>\xFF bad", "\xEF\xBF\xBD bad");
    CHECK_TEXT("a.html", "<meta charset=iso-8859-1><p>\xE4\xB8\xAD", "\xE4\xB8\xAD");
    CHECK_TEXT("a.html", "<meta charset=nonsense><p>x", "x");
}

static void test_detected_encodings(void **state)
{
    (void)state;
    CHECK_TEXT("a.txt",
               "Die Stra\xDF"
               "en, H\xE4user, B\xE4ume und sch\xF6ne G\xE4rten sind gr\xFCn.",
               "Die Stra\xC3\x9F"
               "en, H\xC3\xA4user, B\xC3\xA4ume und sch\xC3\xB6ne G\xC3\xA4rten "
               "sind gr\xC3\xBCn.");
}

static void test_invisible_characters(void **state)
{
    (void)state;
    CHECK_TEXT("a.txt",
               "so\xC2\xAD"
               "ft\xE2\x80\x8B hy\xC2\xA0"
               "phen\x01\x7F\xE2\x80\xAE!",
               "soft hy phen!");
    CHECK_TEXT("a.html", "<p>a&nbsp;&nbsp;b&shy;c&#x202E;d&zwj;e",
               "a bcd\xE2\x80\x8D"
               "e");
}

static void test_binary_is_refused(void **state)
{
    (void)state;
    wn_parsed_doc doc;
    wn_error err;
    char zeros[4096] = "text";
    assert_int_equal(parse("a.txt", zeros, sizeof zeros, &doc, &err), WN_FORMAT);
    assert_string_equal(err.text, "binary data, not text");
    assert_int_equal(parse("a.md", zeros, sizeof zeros, &doc, &err), WN_FORMAT);
}

static void test_empty_files(void **state)
{
    (void)state;
    static const char *const names[] = {"a.txt", "a.md", "a.html"};
    for (size_t i = 0; i < 3; i++) {
        wn_parsed_doc doc;
        wn_error err;
        assert_int_equal(parse(names[i], "", 0, &doc, &err), WN_OK);
        assert_int_equal(doc.n_blocks, 0);
        assert_string_equal(doc.text, "");
        wn_parsed_doc_free(&doc);
        assert_int_equal(parse(names[i], " \n\t ", 4, &doc, &err), WN_OK);
        assert_int_equal(doc.n_blocks, 0);
        wn_parsed_doc_free(&doc);
    }
}

/* Repeats `unit` n times around or before "core". */
static wn_strbuf repeat(const char *unit, size_t n, const char *core)
{
    wn_strbuf b = {0};
    for (size_t i = 0; i < n; i++)
        wn_strbuf_adds(&b, unit);
    wn_strbuf_adds(&b, core);
    return b;
}

/* Nesting as deep as a file can make it: text comes out, or the limit is named; never a crash. */
static void test_deep_nesting(void **state)
{
    (void)state;
    static const struct {
        const char *name, *unit;
        size_t n;
    } cases[] = {{"a.html", "<div>", 20000},   {"a.html", "<b>", 20000},
                 {"a.html", "<ul><li>", 5000}, {"a.html", "<table><tr><td>", 3000},
                 {"a.html", "<p>", 100000},    {"a.md", "> ", 5000},
                 {"a.md", "- ", 5000},         {"a.md", "[", 50000},
                 {"a.md", "**a", 50000},       {"a.md", "<div>\n\n", 2000}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wn_parsed_doc doc;
        wn_error err;
        wn_strbuf text = repeat(cases[i].unit, cases[i].n, "core");
        wn_status status = parse(cases[i].name, text.data, text.len, &doc, &err);
        if (status != WN_OK && status != WN_LIMIT)
            fail_msg("%s x %zu: %s", cases[i].unit, cases[i].n, err.text);
        if (status == WN_OK)
            assert_non_null(strstr(doc.text, "core"));
        wn_parsed_doc_free(&doc);
        wn_strbuf_free(&text);
    }
}

static void test_one_line_of_10_megabytes(void **state)
{
    (void)state;
    static const char *const names[] = {"a.txt", "a.md", "a.html"};
    wn_strbuf text = {0};
    while (text.len < (size_t)10 << 20)
        wn_strbuf_adds(&text, "word and another ");
    for (size_t i = 0; i < 3; i++) {
        wn_parsed_doc doc;
        wn_error err;
        wn_passages p = {0};
        wn_chunk_options o = {.overlap_tokens = SIZE_MAX};
        if (parse(names[i], text.data, text.len, &doc, &err) != WN_OK)
            fail_msg("%s: %s", names[i], err.text);
        assert_int_equal(doc.n_blocks, 1);
        assert_int_equal(wn_passages_cut(&p, &doc, &o, &err), WN_OK);
        assert_in_range(p.n, doc.text_len / 4 / 200, doc.text_len / 4 / 170);
        assert_int_equal(p.items[p.n - 1].end, doc.text_len);
        wn_passages_free(&p);
        wn_parsed_doc_free(&doc);
    }
    wn_strbuf_free(&text);
}

static unsigned next_random(unsigned *seed)
{
    *seed = *seed * 1103515245u + 12345u;
    return *seed >> 16;
}

/* Cuts, flips and repeats parts of a file. */
static void mutate(const wn_strbuf *original, wn_strbuf *out, unsigned *seed)
{
    wn_strbuf_clear(out);
    wn_strbuf_add(out, original->data, original->len);
    unsigned kind = next_random(seed) % 4;
    size_t at = (next_random(seed) * 65536u + next_random(seed)) % original->len;
    if (kind == 0)
        wn_strbuf_truncate(out, at);
    for (unsigned n = kind * 10; n > 0; n--) {
        at = (next_random(seed) * 65536u + next_random(seed)) % original->len;
        out->data[at] = (char)next_random(seed);
    }
    if (kind == 3)
        wn_strbuf_add(out, original->data, at);
}

static void check_mutants(const char *path, int n)
{
    WN_NEED_FILE(path);
    unsigned seed = 11;
    int n_parsed = 0, n_refused = 0;
    wn_strbuf original = read_file(path), mutant = {0};
    const wn_doc_format *format = wn_doc_format_find(path, (uint8_t *)original.data, original.len);
    for (int i = 0; i < n; i++) {
        wn_parsed_doc doc;
        wn_error err = {0};
        mutate(&original, &mutant, &seed);
        wn_status status =
            wn_parse_pool_run(pool, format, wn_strbuf_cstr(&mutant), mutant.len, &doc, &err);
        if (status == WN_OK)
            n_parsed++;
        else if (status == WN_FORMAT || status == WN_LIMIT || status == WN_UNSUPPORTED)
            n_refused++;
        else
            fail_msg("%s mutant %d: %s: %s", path, i, wn_status_name(status), err.text);
        if (strstr(err.text, "crashed") || strstr(err.text, "stopped"))
            printf("%s mutant %d: %s (contained)\n", path, i, err.text);
        wn_parsed_doc_free(&doc);
    }
    printf("%s: %d mutants, %d parsed, %d refused\n", strrchr(path, '/') + 1, n, n_parsed,
           n_refused);
    assert_int_equal(n_parsed + n_refused, n);
    wn_strbuf_free(&original);
    wn_strbuf_free(&mutant);
}

static void test_mutated_pdfs(void **state)
{
    (void)state;
    WN_NEED_FILE(pdfium_path());
    check_mutants(DOCS "sample-files/mistitled_outlines_example.pdf", 60);
    check_mutants(DOCS "sample-files/google-doc-document.pdf", 60);
    check_mutants(DOCS "tika/testPDFVarious.pdf", 40);
    check_mutants(DOCS "pdf.js/rotation.pdf", 60);
}

static void test_mutated_html_and_markdown(void **state)
{
    (void)state;
    check_mutants(DOCS "alice-s-adventures-in-wo/11-h.htm", 60);
    check_mutants(DOCS "book/ch08-02-strings.md", 60);
}

static int open_pool(void **state)
{
    (void)state;
    pool = open_real_pool(10);
    return 0;
}

static int close_pool(void **state)
{
    (void)state;
    wn_parse_pool_close(pool);
    return 0;
}

int main(int argc, char **argv)
{
    if (wn_parse_worker_requested(argc, argv))
        return wn_parse_worker_main(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encodings),
        cmocka_unit_test(test_detected_encodings),
        cmocka_unit_test(test_invisible_characters),
        cmocka_unit_test(test_binary_is_refused),
        cmocka_unit_test(test_empty_files),
        cmocka_unit_test(test_deep_nesting),
        cmocka_unit_test(test_one_line_of_10_megabytes),
        cmocka_unit_test(test_mutated_pdfs),
        cmocka_unit_test(test_mutated_html_and_markdown),
    };
    return cmocka_run_group_tests(tests, open_pool, close_pool);
}
