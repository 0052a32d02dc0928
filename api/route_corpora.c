/* /v1/corpora */
#include <stdlib.h>
#include <string.h>

#include "api/http_fields.h"
#include "api/prefix_jobs.h"
#include "api/route_handlers.h"
#include "api/route_view.h"
#include "base/checked.h"

#define MAX_DESCRIPTION 2048

static wn_status describe(wn_corpus *c, const char *name, json_t **out, wn_error *err)
{
    wn_corpus_stats stats = {0};
    char *description = NULL;
    WN_TRY(wn_corpus_stats_read(c, &stats, err));
    WN_TRY(wn_corpus_setting(c, "description", &description, err));
    *out = wn_view_corpus(name, &stats, description);
    free(description);
    return WN_OK;
}

static void reply_corpus(wn_http_call *call, int status, wn_corpus *c, const char *name)
{
    json_t *o = NULL;
    wn_error err = {0};
    wn_status read = describe(c, name, &o, &err);
    if (read == WN_OK)
        wn_http_reply_json(call, status, o);
    else
        wn_http_fail_status(call, read, &err);
}

/* False after a reply. */
static bool name_is_free(wn_http_call *call, const char *name)
{
    wn_corpus *c = NULL;
    wn_error err = {0};
    if (!wn_corpus_name_valid(name)) {
        wn_http_fail(call, 400, "invalid_value", "name",
                     "'name' must be 1 to 64 of a-z, 0-9, _ and -, beginning with a letter or "
                     "digit.");
        return false;
    }
    if (!wn_http_may_see(call->principal, name)) {
        wn_http_fail(call, 403, "insufficient_permissions", "name",
                     "This key may not make a corpus of that name.");
        return false;
    }
    wn_status status = wn_service_corpus(call->context->service, name, WN_CORPUS_READ, &c, &err);
    if (status == WN_NOT_FOUND)
        return true;
    wn_service_corpus_release(call->context->service, c);
    wn_http_fail(call, 409, "corpus_exists", "name", "There is a corpus '%s' already.", name);
    return false;
}

void wn_route_corpus_create(wn_http_call *call)
{
    wn_service *s = call->context->service;
    const char *name = NULL, *description = NULL;
    wn_corpus *c = NULL;
    if (!wn_field_required_string(call, call->json, "name", 256, &name) ||
        !wn_field_string(call, call->json, "description", MAX_DESCRIPTION, &description) ||
        !name_is_free(call, name))
        return;
    if (!wn_route_open_corpus(call, name, WN_CORPUS_WRITE | WN_CORPUS_CREATE, &c))
        return;
    wn_error err = {0};
    wn_status status =
        description ? wn_corpus_set_setting(c, "description", description, &err) : WN_OK;
    if (status == WN_OK)
        reply_corpus(call, 201, c, name);
    else
        wn_http_fail_status(call, status, &err);
    wn_service_corpus_release(s, c);
}

void wn_route_corpus_get(wn_http_call *call)
{
    wn_corpus *c = NULL;
    if (!wn_route_open_corpus(call, call->params[0], WN_CORPUS_READ, &c))
        return;
    reply_corpus(call, 200, c, call->params[0]);
    wn_service_corpus_release(call->context->service, c);
}

void wn_route_corpus_delete(wn_http_call *call)
{
    const char *name = call->params[0];
    wn_error err = {0};
    if (!wn_http_may_see(call->principal, name)) {
        wn_route_no_corpus(call, name);
        return;
    }
    wn_status status = wn_service_corpus_delete(call->context->service, name, &err);
    wn_prefix_jobs_forget(call->context->prefix_jobs, name);
    wn_prefix_jobs_tend(call->context);
    if (status == WN_OK)
        wn_http_reply_json(
            call, 200,
            json_pack("{s:s,s:s,s:b}", "id", name, "object", "corpus.deleted", "deleted", 1));
    else if (status == WN_NOT_FOUND)
        wn_route_no_corpus(call, name);
    else if (status == WN_BUSY)
        wn_http_fail(call, 409, "corpus_in_use", NULL, "The corpus is being written to.");
    else
        wn_http_fail_status(call, status, &err);
}

/* Listing ------------------------------------------------------------------------------------- */

typedef struct name_list {
    char **names;
    size_t n, cap;
    const wn_http_principal *principal;
} name_list;

static wn_status add_name(void *ctx, const char *name, wn_error *err)
{
    name_list *l = ctx;
    if (!wn_http_may_see(l->principal, name))
        return WN_OK;
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 16;
        char **names = wn_realloc(l->names, cap, sizeof *names);
        if (!names)
            return wn_error_set(err, WN_NO_MEMORY, "corpora: out of memory");
        l->names = names;
        l->cap = cap;
    }
    l->names[l->n] = wn_strdup(name);
    if (!l->names[l->n])
        return wn_error_set(err, WN_NO_MEMORY, "corpora: out of memory");
    l->n++;
    return WN_OK;
}

static int ascending(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int descending(const void *a, const void *b)
{
    return ascending(b, a);
}

/* One entry; a corpus that cannot be opened is listed with its error, and the rest goes on. */
static json_t *entry(wn_http_call *call, const char *name)
{
    wn_service *s = call->context->service;
    wn_corpus *c = NULL;
    json_t *o = NULL;
    wn_error err = {0};
    wn_status status = wn_service_corpus(s, name, WN_CORPUS_READ, &c, &err);
    if (status == WN_OK) {
        status = describe(c, name, &o, &err);
        wn_service_corpus_release(s, c);
    }
    if (status == WN_OK)
        return o;
    return json_pack("{s:s,s:s,s:s,s:s}", "id", name, "object", "corpus", "name", name, "error",
                     wn_http_public_text(status, &err));
}

static void reply_page(wn_http_call *call, const name_list *l, const wn_http_paging *p)
{
    json_t *data = json_array();
    size_t i = 0;
    while (
        p->after && i < l->n &&
        (p->descending ? strcmp(l->names[i], p->after) >= 0 : strcmp(l->names[i], p->after) <= 0))
        i++;
    for (; i < l->n && json_array_size(data) < p->limit; i++)
        json_array_append_new(data, entry(call, l->names[i]));
    wn_http_reply_json(call, 200, wn_http_list_json(data, i < l->n));
}

void wn_route_corpus_list(wn_http_call *call)
{
    wn_http_paging paging;
    wn_error err = {0};
    name_list l = {.principal = call->principal};
    if (!wn_http_paging_read(call, false, &paging))
        return;
    wn_status status =
        wn_corpus_set_list(wn_service_corpora_dir(call->context->service), add_name, &l, &err);
    if (status == WN_OK && l.n > 0)
        qsort(l.names, l.n, sizeof *l.names, paging.descending ? descending : ascending);
    if (status == WN_OK)
        reply_page(call, &l, &paging);
    else
        wn_http_fail_status(call, status, &err);
    for (size_t i = 0; i < l.n; i++)
        free(l.names[i]);
    free(l.names);
}
