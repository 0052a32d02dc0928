/* Needles themselves: see kv_needle.h. */
#include <stdio.h>
#include <string.h>

#include "api/kv_needle.h"
#include "base/splitmix.h"
#include "base/utf8.h"

#define LOOK_AHEAD 600 /* bytes: a long sentence */

/* Of two or three tokens, and none a word of the texts that people try this with. */
static const char *const names[WN_NEEDLE_NAMES] = {
    "Aldwin",  "Brenna",  "Corvin",  "Delphine", "Edric",   "Fenella",  "Gideon",  "Hestia",
    "Ivor",    "Jocasta", "Kestrel", "Leopold",  "Mirabel", "Nestor",   "Ottilie", "Percival",
    "Quentin", "Rosalba", "Silvan",  "Tamsin",   "Ulric",   "Verena",   "Wilfred", "Xanthe",
    "Yorick",  "Zelda",   "Ambrose", "Beatrix",  "Cyprian", "Dorothea", "Ephraim", "Florian"};

static bool has_number(const wn_needle *needles, size_t n, unsigned number)
{
    for (size_t i = 0; i < n; i++)
        if (needles[i].number == number)
            return true;
    return false;
}

void wn_needles_draw(uint64_t seed, wn_needle *out, size_t n)
{
    size_t order[WN_NEEDLE_NAMES];
    for (size_t i = 0; i < WN_NEEDLE_NAMES; i++)
        order[i] = i;
    for (size_t i = 0; i < n; i++) {
        const size_t other = i + (size_t)(wn_splitmix_next(&seed) % (WN_NEEDLE_NAMES - i));
        const size_t name = order[other];
        order[other] = order[i];
        order[i] = name;
        out[i] = (wn_needle){0};
        snprintf(out[i].name, sizeof out[i].name, "%s", names[name]);
        do
            out[i].number = 1000 + (unsigned)(wn_splitmix_next(&seed) % 9000);
        while (has_number(out, i, out[i].number));
    }
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

size_t wn_needle_place(const char *text, size_t len, size_t at)
{
    const size_t end = len - at < LOOK_AHEAD ? len : at + LOOK_AHEAD;
    for (size_t i = at; i < end; i++) {
        const bool sentence =
            i > 0 && text[i - 1] && strchr(".!?", text[i - 1]) && is_blank(text[i]);
        if (sentence || (i > 1 && text[i - 1] == '\n' && text[i - 2] == '\n'))
            return i;
    }
    for (size_t i = at; i < end; i++)
        if (is_blank(text[i]))
            return i;
    return at < len ? wn_utf8_floor(text, at) : len;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool wn_needle_found(const wn_needle *needle, const char *answer)
{
    for (const char *c = answer; *c;) {
        unsigned long value = 0;
        size_t n = 0;
        /* "4,821" is a number as well */
        for (; is_digit(*c) || (n > 0 && *c == ',' && is_digit(c[1])); c++)
            if (is_digit(*c)) {
                value = n < 9 ? 10 * value + (unsigned long)(*c - '0') : value;
                n++;
            }
        if (n == 4 && value == needle->number)
            return true;
        c += n == 0;
    }
    return false;
}
