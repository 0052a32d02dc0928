/* Needles in a haystack: sentences with made-up facts at given depths of a long text, and a
 * question about each behind it (kv_quiz.h). One text holds a needle at every depth, is read once
 * with all keys and once at each operating point, and is asked about each of them.
 *
 *     const wn_kv_needle_options o = {.quiz = {.model = m, ...}, .n_tokens = 8192, .depths = &d,
 *                                     .n_rounds = 5, .texts = texts, .n_texts = 2};
 *     WN_TRY(wn_kv_needle_run(&o, &sides, found, err));     // found [sides.n][d.n], of n_rounds
 *
 * Found is a needle whose number, and nothing longer, stands in the answer. Source of the test:
 * G. Kamradt, "Needle in a haystack", 2023.
 */
#ifndef WN_API_KV_NEEDLE_H
#define WN_API_KV_NEEDLE_H

#include "api/kv_lengths.h"
#include "api/kv_quiz.h"

typedef struct wn_kv_haystack {
    const char *name, *text;
    size_t len;
} wn_kv_haystack;

typedef struct wn_kv_needle_options {
    wn_kv_quiz quiz;             /* model, compute, kv_format, heads, progress */
    size_t n_tokens;             /* of text, question and answer; within the model's context */
    const wn_kv_lengths *depths; /* percent of the text, 2 to 99 */
    size_t n_rounds;             /* each with other needles in another piece of a text */
    const wn_kv_haystack *texts; /* taken in turn */
    size_t n_texts;
    uint64_t seed;
} wn_kv_needle_options;

/* Adds to found [sides->n][depths->n]. WN_INVALID, with its name, for a text that is too short. */
wn_status wn_kv_needle_run(const wn_kv_needle_options *o, wn_kv_sides *sides, size_t *found,
                           wn_error *err);

/* Exposed for tests. */
typedef struct wn_needle {
    char name[16];
    unsigned number; /* of four digits */
} wn_needle;
/* n <= WN_NEEDLE_NAMES needles, no name and no number twice; the same for the same seed. */
#define WN_NEEDLE_NAMES 32
void wn_needles_draw(uint64_t seed, wn_needle *out, size_t n);
/* Where a sentence can be put in at `at` or soon behind it: behind the end of a sentence or of a
 * paragraph, else before a word, else at a character. */
size_t wn_needle_place(const char *text, size_t len, size_t at);
bool wn_needle_found(const wn_needle *needle, const char *answer);

#endif
