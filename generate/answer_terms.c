/* Words to terms (answer_terms.h). */
#include "generate/answer_terms.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/unicode.h"
#include "base/utf8.h"

#define MAX_WORD 64 /* bytes of a normalised word; the rest of a longer one does not count */

/* Function words: they occur everywhere and support nothing. */
static const char *const stop_words[] = {
    "a",     "about", "after",  "all",       "also",    "an",    "and",      "any",    "are",
    "as",    "at",    "be",     "been",      "being",   "both",  "but",      "by",     "can",
    "could", "did",   "do",     "does",      "each",    "for",   "from",     "had",    "has",
    "have",  "he",    "her",    "here",      "him",     "his",   "how",      "i",      "if",
    "in",    "into",  "is",     "it",        "its",     "may",   "me",       "might",  "more",
    "most",  "my",    "of",     "on",        "or",      "other", "our",      "out",    "over",
    "s",     "she",   "should", "so",        "some",    "such",  "than",     "that",   "the",
    "their", "them",  "then",   "there",     "these",   "they",  "this",     "those",  "to",
    "under", "up",    "us",     "was",       "we",      "were",  "what",     "when",   "where",
    "which", "while", "who",    "whom",      "whose",   "why",   "will",     "with",   "would",
    "you",   "your",  "answer", "according", "passage", "text",  "question", "because"};

static const char *const number_words[][2] = {
    {"zero", "0"},      {"one", "1"},         {"two", "2"},       {"three", "3"},
    {"four", "4"},      {"five", "5"},        {"six", "6"},       {"seven", "7"},
    {"eight", "8"},     {"nine", "9"},        {"ten", "10"},      {"eleven", "11"},
    {"twelve", "12"},   {"thirteen", "13"},   {"fourteen", "14"}, {"fifteen", "15"},
    {"sixteen", "16"},  {"seventeen", "17"},  {"eighteen", "18"}, {"nineteen", "19"},
    {"twenty", "20"},   {"thirty", "30"},     {"forty", "40"},    {"fifty", "50"},
    {"sixty", "60"},    {"seventy", "70"},    {"eighty", "80"},   {"ninety", "90"},
    {"hundred", "100"}, {"thousand", "1000"}, {"first", "1st"},   {"second", "2nd"},
    {"third", "3rd"}};

static bool is_vowel(const char *w, size_t i)
{
    if (strchr("aeiou", w[i]) && w[i])
        return true;
    return w[i] == 'y' && i > 0 && !is_vowel(w, i - 1);
}

static bool has_vowel(const char *w, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (is_vowel(w, i))
            return true;
    return false;
}

static bool ends(const char *w, size_t len, const char *suffix)
{
    size_t n = strlen(suffix);
    return len > n && memcmp(w + len - n, suffix, n) == 0;
}

/* After -ed / -ing: "hopp" -> "hop", "conflat" -> "conflate". */
static size_t repair(char *w, size_t len)
{
    if (ends(w, len, "at") || ends(w, len, "bl") || ends(w, len, "iz")) {
        w[len] = 'e';
        return len + 1;
    }
    if (len > 2 && w[len - 1] == w[len - 2] && !is_vowel(w, len - 1) && !strchr("lsz", w[len - 1]))
        return len - 1;
    return len;
}

size_t wn_terms_stem(char *w, size_t len)
{
    if (len < 4)
        return len;
    if (ends(w, len, "sses") || ends(w, len, "ies"))
        len -= 2;
    else if (ends(w, len, "s") && !ends(w, len, "ss") && !ends(w, len, "us"))
        len -= 1;
    if (ends(w, len, "eed"))
        len -= 1;
    else if (ends(w, len, "ed") && has_vowel(w, len - 2))
        len = repair(w, len - 2);
    else if (ends(w, len, "ing") && has_vowel(w, len - 3))
        len = repair(w, len - 3);
    if (len > 2 && w[len - 1] == 'y' && has_vowel(w, len - 1))
        w[len - 1] = 'i';
    if (len > 4 && w[len - 1] == 'e') /* defense / defensive / defenses meet more often */
        len -= 1;
    return len;
}

static uint64_t hash_bytes(const char *s, size_t len)
{
    uint64_t h = 0xCBF29CE484222325u; /* FNV-1a */
    for (size_t i = 0; i < len; i++)
        h = (h ^ (uint8_t)s[i]) * 0x100000001B3u;
    return h;
}

static bool add_term(wn_term_list *list, uint64_t hash, wn_term_kind kind)
{
    if (list->n == list->cap) {
        size_t cap = list->cap ? 2 * list->cap : 32;
        wn_term *terms = wn_realloc(list->terms, cap, sizeof *terms);
        if (!terms)
            return false;
        list->terms = terms;
        list->cap = cap;
    }
    list->terms[list->n++] = (wn_term){hash, kind};
    return true;
}

/* A word in the making. */
typedef struct word {
    char bytes[MAX_WORD];
    size_t len;
    bool capital, digit, ascii;
} word;

static void word_add(word *w, uint32_t cp)
{
    uint32_t parts[4], lower[3];
    int n = wn_unicode_decompose(cp, parts);
    for (int i = 0; i < n; i++) {
        if (wn_unicode_is_mark_nonspacing(parts[i]))
            continue;
        int m = wn_unicode_lower(parts[i], lower);
        for (int j = 0; j < m; j++) {
            char utf8[4];
            size_t len = wn_utf8_encode(lower[j], utf8);
            if (w->len + len >= MAX_WORD)
                return;
            memcpy(w->bytes + w->len, utf8, len);
            w->len += len;
            w->ascii = w->ascii && lower[j] < 128;
        }
    }
}

static bool is_stop_word(const char *w)
{
    for (size_t i = 0; i < sizeof stop_words / sizeof *stop_words; i++)
        if (strcmp(w, stop_words[i]) == 0)
            return true;
    return false;
}

/* first: the word opens a sentence, where a capital says nothing. */
static bool word_finish(word *w, bool first, wn_term_list *out)
{
    wn_term_kind kind = WN_TERM_WORD;
    const char *bytes = w->bytes;
    size_t len = w->len;
    w->bytes[len] = '\0';
    bool skip = len == 0 || (w->ascii && is_stop_word(w->bytes));
    if (w->digit)
        kind = WN_TERM_NUMBER;
    else if (w->capital && !first)
        kind = WN_TERM_NAME;
    for (size_t i = 0; w->ascii && i < sizeof number_words / sizeof *number_words; i++)
        if (strcmp(w->bytes, number_words[i][0]) == 0) {
            bytes = number_words[i][1];
            len = strlen(bytes);
            kind = WN_TERM_NUMBER;
        }
    if (w->ascii && kind != WN_TERM_NUMBER)
        len = wn_terms_stem(w->bytes, len);
    uint64_t hash = hash_bytes(bytes, len);
    *w = (word){.ascii = true};
    return skip || add_term(out, hash, kind);
}

static int by_hash(const void *a, const void *b)
{
    const wn_term *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return (int)y->kind - (int)x->kind; /* strongest first */
}

static void sort_unique(wn_term_list *list)
{
    size_t n = 0;
    if (list->n > 1)
        qsort(list->terms, list->n, sizeof *list->terms, by_hash);
    for (size_t i = 0; i < list->n; i++)
        if (n == 0 || list->terms[n - 1].hash != list->terms[i].hash)
            list->terms[n++] = list->terms[i];
    list->n = n;
}

/* Inside a number: "1,000" and "3.14" hold together. */
static bool joins_digits(const char *text, size_t len, size_t at, uint32_t cp, const word *w)
{
    return (cp == ',' || cp == '.') && w->digit && at + 1 < len && text[at + 1] >= '0' &&
           text[at + 1] <= '9';
}

bool wn_terms_extract(const char *text, size_t len, wn_term_list *out)
{
    word w = {.ascii = true};
    bool first = true, ok = true;
    for (size_t at = 0, n = 0; at < len && ok; at += n) {
        uint32_t cp = 0;
        n = wn_utf8_decode(text + at, len - at, &cp);
        bool letter = wn_unicode_is_letter(cp), number = wn_unicode_is_number(cp);
        if (wn_unicode_is_cjk(cp)) {
            ok = (w.len == 0 || word_finish(&w, first, out));
            word_add(&w, cp);
            ok = ok && word_finish(&w, true, out);
        } else if (letter || number || (w.len && wn_unicode_is_mark_nonspacing(cp))) {
            uint32_t lower[3];
            if (w.len == 0 && letter)
                w.capital = wn_unicode_lower(cp, lower) != 1 || lower[0] != cp;
            w.digit = w.digit || number;
            word_add(&w, cp);
        } else if (joins_digits(text, len, at, cp, &w)) {
            if (cp == '.')
                word_add(&w, cp);
        } else if ((cp == '\'' || cp == 0x2019) && w.len && at + n < len) {
            /* "Porter's" ends here and the "s" is a stop word; "don't" is "don" and "t" */
            ok = word_finish(&w, first, out);
            first = false;
        } else {
            if (w.len) {
                ok = word_finish(&w, first, out);
                first = false;
            }
            first = first || cp == '.' || cp == '!' || cp == '?' || cp == '\n';
        }
    }
    if (ok && w.len)
        ok = word_finish(&w, first, out);
    sort_unique(out);
    return ok;
}

const wn_term *wn_terms_find(const wn_term_list *list, uint64_t hash)
{
    size_t low = 0, high = list->n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (list->terms[mid].hash < hash)
            low = mid + 1;
        else
            high = mid;
    }
    return low < list->n && list->terms[low].hash == hash ? &list->terms[low] : NULL;
}

void wn_terms_free(wn_term_list *list)
{
    free(list->terms);
    *list = (wn_term_list){0};
}
