/* Splits running text into sentences: passages overlap on sentence borders, and answers are cited
 * sentence by sentence, with the same rules.
 *
 *     wn_sentence s;
 *     for (size_t at = 0; wn_sentence_next(text, len, &at, &s);)
 *         printf("%.*s\n", (int)(s.end - s.start), text + s.start);
 *
 * A sentence ends at . ! ? and ellipses followed by a blank (closing quotes and brackets and [1]
 * marks belong to it), at the full stops of CJK, Arabic and Indic scripts, at an empty line, and
 * before a line that begins a list item, a heading or a table row. It does not end inside decimals
 * and names (3.14, example.com), after abbreviations and initials (Dr. J. Watson, e.g. this), or
 * when the next word is in lower case ("Why?" he said). The abbreviations known are English ones.
 * Input that is not UTF-8 is read as replacement characters. Pure function; any thread; linear
 * time.
 */
#ifndef WN_BASE_SENTENCE_H
#define WN_BASE_SENTENCE_H

#include <stdbool.h>
#include <stddef.h>

typedef struct wn_sentence {
    size_t start, end; /* bytes of the text; both ends are without blanks; end > start */
} wn_sentence;

/* The next sentence at or after *at, which moves behind it. false: nothing but blanks is left.
 * Every byte that is not blank is in exactly one sentence. */
bool wn_sentence_next(const char *text, size_t len, size_t *at, wn_sentence *out);

#endif
