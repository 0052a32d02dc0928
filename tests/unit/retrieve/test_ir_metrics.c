/* Metrics against pytrec_eval's values (tests/golden/ir) and by hand. */
#include <math.h>

#include "base/fs.h"
#include "base/strbuf.h"
#include "retrieve/ir_metrics.h"
#include "tests/test_support.h"

#define GOLDEN WN_SOURCE_DIR "/tests/golden/ir/"
enum { MAX_ROWS = 400 };

typedef struct table {
    wn_strbuf text;
    char *lines[4096];
    size_t n;
} table;

static void load(table *t, const char *path)
{
    memset(t, 0, sizeof *t);
    WN_ASSERT_OK(wn_fs_read(&t->text, path, 1 << 20, err));
    char *rest = NULL;
    for (char *line = strtok_r(t->text.data, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        t->lines[t->n++] = line;
}

/* Splits "query\tname\tvalue"; true when it is of this query. */
static bool row_of(char *line, const char *query, const char **name, double *value)
{
    size_t len = strcspn(line, "\t");
    if (strlen(query) != len || strncmp(line, query, len) != 0)
        return false;
    char *start = line + len + 1, *end = strchr(start, '\t');
    if (end)
        *end = 0;
    *name = start;
    *value = strtod(start + strlen(start) + 1, NULL);
    return true;
}

static void equals_pytrec_eval(void **state)
{
    (void)state;
    static table qrels, run, expected;
    load(&qrels, GOLDEN "qrels.tsv");
    load(&run, GOLDEN "run.tsv");
    load(&expected, GOLDEN "expected.tsv");
    assert_int_equal(expected.n, 40);
    double worst = 0;
    for (size_t q = 0; q < expected.n; q++) {
        wn_ir_judged judged[MAX_ROWS];
        wn_ir_scored scored[MAX_ROWS];
        size_t n_judged = 0, n_scored = 0;
        char name[16];
        double want[4], value = 0;
        assert_int_equal(sscanf(expected.lines[q], "%15s %lf %lf %lf %lf", name, &want[0], &want[1],
                                &want[2], &want[3]),
                         5);
        const char *document = NULL;
        for (size_t i = 0; i < qrels.n; i++)
            if (row_of(qrels.lines[i], name, &document, &value))
                judged[n_judged++] = (wn_ir_judged){document, (int)value};
        for (size_t i = 0; i < run.n; i++)
            if (row_of(run.lines[i], name, &document, &value))
                scored[n_scored++] = (wn_ir_scored){document, value};
        assert_true(n_judged > 0 && n_scored > 0);
        wn_ir_rank(scored, n_scored);
        wn_ir_metrics m = {0};
        WN_ASSERT_OK(wn_ir_measure(judged, n_judged, scored, n_scored,
                                   &(wn_ir_depths){10, 100, 10, 0}, &m, err));
        const double got[4] = {m.ndcg, m.recall, m.mrr, m.map};
        for (size_t i = 0; i < 4; i++)
            worst = fmax(worst, fabs(got[i] - want[i]));
    }
    assert_true(worst < 1e-12);
    wn_strbuf_free(&qrels.text);
    wn_strbuf_free(&run.text);
    wn_strbuf_free(&expected.text);
}

static void by_hand(void **state)
{
    (void)state;
    const wn_ir_judged judged[] = {{"a", 2}, {"b", 1}, {"c", 0}, {"z", 1}};
    wn_ir_scored run[] = {{"c", 3}, {"b", 2}, {"x", 1}, {"a", 1}};
    wn_ir_rank(run, 4); /* x and a tie: the later name comes first */
    assert_string_equal(run[2].document, "x");
    wn_ir_metrics m = {0};
    WN_ASSERT_OK(wn_ir_measure(judged, 4, run, 4, &(wn_ir_depths){3, 4, 10, 0}, &m, err));
    /* Only b is in the first three: (1 / log2 3) / (2 + 1 / log2 3 + 1 / 2). */
    assert_true(fabs(m.ndcg - 0.6309297535714575 / 3.1309297535714575) < 1e-12);
    assert_true(fabs(m.recall - 2.0 / 3) < 1e-12);
    assert_true(fabs(m.mrr - 0.5) < 1e-12);
    assert_true(fabs(m.map - (1.0 / 2 + 2.0 / 4) / 3) < 1e-12);
    WN_ASSERT_OK(wn_ir_measure(judged, 4, run, 4, &(wn_ir_depths){0, 1, 1, 2}, &m, err));
    assert_true(m.recall == 0 && m.mrr == 0);
    assert_true(fabs(m.map - 0.5 / 3) < 1e-12);
    WN_ASSERT_OK(wn_ir_measure(judged + 2, 1, run, 4, &(wn_ir_depths){0}, &m, err));
    assert_true(m.ndcg == 0 && m.recall == 0 && m.mrr == 0 && m.map == 0);
    WN_ASSERT_OK(wn_ir_measure(judged, 4, NULL, 0, &(wn_ir_depths){0}, &m, err));
    assert_true(m.ndcg == 0 && m.map == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(equals_pytrec_eval),
                                       cmocka_unit_test(by_hand)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
