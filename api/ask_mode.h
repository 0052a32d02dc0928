/* What an answer is read from: passages, whole documents, or the whole corpus.
 *
 *     if (!wn_ask_mode_parse("documents", &mode)) ...
 *     mode = wn_ask_mode_choose(&facts, why);     // for WN_ASK_AUTO
 *
 * Pure functions; any thread.
 */
#ifndef WN_API_ASK_MODE_H
#define WN_API_ASK_MODE_H

#include <stdbool.h>
#include <stddef.h>

typedef enum wn_ask_mode {
    WN_ASK_PASSAGES,  /* the passages that search finds */
    WN_ASK_DOCUMENTS, /* the documents that those stand in, whole, as many of the best as fit */
    WN_ASK_CORPUS,    /* all documents; an error where they do not fit */
    WN_ASK_AUTO       /* the corpus where that is cheap, passages elsewhere */
} wn_ask_mode;

const char *wn_ask_mode_name(wn_ask_mode mode);
bool wn_ask_mode_parse(const char *name, wn_ask_mode *out); /* false: no such mode */

/* Tokens are those of the model that answers. */
typedef struct wn_ask_facts {
    size_t corpus_tokens;   /* the prompt's with all documents; 0: more than could ever fit */
    size_t room;            /* for a prompt, beside the answer */
    size_t held_tokens;     /* of the corpus' prompt, that need not be read: in memory or on disk */
    size_t n_asked;         /* questions to this corpus, as it is, before this one */
    size_t passages_tokens; /* about as many would passages take */
} wn_ask_facts;

#define WN_ASK_WHY 200
/* Reading the corpus pays where most of it is held, where it is hardly more than the passages, or
 * where questions keep coming (its prefix serves them all). why says so in words. */
wn_ask_mode wn_ask_mode_choose(const wn_ask_facts *facts, char why[WN_ASK_WHY]);

#endif
