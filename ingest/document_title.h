/* The title under which a document is searched and shown: its own, with what its file name adds.
 *
 *     "What Is Ownership?", "ch04-01-what-is-ownership.md"  -> "What Is Ownership?"
 *     "PDF Example Document", "zen-of-python.pdf"            -> "PDF Example Document (zen of
 * python)"
 *     "", "state_of_the_union-1962.txt"                      -> "state of the union 1962"
 *
 * People name files after what is in them, and documents' own titles are often empty or a tool's
 * default. Pure function. */
#ifndef WN_INGEST_DOCUMENT_TITLE_H
#define WN_INGEST_DOCUMENT_TITLE_H

#include "base/status.h"

/* *out is a new string. A name whose words of three or more letters all stand in the title adds
 * nothing. */
wn_status wn_document_title(char **out, const char *title, const char *path, wn_error *err);

#endif
