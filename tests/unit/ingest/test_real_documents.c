/* Real documents, parsed by the sandboxed worker, against independent parsers
 * (tests/golden/ingest): Markdown and HTML block by block (kind, text, path of headings), PDF by
 * the words of each page. */
#include "tests/unit/ingest/ingest_test_support.h"

#include "base/unicode.h"
#include "base/utf8.h"

/* Text with blanks collapsed. */
static void collapse(const char *s, size_t len, wn_strbuf *out)
{
    bool blank = false;
    wn_strbuf_clear(out);
    for (size_t i = 0; i < len;) {
        uint32_t cp = 0;
        size_t n = wn_utf8_decode(s + i, len - i, &cp);
        if (wn_unicode_is_space(cp)) {
            blank = out->len > 0;
        } else {
            if (blank)
                wn_strbuf_addc(out, ' ');
            blank = false;
            wn_strbuf_add(out, s + i, n);
        }
        i += n;
    }
}

/* The path that the headings of the golden file give. */
typedef struct heading_stack {
    char text[6][256];
} heading_stack;

static void path_above(const heading_stack *h, int level, char *out, size_t cap)
{
    size_t n = 0;
    out[0] = '\0';
    for (int i = 0; i < level - 1 && i < 6; i++)
        if (h->text[i][0])
            n += (size_t)snprintf(out + n, cap - n, "%s%s", n ? " > " : "", h->text[i]);
}

static void check_block(const wn_parsed_doc *d, size_t i, const char *line, heading_stack *h)
{
    static const char kinds[] = "PHLTC";
    char path[2048];
    wn_strbuf text = {0};
    const char *tab = strchr(line, '\t');
    const wn_block *b = &d->blocks[i];
    assert_non_null(tab);
    collapse(d->text + b->start, b->end - b->start, &text);
    if (kinds[b->kind] != line[0] || strcmp(text.data, tab + 1) != 0)
        fail_msg("block %zu\n  is      %c %s\n  must be %s", i, kinds[b->kind], text.data, line);
    int level = line[0] == 'H' ? line[1] - '0' : 7;
    path_above(h, level, path, sizeof path);
    assert_string_equal(b->headings, path);
    for (int k = level - 1; k < 6; k++)
        h->text[k][0] = '\0';
    if (level < 7)
        snprintf(h->text[level - 1], sizeof h->text[0], "%s", tab + 1);
    wn_strbuf_free(&text);
}

static void check_blocks(const char *document, const char *golden)
{
    WN_NEED_FILE(document);
    wn_strbuf bytes = read_file(document), expected = read_file(golden);
    wn_parse_pool *pool = open_real_pool(10);
    wn_parsed_doc d;
    heading_stack h = {0};
    size_t i = 0;
    wn_error failure;
    if (parse_bytes(pool, document, bytes.data, bytes.len, &d, &failure) != WN_OK)
        fail_msg("%s", failure.text);
    for (char *line = strtok(expected.data, "\n"); line; line = strtok(NULL, "\n")) {
        assert_true(i < d.n_blocks);
        check_block(&d, i++, line, &h);
    }
    assert_int_equal(i, d.n_blocks);
    wn_parsed_doc_free(&d);
    wn_parse_pool_close(pool);
    wn_strbuf_free(&bytes);
    wn_strbuf_free(&expected);
}

static void test_markdown_book(void **state)
{
    (void)state;
    check_blocks(DOCS "book/ch04-01-what-is-ownership.md",
                 GOLDEN "markdown_ch04-01-what-is-ownership.txt");
    check_blocks(DOCS "book/ch08-02-strings.md", GOLDEN "markdown_ch08-02-strings.txt");
    check_blocks(DOCS "book/ch08-03-hash-maps.md", GOLDEN "markdown_ch08-03-hash-maps.txt");
}

static void test_html_book(void **state)
{
    (void)state;
    check_blocks(DOCS "alice-s-adventures-in-wo/11-h.htm", GOLDEN "html_11-h.txt");
    check_blocks(DOCS "tika/testHTML_utf8.html", GOLDEN "html_testHTML_utf8.txt");
}

/* The words (two letters and more, lower case) of a page, as " word word ". */
static void words_of_page(const wn_parsed_doc *d, int page, wn_strbuf *out)
{
    wn_strbuf word = {0};
    size_t letters = 0;
    wn_strbuf_clear(out);
    wn_strbuf_addc(out, ' ');
    for (size_t i = 0; i < d->n_blocks; i++) {
        const wn_block *b = &d->blocks[i];
        for (size_t at = b->start; b->page == page && at <= b->end;) {
            uint32_t cp = ' ', lower[3];
            char utf8[4];
            at += at < b->end ? wn_utf8_decode(d->text + at, b->end - at, &cp) : 1;
            if (wn_unicode_is_letter(cp)) {
                int n = wn_unicode_lower(cp, lower);
                for (int k = 0; k < n; k++)
                    wn_strbuf_add(&word, utf8, wn_utf8_encode(lower[k], utf8));
                letters++;
                continue;
            }
            if (letters >= 2)
                wn_strbuf_printf(out, "%s ", word.data);
            letters = 0;
            wn_strbuf_clear(&word);
        }
    }
    wn_strbuf_free(&word);
}

/* How many of the words in `words` (blank-separated) are in `in` (" word word "). */
static void count_found(const char *words, const char *in, size_t *found, size_t *n)
{
    char key[512];
    while (*words) {
        size_t len = strcspn(words, " ");
        if (len > 0 && len < 500) {
            snprintf(key, sizeof key, " %.*s ", (int)len, words);
            *found += strstr(in, key) != NULL;
            ++*n;
        }
        words += len + (words[len] == ' ');
    }
}

/* Files in which the two libraries disagree, with the reason, and the share of words in common. */
static const struct {
    const char *file, *why;
    double found, extra; /* least share of theirs in ours, and of ours in theirs */
} differences[] = {
    {"pdf.js/basicapi.pdf", "the running foot \"page 1 / 3\" is dropped", 0.5, 1},
    {"sample-files/habibi-rotated.pdf", "vowel signs and turned glyphs", 0.5, 0.2},
    {"sample-files/GeoTopo-komprimiert.pdf", "letters of formulas stand in another order", 0.87,
     0.87},
    {"tika/testPDFVarious.pdf", "Japanese and Gothic script", 0.9, 0.85},
};

static void check_page(const wn_parsed_doc *d, const char *file, int page, const char *expected)
{
    double found_share = 1, extra_share = 1;
    for (size_t i = 0; i < sizeof differences / sizeof *differences; i++) {
        if (strcmp(file, differences[i].file) != 0)
            continue;
        found_share = differences[i].found;
        extra_share = differences[i].extra;
    }
    wn_strbuf ours = {0}, theirs = {0};
    size_t found = 0, n_theirs = 0, common = 0, n_ours = 0;
    words_of_page(d, page, &ours);
    wn_strbuf_printf(&theirs, " %s ", expected);
    count_found(expected, ours.data, &found, &n_theirs);
    count_found(ours.data, theirs.data, &common, &n_ours);
    if ((double)found < found_share * (double)n_theirs ||
        (double)common < extra_share * (double)n_ours)
        fail_msg(
            "%s page %d: %zu of %zu words found, %zu of our %zu are theirs\n ours%s\n theirs%s",
            file, page, found, n_theirs, common, n_ours, ours.data, theirs.data);
    wn_strbuf_free(&ours);
    wn_strbuf_free(&theirs);
}

static void test_pdf_words(void **state)
{
    (void)state;
    WN_NEED_FILE(pdfium_path());
    WN_NEED_FILE(DOCS "SOURCE.txt");
    wn_strbuf expected = read_file(GOLDEN "pdf_words.tsv");
    wn_parse_pool *pool = open_real_pool(20);
    wn_parsed_doc d = {0};
    char open_file[256] = "", path[1024];
    char *rest = expected.data;
    for (char *line = strsep(&rest, "\n"); line && *line; line = strsep(&rest, "\n")) {
        char *file = strsep(&line, "\t"), *page = strsep(&line, "\t");
        if (strcmp(file, open_file) != 0) {
            snprintf(open_file, sizeof open_file, "%s", file);
            snprintf(path, sizeof path, DOCS "%s", file);
            wn_parsed_doc_free(&d);
            wn_strbuf bytes = read_file(path);
            wn_error failure;
            if (parse_bytes(pool, path, bytes.data, bytes.len, &d, &failure) != WN_OK)
                fail_msg("%s", failure.text);
            wn_strbuf_free(&bytes);
        }
        check_page(&d, file, atoi(page), line);
    }
    wn_parsed_doc_free(&d);
    wn_parse_pool_close(pool);
    wn_strbuf_free(&expected);
}

typedef struct pdf_fact {
    const char *file, *title;
    int n_pages;
    wn_block_kind kind; /* of a block with this text on this page */
    int page;
    const char *headings, *text;
} pdf_fact;

/* Read by eye in a viewer. */
static const pdf_fact pdf_facts[] = {
    {"sample-files/GeoTopo-komprimiert.pdf", "Geometrie und Topologie", 117, WN_BLOCK_HEADING, 13,
     "1 Topologische Grundbegriffe", "1.3 Stetigkeit"},
    {"sample-files/GeoTopo-komprimiert.pdf", NULL, 117, WN_BLOCK_HEADING, 78,
     "4 Euklidische und nichteuklidische Geometrie > 4.2 Weitere Eigenschaften einer euklidischen "
     "Ebene",
     "4.2.1 Fl\xC3\xA4"
     "cheninhalt"},
    {"pdf.js/basicapi.pdf", "Basic API Test", 3, WN_BLOCK_HEADING, 3, "Chapter 1", "Paragraph 1.1"},
    {"pdf.js/rotation.pdf", "", 2, WN_BLOCK_PARAGRAPH, 2, "",
     "This is my second page. It will have a landscape layout. Second line here."},
    {"tika/testPDFTwoTextBoxes.pdf", "", 1, WN_BLOCK_PARAGRAPH, 1, "",
     "Left column line 1 Left column line 2"},
    {"tika/testPDFVarious.pdf", "", 2, WN_BLOCK_LIST_ITEM, 1, "", "2) Number bullet 2"},
    {"sample-files/google-doc-document.pdf", "PDF Example Document", 1, WN_BLOCK_PARAGRAPH, 1, "",
     "Errors should never pass silently."},
    /* The bookmarks' titles are "First" and so on: none is a line of its page, none is used. */
    {"sample-files/mistitled_outlines_example.pdf", "", 4, WN_BLOCK_PARAGRAPH, 2, "", "1 Foo"},
};

static void check_fact(wn_parse_pool *pool, const pdf_fact *f)
{
    char path[1024];
    wn_parsed_doc d;
    bool found = false;
    snprintf(path, sizeof path, DOCS "%s", f->file);
    wn_strbuf bytes = read_file(path);
    wn_error failure;
    if (parse_bytes(pool, path, bytes.data, bytes.len, &d, &failure) != WN_OK)
        fail_msg("%s", failure.text);
    assert_int_equal(d.n_pages, f->n_pages);
    if (f->title)
        assert_string_equal(d.title, f->title);
    for (size_t i = 0; i < d.n_blocks && !found; i++) {
        const wn_block *b = &d.blocks[i];
        found = b->kind == f->kind && b->page == f->page && strcmp(b->headings, f->headings) == 0 &&
                b->end - b->start == strlen(f->text) &&
                memcmp(d.text + b->start, f->text, b->end - b->start) == 0;
    }
    if (!found)
        fail_msg("%s: no such block: %s", f->file, f->text);
    wn_parsed_doc_free(&d);
    wn_strbuf_free(&bytes);
}

static void test_pdf_structure(void **state)
{
    (void)state;
    WN_NEED_FILE(pdfium_path());
    WN_NEED_FILE(DOCS "SOURCE.txt");
    wn_parse_pool *pool = open_real_pool(20);
    for (size_t i = 0; i < sizeof pdf_facts / sizeof *pdf_facts; i++)
        check_fact(pool, &pdf_facts[i]);
    wn_parse_pool_close(pool);
}

/* No page number stands between the halves of a sentence, which go on over the page's end. */
static void test_pdf_running_text(void **state)
{
    (void)state;
    const char *path = DOCS "sample-files/pdflatex-4-pages.pdf";
    WN_NEED_FILE(pdfium_path());
    WN_NEED_FILE(path);
    wn_parse_pool *pool = open_real_pool(20);
    wn_strbuf bytes = read_file(path);
    wn_parsed_doc d;
    wn_error failure;
    if (parse_bytes(pool, path, bytes.data, bytes.len, &d, &failure) != WN_OK)
        fail_msg("%s", failure.text);
    assert_int_equal(d.n_blocks, 4); /* one paragraph a page */
    assert_non_null(strstr(d.text, "you will get no\ninformation. Really?"));
    for (const char *c = d.text; *c; c++)
        assert_false(*c >= '0' && *c <= '9');
    wn_parsed_doc_free(&d);
    wn_strbuf_free(&bytes);
    wn_parse_pool_close(pool);
}

static void test_pdf_refusals(void **state)
{
    (void)state;
    const char *path = DOCS "sample-files/libreoffice-writer-password.pdf";
    WN_NEED_FILE(pdfium_path());
    WN_NEED_FILE(path);
    wn_parse_pool *pool = open_real_pool(20);
    wn_strbuf bytes = read_file(path);
    wn_parsed_doc d;
    wn_error err;
    assert_int_equal(parse_bytes(pool, path, bytes.data, bytes.len, &d, &err), WN_UNSUPPORTED);
    assert_string_equal(err.text, "the PDF is encrypted and needs a password; save it without one");
    wn_strbuf_free(&bytes);
    static const char blank[] =
        "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
        "2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
        "3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>endobj\ntrailer<</Root 1 0 R>>\n";
    assert_int_equal(parse_bytes(pool, "b.pdf", blank, sizeof blank - 1, &d, &err), WN_UNSUPPORTED);
    assert_string_equal(err.text, "no text layer (scanned?): 1 page without text; run OCR first");
    assert_int_equal(parse_bytes(pool, "t.pdf", "%PDF-1.4 no more", 16, &d, &err), WN_FORMAT);
    assert_string_equal(err.text, "not a PDF, or too damaged to read");
    assert_int_equal(parse_bytes(pool, "t.pdf", "text", 4, &d, &err), WN_FORMAT);
    wn_parse_pool_close(pool);
    wn_parse_options none = {0};
    assert_int_equal(wn_parse_pool_open(&pool, &none, &err), WN_OK);
    assert_int_equal(parse_bytes(pool, "b.pdf", blank, sizeof blank - 1, &d, &err), WN_UNSUPPORTED);
    assert_non_null(strstr(err.text, "libpdfium.so"));
    wn_parse_pool_close(pool);
    none.pdfium_path = "/nowhere/libpdfium.so";
    assert_int_equal(wn_parse_pool_open(&pool, &none, &err), WN_OK);
    assert_int_equal(parse_bytes(pool, "b.pdf", blank, sizeof blank - 1, &d, &err), WN_FORMAT);
    assert_non_null(strstr(err.text, "/nowhere/libpdfium.so"));
    wn_parse_pool_close(pool);
}

int main(int argc, char **argv)
{
    if (wn_parse_worker_requested(argc, argv))
        return wn_parse_worker_main(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_markdown_book),    cmocka_unit_test(test_html_book),
        cmocka_unit_test(test_pdf_words),        cmocka_unit_test(test_pdf_structure),
        cmocka_unit_test(test_pdf_running_text), cmocka_unit_test(test_pdf_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
