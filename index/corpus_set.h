/* The folder of all corpora: names, listing, deletion.
 *
 * Names: 1 to 64 of [a-z0-9_-], beginning with a letter or digit; anything else is WN_INVALID (no
 * name can leave the folder). */
#ifndef WN_INDEX_CORPUS_SET_H
#define WN_INDEX_CORPUS_SET_H

#include "index/corpus.h"

bool wn_corpus_name_valid(const char *name);
/* Opens <root>/<name>. WN_NOT_FOUND names the corpora that exist (unless CREATE). */
wn_status wn_corpus_set_open(wn_corpus **out, const char *root, const char *name, unsigned mode,
                             wn_error *err);
typedef wn_status (*wn_corpus_visit_fn)(void *ctx, const char *name, wn_error *err);
wn_status wn_corpus_set_list(const char *root, wn_corpus_visit_fn visit, void *ctx, wn_error *err);
wn_status wn_corpus_set_delete(const char *root, const char *name, wn_error *err);

#endif
