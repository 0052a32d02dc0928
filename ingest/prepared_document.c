#include "ingest/prepared_document.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "ingest/document_title.h"

wn_status wn_prepared_format(const char *name, const void *data, size_t len,
                             const wn_doc_format **out, wn_error *err)
{
    char known[160];
    *out = wn_doc_format_find(name, data, len);
    if (*out)
        return WN_OK;
    const char *extension = wn_fs_extension(name);
    wn_doc_format_list(known, sizeof known);
    if (*extension)
        return wn_error_set(err, WN_UNSUPPORTED, "no parser for .%.16s files; known are %s",
                            extension, known);
    return wn_error_set(err, WN_UNSUPPORTED, "not text, PDF or HTML; known are %s", known);
}

wn_status wn_prepared_parse(wn_prepared *p, const wn_ingest_options *o, wn_parse_pool *pool,
                            const void *data, size_t len, wn_error *err)
{
    wn_chunk_options chunks = {.count_tokens = o->count_tokens,
                               .count_ctx = o->count_ctx,
                               .passage_tokens = o->passage_tokens,
                               .overlap_tokens = o->overlap_tokens};
    WN_TRY(wn_parse_pool_run(pool, p->format, data, len, &p->doc, err));
    if (p->doc.n_blocks == 0)
        return wn_error_set(err, WN_FORMAT, "there is no text in it");
    WN_TRY(wn_document_title(&p->title, p->doc.title, p->path, err));
    return wn_passages_cut(&p->passages, &p->doc, &chunks, err);
}

void wn_prepared_embed_text(const wn_prepared *p, size_t passage, wn_strbuf *out)
{
    const wn_passage *at = &p->passages.items[passage];
    const char *title = p->title;
    bool inside = strncmp(at->headings, title, strlen(title)) == 0;
    if (!inside || !*at->headings)
        wn_strbuf_adds(out, title);
    if (!inside && *at->headings && *title)
        wn_strbuf_adds(out, " > ");
    wn_strbuf_adds(out, at->headings);
    if (*title || *at->headings)
        wn_strbuf_addc(out, '\n');
    wn_strbuf_add(out, p->doc.text + at->start, at->end - at->start);
}

wn_status wn_prepared_store(const wn_prepared *p, const wn_ingest_options *o, int64_t *id,
                            wn_error *err)
{
    wn_document_content content = {.doc = {.path = p->path,
                                           .filename = wn_fs_basename(p->path),
                                           .title = p->title,
                                           .media_type = p->format->media_type,
                                           .checksum = p->checksum,
                                           .attributes = o->attributes ? o->attributes : "{}",
                                           .source_bytes = p->source_bytes,
                                           .n_pages = p->doc.n_pages,
                                           .created_at = wn_clock_unix_s()},
                                   .text = p->doc.text,
                                   .text_len = p->doc.text_len,
                                   .blocks = p->doc.blocks,
                                   .n_blocks = p->doc.n_blocks,
                                   .passages = p->passages.items,
                                   .n_passages = p->passages.n,
                                   .vectors = p->vectors,
                                   .dim = p->vectors ? o->dim : 0};
    return wn_corpus_put(o->corpus, &content, id, err);
}

void wn_prepared_free(wn_prepared *p)
{
    free(p->path);
    free(p->title);
    free(p->vectors);
    wn_parsed_doc_free(&p->doc);
    wn_passages_free(&p->passages);
    *p = (wn_prepared){0};
}
