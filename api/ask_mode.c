#include "api/ask_mode.h"

#include <stdio.h>
#include <string.h>

#define OFTEN 3 /* questions after which reading the whole corpus once is likely to pay */

static const char *const names[] = {[WN_ASK_PASSAGES] = "passages",
                                    [WN_ASK_DOCUMENTS] = "documents",
                                    [WN_ASK_CORPUS] = "corpus",
                                    [WN_ASK_AUTO] = "auto"};
#define N_MODES (sizeof names / sizeof names[0])

const char *wn_ask_mode_name(wn_ask_mode mode)
{
    return names[mode];
}

bool wn_ask_mode_parse(const char *name, wn_ask_mode *out)
{
    for (size_t i = 0; i < N_MODES; i++) {
        if (strcmp(names[i], name) != 0)
            continue;
        *out = (wn_ask_mode)i;
        return true;
    }
    return false;
}

wn_ask_mode wn_ask_mode_choose(const wn_ask_facts *f, char why[WN_ASK_WHY])
{
    if (f->corpus_tokens == 0 || f->corpus_tokens > f->room) {
        if (f->corpus_tokens)
            snprintf(why, WN_ASK_WHY, "the corpus has %zu tokens, there is room for %zu",
                     f->corpus_tokens, f->room);
        else
            snprintf(why, WN_ASK_WHY, "the corpus is far larger than the room of %zu tokens",
                     f->room);
        return WN_ASK_PASSAGES;
    }
    if (2 * f->held_tokens >= f->corpus_tokens)
        snprintf(why, WN_ASK_WHY, "the corpus fits, and %zu of its %zu tokens are held",
                 f->held_tokens, f->corpus_tokens);
    else if (2 * f->corpus_tokens <= 3 * f->passages_tokens)
        snprintf(why, WN_ASK_WHY, "the corpus has %zu tokens, hardly more than passages would",
                 f->corpus_tokens);
    else if (f->n_asked >= OFTEN)
        snprintf(why, WN_ASK_WHY,
                 "the corpus fits (%zu tokens) and was asked %zu times before: read once, it "
                 "serves all",
                 f->corpus_tokens, f->n_asked);
    else {
        snprintf(why, WN_ASK_WHY,
                 "the corpus fits (%zu tokens), but little of it is held and it was asked %zu "
                 "times before",
                 f->corpus_tokens, f->n_asked);
        return WN_ASK_PASSAGES;
    }
    return WN_ASK_CORPUS;
}
