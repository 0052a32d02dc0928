/* Readers for the golden files of tests/golden/tokenizer: varints (7 bits a byte, low first). */
#ifndef WN_TESTS_GOLDEN_TOKENS_H
#define WN_TESTS_GOLDEN_TOKENS_H

#include "tests/test_support.h"

#include "base/fs.h"
#include "base/hash.h"

#define GOLDEN_TOKENS WN_SOURCE_DIR "/tests/golden/tokenizer/"

typedef struct golden_reader {
    wn_strbuf file;
    size_t pos;
} golden_reader;

static inline golden_reader golden_open(const char *name)
{
    golden_reader r = {0};
    char path[512];
    snprintf(path, sizeof path, GOLDEN_TOKENS "%s", name);
    WN_ASSERT_OK(wn_fs_read(&r.file, path, 4 << 20, err));
    return r;
}

static inline bool golden_more(const golden_reader *r)
{
    return r->pos < r->file.len;
}

static inline size_t golden_number(golden_reader *r)
{
    size_t n = 0;
    for (int shift = 0;; shift += 7) {
        assert_true(golden_more(r) && shift < 35);
        uint8_t b = (uint8_t)r->file.data[r->pos++];
        n |= (size_t)(b & 0x7F) << shift;
        if (b < 0x80)
            return n;
    }
}

/* Next length-prefixed string, in the file's memory. */
static inline const char *golden_string(golden_reader *r, size_t *len)
{
    *len = golden_number(r);
    assert_true(*len <= r->file.len - r->pos);
    const char *s = r->file.data + r->pos;
    r->pos += *len;
    return s;
}

/* Compares ids with the next list of r; on a difference shows the text. */
static inline void golden_check_ids(golden_reader *r, size_t index, const char *text, size_t len,
                                    const int32_t *ids, size_t n)
{
    size_t want = golden_number(r);
    for (size_t i = 0; i < want; i++) {
        size_t id = golden_number(r);
        if (i < n && (size_t)ids[i] != id)
            fail_msg("string %zu \"%.*s\": id %zu is %d, not %zu", index, (int)len, text, i, ids[i],
                     id);
    }
    if (want != n)
        fail_msg("string %zu \"%.*s\": %zu ids, not %zu", index, (int)len, text, n, want);
}

typedef void (*golden_encode_fn)(void *ctx, const char *text, size_t len, int32_t **ids, size_t *n);

/* Every row of real_texts.tsv: count and SHA-256 (little-endian int32 ids) in the columns of
 * `name` (0 llama3, 1 smollm2, 2 qwen2, 3 wordpiece). Returns the number of texts. */
static inline size_t golden_real_texts(int column, golden_encode_fn encode, void *ctx)
{
    golden_reader table = golden_open("real_texts.tsv");
    size_t n_texts = 0;
    char *save = NULL, *line = strtok_r(table.file.data, "\n", &save); /* the heading */
    while ((line = strtok_r(NULL, "\n", &save))) {
        char path[256], file[768], sha[4][65], hex[65];
        size_t bytes = 0, counts[4] = {0}, n = 0;
        assert_int_equal(sscanf(line, "%255[^\t] %zu %zu %64s %zu %64s %zu %64s %zu %64s", path,
                                &bytes, &counts[0], sha[0], &counts[1], sha[1], &counts[2], sha[2],
                                &counts[3], sha[3]),
                         10);
        snprintf(file, sizeof file, WN_SHARED_DIR "/data/%s", path);
        wn_strbuf text = {0};
        int32_t *ids = NULL;
        uint8_t digest[WN_SHA256_BYTES];
        WN_ASSERT_OK(wn_fs_read(&text, file, 64 << 20, err));
        assert_true(text.len >= bytes);
        encode(ctx, text.data, bytes, &ids, &n);
        WN_ASSERT_OK(wn_sha256_of(ids, n * sizeof *ids, digest, err));
        wn_hex(digest, sizeof digest, hex);
        if (n != counts[column] || strcmp(hex, sha[column]) != 0)
            fail_msg("%s: %zu ids (expected %zu), sha256 %s", path, n, counts[column], hex);
        free(ids);
        wn_strbuf_free(&text);
        n_texts++;
    }
    wn_strbuf_free(&table.file);
    return n_texts;
}

#endif
