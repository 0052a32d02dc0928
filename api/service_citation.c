/* Where a citation stands: page, headings, characters. */
#include <stdlib.h>
#include <string.h>

#include "api/service.h"
#include "base/checked.h"
#include "base/utf8.h"

typedef struct first_block {
    bool found;
    int page_start, page_end;
    char *headings;
} first_block;

static wn_status take_block(void *ctx, const wn_block *block, wn_error *err)
{
    first_block *f = ctx;
    if (!f->found) {
        f->found = true;
        f->page_start = block->page;
        f->headings = wn_strdup(block->headings);
        if (!f->headings)
            return wn_error_set(err, WN_NO_MEMORY, "citation: out of memory");
    }
    f->page_end = block->page;
    return WN_OK;
}

wn_status wn_service_citation_place(wn_service *s, wn_corpus *c, const wn_ask_result *r,
                                    const wn_citation *citation, wn_citation_place *out,
                                    wn_error *err)
{
    (void)s;
    const wn_hit *hit = &r->retrieval.hits[citation->source];
    *out = (wn_citation_place){.document_id = hit->document_id};
    wn_document_record record = {0};
    WN_TRY(wn_corpus_document(c, hit->document_id, true, &record, err));
    first_block block = {0};
    wn_status status = WN_OK;
    size_t cited_len = strlen(citation->cited_text);
    /* The document may have been replaced since the search: a quote that no longer stands there is
     * not shown. */
    if (citation->end > record.text_len || citation->end - citation->start != cited_len ||
        memcmp(record.text + citation->start, citation->cited_text, cited_len) != 0)
        WN_TRY_OUT(wn_error_set(err, WN_CONFLICT, "%s changed while the answer was written",
                                record.doc.filename));
    WN_TRY_OUT(wn_corpus_blocks(c, hit->document_id, citation->start, citation->end, take_block,
                                &block, err));
    out->start_char = wn_utf8_count(record.text, citation->start);
    out->end_char = out->start_char + wn_utf8_count(citation->cited_text, cited_len);
    out->page_start = block.page_start;
    out->page_end = block.page_end;
    out->headings = block.headings ? block.headings : wn_strdup("");
    block.headings = NULL;
    out->filename = wn_strdup(record.doc.filename);
    out->path = wn_strdup(record.doc.path);
    out->title = wn_strdup(record.doc.title);
    if (!out->headings || !out->filename || !out->path || !out->title)
        status = wn_error_set(err, WN_NO_MEMORY, "citation: out of memory");
out:
    free(block.headings);
    wn_document_record_free(&record);
    if (status != WN_OK)
        wn_citation_place_free(out);
    return status;
}

void wn_citation_place_free(wn_citation_place *p)
{
    free(p->filename);
    free(p->path);
    free(p->title);
    free(p->headings);
    *p = (wn_citation_place){0};
}
