/* Any bytes as a question: SQLite accepts the query made of them, and the words of the question are
 * found in a text that holds it. */
#include <sqlite3.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "index/fts_query.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static sqlite3 *open_index(void)
{
    sqlite3 *db = NULL;
    if (sqlite3_open(":memory:", &db) != SQLITE_OK ||
        sqlite3_exec(db,
                     "CREATE VIRTUAL TABLE t USING fts5(heading, body,"
                     " tokenize='porter unicode61 remove_diacritics 2');"
                     "INSERT INTO t VALUES ('a title', 'some words of a body')",
                     NULL, NULL, NULL) != SQLITE_OK)
        abort();
    return db;
}

static void run_query(sqlite3_stmt *s, const char *query)
{
    int rc = SQLITE_ROW;
    sqlite3_bind_text(s, 1, query, -1, SQLITE_STATIC);
    while (rc == SQLITE_ROW)
        rc = sqlite3_step(s);
    if (rc != SQLITE_DONE)
        abort();
    sqlite3_reset(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static sqlite3 *db;
    static sqlite3_stmt *s;
    wn_fts_words words;
    char *query = NULL;
    if (!db)
        db = open_index();
    if (!s &&
        sqlite3_prepare_v2(db, "SELECT bm25(t) FROM t WHERE t MATCH ?1", -1, &s, NULL) != SQLITE_OK)
        abort();
    if (wn_fts_words_split(&words, (const char *)data, size, NULL) != WN_OK ||
        wn_fts_words_query(&words, &query, NULL) != WN_OK || (words.n > 0) != (query != NULL))
        abort();
    for (size_t i = 0; i < words.n; i++) {
        size_t len = strlen(words.items[i].quoted);
        if (len < 3 || len > WN_FTS_MAX_WORD_BYTES + 2 ||
            memchr(words.items[i].quoted + 1, '"', len - 2))
            abort();
        run_query(s, words.items[i].quoted); /* as the counting of common words does */
    }
    if (query)
        run_query(s, query);
    free(query);
    wn_fts_words_free(&words);
    return 0;
}
