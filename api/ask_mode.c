#include "api/ask_mode.h"

#include <stdio.h>
#include <string.h>

#define OFTEN 3 /* questions after which reading all of it once is likely to pay */

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

/* How a choice is spoken of. */
typedef struct wording {
    const char *what, *fit, *have, *it_serves;
} wording;

static const wording the_corpus = {"the corpus", "fits", "was", "it serves"};
static const wording the_documents = {"the documents found", "fit", "were", "they serve"};

/* The rule. Appends to why, which has n bytes. */
static bool pays(const wn_ask_choice *c, size_t n_passage_tokens, const wording *w, char *why,
                 size_t n)
{
    if (2 * c->n_held >= c->n_tokens)
        snprintf(why, n, "%s %s, and %zu of %zu tokens are held", w->what, w->fit, c->n_held,
                 c->n_tokens);
    else if (2 * c->n_tokens <= 3 * n_passage_tokens)
        snprintf(why, n, "%s %s, in %zu tokens, hardly more than passages would take", w->what,
                 w->fit, c->n_tokens);
    else if (c->n_asked >= OFTEN)
        snprintf(why, n, "%s %s (%zu tokens) and %s asked %zu times before: read once, %s all",
                 w->what, w->fit, c->n_tokens, w->have, c->n_asked, w->it_serves);
    else {
        snprintf(why, n,
                 "%s %s (%zu tokens), but little of that is held, and %s asked %zu times "
                 "before",
                 w->what, w->fit, c->n_tokens, w->have, c->n_asked);
        return false;
    }
    return true;
}

wn_ask_mode wn_ask_mode_choose(const wn_ask_facts *f, char why[WN_ASK_WHY])
{
    int n = 0;
    if (f->corpus.n_tokens && f->corpus.n_tokens <= f->room)
        return pays(&f->corpus, f->n_passage_tokens, &the_corpus, why, WN_ASK_WHY)
                   ? WN_ASK_CORPUS
                   : WN_ASK_PASSAGES;
    if (f->corpus.n_tokens)
        n = snprintf(why, WN_ASK_WHY, "the corpus has %zu tokens, there is room for %zu",
                     f->corpus.n_tokens, f->room);
    else
        n = snprintf(why, WN_ASK_WHY, "the corpus is far larger than the room of %zu tokens",
                     f->room);
    if (f->documents.n_tokens == 0) {
        snprintf(why + n, WN_ASK_WHY - (size_t)n,
                 ", and the documents found do not all fit either");
        return WN_ASK_PASSAGES;
    }
    n += snprintf(why + n, WN_ASK_WHY - (size_t)n, "; ");
    return pays(&f->documents, f->n_passage_tokens, &the_documents, why + n, WN_ASK_WHY - (size_t)n)
               ? WN_ASK_DOCUMENTS
               : WN_ASK_PASSAGES;
}
