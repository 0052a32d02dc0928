/* How good attribution is, on XQuAD with the real embedder: the figures in generate/citation.h come
 * from here, and so do the weights in citation.c.
 *
 *     test_citation_quality                 held-out half (odd articles), every third question:
 * limits test_citation_quality --all           the whole held-out half, figures only
 *     test_citation_quality --dump FILE     features of the other half, for fit_support.py
 *
 * For each question five passages: the gold one, up to two of its article, others. Answers in four
 * forms: the bare gold string, "The answer is X.", the question's words with X, the gold sentence.
 * Positive: such an answer; the right citation is the gold passage, the right span holds X.
 * Negative: the same answer when the gold passage is not among the five; and the answer to a
 * question about something else. Any citation of a negative is false. This test is in `api` because
 * generate and retrieve meet there only. */
#include "tests/sanitized.h"
#include "tests/test_support.h"

#include <jansson.h>

#include "base/checked.h"
#include "base/json.h"
#include "base/strbuf.h"
#include "generate/citation.h"
#include "retrieve/embedder.h"

#define XQUAD WN_SHARED_DIR "/data/qa/xquad_en/"
#define MAX_ROWS 1500
#define N_SOURCES 5
#define DIM 384
#define CACHE_SLOTS 16384 /* of embeddings, by text: windows recur from question to question */

typedef struct passage {
    char *id, *title, *text;
} passage;

typedef struct question {
    char *text, *answer;
    size_t passage, at; /* byte of the answer in the passage */
} question;

static passage passages[MAX_ROWS];
static question questions[MAX_ROWS];
static size_t n_passages, n_questions;

/* ---- data ---- */

static char *field(const json_t *row, const char *name)
{
    const char *s = json_string_value(json_object_get(row, name));
    assert_non_null(s);
    return wn_strdup(s);
}

static void each_row(const char *path, void (*take)(const json_t *row))
{
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    char *line = NULL;
    size_t cap = 0;
    for (ssize_t len = 0; (len = getline(&line, &cap, f)) > 0;) {
        json_t *row = NULL;
        WN_ASSERT_OK(wn_json_parse(&row, line, (size_t)len, path, err));
        take(row);
        json_decref(row);
    }
    free(line);
    fclose(f);
}

static void take_passage(const json_t *row)
{
    assert_true(n_passages < MAX_ROWS);
    passages[n_passages++] = (passage){field(row, "_id"), field(row, "title"), field(row, "text")};
}

static void take_question(const json_t *row)
{
    assert_true(n_questions < MAX_ROWS);
    char *id = field(row, "passage_id");
    question q = {.text = field(row, "question")};
    q.answer = wn_strdup(json_string_value(json_array_get(json_object_get(row, "answers"), 0)));
    while (q.passage < n_passages && strcmp(passages[q.passage].id, id) != 0)
        q.passage++;
    assert_true(q.passage < n_passages);
    const char *found = strstr(passages[q.passage].text, q.answer);
    assert_non_null(found);
    q.at = (size_t)(found - passages[q.passage].text);
    questions[n_questions++] = q;
    free(id);
}

static size_t article(size_t p) /* "p07_03" -> 7 */
{
    return strtoul(passages[p].id + 1, NULL, 10);
}

/* ---- embeddings with a memory ---- */

static wn_compute *compute;
static wn_embedder *embedder;
static struct slot {
    uint64_t key;
    float *vector;
} cache[CACHE_SLOTS];

static uint64_t key_of(const char *s, size_t len)
{
    uint64_t h = 0xCBF29CE484222325u;
    for (size_t i = 0; i < len; i++)
        h = (h ^ (uint8_t)s[i]) * 0x100000001B3u;
    return h | 1;
}

static wn_status embed(void *ctx, const char *const *texts, const size_t *lens, size_t n,
                       float *out, wn_error *err)
{
    (void)ctx;
    const char *missing[64];
    size_t missing_lens[64], slots[64], n_missing = 0;
    float vectors[64 * DIM];
    assert_true(n <= 64);
    for (size_t i = 0; i < n; i++) {
        uint64_t key = key_of(texts[i], lens[i]);
        size_t at = key % CACHE_SLOTS;
        while (cache[at].vector && cache[at].key != key)
            at = (at + 1) % CACHE_SLOTS;
        slots[i] = at;
        if (cache[at].vector)
            continue;
        cache[at] = (struct slot){key, wn_alloc(DIM, sizeof(float))};
        missing[n_missing] = texts[i];
        missing_lens[n_missing++] = lens[i];
    }
    WN_TRY(wn_embedder_embed(embedder, WN_EMBED_PASSAGE, missing, missing_lens, n_missing, vectors,
                             err));
    for (size_t i = 0; i < n_missing; i++) {
        uint64_t key = key_of(missing[i], missing_lens[i]);
        size_t at = key % CACHE_SLOTS;
        while (cache[at].key != key)
            at = (at + 1) % CACHE_SLOTS;
        memcpy(cache[at].vector, vectors + i * DIM, DIM * sizeof(float));
    }
    for (size_t i = 0; i < n; i++)
        memcpy(out + i * DIM, cache[slots[i]].vector, DIM * sizeof(float));
    return WN_OK;
}

/* ---- cases ---- */

enum { FORM_BARE, FORM_ANSWER_IS, FORM_QUESTION_WORDS, FORM_SENTENCE, N_FORMS };
static const char *const form_names[] = {"bare", "answer is", "question words", "gold sentence"};

static void write_answer(const question *q, const char *answer, int form, wn_strbuf *out)
{
    const char *text = passages[q->passage].text;
    size_t start = q->at, end = q->at + strlen(q->answer);
    wn_strbuf_clear(out);
    switch (form) {
    case FORM_BARE:
        wn_strbuf_adds(out, answer);
        break;
    case FORM_ANSWER_IS:
        wn_strbuf_printf(out, "The answer is %s.", answer);
        break;
    case FORM_QUESTION_WORDS: {
        const char *rest = strchr(q->text, ' '); /* without its first word and the mark */
        wn_strbuf_printf(out, "%s is %.*s.", answer, rest ? (int)strlen(rest) - 1 : 0,
                         rest ? rest + 1 : "");
        break;
    }
    default:
        while (start > 0 && !(text[start - 1] == ' ' && start > 1 && text[start - 2] == '.'))
            start--;
        while (text[end] && !(text[end] == '.' && (text[end + 1] == ' ' || !text[end + 1])))
            end++;
        wn_strbuf_add(out, text + start, end - start);
        wn_strbuf_addc(out, '.');
    }
}

/* Gold passage (unless `without`), two of its article, others; in document order. */
static void choose_sources(size_t qi, bool without, wn_source out[N_SOURCES])
{
    size_t gold = questions[qi].passage, n_same = 0, n = 0, chosen[N_SOURCES];
    if (!without)
        chosen[n++] = gold;
    for (size_t step = 1; n < N_SOURCES; step++) {
        size_t p = (gold + step * 7 + qi) % n_passages, i = 0;
        bool same = article(p) == article(gold);
        if (step < 40) { /* first look for neighbours */
            p = (gold + step) % n_passages;
            same = article(p) == article(gold);
            if (!same || n_same == 2)
                continue;
        }
        while (i < n && chosen[i] != p)
            i++;
        if (i < n || p == gold)
            continue;
        n_same += same;
        chosen[n++] = p;
    }
    for (size_t i = 0; i < n; i++) /* by id: sources come in document order */
        for (size_t j = i + 1; j < n; j++)
            if (chosen[j] < chosen[i]) {
                size_t swap = chosen[i];
                chosen[i] = chosen[j];
                chosen[j] = swap;
            }
    for (size_t i = 0; i < n; i++)
        out[i] = (wn_source){.document_id = (int64_t)chosen[i],
                             .text = passages[chosen[i]].text,
                             .len = strlen(passages[chosen[i]].text),
                             .title = passages[chosen[i]].title,
                             .headings = ""};
}

typedef struct tally {
    size_t n, cited, right_passage, right_span;
    size_t n_absent, cited_absent; /* gold passage not there */
    size_t n_wrong, cited_wrong;   /* answer about something else */
} tally;

typedef void (*match_fn)(void *ctx, size_t qi, int form, char kind, const wn_source *sources,
                         wn_attributor *a, const wn_strbuf *answer);

static void run_question(size_t qi, bool with_embed, match_fn match, void *ctx)
{
    const question *q = &questions[qi];
    wn_strbuf answer = {0};
    size_t other = (qi + n_questions / 2) % n_questions;
    for (int without = 0; without < 2; without++) {
        wn_source sources[N_SOURCES];
        choose_sources(qi, without, sources);
        wn_attributor *a = NULL;
        WN_ASSERT_OK(wn_attributor_open(&a,
                                        &(wn_attribution){.sources = sources,
                                                          .n_sources = N_SOURCES,
                                                          .question = q->text,
                                                          .embed = with_embed ? embed : NULL,
                                                          .dim = DIM},
                                        err));
        for (int form = 0; form < N_FORMS; form++) {
            write_answer(q, q->answer, form, &answer);
            match(ctx, qi, form, without ? 'A' : 'P', sources, a, &answer);
        }
        for (int form = 0; !without && form < FORM_SENTENCE; form++) {
            write_answer(q, questions[other].answer, form, &answer);
            match(ctx, qi, form, 'W', sources, a, &answer);
        }
        write_answer(&questions[other], questions[other].answer, FORM_SENTENCE, &answer);
        if (!without)
            match(ctx, qi, FORM_SENTENCE, 'W', sources, a, &answer);
        wn_attributor_close(a);
    }
    wn_strbuf_free(&answer);
}

static bool is_right_span(const question *q, const wn_source *s, const wn_span_match *m)
{
    size_t len = strlen(q->answer);
    return memmem(s->text + m->start, m->end - m->start, q->answer, len) != NULL;
}

static void count(void *ctx, size_t qi, int form, char kind, const wn_source *sources,
                  wn_attributor *a, const wn_strbuf *answer)
{
    tally *t = (tally *)ctx + form;
    wn_span_match m;
    WN_ASSERT_OK(
        wn_attributor_match(a, wn_strbuf_cstr(answer), answer->len, WN_NO_SOURCE, &m, err));
    bool cited = m.source != WN_NO_SOURCE && m.support >= WN_SUPPORT_MIN;
    if (kind == 'P') {
        bool right = cited && (size_t)sources[m.source].document_id == questions[qi].passage;
        t->n++;
        t->cited += cited;
        t->right_passage += right;
        t->right_span += right && is_right_span(&questions[qi], &sources[m.source], &m);
    } else if (kind == 'A') {
        t->n_absent++;
        t->cited_absent += cited;
    } else {
        t->n_wrong++;
        t->cited_wrong += cited;
    }
}

static double share(size_t a, size_t b)
{
    return b ? (double)a / (double)b : 0;
}

static tally measure(bool with_embed, size_t step)
{
    tally forms[N_FORMS] = {0}, sum = {0};
    for (size_t qi = 0, k = 0; qi < n_questions; qi++)
        if (article(questions[qi].passage) % 2 == 1 && k++ % step == 0)
            run_question(qi, with_embed, count, forms);
    printf("%s, %zu questions (support >= %.2f)\n", with_embed ? "words and embeddings" : "words",
           forms[0].n, WN_SUPPORT_MIN);
    for (int i = 0; i <= N_FORMS; i++) {
        const tally *t = i < N_FORMS ? &forms[i] : &sum;
        printf("  %-15s recall %.3f  precision %.3f  right span %.3f | cited without the passage "
               "%.3f  cited a wrong answer %.3f\n",
               i < N_FORMS ? form_names[i] : "all", share(t->right_passage, t->n),
               share(t->right_passage, t->cited), share(t->right_span, t->right_passage),
               share(t->cited_absent, t->n_absent), share(t->cited_wrong, t->n_wrong));
        if (i == N_FORMS)
            break;
        sum.n += t->n, sum.cited += t->cited, sum.right_passage += t->right_passage;
        sum.right_span += t->right_span;
        sum.n_absent += t->n_absent, sum.cited_absent += t->cited_absent;
        sum.n_wrong += t->n_wrong, sum.cited_wrong += t->cited_wrong;
    }
    return sum;
}

/* One line per (answer, source): kind, form, label, features of the source's best window. */
static void dump(void *ctx, size_t qi, int form, char kind, const wn_source *sources,
                 wn_attributor *a, const wn_strbuf *answer)
{
    for (size_t i = 0; i < N_SOURCES; i++) {
        wn_span_match m;
        WN_ASSERT_OK(wn_attributor_match(a, wn_strbuf_cstr(answer), answer->len, i, &m, err));
        bool right = kind == 'P' && (size_t)sources[i].document_id == questions[qi].passage &&
                     is_right_span(&questions[qi], &sources[i], &m);
        const wn_support_features *f = &m.features;
        fprintf(ctx, "%zu\t%c\t%d\t%d\t%.4f\t%.4f\t%.4f\t%.4f\t%.4f\t%.4f\n", qi, kind, form, right,
                f->window, f->passage, f->numbers, f->question, f->cosine, f->cosine_joined);
    }
}

static bool load_all(void)
{
    char path[512];
    wn_test_model_path(path, sizeof path, "minilm-l6");
    if (access(XQUAD "qa.jsonl", R_OK) != 0 || access(path, R_OK) != 0)
        return false;
    each_row(XQUAD "passages.jsonl", take_passage);
    each_row(XQUAD "qa.jsonl", take_question);
    WN_ASSERT_OK(wn_compute_open(&compute, &(wn_compute_options){.n_threads = 2}, err));
    WN_ASSERT_OK(wn_embedder_open(&embedder, compute, path, err));
    return true;
}

static void unload_all(void)
{
    for (size_t i = 0; i < CACHE_SLOTS; i++)
        free(cache[i].vector);
    for (size_t i = 0; i < n_passages; i++) {
        free(passages[i].id);
        free(passages[i].title);
        free(passages[i].text);
    }
    for (size_t i = 0; i < n_questions; i++) {
        free(questions[i].text);
        free(questions[i].answer);
    }
    wn_embedder_close(embedder);
    wn_compute_close(compute);
}

static void test_quality(void **state)
{
    (void)state;
    if (!load_all()) {
        printf("SKIPPED: needs %s and the model minilm-l6\n", XQUAD);
        skip();
    }
    tally words = measure(false, 3);
    assert_true(words.n > 300);
    assert_true(share(words.right_passage, words.cited) >= 0.97);
    assert_true(share(words.right_passage, words.n) >= 0.88);
    assert_true(share(words.cited_wrong, words.n_wrong) <= 0.11);
    if (!WN_TEST_SANITIZED) {
        tally both = measure(true, 3);
        assert_true(share(both.right_passage, both.cited) >= 0.97);
        assert_true(share(both.right_passage, both.n) >= 0.93);
        assert_true(share(both.right_span, both.right_passage) >= 0.97);
        assert_true(share(both.cited_wrong, both.n_wrong) <= 0.08);
        assert_true(share(both.cited_absent, both.n_absent) <= 0.05);
    }
    unload_all();
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--all") == 0 && load_all()) {
        measure(false, 1);
        measure(true, 1);
        unload_all();
        return 0;
    }
    if (argc == 3 && strcmp(argv[1], "--dump") == 0 && load_all()) {
        FILE *f = fopen(argv[2], "w");
        if (!f)
            return 1;
        for (size_t qi = 0; qi < n_questions; qi++)
            if (article(questions[qi].passage) % 2 == 0)
                run_question(qi, true, dump, f);
        unload_all();
        return fclose(f) != 0;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_quality)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
