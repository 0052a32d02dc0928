#include "api/json_view.h"

#include <math.h>

static json_t *leg(int rank, double score)
{
    return rank ? json_pack("{s:i, s:f}", "rank", rank, "score", score) : json_null();
}

static json_t *hit(const wn_hit *h)
{
    json_t *attributes = json_loads(h->attributes, 0, NULL);
    return json_pack(
        "{s:I, s:I, s:s, s:s, s:s, s:s, s:i, s:i, s:I, s:I, s:f, s:o, s:o, s:o, s:s%}",
        "passage_id", (json_int_t)h->passage_id, "document_id", (json_int_t)h->document_id,
        "filename", h->filename, "path", h->path, "title", h->title, "headings", h->headings,
        "page_start", h->page_start, "page_end", h->page_end, "start_byte", (json_int_t)h->start,
        "end_byte", (json_int_t)h->end, "score", h->score, "keyword",
        leg(h->text_rank, h->text_score), "vector", leg(h->vector_rank, h->vector_score),
        "attributes", attributes ? attributes : json_object(), "text", h->text, h->text_len);
}

json_t *wn_json_of_hits(const wn_search_result *r)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < r->n; i++)
        json_array_append_new(array, hit(&r->hits[i]));
    return array;
}

json_t *wn_json_of_prefix(const wn_answer_prefix *p)
{
    /* The tiers' names on the wire; the session's own pages are in host memory, too. */
    static const char *const sources[] = {[WN_PREFIX_NONE] = "none",
                                          [WN_PREFIX_SESSION] = "host",
                                          [WN_PREFIX_MEMORY] = "host",
                                          [WN_PREFIX_DISK] = "disk"};
    return json_pack("{s:I, s:I, s:s, s:I, s:I, s:f}", "cached_tokens",
                     (json_int_t)p->cached_tokens, "new_tokens", (json_int_t)p->new_tokens,
                     "source", sources[p->source], "dense_bytes", (json_int_t)p->dense_bytes,
                     "held_bytes", (json_int_t)p->held_bytes, "load_ms", p->load_ms);
}

json_t *wn_json_of_reading(const wn_ask_reading *r)
{
    json_t *left_out = json_array();
    for (size_t i = 0; i < r->n_left_out; i++)
        json_array_append_new(left_out, json_pack("{s:I, s:s, s:I}", "document_id",
                                                  (json_int_t)r->left_out[i].document_id,
                                                  "filename", r->left_out[i].filename, "tokens",
                                                  (json_int_t)r->left_out[i].n_tokens));
    return json_pack("{s:s, s:s?, s:I, s:I, s:I, s:o}", "mode", wn_ask_mode_name(r->mode), "why",
                     *r->why ? r->why : NULL, "documents", (json_int_t)r->n_documents, "passages",
                     (json_int_t)r->n_sources, "tokens", (json_int_t)r->n_tokens, "left_out",
                     left_out);
}

json_t *wn_json_of_citation(const wn_citation *c, const wn_citation_place *p)
{
    return json_pack("{s:I, s:I, s:s, s:s, s:s, s:s, s:i, s:i, s:I, s:I, s:s, s:I, s:I, s:f, s:b}",
                     "number", (json_int_t)c->number, "document_id", (json_int_t)p->document_id,
                     "filename", p->filename, "path", p->path, "title", p->title, "headings",
                     p->headings, "page_start", p->page_start, "page_end", p->page_end,
                     "start_char", (json_int_t)p->start_char, "end_char", (json_int_t)p->end_char,
                     "cited_text", c->cited_text, "answer_start", (json_int_t)c->answer_start,
                     "answer_end", (json_int_t)c->answer_end, "support", c->support, "from_marker",
                     (int)c->from_marker);
}

json_t *wn_json_of_stats(const char *name, const wn_corpus_stats *s)
{
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "name", name,
                     "documents", (json_int_t)s->n_documents, "blocks", (json_int_t)s->n_blocks,
                     "passages", (json_int_t)s->n_passages, "vectors", (json_int_t)s->n_vectors,
                     "dimensions", (json_int_t)s->dim, "text_bytes", (json_int_t)s->text_bytes,
                     "file_bytes", (json_int_t)s->file_bytes, "created_at",
                     (json_int_t)s->created_at, "changed_at", (json_int_t)s->changed_at);
}

static json_t *retention_of(const wn_kv_report *r)
{
    json_t *layers = json_array();
    for (size_t i = 0; i < r->n_layers; i++) {
        json_t *heads = json_array();
        for (size_t h = 0; h < r->n_kv_heads; h++)
            json_array_append_new(heads, json_real((double)r->kept[i * r->n_kv_heads + h]));
        json_array_append_new(layers, heads);
    }
    return layers;
}

static json_t *token_texts_of(const wn_kv_report *r)
{
    json_t *tokens = json_array();
    for (size_t i = 0; i < r->n_tokens; i++) {
        const size_t start = i ? r->ends[i - 1] : 0;
        json_array_append_new(
            tokens, json_pack("[s%,f]", r->text + start, r->ends[i] - start, (double)r->share[i]));
    }
    return tokens;
}

json_t *wn_json_of_kv(const wn_kv_report *r)
{
    if (r->n_tokens == 0)
        return json_null();
    json_t *o = json_pack("{s:s,s:I,s:I,s:I,s:f,s:f,s:o}", "summary", r->summary, "tokens",
                          (json_int_t)r->n_tokens, "dense_bytes", (json_int_t)r->dense_bytes,
                          "held_bytes", (json_int_t)r->held_bytes, "ratio", r->bytes_ratio,
                          "slots_ratio", r->slots_ratio, "retention", retention_of(r));
    if (r->text)
        json_object_set_new(o, "text", token_texts_of(r));
    return o;
}
