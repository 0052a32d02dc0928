/* What the corpus tests share: a temporary folder, and small documents whose passages are lines. */
#ifndef WN_TEST_CORPUS_FIXTURE_H
#define WN_TEST_CORPUS_FIXTURE_H

#include <math.h>

#include "base/fs.h"
#include "index/corpus.h"
#include "tests/test_support.h"

enum { FIXTURE_DIM = 16, FIXTURE_MAX_PASSAGES = 64 };

static inline void fixture_dir(char out[64])
{
    strcpy(out, "/tmp/wn_corpus_XXXXXX");
    if (!mkdtemp(out))
        fail_msg("mkdtemp failed");
}

static inline void fixture_remove(const char *dir)
{
    WN_ASSERT_OK(wn_fs_remove_tree(dir, err));
}

/* A unit vector that depends on the text only. */
static inline void fixture_vector(const char *text, size_t len, float *out, size_t dim)
{
    uint64_t x = 1469598103934665603u;
    for (size_t i = 0; i < len; i++)
        x = (x ^ (unsigned char)text[i]) * 1099511628211u;
    double norm = 0;
    for (size_t j = 0; j < dim; j++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        out[j] = (float)((double)(x >> 40) / (double)(1 << 24) - 0.5);
        norm += (double)out[j] * (double)out[j];
    }
    for (size_t j = 0; j < dim; j++)
        out[j] = (float)((double)out[j] / sqrt(norm));
}

typedef struct fixture_document {
    wn_document_content content;
    wn_passage passages[FIXTURE_MAX_PASSAGES];
    wn_block blocks[FIXTURE_MAX_PASSAGES];
    float vectors[FIXTURE_MAX_PASSAGES * FIXTURE_DIM];
} fixture_document;

/* One block and one passage a line of text (static storage of the caller). */
static inline void fixture_lines(fixture_document *d, const char *path, const char *title,
                                 const char *text)
{
    memset(d, 0, sizeof *d);
    size_t n = 0;
    for (size_t start = 0; text[start]; n++) {
        size_t len = strcspn(text + start, "\n");
        d->passages[n] = (wn_passage){.start = start,
                                      .end = start + len,
                                      .page_start = 1 + (int)n,
                                      .page_end = 1 + (int)n,
                                      .headings = n % 2 ? "Chapter > Odd" : ""};
        d->blocks[n] = (wn_block){.kind = WN_BLOCK_PARAGRAPH,
                                  .page = 1 + (int)n,
                                  .start = start,
                                  .end = start + len,
                                  .headings = d->passages[n].headings};
        fixture_vector(text + start, len, d->vectors + n * FIXTURE_DIM, FIXTURE_DIM);
        start += len + (text[start + len] == '\n');
    }
    d->content = (wn_document_content){
        .doc = {.path = path,
                .filename = wn_fs_basename(path),
                .title = title,
                .media_type = "text/plain",
                .checksum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                .attributes = "{\"year\":2020}",
                .source_bytes = strlen(text),
                .n_pages = (int)n,
                .created_at = 1700000000},
        .text = text,
        .text_len = strlen(text),
        .blocks = d->blocks,
        .n_blocks = n,
        .passages = d->passages,
        .n_passages = n,
        .vectors = d->vectors,
        .dim = FIXTURE_DIM};
}

static inline int64_t fixture_put(wn_corpus *c, const char *path, const char *title,
                                  const char *text)
{
    static fixture_document d;
    int64_t id = 0;
    fixture_lines(&d, path, title, text);
    WN_ASSERT_OK(wn_corpus_put(c, &d.content, &id, err));
    return id;
}

static inline wn_corpus *fixture_open(const char *dir, unsigned mode)
{
    wn_corpus *c = NULL;
    WN_ASSERT_OK(wn_corpus_open(&c, dir, mode, err));
    return c;
}

/* Number of hits; hits has room for 64. */
static inline size_t fixture_text(wn_corpus *c, const char *question, wn_index_hit *hits)
{
    size_t n = 0;
    WN_ASSERT_OK(
        wn_corpus_search_text(c, question, strlen(question), 64, NULL, NULL, hits, &n, err));
    return n;
}

static inline size_t fixture_nearest(wn_corpus *c, const char *text, size_t k, wn_index_hit *hits)
{
    float v[FIXTURE_DIM];
    size_t n = 0;
    fixture_vector(text, strlen(text), v, FIXTURE_DIM);
    WN_ASSERT_OK(wn_corpus_search_vector(c, v, FIXTURE_DIM, k, NULL, NULL, hits, &n, err));
    return n;
}

/* The text of a passage equals `expected`. */
static inline void fixture_expect_text(wn_corpus *c, int64_t passage_id, const char *expected)
{
    wn_passage_record r = {0};
    WN_ASSERT_OK(wn_corpus_passage(c, passage_id, &r, err));
    assert_string_equal(r.text, expected);
    assert_int_equal(r.text_len, strlen(expected));
    wn_passage_record_free(&r);
}

#endif
