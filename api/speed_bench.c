#include "api/speed_bench.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"

#define WARM_UP_TOKENS 16
#define WARM_UP_PROMPT 2047 /* a whole prompt up to here, as llama-bench does it */

static wn_status out_of_memory(wn_error *err)
{
    return wn_error_set(err, WN_NO_MEMORY, "bench: out of memory");
}

/* Ids that look like no text, the same ones everywhere: what an id is does not change the work. */
static void fill_ids(int32_t *ids, size_t n, size_t n_vocab)
{
    uint64_t state = 1;
    for (size_t i = 0; i < n; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX */
        ids[i] = (int32_t)((state >> 33) % n_vocab);
    }
}

/* *out: n ids, of the text (again from its start when it is short) or of the fixed stream. */
static wn_status make_ids(const wn_speed_bench *b, const wn_model *m, size_t n, int32_t **out,
                          wn_error *err)
{
    int32_t *ids = wn_alloc(n, sizeof *ids), *all = NULL;
    size_t n_all = 0;
    wn_status status = ids ? WN_OK : out_of_memory(err);
    if (status == WN_OK && b->text)
        status = wn_tokenizer_encode(wn_model_tokenizer(m), b->text, strlen(b->text),
                                     WN_ENCODE_PLAIN, &all, &n_all, err);
    if (status == WN_OK && b->text && n_all == 0)
        status = wn_error_set(err, WN_INVALID, "bench: the text has no tokens");
    if (status == WN_OK && b->text)
        for (size_t i = 0; i < n; i++)
            ids[i] = all[i % n_all];
    else if (status == WN_OK)
        fill_ids(ids, n, wn_model_config_of(m)->n_vocab);
    free(all);
    if (status != WN_OK) {
        free(ids);
        return status;
    }
    *out = ids;
    return WN_OK;
}

static double rate(size_t n, int64_t start_ns)
{
    int64_t ns = wn_clock_ns() - start_ns;
    return (double)n * 1e9 / (double)(ns > 0 ? ns : 1);
}

static wn_status open_session(const wn_speed_bench *b, const wn_model *m, size_t n_ctx,
                              wn_session **out, wn_error *err)
{
    wn_session_options o;
    WN_TRY(wn_service_session_options(b->service, n_ctx, &o, err));
    o.thin = b->thin;
    return wn_session_open(out, m, wn_service_compute(b->service), &o, err);
}

/* One run, from an empty session. */
static wn_status prefill_once(wn_session *s, const int32_t *ids, size_t n, double *tokens_per_s,
                              wn_error *err)
{
    wn_session_truncate(s, 0);
    int64_t start = wn_clock_ns();
    WN_TRY(wn_session_append(s, ids, n, NULL, NULL, err));
    *tokens_per_s = rate(n, start);
    return WN_OK;
}

wn_status wn_speed_prefill(const wn_speed_bench *b, size_t n_tokens, double *rates, wn_error *err)
{
    const wn_model *m = NULL;
    wn_session *s = NULL;
    int32_t *ids = NULL;
    WN_TRY(wn_service_generator(b->service, &m, err));
    WN_TRY(make_ids(b, m, n_tokens, &ids, err));
    size_t n_warm = n_tokens <= WARM_UP_PROMPT ? n_tokens : WARM_UP_TOKENS;
    wn_status status = open_session(b, m, n_tokens, &s, err);
    if (status == WN_OK)
        status = prefill_once(s, ids, n_warm, &rates[0], err);
    for (size_t i = 0; status == WN_OK && i < b->n_repeats; i++)
        status = prefill_once(s, ids, n_tokens, &rates[i], err);
    wn_session_close(s);
    free(ids);
    return status;
}

/* Sessions that decode together, each on the same ids. */
typedef struct decode_bench {
    wn_session *sessions[WN_SESSIONS_MAX];
    size_t n;
    int32_t *ids;
    float *logits; /* [n][n_vocab] */
} decode_bench;

static wn_status decode_all(const decode_bench *d, const int32_t *ids, size_t n, wn_error *err)
{
    int32_t next[WN_SESSIONS_MAX];
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < d->n; j++)
            next[j] = ids[i];
        if (d->n == 1)
            WN_TRY(wn_session_decode(d->sessions[0], ids[i], err));
        else
            WN_TRY(wn_sessions_decode(d->sessions, d->n, next, d->logits, NULL, err));
    }
    return WN_OK;
}

/* To `depth` tokens; a session that has evicted keys begins again. */
static wn_status go_to(const decode_bench *d, size_t depth, wn_error *err)
{
    for (size_t i = 0; i < d->n; i++) {
        size_t held = wn_session_truncate(d->sessions[i], depth);
        if (held < depth)
            WN_TRY(wn_session_append(d->sessions[i], d->ids + held, depth - held, NULL, NULL, err));
    }
    return WN_OK;
}

static wn_status decode_runs(const wn_speed_bench *b, const decode_bench *d, size_t depth, size_t n,
                             double *rates, wn_error *err)
{
    WN_TRY(go_to(d, depth, err));
    WN_TRY(decode_all(d, d->ids + depth, n < WARM_UP_TOKENS ? n : WARM_UP_TOKENS, err));
    for (size_t i = 0; i < b->n_repeats; i++) {
        WN_TRY(go_to(d, depth, err));
        int64_t start = wn_clock_ns();
        WN_TRY(decode_all(d, d->ids + depth, n, err));
        rates[i] = rate(d->n * n, start);
    }
    return WN_OK;
}

wn_status wn_speed_decode(const wn_speed_bench *b, size_t depth, size_t n_generate, double *rates,
                          wn_error *err)
{
    const wn_model *m = NULL;
    decode_bench d = {.n = b->n_sessions};
    WN_TRY(wn_service_generator(b->service, &m, err));
    wn_status status = make_ids(b, m, depth + n_generate, &d.ids, err);
    d.logits = wn_alloc(d.n * wn_model_config_of(m)->n_vocab, sizeof *d.logits);
    if (status == WN_OK && !d.logits)
        status = out_of_memory(err);
    for (size_t i = 0; status == WN_OK && i < d.n; i++)
        status = open_session(b, m, depth + n_generate, &d.sessions[i], err);
    if (status == WN_OK)
        status = decode_runs(b, &d, depth, n_generate, rates, err);
    for (size_t i = 0; i < d.n; i++)
        wn_session_close(d.sessions[i]);
    free(d.logits);
    free(d.ids);
    return status;
}

/* Passages ------------------------------------------------------------------------------------ */

/* Each is one token of the uncased WordPiece vocabularies. */
static const char usual_words[] =
    "the house stood near a river and every morning people came to read the news of the war in "
    "their small city while children played music under old trees ";

/* Appends the next word of *from (again from `text` at its end); false when there is none. */
static bool next_word(const char *text, const char **from, const char **word, size_t *len)
{
    for (int round = 0; round < 2; round++) {
        while (isspace((unsigned char)**from))
            ++*from;
        if (**from)
            break;
        *from = text;
    }
    *word = *from;
    while (**from && !isspace((unsigned char)**from))
        ++*from;
    *len = (size_t)(*from - *word);
    return *len > 0;
}

#define SPECIALS 2 /* [CLS] and [SEP] */

/* Whole words up to n_tokens; at least one. */
static wn_status fill_passage(const wn_speed_bench *b, const char *text, const char **from,
                              size_t n_tokens, wn_strbuf *out, wn_error *err)
{
    size_t used = SPECIALS, len = 0;
    const char *word = NULL;
    while (used < n_tokens) {
        const char *here = *from;
        if (!next_word(text, from, &word, &len))
            return wn_error_set(err, WN_INVALID, "bench: the text has no words");
        size_t n = wn_service_count_tokens(b->service, word, len);
        if (out->len > 0 && used + n > n_tokens) {
            *from = here;
            break;
        }
        wn_strbuf_add(out, word, len);
        wn_strbuf_addc(out, ' ');
        used += n;
    }
    return wn_strbuf_failed(out) ? out_of_memory(err) : WN_OK;
}

typedef struct passages {
    wn_strbuf *bodies; /* [n] */
    const char **texts;
    size_t *lens;
    float *vectors;
    size_t n;
} passages;

static wn_status make_passages(const wn_speed_bench *b, size_t n_tokens, passages *p, wn_error *err)
{
    const char *name = NULL, *text = b->text ? b->text : usual_words, *from = text;
    size_t dim = 0;
    WN_TRY(wn_service_embedder_info(b->service, &name, &dim, err));
    p->bodies = wn_alloc(p->n, sizeof *p->bodies);
    p->texts = wn_alloc(p->n, sizeof *p->texts);
    p->lens = wn_alloc(p->n, sizeof *p->lens);
    p->vectors = wn_alloc(p->n, dim * sizeof(float));
    if (!p->bodies || !p->texts || !p->lens || !p->vectors)
        return out_of_memory(err);
    for (size_t i = 0; i < p->n; i++) {
        WN_TRY(fill_passage(b, text, &from, n_tokens, &p->bodies[i], err));
        p->texts[i] = wn_strbuf_cstr(&p->bodies[i]);
        p->lens[i] = p->bodies[i].len;
    }
    return WN_OK;
}

static void free_passages(passages *p)
{
    for (size_t i = 0; p->bodies && i < p->n; i++)
        wn_strbuf_free(&p->bodies[i]);
    free(p->bodies);
    free(p->texts);
    free(p->lens);
    free(p->vectors);
}

wn_status wn_speed_embed(const wn_speed_bench *b, size_t n_tokens, size_t n_passages, double *rates,
                         wn_error *err)
{
    passages p = {.n = n_passages};
    wn_status status = make_passages(b, n_tokens, &p, err);
    if (status == WN_OK)
        status = wn_service_embed(b->service, p.texts, p.lens, 1, p.vectors, err);
    for (size_t i = 0; status == WN_OK && i < b->n_repeats; i++) {
        int64_t start = wn_clock_ns();
        status = wn_service_embed(b->service, p.texts, p.lens, p.n, p.vectors, err);
        rates[i] = rate(p.n, start);
    }
    free_passages(&p);
    return status;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double wn_speed_median(double *rates, size_t n)
{
    qsort(rates, n, sizeof *rates, ascending);
    return (rates[(n - 1) / 2] + rates[n / 2]) / 2;
}
