/* Windows and term counts of the sources (citation_internal.h). */
#include "generate/citation_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/sentence.h"
#include "base/utf8.h"

#define MAX_WINDOW_BYTES 500 /* a longer "sentence" (a table, a list) is cut at blanks */
#define MAX_PAIR_BYTES 700

static wn_status no_memory(wn_error *err)
{
    return wn_error_set(err, WN_NO_MEMORY, "no memory to attribute an answer");
}

static wn_status add_window(wn_attributor *a, size_t source, size_t start, size_t end, bool pair,
                            wn_error *err)
{
    if (a->n_windows == a->windows_cap) {
        size_t cap = a->windows_cap ? 2 * a->windows_cap : 64;
        wn_window *windows = wn_realloc(a->windows, cap, sizeof *windows);
        if (!windows)
            return no_memory(err);
        a->windows = windows;
        a->windows_cap = cap;
    }
    wn_window *w = &a->windows[a->n_windows++];
    *w = (wn_window){.source = source, .start = start, .end = end, .pair = pair};
    const char *text = a->options.sources[source].text;
    return wn_terms_extract(text + start, end - start, &w->terms) ? WN_OK : no_memory(err);
}

/* End of the piece of [start, end) that fits a window: at a blank if there is one. */
static size_t cut_at(const char *text, size_t start, size_t end)
{
    if (end - start <= MAX_WINDOW_BYTES)
        return end;
    size_t cut = start + MAX_WINDOW_BYTES;
    for (size_t i = cut; i > start + MAX_WINDOW_BYTES / 2; i--)
        if (text[i] == ' ' || text[i] == '\n')
            return i;
    cut = wn_utf8_floor(text, cut);
    return cut > start ? cut : start + MAX_WINDOW_BYTES; /* no UTF-8 at all: any byte will do */
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static wn_status add_sentences(wn_attributor *a, size_t source, wn_error *err)
{
    const wn_source *s = &a->options.sources[source];
    wn_sentence sentence;
    for (size_t at = 0; wn_sentence_next(s->text, s->len, &at, &sentence);) {
        for (size_t start = sentence.start, end = 0; start < sentence.end; start = end) {
            end = cut_at(s->text, start, sentence.end);
            WN_TRY(add_window(a, source, start, end, false, err));
            while (end < sentence.end && is_blank(s->text[end]))
                end++;
        }
    }
    return WN_OK;
}

static wn_status add_pairs(wn_attributor *a, wn_error *err)
{
    a->n_single = a->n_windows;
    for (size_t i = 1; i < a->n_single; i++) {
        wn_window x = a->windows[i - 1], y = a->windows[i];
        if (x.source == y.source && y.end - x.start <= MAX_PAIR_BYTES)
            WN_TRY(add_window(a, x.source, x.start, y.end, true, err));
    }
    return WN_OK;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static wn_status count_terms(wn_attributor *a, wn_error *err)
{
    size_t n = 0;
    for (size_t i = 0; i < a->n_single; i++)
        n += a->windows[i].terms.n;
    a->seen = wn_alloc(n, sizeof *a->seen);
    a->order = wn_alloc(a->n_windows, sizeof(wn_window *));
    if (!a->seen || !a->order)
        return no_memory(err);
    for (size_t i = 0; i < a->n_single; i++)
        for (size_t j = 0; j < a->windows[i].terms.n; j++)
            a->seen[a->n_seen++] = a->windows[i].terms.terms[j].hash;
    if (n > 1)
        qsort(a->seen, n, sizeof *a->seen, by_value);
    return WN_OK;
}

void wn_attributor_drop_windows(wn_attributor *a)
{
    for (size_t i = 0; i < a->n_windows; i++) {
        wn_terms_free(&a->windows[i].terms);
        free(a->windows[i].vector);
    }
    for (size_t i = 0; a->passages && i < a->options.n_sources; i++)
        wn_terms_free(&a->passages[i]);
    free(a->passages);
    free(a->windows);
    free(a->seen);
    free(a->order);
    free(a->vectors);
    *a = (wn_attributor){.options = a->options};
}

static wn_status cut_windows(wn_attributor *a, wn_error *err)
{
    const wn_attribution *o = &a->options;
    a->passages = wn_alloc(o->n_sources, sizeof *a->passages);
    if (!a->passages)
        return no_memory(err);
    for (size_t i = 0; i < o->n_sources; i++) {
        const wn_source *s = &o->sources[i];
        const char *title = s->title ? s->title : "", *headings = s->headings ? s->headings : "";
        if (!wn_terms_extract(s->text, s->len, &a->passages[i]) ||
            !wn_terms_extract(title, strlen(title), &a->passages[i]) ||
            !wn_terms_extract(headings, strlen(headings), &a->passages[i]))
            return no_memory(err);
        WN_TRY(add_sentences(a, i, err));
    }
    WN_TRY(add_pairs(a, err));
    WN_TRY(count_terms(a, err));
    if (o->embed) {
        a->vectors = wn_alloc(WN_N_EMBEDDED + 2, o->dim * sizeof(float));
        if (!a->vectors)
            return no_memory(err);
    }
    return WN_OK;
}

wn_status wn_attributor_cut_windows(wn_attributor *a, wn_error *err)
{
    wn_status status = cut_windows(a, err);
    a->ready = status == WN_OK;
    if (status != WN_OK)
        wn_attributor_drop_windows(a);
    return status;
}

/* Equal hashes lie together in `seen`. */
size_t wn_attributor_frequency(const wn_attributor *a, uint64_t hash)
{
    size_t low = 0, high = a->n_seen;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (a->seen[mid] < hash)
            low = mid + 1;
        else
            high = mid;
    }
    size_t n = 0;
    while (low + n < a->n_seen && a->seen[low + n] == hash)
        n++;
    return n;
}
