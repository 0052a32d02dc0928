/* Passages: sizes, borders, overlap, and that no text is lost, also on text of any shape. */
#include "tests/test_support.h"

#include "base/checked.h"
#include "base/strbuf.h"
#include "base/unicode.h"
#include "base/utf8.h"
#include "ingest/chunker.h"

/* One token a word, so that expectations can be counted by hand. */
static size_t count_words(void *ctx, const char *text, size_t len)
{
    size_t n = 0;
    (void)ctx;
    for (size_t i = 0; i < len; i++)
        n += text[i] > ' ' && (i == 0 || text[i - 1] <= ' ');
    return n;
}

static wn_parsed_doc parse(const char *format, const char *text, size_t len)
{
    wn_parsed_doc doc;
    wn_doc_source source = {.data = (const uint8_t *)text, .len = len};
    WN_ASSERT_OK(wn_doc_parse(wn_doc_format_by_name(format), &source, &doc, err));
    return doc;
}

/* Every byte of text that is no blank is in a passage; passages are in order, valid and small
 * enough. */
static void check_rules(const wn_parsed_doc *d, const wn_passages *p, size_t max_tokens)
{
    size_t covered = 0;
    for (size_t i = 0; i < p->n; i++) {
        const wn_passage *a = &p->items[i];
        assert_true(a->start < a->end && a->end <= d->text_len);
        assert_true(i == 0 || (a->start > a[-1].start && a->end > a[-1].end));
        assert_true(wn_utf8_valid(d->text + a->start, a->end - a->start));
        assert_true(a->page_start <= a->page_end);
        assert_true(count_words(NULL, d->text + a->start, a->end - a->start) <= max_tokens);
        for (size_t at = covered; at < a->start;) {
            uint32_t cp = 0;
            at += wn_utf8_decode(d->text + at, a->start - at, &cp);
            assert_true(wn_unicode_is_space(cp));
        }
        covered = a->end;
    }
    for (size_t at = covered; at < d->text_len;) {
        uint32_t cp = 0;
        at += wn_utf8_decode(d->text + at, d->text_len - at, &cp);
        assert_true(wn_unicode_is_space(cp));
    }
}

static wn_passages cut(const wn_parsed_doc *d, size_t max_tokens, size_t overlap)
{
    wn_passages p = {0};
    wn_chunk_options o = {
        .count_tokens = count_words, .passage_tokens = max_tokens, .overlap_tokens = overlap};
    WN_ASSERT_OK(wn_passages_cut(&p, d, &o, err));
    check_rules(d, &p, max_tokens);
    return p;
}

static void check_passage(const wn_parsed_doc *d, const wn_passages *p, size_t i,
                          const char *expected)
{
    char got[2048];
    assert_true(i < p->n);
    snprintf(got, sizeof got, "%.*s", (int)(p->items[i].end - p->items[i].start),
             d->text + p->items[i].start);
    assert_string_equal(got, expected);
}

static void done(wn_parsed_doc *d, wn_passages *p)
{
    wn_passages_free(p);
    wn_parsed_doc_free(d);
}

static void test_sentences_and_overlap(void **state)
{
    (void)state;
    static const char text[] = "One two three four. Five six seven. Eight nine ten eleven. Twelve.";
    wn_parsed_doc d = parse("plain text", text, sizeof text - 1);
    wn_passages p = cut(&d, 8, 4);
    assert_int_equal(p.n, 2);
    check_passage(&d, &p, 0, "One two three four. Five six seven.");
    check_passage(&d, &p, 1, "Five six seven. Eight nine ten eleven. Twelve.");
    done(&d, &p);
    d = parse("plain text", text, sizeof text - 1);
    p = cut(&d, 8, 0);
    check_passage(&d, &p, 1, "Eight nine ten eleven. Twelve.");
    done(&d, &p);
}

static void test_small_document_is_one_passage(void **state)
{
    (void)state;
    wn_parsed_doc d = parse("Markdown", "# Title\n\nA word.\n\n## Part\n\nMore.", 32);
    wn_passages p = cut(&d, 200, 30);
    assert_int_equal(p.n, 1);
    check_passage(&d, &p, 0, "Title\n\nA word.\n\nPart\n\nMore.");
    assert_string_equal(p.items[0].headings, "Title");
    done(&d, &p);
}

static void test_headings_bind(void **state)
{
    (void)state;
    static const char text[] = "# Book\n\n"
                               "## Cats\n\nCats purr at night. They sleep all day long.\n\n"
                               "## Dogs\n\nDogs bark at cats. They run all day long.\n";
    wn_parsed_doc d = parse("Markdown", text, sizeof text - 1);
    wn_passages p = cut(&d, 40, 10);
    assert_int_equal(p.n, 2); /* both would fit into one, but a section begins */
    check_passage(&d, &p, 0, "Book\n\nCats\n\nCats purr at night. They sleep all day long.");
    check_passage(&d, &p, 1, "Dogs\n\nDogs bark at cats. They run all day long.");
    assert_string_equal(p.items[0].headings, "Book > Cats");
    assert_string_equal(p.items[1].headings, "Book > Dogs");
    done(&d, &p);
    /* A heading is never the last of a passage when text follows it. */
    static const char late[] = "One two three four five six seven.\n\n# Late\n\nEight nine ten.";
    d = parse("Markdown", late, sizeof late - 1);
    p = cut(&d, 8, 0);
    assert_int_equal(p.n, 2);
    check_passage(&d, &p, 1, "Late\n\nEight nine ten.");
    done(&d, &p);
}

static void test_tables_and_code_stay_whole(void **state)
{
    (void)state;
    static const char text[] = "Before it stands this line.\n\n"
                               "| a | b |\n|---|---|\n| 1 | 2 |\n\n"
                               "After.\n\n```\nlet x = 1;\n\n    indented();\n```\n";
    wn_parsed_doc d = parse("Markdown", text, sizeof text - 1);
    wn_passages p = cut(&d, 8, 0);
    assert_int_equal(p.n, 3);
    check_passage(&d, &p, 0, "Before it stands this line.");
    check_passage(&d, &p, 1, "a | b\n1 | 2\n\nAfter.");
    check_passage(&d, &p, 2, "let x = 1;\n\n    indented();");
    done(&d, &p);
}

static void test_long_table_is_cut_at_rows(void **state)
{
    (void)state;
    static const char text[] = "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n| 5 | 6 |\n";
    wn_parsed_doc d = parse("Markdown", text, sizeof text - 1);
    wn_passages p = cut(&d, 8, 4);
    assert_int_equal(p.n, 2);
    check_passage(&d, &p, 0, "a | b\n1 | 2");
    check_passage(&d, &p, 1, "3 | 4\n5 | 6");
    done(&d, &p);
}

static void test_long_sentence_is_cut_between_words(void **state)
{
    (void)state;
    wn_strbuf text = {0};
    for (int i = 0; i < 5000; i++)
        wn_strbuf_printf(&text, "word%d ", i);
    wn_parsed_doc d = parse("plain text", text.data, text.len);
    wn_passages p = cut(&d, 50, 10);
    assert_in_range(p.n, 100, 140); /* not much smaller than they may be */
    for (size_t i = 0; i < p.n; i++)
        assert_memory_equal(d.text + p.items[i].start, "word", 4);
    done(&d, &p);
    wn_strbuf_free(&text);
}

/* No blank and no full stop for a long way: bytes as tokens. */
static size_t count_quarter(void *ctx, const char *text, size_t len)
{
    (void)ctx;
    (void)text;
    return (len + 3) / 4;
}

static void test_text_without_blanks(void **state)
{
    (void)state;
    wn_strbuf text = {0};
    for (int i = 0; i < 200000; i++)
        wn_strbuf_adds(&text, "\xE6\xBC\xA2");
    wn_parsed_doc d = parse("plain text", text.data, text.len);
    wn_passages p = {0};
    wn_chunk_options o = {.count_tokens = count_quarter, .overlap_tokens = SIZE_MAX};
    WN_ASSERT_OK(wn_passages_cut(&p, &d, &o, err));
    for (size_t i = 0; i < p.n; i++) {
        assert_true(wn_utf8_valid(d.text + p.items[i].start, p.items[i].end - p.items[i].start));
        assert_true(p.items[i].start == (i ? p.items[i - 1].end : 0));
    }
    assert_int_equal(p.items[p.n - 1].end, d.text_len);
    assert_in_range(p.n, 750, 850);
    done(&d, &p);
    wn_strbuf_free(&text);
}

/* Random Markdown of every construct, cut in every size: the rules hold. */
static void test_random_documents(void **state)
{
    (void)state;
    static const char *const parts[] = {"# Top\n\n",
                                        "## Part two\n\n",
                                        "### Deeper\n\n",
                                        "A sentence of six words here. ",
                                        "Short. ",
                                        "\n\n",
                                        "- item one\n",
                                        "- item two is longer\n",
                                        "| a | b |\n|-|-|\n| c | d |\n\n",
                                        "```\ncode line\nmore\n```\n\n",
                                        "word ",
                                        "e.g. this ",
                                        "\xE4\xBB\x8A\xE6\x97\xA5\xE3\x80\x82",
                                        "1. one\n"};
    unsigned seed = 3;
    for (int round = 0; round < 300; round++) {
        wn_strbuf text = {0};
        for (int i = 0; i < 60; i++) {
            seed = seed * 1103515245u + 12345u;
            wn_strbuf_adds(&text, parts[(seed >> 16) % (sizeof parts / sizeof *parts)]);
        }
        wn_parsed_doc d = parse("Markdown", text.data, text.len);
        wn_passages p = cut(&d, 8 + (size_t)round % 40, (size_t)round % 9);
        done(&d, &p);
        wn_strbuf_free(&text);
    }
}

/* Whichever allocation of ours fails: no crash, no leak, and the reason is named. (cmark-gfm and
 * uchardet allocate for themselves.) */
static void check_failing_allocations(const char *format, const char *text, bool sticky)
{
    bool done_once = false;
    wn_parsed_doc whole = parse(format, text, strlen(text));
    for (size_t n = 1; n < 2000 && !done_once; n++) {
        wn_parsed_doc d = {0};
        wn_passages p = {0};
        wn_error failure = {0};
        wn_doc_source source = {.data = (const uint8_t *)text, .len = strlen(text)};
        wn_chunk_options o = {.passage_tokens = 8};
        size_t before = wn_alloc_count();
        wn_alloc_fail_after(n, sticky);
        wn_status status = wn_doc_parse(wn_doc_format_by_name(format), &source, &d, &failure);
        if (status == WN_OK)
            status = wn_passages_cut(&p, &d, &o, &failure);
        done_once = wn_alloc_count() - before < n;
        wn_alloc_fail_after(0, false);
        if (done_once)
            assert_int_equal(status, WN_OK);
        else if (status != WN_OK)
            assert_true(status == WN_NO_MEMORY || status == WN_LIMIT);
        if (status == WN_OK) { /* nothing is left out silently */
            assert_string_equal(d.text, whole.text);
            assert_string_equal(d.title, whole.title);
        }
        done(&d, &p);
    }
    assert_true(done_once);
    wn_parsed_doc_free(&whole);
}

static void test_failing_allocations(void **state)
{
    (void)state;
    static const char md[] =
        "---\ntitle: t\n---\n# A\n\nText here. More of it.\n\n- a\n- b\n\n<p>h</p>\n";
    static const char html[] = "<title>t</title><h1>A</h1><p>Text here.<table><tr><td>a<td>b<tr>"
                               "<td>c<td>d</table><ul><li>x</ul><pre>y</pre>";
    for (int sticky = 0; sticky < 2; sticky++) {
        check_failing_allocations("plain text", "One two.\n\nThree \xFF four.", sticky);
        check_failing_allocations("Markdown", md, sticky);
        check_failing_allocations("HTML", html, sticky);
    }
}

static void test_options_are_checked(void **state)
{
    (void)state;
    wn_parsed_doc d = parse("plain text", "x", 1);
    wn_passages p;
    wn_error failure = {0};
    wn_chunk_options o = {.passage_tokens = 7};
    assert_int_equal(wn_passages_cut(&p, &d, &o, &failure), WN_INVALID);
    assert_string_equal(failure.text, "passage_tokens is 7; it must be 8 to 8192");
    o.passage_tokens = 8;
    o.overlap_tokens = 100000; /* at most half of it is used */
    WN_ASSERT_OK(wn_passages_cut(&p, &d, &o, err));
    assert_int_equal(p.n, 1);
    done(&d, &p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sentences_and_overlap),
        cmocka_unit_test(test_small_document_is_one_passage),
        cmocka_unit_test(test_headings_bind),
        cmocka_unit_test(test_tables_and_code_stay_whole),
        cmocka_unit_test(test_long_table_is_cut_at_rows),
        cmocka_unit_test(test_long_sentence_is_cut_between_words),
        cmocka_unit_test(test_text_without_blanks),
        cmocka_unit_test(test_random_documents),
        cmocka_unit_test(test_failing_allocations),
        cmocka_unit_test(test_options_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
