/* The block of metadata at the beginning of Markdown files: YAML between --- lines, TOML between
 * +++. Only the title is read from it. */
#ifndef WN_INGEST_FRONT_MATTER_H
#define WN_INGEST_FRONT_MATTER_H

#include <stddef.h>

#include "ingest/doc_builder.h"

/* Sets the document's title, if one is stated; returns the bytes to skip, 0 without front matter.
 */
size_t wn_front_matter_read(const char *text, size_t len, wn_doc_builder *out);

#endif
