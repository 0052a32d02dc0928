/* For the fuzz targets of document formats: parse, cut, and check what must hold for any input: the
 * frame's rules (wn_doc_parse validates it) and that every byte that is no blank is in a passage.
 */
#ifndef WN_FUZZ_DOCUMENT_CHECK_H
#define WN_FUZZ_DOCUMENT_CHECK_H

#include <stdlib.h>

#include "base/unicode.h"
#include "base/utf8.h"
#include "ingest/chunker.h"
#include "ingest/doc_parser.h"

static inline void check_blank(const wn_parsed_doc *d, size_t from, size_t to)
{
    if (from > to || to > d->text_len)
        abort();
    while (from < to) {
        uint32_t cp = 0;
        from += wn_utf8_decode(d->text + from, to - from, &cp);
        if (!wn_unicode_is_space(cp))
            abort();
    }
}

static inline void check_document(const char *format, const uint8_t *data, size_t size)
{
    wn_parsed_doc doc;
    wn_passages passages = {0};
    wn_error err = {0};
    wn_doc_source source = {.data = data, .len = size};
    wn_chunk_options options = {.passage_tokens = 8 + size % 64, .overlap_tokens = size % 8};
    if (wn_doc_parse(wn_doc_format_by_name(format), &source, &doc, &err) != WN_OK) {
        if (err.status == WN_CORRUPT || err.status == WN_OK)
            abort(); /* our own frame does not validate, or a failure without a reason */
        return;
    }
    if (wn_passages_cut(&passages, &doc, &options, &err) != WN_OK)
        abort();
    size_t covered = 0;
    for (size_t i = 0; i < passages.n; i++) {
        const wn_passage *p = &passages.items[i];
        if (p->start >= p->end || (i > 0 && p->start <= p[-1].start))
            abort();
        if (p->start > covered)
            check_blank(&doc, covered, p->start);
        covered = p->end;
    }
    check_blank(&doc, covered, doc.text_len);
    wn_passages_free(&passages);
    wn_parsed_doc_free(&doc);
}

#endif
