/* From any UTF-8 question to an FTS5 query. FTS5's MATCH is a query language; nothing of it reaches
 * users: a question is a set of words (runs of letters, numbers and marks), each quoted, joined by
 * OR.
 *
 *     WN_TRY(wn_fts_words_split(&words, text, len, err));
 *     ... words.items[i].keep = false ...                    // drop what is too common
 *     WN_TRY(wn_fts_words_query(&words, &query, err));       // "\"ownership\" OR \"rust\"", NULL
 * if none wn_fts_words_free(&words);
 */
#ifndef WN_INDEX_FTS_QUERY_H
#define WN_INDEX_FTS_QUERY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

enum {
    WN_FTS_MAX_WORDS = 64,      /* further words of a question are not looked for */
    WN_FTS_MAX_WORD_BYTES = 128 /* longer runs are no words */
};

typedef struct wn_fts_word {
    char *quoted; /* "\"word\"", lower case: an FTS5 query by itself */
    bool keep;
} wn_fts_word;

typedef struct wn_fts_words {
    wn_fts_word items[WN_FTS_MAX_WORDS]; /* distinct, in the question's order */
    size_t n;
} wn_fts_words;

/* Malformed UTF-8 separates words. Caller frees, after a failure too. */
wn_status wn_fts_words_split(wn_fts_words *out, const char *text, size_t len, wn_error *err);
void wn_fts_words_free(wn_fts_words *words);
/* *query is a new string of the kept words; NULL when there are none. */
wn_status wn_fts_words_query(const wn_fts_words *words, char **query, wn_error *err);

#endif
