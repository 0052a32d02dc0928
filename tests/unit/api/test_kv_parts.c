/* The pure parts of `winnow eval kv`: plans of copying, places, agreement, windows of as many
 * pages, needles, prompts in common, coordinates of the plot. */
#include "tests/test_support.h"

#include <math.h>

#include "api/kv_copying.h"
#include "api/kv_needle.h"
#include "api/kv_plot.h"
#include "api/svg_plot.h"
#include "base/fs.h"
#include "generate/repeat_text.h"

static void test_copy_plan(void **state)
{
    (void)state;
    static const struct {
        size_t n, n_max, given, repeated;
    } rows[] = {{512, 8192, 512, 512},       {2048, 8192, 2048, 2048},
                {4096, 8192, 4096, 2048},    {8192, 8192, 8192 - 1024 - 96, 1024},
                {16384, 32768, 16384, 2048}, {6100, 8192, 6100, 1024},
                {1000, 2096, 1000, 1000},    {100, 100, 0, 12}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t given = 0, repeated = 0;
        wn_kv_copy_plan(rows[i].n, rows[i].n_max, &given, &repeated);
        assert_true(given == rows[i].given && repeated == rows[i].repeated);
        assert_true(given == 0 || given + repeated + WN_REPEAT_TEXT_EXTRA <= rows[i].n_max);
    }
}

static void test_places(void **state)
{
    (void)state;
    const wn_kv_lengths l = {.n = 3, .at = {2, 100, 500}};
    wn_kv_place p[3 * 4];
    assert_int_equal(wn_kv_places(&l, 499, 4, p), 6); /* two tokens have two places */
    assert_true(p[0].at == 1 && p[1].at == 2 && p[1].line == 0 && p[2].at == 26 && p[2].line == 1 &&
                p[5].at == 100);
    assert_int_equal(wn_kv_places(&l, 500, 1, p), 3);
    assert_true(p[2].at == 500 && p[2].line == 2);
    assert_int_equal(wn_kv_places(&l, 1, 4, p), 0);
}

static void test_agreement(void **state)
{
    (void)state;
    static const int32_t a[] = {1, 2, 3, 4}, b[] = {1, 2, 9, 4}, c[] = {7, 7, 3, 7};
    wn_kv_agreement s = {0};
    wn_kv_agreement_add(&s, a, a, 4);
    wn_kv_agreement_add(&s, a, b, 4);
    wn_kv_agreement_add(&s, a, c, 4);
    assert_true(s.n_places == 3 && s.n_tokens == 12 && s.n_same == 1 && s.n_before == 4 + 2 + 0 &&
                s.n_equal == 4 + 3 + 1);
}

/* Window only has as many pages as a window of heads and their pages beyond it. */
static void test_window_of_as_many_pages(void **state)
{
    (void)state;
    static const size_t lengths[] = {1024, 1000, 2048, 4090};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        for (size_t window = 100; window < 400; window += 37)
            for (double log_pages = 1; log_pages < 6; log_pages += 0.5) {
                const size_t n = lengths[i], w = wn_kv_baseline_window(n, window, log_pages);
                const size_t all = (n + 63) / 64;
                const double pages = (double)(all - (n - window) / 64) + ceil(log_pages);
                const double got = (double)(all - (n - w) / 64) + 1; /* the first tokens' page */
                assert_true(w < n && got == pages);
                assert_true((double)(all - (n - w - 1) / 64) + 1 > pages); /* not one token more */
            }
    assert_int_equal(wn_kv_baseline_window(300, 256, 9), 299);
}

static void test_needles(void **state)
{
    (void)state;
    wn_needle a[WN_NEEDLE_NAMES], b[WN_NEEDLE_NAMES];
    wn_needles_draw(7, a, WN_NEEDLE_NAMES);
    wn_needles_draw(7, b, WN_NEEDLE_NAMES);
    assert_memory_equal(a, b, sizeof a);
    wn_needles_draw(8, b, WN_NEEDLE_NAMES);
    assert_true(memcmp(a, b, sizeof a) != 0);
    for (size_t i = 0; i < WN_NEEDLE_NAMES; i++)
        for (size_t k = 0; k <= i; k++)
            assert_true(
                a[i].number >= 1000 && a[i].number <= 9999 &&
                (k == i || (strcmp(a[i].name, a[k].name) != 0 && a[i].number != a[k].number)));
    const wn_needle n = {"X", 4821};
    static const char *const found[] = {"4821", "It is 4821.", "4,821", "1 4821", "a4821b 99"};
    static const char *const missed[] = {"", "482", "48210", "14821", "4 821", "1,4821", "04821"};
    for (size_t i = 0; i < sizeof found / sizeof *found; i++)
        assert_true(wn_needle_found(&n, found[i]));
    for (size_t i = 0; i < sizeof missed / sizeof *missed; i++)
        assert_false(wn_needle_found(&n, missed[i]));
}

static void test_needle_places(void **state)
{
    (void)state;
    static const char text[] = "One two. Three four! Five";
    assert_int_equal(wn_needle_place(text, 25, 0), 8);
    assert_int_equal(wn_needle_place(text, 25, 8), 8);
    assert_int_equal(wn_needle_place(text, 25, 9), 20);
    assert_int_equal(wn_needle_place(text, 25, 22), 22); /* no sentence ends, no blank */
    assert_int_equal(wn_needle_place(text, 25, 25), 25);
    assert_int_equal(wn_needle_place("ab cd", 5, 1), 2);            /* before a word */
    assert_int_equal(wn_needle_place("a\n\nb", 4, 1), 3);           /* behind a paragraph */
    assert_int_equal(wn_needle_place("\xC3\xA4\xC3\xB6", 4, 1), 0); /* not within a character */
    assert_int_equal(wn_needle_place("", 0, 0), 0);
}

static void test_common_prefix(void **state)
{
    (void)state;
    int32_t a[] = {1, 2, 3, 4}, b[] = {1, 2, 3}, c[] = {1, 2, 9};
    const wn_kv_prompt p[] = {{a, 4}, {b, 3}, {c, 3}};
    assert_int_equal(wn_kv_common_prefix(p, 0), 0);
    assert_int_equal(wn_kv_common_prefix(p, 1), 4);
    assert_int_equal(wn_kv_common_prefix(p, 2), 3);
    assert_int_equal(wn_kv_common_prefix(p, 3), 2);
}

static void test_plot_coordinates(void **state)
{
    (void)state;
    static const wn_plot_point points[] = {{2, 0.02}, {11, 0.5}, {5, 0}, {NAN, 1}, {4, -1}};
    const wn_plot_series s = {.label = "a<b&c", .points = points, .n = 5, .line = true};
    const wn_plot p = {.title = "t", .x_label = "x", .y_label = "y", .series = &s, .n_series = 1};
    const wn_plot_frame f = wn_plot_frame_of(&p);
    assert_true(f.x_max == 11 && f.x_step == 1 && f.decade_min == -2 && f.decade_max == 0);
    const double left = wn_plot_x(&f, 1), right = wn_plot_x(&f, 11);
    assert_true(fabs(wn_plot_x(&f, 6) - (left + right) / 2) < 1e-9 && right > left + 300);
    assert_true(fabs(wn_plot_y(&f, 0.1) - (wn_plot_y(&f, 0.01) + wn_plot_y(&f, 1)) / 2) < 1e-9 &&
                wn_plot_y(&f, 1) < wn_plot_y(&f, 0.01));
    wn_strbuf out = {0};
    wn_svg_plot(&p, &out);
    const char *svg = wn_strbuf_cstr(&out);
    char line[64];
    snprintf(line, sizeof line, "<polyline points=\"%.1f,%.1f %.1f,%.1f\"", wn_plot_x(&f, 2),
             wn_plot_y(&f, 0.02), wn_plot_x(&f, 11), wn_plot_y(&f, 0.5));
    assert_true(strstr(svg, line) && strstr(svg, ">a&lt;b&amp;c<") && !strstr(svg, "nan") &&
                !strstr(svg, "script") && !strncmp(svg, "<svg ", 5) &&
                !strcmp(svg + out.len - 7, "</svg>\n"));
    wn_strbuf_free(&out);
    /* Nothing at all to draw has axes too. */
    const wn_plot empty = {.title = "", .x_label = "", .y_label = ""};
    wn_svg_plot(&empty, &out);
    assert_true(!strstr(wn_strbuf_cstr(&out), "nan") && !strstr(wn_strbuf_cstr(&out), "inf"));
    wn_strbuf_free(&out);
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, what)); at++)
        n++;
    return n;
}

static void test_plot_of_a_table(void **state)
{
    (void)state;
    static wn_kv_case cases[4];
    const wn_kv_lengths l = {.n = 2, .at = {512, 1024}};
    char dir[] = "/tmp/wn_test_plot_XXXXXX", path[64];
    wn_strbuf svg = {0};
    for (int i = 0; i < 4; i++) {
        cases[i].rule.kind = i % 2 ? WN_EVICT_RANDOM : WN_EVICT_HEADS;
        cases[i].lines[1].text = (wn_kv_sum){.n_texts = 2, .bytes = 0.5, .mean = 0.02 * (i + 1)};
    }
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/p.svg", dir);
    WN_ASSERT_OK(wn_kv_plot_write(path, "title", cases, 4, &l, err));
    WN_ASSERT_OK(wn_fs_read(&svg, path, 1 << 20, err));
    const char *text = wn_strbuf_cstr(&svg);
    assert_true(strstr(text, "heads, 1024 tokens") && !strstr(text, "heads, 512 tokens") &&
                strstr(text, ">random<") && !strstr(text, ">oracle<"));
    assert_int_equal(count(text, "<polyline"), 1);
    assert_int_equal(count(text, "<circle"), 2 + 1); /* and one in the legend */
    wn_strbuf_free(&svg);
    assert_true(wn_kv_plot_write("/nowhere/p.svg", "title", cases, 4, &l, NULL) != WN_OK);
    WN_ASSERT_OK(wn_fs_remove_tree(dir, err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copy_plan),       cmocka_unit_test(test_places),
        cmocka_unit_test(test_agreement),       cmocka_unit_test(test_window_of_as_many_pages),
        cmocka_unit_test(test_needles),         cmocka_unit_test(test_needle_places),
        cmocka_unit_test(test_common_prefix),   cmocka_unit_test(test_plot_coordinates),
        cmocka_unit_test(test_plot_of_a_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
