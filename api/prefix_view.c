#include "api/prefix_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

typedef struct row_list {
    wn_prefix_summary *rows;
    size_t n;
} row_list;

static wn_prefix_summary *row_of(row_list *l, const char *corpus)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->rows[i].corpus, corpus) == 0)
            return &l->rows[i];
    wn_prefix_summary *grown = wn_realloc(l->rows, l->n + 1, sizeof *grown);
    if (!grown)
        return NULL;
    l->rows = grown;
    grown[l->n] = (wn_prefix_summary){0};
    snprintf(grown[l->n].corpus, sizeof grown->corpus, "%s", corpus);
    return &grown[l->n++];
}

static wn_status add_node(void *ctx, const wn_prefix_info *i, wn_error *err)
{
    wn_prefix_summary *r = row_of(ctx, i->corpus);
    if (!r)
        return wn_error_set(err, WN_NO_MEMORY, "prefixes: out of memory");
    r->n_nodes++;
    r->memory_bytes += i->memory_bytes;
    r->disk_bytes += i->disk_bytes;
    r->n_hits += i->n_hits;
    if (i->used_unix_s > r->used_unix_s)
        r->used_unix_s = i->used_unix_s;
    if (i->n_tokens < r->n_tokens)
        return WN_OK;
    r->n_tokens = i->n_tokens;
    r->n_texts = i->n_texts;
    r->dense_bytes = i->dense_bytes;
    r->held_bytes = i->held_bytes;
    return WN_OK;
}

wn_status wn_prefix_summaries(wn_service *s, const char *corpus, wn_prefix_summary **rows,
                              size_t *n, wn_error *err)
{
    row_list list = {0};
    wn_status status = wn_service_prefix_visit(s, corpus, add_node, &list, err);
    if (status != WN_OK) {
        free(list.rows);
        list = (row_list){0};
    }
    *rows = list.rows;
    *n = list.n;
    return status;
}

json_t *wn_json_of_prefix_node(const wn_prefix_info *i)
{
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "id", i->id,
                     "corpus", i->corpus, "tokens", (json_int_t)i->n_tokens, "texts",
                     (json_int_t)i->n_texts, "children", (json_int_t)i->n_children, "memory_bytes",
                     (json_int_t)i->memory_bytes, "held_bytes", (json_int_t)i->held_bytes,
                     "dense_bytes", (json_int_t)i->dense_bytes, "disk_bytes",
                     (json_int_t)i->disk_bytes, "hits", (json_int_t)i->n_hits, "created_at",
                     (json_int_t)i->created_unix_s, "used_at", (json_int_t)i->used_unix_s);
}

json_t *wn_json_of_prefix_summary(const wn_prefix_summary *r)
{
    json_t *ratio =
        r->held_bytes ? json_real((double)r->dense_bytes / (double)r->held_bytes) : json_null();
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:I, s:I, s:I}", "corpus", r->corpus,
                     "n_nodes", (json_int_t)r->n_nodes, "tokens", (json_int_t)r->n_tokens, "texts",
                     (json_int_t)r->n_texts, "dense_bytes", (json_int_t)r->dense_bytes,
                     "held_bytes", (json_int_t)r->held_bytes, "ratio", ratio, "memory_bytes",
                     (json_int_t)r->memory_bytes, "disk_bytes", (json_int_t)r->disk_bytes, "hits",
                     (json_int_t)r->n_hits, "used_at", (json_int_t)r->used_unix_s);
}
