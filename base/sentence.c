#include "base/sentence.h"

#include <stdint.h>
#include <string.h>

#include "base/unicode.h"
#include "base/utf8.h"

/* What an abbreviation says about the full stop behind it. */
typedef enum abbreviation {
    ABBREVIATION_NONE,
    ABBREVIATION_OPEN,   /* never the last word: "Dr.", "e.g." */
    ABBREVIATION_NUMBER, /* only before a number: "No. 5", else "no" the word */
    ABBREVIATION_CLOSE   /* may end a sentence: "etc.", "Inc.", "U.S." */
} abbreviation;

static const struct {
    const char *word; /* lower case, without the last full stop */
    abbreviation kind;
} abbreviations[] = {
    {"mr", ABBREVIATION_OPEN},     {"mrs", ABBREVIATION_OPEN},   {"ms", ABBREVIATION_OPEN},
    {"dr", ABBREVIATION_OPEN},     {"prof", ABBREVIATION_OPEN},  {"st", ABBREVIATION_CLOSE},
    {"vs", ABBREVIATION_OPEN},     {"e.g", ABBREVIATION_OPEN},   {"i.e", ABBREVIATION_OPEN},
    {"eg", ABBREVIATION_OPEN},     {"ie", ABBREVIATION_OPEN},    {"cf", ABBREVIATION_OPEN},
    {"fig", ABBREVIATION_OPEN},    {"figs", ABBREVIATION_OPEN},  {"eq", ABBREVIATION_OPEN},
    {"eqs", ABBREVIATION_OPEN},    {"ref", ABBREVIATION_OPEN},   {"refs", ABBREVIATION_OPEN},
    {"vol", ABBREVIATION_OPEN},    {"vols", ABBREVIATION_OPEN},  {"pp", ABBREVIATION_OPEN},
    {"approx", ABBREVIATION_OPEN}, {"ca", ABBREVIATION_OPEN},    {"viz", ABBREVIATION_OPEN},
    {"gen", ABBREVIATION_OPEN},    {"col", ABBREVIATION_OPEN},   {"capt", ABBREVIATION_OPEN},
    {"lt", ABBREVIATION_OPEN},     {"sgt", ABBREVIATION_OPEN},   {"rev", ABBREVIATION_OPEN},
    {"hon", ABBREVIATION_OPEN},    {"gov", ABBREVIATION_OPEN},   {"sen", ABBREVIATION_OPEN},
    {"rep", ABBREVIATION_OPEN},    {"mt", ABBREVIATION_OPEN},    {"messrs", ABBREVIATION_OPEN},
    {"no", ABBREVIATION_NUMBER},   {"nos", ABBREVIATION_NUMBER}, {"p", ABBREVIATION_NUMBER},
    {"sec", ABBREVIATION_NUMBER},  {"ch", ABBREVIATION_NUMBER},  {"art", ABBREVIATION_NUMBER},
    {"jan", ABBREVIATION_NUMBER},  {"feb", ABBREVIATION_NUMBER}, {"mar", ABBREVIATION_NUMBER},
    {"apr", ABBREVIATION_NUMBER},  {"jun", ABBREVIATION_NUMBER}, {"jul", ABBREVIATION_NUMBER},
    {"aug", ABBREVIATION_NUMBER},  {"sep", ABBREVIATION_NUMBER}, {"sept", ABBREVIATION_NUMBER},
    {"oct", ABBREVIATION_NUMBER},  {"nov", ABBREVIATION_NUMBER}, {"dec", ABBREVIATION_NUMBER},
    {"etc", ABBREVIATION_CLOSE},   {"inc", ABBREVIATION_CLOSE},  {"ltd", ABBREVIATION_CLOSE},
    {"co", ABBREVIATION_CLOSE},    {"corp", ABBREVIATION_CLOSE}, {"bros", ABBREVIATION_CLOSE},
    {"jr", ABBREVIATION_CLOSE},    {"sr", ABBREVIATION_CLOSE},   {"al", ABBREVIATION_CLOSE},
    {"esq", ABBREVIATION_CLOSE},   {"dept", ABBREVIATION_CLOSE}, {"ed", ABBREVIATION_CLOSE},
    {"eds", ABBREVIATION_CLOSE},   {"est", ABBREVIATION_CLOSE},
};

/* Words that so often begin a sentence that one is begun even after "Inc." or an initial. */
static const char *const starters[] = {
    "a",     "an",   "the",   "this", "that",  "these", "those", "it",      "its",  "he",  "she",
    "we",    "they", "you",   "his",  "her",   "their", "our",   "there",   "here", "if",  "in",
    "on",    "at",   "for",   "from", "as",    "to",    "but",   "and",     "or",   "so",  "when",
    "while", "what", "where", "who",  "after", "then",  "both",  "however", "not",  "with"};

static bool is_blank(uint32_t cp)
{
    return wn_unicode_is_space(cp);
}

/* Lower-case letters of the scripts that have case; caseless letters (CJK, Arabic) are not. */
static bool is_lower(uint32_t cp)
{
    if (cp < 128)
        return cp >= 'a' && cp <= 'z';
    if (!(cp < 0x590 || (cp >= 0x1E00 && cp < 0x2000)) || !wn_unicode_is_letter(cp))
        return false;
    uint32_t out[3];
    return wn_unicode_lower(cp, out) == 1 && out[0] == cp;
}

static bool is_terminator(uint32_t cp)
{
    return cp == '.' || cp == '!' || cp == '?' || cp == 0x2026 /* ellipsis */ || cp == 0x203C ||
           cp == 0x203D || (cp >= 0x2047 && cp <= 0x2049) /* double ! and ? */;
}

/* Full stops of scripts that put no blank behind them, or have no case to look at. */
static bool is_strong_terminator(uint32_t cp)
{
    return cp == 0x3002 || cp == 0xFF01 || cp == 0xFF1F || cp == 0xFF61 || cp == 0xFF0E ||
           cp == 0x061F || cp == 0x06D4 || cp == 0x0964 || cp == 0x0965 || cp == 0x1362;
}

static bool is_closer(uint32_t cp)
{
    return cp == '"' || cp == '\'' || cp == ')' || cp == ']' || cp == '}' || cp == '*' ||
           cp == '_' || cp == 0x201D || cp == 0x2019 || cp == 0xBB || cp == 0x203A ||
           cp == 0x300D || cp == 0x300F || cp == 0xFF09 || cp == 0x3011 || cp == 0x300B;
}

/* Opening marks in front of the first letter of a sentence. */
static bool is_opener(uint32_t cp)
{
    return cp == '"' || cp == '\'' || cp == '(' || cp == '[' || cp == '*' || cp == '_' ||
           cp == 0x201C || cp == 0x2018 || cp == 0xAB || cp == 0x2039;
}

/* A [12] mark at `at`, after at most one space: the position behind it, or `at`. */
static size_t skip_reference(const char *text, size_t len, size_t at)
{
    size_t i = at < len && text[at] == ' ' ? at + 1 : at;
    if (i >= len || text[i] != '[')
        return at;
    size_t digits = 0;
    for (i++; i < len && digits < 4 && text[i] >= '0' && text[i] <= '9'; i++)
        digits++;
    return digits && i < len && text[i] == ']' ? i + 1 : at;
}

static size_t skip_references(const char *text, size_t len, size_t at)
{
    for (;;) {
        size_t next = skip_reference(text, len, at);
        if (next == at)
            return at;
        at = next;
    }
}

/* Does the line that begins at `at` start something new: nothing, a list item, a heading, a row? */
static bool line_starts_block(const char *text, size_t len, size_t at)
{
    while (at < len && (text[at] == ' ' || text[at] == '\t' || text[at] == '\r'))
        at++;
    if (at >= len || text[at] == '\n')
        return true;
    char c = text[at];
    if (c == '|' || c == '#')
        return true;
    if (c == '-' || c == '*' || c == '+')
        return at + 1 < len && text[at + 1] == ' ';
    if (len - at >= 3 && memcmp(text + at, "\xE2\x80\xA2", 3) == 0) /* bullet */
        return true;
    size_t digits = 0;
    while (at < len && digits < 4 && text[at] >= '0' && text[at] <= '9')
        at++, digits++;
    return digits && len - at >= 2 && (text[at] == '.' || text[at] == ')') && text[at + 1] == ' ';
}

/* The word at text[start..) in lower case; letters only; "" when it is no ASCII word that fits. */
static void read_word(const char *text, size_t len, size_t start, char *out, size_t cap)
{
    size_t n = 0;
    while (start + n < len && n + 1 < cap) {
        char c = text[start + n];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        if (c < 'a' || c > 'z')
            break;
        out[n++] = c;
    }
    out[n] = '\0';
}

static bool is_starter(const char *text, size_t len, size_t at)
{
    char word[12];
    read_word(text, len, at, word, sizeof word);
    for (size_t i = 0; i < sizeof starters / sizeof *starters; i++)
        if (strcmp(word, starters[i]) == 0)
            return true;
    return false;
}

/* The kind of the word that ends at `stop` (the position of its full stop). first: the sentence's
 * first byte. Single capitals and words with inner full stops are abbreviations too. */
static abbreviation classify(const char *text, size_t first, size_t stop)
{
    char word[12];
    size_t n = 0, start = stop;
    bool inner = false, digits = true;
    while (start > first && stop - start < sizeof word) {
        unsigned char c = (unsigned char)text[start - 1];
        bool letter = (c | 32) >= 'a' && (c | 32) <= 'z';
        if (!letter && c != '.' && !(c >= '0' && c <= '9') && c < 128)
            break;
        digits = digits && c >= '0' && c <= '9';
        inner = inner || c == '.';
        start--;
    }
    size_t length = stop - start;
    if (length == 0 || length >= sizeof word)
        return ABBREVIATION_NONE;
    if (digits && start == first && length <= 3)
        return ABBREVIATION_OPEN; /* "1. Introduction": the number of a list item */
    if (length == 1 && text[start] >= 'A' && text[start] <= 'Z')
        return ABBREVIATION_CLOSE;
    for (; n < length; n++) {
        char c = text[start + n];
        word[n] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    word[n] = '\0';
    for (size_t i = 0; i < sizeof abbreviations / sizeof *abbreviations; i++)
        if (strcmp(word, abbreviations[i].word) == 0)
            return abbreviations[i].kind;
    bool letters = (text[stop - 1] | 32) >= 'a' && (text[stop - 1] | 32) <= 'z';
    return inner && letters && length <= 7 ? ABBREVIATION_CLOSE : ABBREVIATION_NONE; /* "Ph.D" */
}

/* Does a sentence end at the single full stop at `stop`, the next word being at `next`? */
static bool stop_ends(const char *text, size_t len, size_t first, size_t stop, size_t next)
{
    uint32_t cp = 0;
    wn_utf8_decode(text + next, len - next, &cp);
    switch (classify(text, first, stop)) {
    case ABBREVIATION_OPEN:
        return false;
    case ABBREVIATION_NUMBER:
        return !(cp >= '0' && cp <= '9');
    case ABBREVIATION_CLOSE:
        return is_starter(text, len, next);
    case ABBREVIATION_NONE:
        break;
    }
    return true;
}

/* `at` is behind a run of terminators that began at `run`, and behind closers; is this the end? */
static bool run_ends(const char *text, size_t len, size_t first, size_t run, size_t run_end,
                     size_t at)
{
    uint32_t cp = 0;
    size_t next = at;
    while (next < len) { /* blanks, then opening quotes */
        size_t n = wn_utf8_decode(text + next, len - next, &cp);
        if (!is_blank(cp))
            break;
        if (cp == '\n' && line_starts_block(text, len, next + n))
            return true;
        next += n;
    }
    if (next >= len)
        return true;
    if (next == at)
        return false; /* no blank: 3.14, example.com */
    size_t word = next;
    while (word < len) {
        size_t n = wn_utf8_decode(text + word, len - word, &cp);
        if (!is_opener(cp))
            break;
        word += n;
    }
    if (word < len && is_lower(cp))
        return false;
    if (word < len && run_end - run == 1 && text[run] == '.' && at == run_end)
        return stop_ends(text, len, first, run, word);
    return true;
}

/* The run of terminators and closers at `at`: *end behind it; true when the sentence ends there. */
static bool try_end(const char *text, size_t len, size_t first, size_t at, bool strong, size_t *end)
{
    size_t run = at, run_end = at, n = 0;
    uint32_t cp = 0;
    while (at < len && (n = wn_utf8_decode(text + at, len - at, &cp)) > 0 &&
           (is_terminator(cp) || is_strong_terminator(cp))) {
        strong = strong || is_strong_terminator(cp);
        at += n;
    }
    run_end = at;
    while (at < len && (n = wn_utf8_decode(text + at, len - at, &cp)) > 0 && is_closer(cp))
        at += n;
    at = skip_references(text, len, at);
    *end = at;
    return strong || run_ends(text, len, first, run, run_end, at);
}

bool wn_sentence_next(const char *text, size_t len, size_t *at, wn_sentence *out)
{
    size_t i = *at;
    uint32_t cp = 0;
    while (i < len) {
        size_t n = wn_utf8_decode(text + i, len - i, &cp);
        if (!is_blank(cp))
            break;
        i += n;
    }
    if (i >= len) {
        *at = len;
        return false;
    }
    *out = (wn_sentence){.start = i, .end = i};
    while (i < len) {
        size_t n = wn_utf8_decode(text + i, len - i, &cp);
        if (is_blank(cp)) {
            if (cp == '\n' && line_starts_block(text, len, i + n))
                break;
            i += n;
            continue;
        }
        if (is_terminator(cp) || is_strong_terminator(cp)) {
            bool ends = try_end(text, len, out->start, i, is_strong_terminator(cp), &i);
            out->end = i;
            if (ends)
                break;
            continue;
        }
        i += n;
        out->end = i;
    }
    *at = out->end;
    return true;
}
