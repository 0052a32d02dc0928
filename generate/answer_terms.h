/* The words of a text as comparable terms: lower case, without accents, stemmed, stop words left
 * out. Two texts that share terms speak of the same things; citation.h weighs them.
 *
 *     wn_term_list t = {0};
 *     if (!wn_terms_extract(text, len, &t)) ... // memory is out
 *     for (size_t i = 0; i < t.n; i++) use(t.terms[i].hash, t.terms[i].kind);
 *     wn_terms_free(&t);
 *
 * Number words up to twenty and the tens equal their digits ("four" = "4"), "1,000" equals "1000";
 * each character of scripts without blanks (CJK) is a term. Pure functions; any thread.
 */
#ifndef WN_GENERATE_ANSWER_TERMS_H
#define WN_GENERATE_ANSWER_TERMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum wn_term_kind {
    WN_TERM_WORD,
    WN_TERM_NAME,  /* capital inside a sentence */
    WN_TERM_NUMBER /* has a digit, or is a number word */
} wn_term_kind;

typedef struct wn_term {
    uint64_t hash; /* of the stemmed word */
    wn_term_kind kind;
} wn_term;

typedef struct wn_term_list {
    wn_term *terms; /* sorted by hash, each once (the strongest kind) */
    size_t n, cap;
} wn_term_list;

/* Adds the terms of text to *out (which may hold some already). false: memory is out. */
bool wn_terms_extract(const char *text, size_t len, wn_term_list *out);
const wn_term *wn_terms_find(const wn_term_list *list, uint64_t hash); /* or NULL */
void wn_terms_free(wn_term_list *list);                                /* back to {0} */

/* Porter's step 1 in place on a lower-case ASCII word: plurals, -ed, -ing, final y. Returns the new
 * length. Exported for its test. */
size_t wn_terms_stem(char *word, size_t len);

#endif
