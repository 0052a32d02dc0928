/* Tokenizer from a file of ranks in tiktoken form (Llama 3's tokenizer.model): one line per token,
 * base64 of its bytes, a space, its rank. The specials are not in the file; they follow the ranks.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/file_map.h"
#include "generate/tokenizer_internal.h"

#define N_SPECIALS 256 /* Llama 3 reserves as many after its 128,000 ranks */
#define MAX_TOKEN 256  /* bytes; the longest of Llama 3 has 128 */

/* Llama 3.2's named specials by distance from the first; the others are reserved and numbered. */
static const struct {
    int at;
    const char *name;
} named[] = {
    {0, "<|begin_of_text|>"},   {1, "<|end_of_text|>"},   {4, "<|finetune_right_pad_id|>"},
    {6, "<|start_header_id|>"}, {7, "<|end_header_id|>"}, {8, "<|eom_id|>"},
    {9, "<|eot_id|>"},          {10, "<|python_tag|>"},
};

typedef struct reader {
    const char *path;
    wn_file_map map;
    size_t pos, line;
} reader;

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Canonical base64 of 1..MAX_TOKEN bytes; false otherwise. */
static bool base64_decode(const char *s, size_t len, char *out, size_t *n)
{
    size_t pad = 0;
    *n = 0;
    if (len == 0 || len % 4 != 0 || len / 4 * 3 > MAX_TOKEN)
        return false;
    while (pad < 2 && s[len - 1 - pad] == '=')
        pad++;
    for (size_t i = 0; i < len; i += 4) {
        uint32_t bits = 0;
        for (size_t k = 0; k < 4; k++) {
            int v = i + k >= len - pad ? 0 : base64_value(s[i + k]);
            if (v < 0)
                return false;
            bits = bits << 6 | (uint32_t)v;
        }
        for (size_t k = 0; k < 3; k++)
            out[(*n)++] = (char)(bits >> (16 - 8 * k) & 0xFF);
    }
    *n -= pad;
    return true;
}

/* Next line's token and rank; *more false at the end of the file. */
static wn_status read_line(reader *r, char *token, size_t *len, int64_t *rank, bool *more,
                           wn_error *err)
{
    const char *s = (const char *)r->map.data + r->pos;
    size_t left = r->map.size - r->pos, i = 0;
    *more = left > 0;
    if (!*more)
        return WN_OK;
    r->line++;
    while (i < left && s[i] != ' ' && s[i] != '\n')
        i++;
    if (i == left || s[i] != ' ' || !base64_decode(s, i, token, len))
        return wn_error_set(err, WN_FORMAT,
                            "%s: line %zu: no base64 of a token of at most %d bytes", r->path,
                            r->line, MAX_TOKEN);
    *rank = 0;
    size_t digits = ++i;
    for (; i < left && s[i] >= '0' && s[i] <= '9' && i - digits < 8; i++)
        *rank = *rank * 10 + (s[i] - '0');
    if (i == digits || (i < left && s[i] != '\n'))
        return wn_error_set(err, WN_FORMAT, "%s: line %zu: no rank after the token", r->path,
                            r->line);
    r->pos += i + (i < left);
    return WN_OK;
}

static wn_status read_ranks(wn_tokenizer *t, reader *r, size_t n, wn_error *err)
{
    char token[MAX_TOKEN + 3];
    size_t len = 0;
    int64_t rank = 0;
    bool more = true;
    for (;;) {
        WN_TRY(read_line(r, token, &len, &rank, &more, err));
        if (!more)
            break;
        if (rank >= (int64_t)n)
            return wn_error_set(err, WN_FORMAT, "%s: line %zu: rank %lld of %zu tokens", r->path,
                                r->line, (long long)rank, n);
        WN_TRY(wn_vocab_set_bytes(&t->vocab, rank, token, len, WN_TOKEN_NORMAL, r->path, err));
    }
    return WN_OK;
}

static wn_status add_specials(wn_tokenizer *t, size_t base, const char *path, wn_error *err)
{
    int reserved = 0;
    for (int i = 0; i < N_SPECIALS; i++) {
        char text[48] = {0};
        for (size_t k = 0; k < sizeof named / sizeof *named; k++) {
            if (named[k].at == i)
                snprintf(text, sizeof text, "%s", named[k].name);
        }
        if (!text[0])
            snprintf(text, sizeof text, "<|reserved_special_token_%d|>", reserved++);
        int32_t id = (int32_t)(base + (size_t)i);
        WN_TRY(wn_vocab_set_bytes(&t->vocab, id, text, strlen(text),
                                  WN_TOKEN_ADDED | WN_TOKEN_SPECIAL, path, err));
        WN_TRY(wn_added_add(&t->raw, text, strlen(text), id, err));
    }
    return WN_OK;
}

typedef struct split {
    int32_t left, right;
} split;

static int by_ids(const void *a, const void *b)
{
    const split *x = a, *y = b;
    if (x->left != y->left)
        return x->left < y->left ? -1 : 1;
    return x->right < y->right ? -1 : x->right > y->right;
}

/* Ranks as merges: every way to cut a token into two tokens is a merge, in order of the token's
 * rank, then of the parts' ranks: the order of the published tokenizer.json, so that both files of
 * a model give the same ids. Adds them, or (add == false) only counts them. */
static void each_split(wn_tokenizer *t, size_t n, bool add, uint32_t *count)
{
    *count = 0;
    for (size_t id = 0; id < n; id++) {
        split splits[MAX_TOKEN];
        size_t len = 0, n_splits = 0;
        const char *bytes = wn_vocab_bytes(&t->vocab, (int32_t)id, &len);
        for (size_t k = 1; k < len; k++) {
            int32_t left = wn_vocab_find(&t->vocab, bytes, k);
            int32_t right = left < 0 ? -1 : wn_vocab_find(&t->vocab, bytes + k, len - k);
            if (right >= 0)
                splits[n_splits++] = (split){left, right};
        }
        qsort(splits, n_splits, sizeof *splits, by_ids);
        for (size_t k = 0; k < n_splits; k++, (*count)++) {
            if (add)
                wn_bpe_add(&t->bpe, splits[k].left, splits[k].right, *count, (int32_t)id);
        }
    }
}

static wn_status load(wn_tokenizer *t, reader *r, wn_error *err)
{
    size_t n = 0;
    uint32_t n_merges = 0;
    for (size_t i = 0; i < r->map.size; i++)
        n += r->map.data[i] == '\n' || i + 1 == r->map.size;
    if (n == 0 || n > WN_VOCAB_MAX - N_SPECIALS)
        return wn_error_set(err, WN_FORMAT, "%s: %zu lines of ranks (1 to %zu are possible)",
                            r->path, n, WN_VOCAB_MAX - N_SPECIALS);
    WN_TRY(wn_vocab_init(&t->vocab, n + N_SPECIALS, err));
    WN_TRY(read_ranks(t, r, n, err));
    WN_TRY(add_specials(t, n, r->path, err));
    WN_TRY(wn_vocab_index(&t->vocab, r->path, err));
    each_split(t, n, false, &n_merges);
    WN_TRY(wn_bpe_init(&t->bpe, n_merges, err));
    each_split(t, n, true, &n_merges);
    t->pre = WN_PRE_LLAMA3;
    t->ignore_merges = true;
    t->bos = (int32_t)n;
    return wn_tokenizer_finish(t, r->path, err);
}

wn_status wn_tokenizer_from_tiktoken(wn_tokenizer **out, const char *path, wn_error *err)
{
    reader r = {.path = path};
    WN_TRY(wn_file_map_open(&r.map, path, err));
    wn_tokenizer *t = wn_tokenizer_new();
    wn_status status =
        t ? load(t, &r, err) : wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", path);
    wn_file_map_close(&r.map);
    return wn_tokenizer_hand_over(t, status, path, out, err);
}
