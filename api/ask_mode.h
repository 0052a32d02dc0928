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
    WN_ASK_AUTO       /* the largest of these that is cheap: see wn_ask_mode_choose */
} wn_ask_mode;

const char *wn_ask_mode_name(wn_ask_mode mode);
bool wn_ask_mode_parse(const char *name, wn_ask_mode *out); /* false: no such mode */

/* What could be read. Tokens are those of the model that answers. */
typedef struct wn_ask_choice {
    size_t n_tokens; /* of the whole prompt; 0: it cannot be read, at any rate not all of it */
    size_t n_held;   /* of them, that need not be read: in memory or on disk */
    size_t n_asked;  /* questions before this one that could have been answered from it as it is */
} wn_ask_choice;

typedef struct wn_ask_facts {
    size_t room;             /* for a prompt, beside the answer */
    size_t n_passage_tokens; /* about as many would passages take */
    wn_ask_choice corpus;
    wn_ask_choice documents; /* all that the passages found stand in; looked at where the corpus
                                does not fit */
} wn_ask_facts;

#define WN_ASK_WHY 240
/* The corpus, or where it does not fit the documents that the passages stand in, if reading that
 * pays: because most of it is held, because it is hardly more than the passages, or because
 * questions to it keep coming, which its prefix will all serve. Passages otherwise. why says so in
 * words. */
wn_ask_mode wn_ask_mode_choose(const wn_ask_facts *facts, char why[WN_ASK_WHY]);

#endif
