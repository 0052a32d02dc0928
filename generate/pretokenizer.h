/* Cuts text into the pieces that byte-pair merging never crosses: the published regular expressions
 * of the model families, matched by hand and exactly, on any bytes.
 *
 *     wn_pretokenizer p = wn_pretokenizer_start(WN_PRE_LLAMA3, text, len);
 *     for (size_t begin = 0; wn_pretokenizer_next(&p); begin = p.pos)
 *         use(text + begin, p.pos - begin);
 *
 * A malformed byte is one character that is no letter, number or space. Linear in len. No state
 * beyond the struct: any thread.
 */
#ifndef WN_GENERATE_PRETOKENIZER_H
#define WN_GENERATE_PRETOKENIZER_H

#include <stdbool.h>
#include <stddef.h>

/* name, description. LLAMA3:
 *   (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|
 *   \s*[\r\n]+|\s+(?!\S)|\s+
 * QWEN2: the same with \p{N}. GPT2:
 *   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 * SMOLLM: every digit alone, then GPT2 on what lies between. */
typedef enum wn_pretokenizer_kind {
    WN_PRE_LLAMA3,
    WN_PRE_QWEN2,
    WN_PRE_GPT2,
    WN_PRE_SMOLLM
} wn_pretokenizer_kind;

#define WN_PRE_LLAMA3_REGEX                                                                        \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "                     \
    "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define WN_PRE_QWEN2_REGEX                                                                         \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "                          \
    "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

typedef struct wn_pretokenizer {
    wn_pretokenizer_kind kind;
    const char *text;
    size_t len;
    size_t pos;   /* end of the last piece = start of the next */
    size_t limit; /* SMOLLM: where the text between two digits ends */
} wn_pretokenizer;

wn_pretokenizer wn_pretokenizer_start(wn_pretokenizer_kind kind, const char *text, size_t len);
bool wn_pretokenizer_next(
    wn_pretokenizer *p); /* false at the end; p->pos moves by >= 1 otherwise */

#endif
