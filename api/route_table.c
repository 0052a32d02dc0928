#include "api/route_table.h"

#include <stdio.h>
#include <string.h>

#include "api/route_handlers.h"

const wn_route wn_routes[] = {
    {.method = "GET",
     .path = "/",
     .handler = wn_route_page,
     .always = true,
     .id = "webPage",
     .summary = "The page to ask and see citations.",
     .status = 200},
    {.method = "GET",
     .path = "/app.js",
     .handler = wn_route_page,
     .always = true,
     .id = "webScript",
     .summary = "The page's script.",
     .status = 200},
    {.method = "GET",
     .path = "/style.css",
     .handler = wn_route_page,
     .always = true,
     .id = "webStyle",
     .summary = "The page's style sheet.",
     .status = 200},
    {.method = "GET",
     .path = "/livez",
     .handler = wn_route_livez,
     .always = true,
     .id = "livez",
     .summary = "The process answers. Takes no lock and touches no disk.",
     .response = "Live",
     .status = 200},
    {.method = "GET",
     .path = "/readyz",
     .handler = wn_route_readyz,
     .always = true,
     .id = "readyz",
     .summary = "Whether work is taken: 503 while loading, draining or with a full queue.",
     .response = "Ready",
     .status = 200},
    {.method = "GET",
     .path = "/openapi.json",
     .handler = wn_route_openapi,
     .always = true,
     .id = "openapi",
     .summary = "This description, made from the route table.",
     .status = 200},

    {.method = "GET",
     .path = "/metrics",
     .handler = wn_route_metrics,
     .scope = WN_SCOPE_ADMIN,
     .id = "metrics",
     .summary = "Counters in the text format of Prometheus.",
     .status = 200},

    {.method = "GET",
     .path = "/v1/models",
     .handler = wn_route_models,
     .scope = WN_SCOPE_READ,
     .id = "listModels",
     .summary = "The generator, the embedder, and winnow/<corpus> for every corpus.",
     .response = "ModelList",
     .status = 200},
    {.method = "POST",
     .path = "/v1/chat/completions",
     .handler = wn_route_chat,
     .scope = WN_SCOPE_READ,
     .body = WN_BODY_JSON,
     .id = "createChatCompletion",
     .summary = "OpenAI's chat completions; model winnow/<corpus> answers from that corpus.",
     .request = "ChatRequest",
     .response = "ChatCompletion",
     .events = "ChatCompletionChunk",
     .status = 200},
    {.method = "POST",
     .path = "/v1/embeddings",
     .handler = wn_route_embeddings,
     .scope = WN_SCOPE_READ,
     .body = WN_BODY_JSON,
     .id = "createEmbedding",
     .summary = "OpenAI's embeddings, as floats or base64.",
     .request = "EmbeddingRequest",
     .response = "EmbeddingList",
     .status = 200},

    {.method = "POST",
     .path = "/v1/corpora",
     .handler = wn_route_corpus_create,
     .scope = WN_SCOPE_ADMIN,
     .body = WN_BODY_JSON,
     .id = "createCorpus",
     .summary = "A new, empty corpus.",
     .request = "CorpusRequest",
     .response = "Corpus",
     .status = 201},
    {.method = "GET",
     .path = "/v1/corpora",
     .handler = wn_route_corpus_list,
     .scope = WN_SCOPE_READ,
     .id = "listCorpora",
     .summary = "The corpora, by name.",
     .response = "CorpusList",
     .query = "limit after order",
     .status = 200},
    {.method = "GET",
     .path = "/v1/corpora/{id}",
     .handler = wn_route_corpus_get,
     .scope = WN_SCOPE_READ,
     .id = "getCorpus",
     .summary = "One corpus with its counts.",
     .response = "Corpus",
     .status = 200},
    {.method = "DELETE",
     .path = "/v1/corpora/{id}",
     .handler = wn_route_corpus_delete,
     .scope = WN_SCOPE_ADMIN,
     .id = "deleteCorpus",
     .summary = "Deletes a corpus with its documents.",
     .response = "Deleted",
     .status = 200},
    {.method = "POST",
     .path = "/v1/corpora/{id}/documents",
     .handler = wn_route_document_upload,
     .scope = WN_SCOPE_WRITE,
     .body = WN_BODY_UPLOAD,
     .id = "uploadDocument",
     .summary = "Ingests one file: multipart field `file`, or a raw body with ?filename=. "
                "?prepare=true: the corpus' prefix is prepared then.",
     .request = "Upload",
     .response = "Document",
     .query = "filename prepare",
     .status = 201},
    {.method = "GET",
     .path = "/v1/corpora/{id}/documents",
     .handler = wn_route_document_list,
     .scope = WN_SCOPE_READ,
     .id = "listDocuments",
     .summary = "The documents of a corpus.",
     .response = "DocumentList",
     .query = "limit after order",
     .status = 200},
    {.method = "GET",
     .path = "/v1/corpora/{id}/documents/{doc}",
     .handler = wn_route_document_get,
     .scope = WN_SCOPE_READ,
     .id = "getDocument",
     .summary = "One document.",
     .response = "Document",
     .status = 200},
    {.method = "DELETE",
     .path = "/v1/corpora/{id}/documents/{doc}",
     .handler = wn_route_document_delete,
     .scope = WN_SCOPE_WRITE,
     .id = "deleteDocument",
     .summary = "Deletes one document.",
     .response = "Deleted",
     .status = 200},
    {.method = "POST",
     .path = "/v1/corpora/{id}/prefix",
     .handler = wn_route_prefix_prepare,
     .scope = WN_SCOPE_WRITE,
     .id = "preparePrefix",
     .summary = "Lets the model read the corpus in the background, for questions in mode corpus.",
     .response = "PrefixJob",
     .status = 202},
    {.method = "GET",
     .path = "/v1/corpora/{id}/prefix",
     .handler = wn_route_prefix_get,
     .scope = WN_SCOPE_READ,
     .id = "getPrefix",
     .summary = "What the model has read of the corpus and keeps, and the job that prepares it.",
     .response = "Prefix",
     .status = 200},
    {.method = "DELETE",
     .path = "/v1/corpora/{id}/prefix",
     .handler = wn_route_prefix_delete,
     .scope = WN_SCOPE_WRITE,
     .id = "deletePrefix",
     .summary = "Forgets what the model has read; the documents stay.",
     .response = "Deleted",
     .status = 200},
    {.method = "GET",
     .path = "/v1/jobs/{id}",
     .handler = wn_route_job_get,
     .scope = WN_SCOPE_READ,
     .id = "getJob",
     .summary = "How far a job in the background is; the last one of each corpus is remembered.",
     .response = "Job",
     .status = 200},
    {.method = "DELETE",
     .path = "/v1/jobs/{id}",
     .handler = wn_route_job_cancel,
     .scope = WN_SCOPE_WRITE,
     .id = "cancelJob",
     .summary = "Cancels a job that is not over; what it has done by then stays.",
     .response = "Job",
     .status = 200},
    {.method = "POST",
     .path = "/v1/corpora/{id}/search",
     .handler = wn_route_search,
     .scope = WN_SCOPE_READ,
     .body = WN_BODY_JSON,
     .id = "searchCorpus",
     .summary = "Passages for a query: keyword and vector search, fused.",
     .request = "SearchRequest",
     .response = "SearchPage",
     .status = 200},
    {.method = "POST",
     .path = "/v1/corpora/{id}/answers",
     .handler = wn_route_answers,
     .scope = WN_SCOPE_READ,
     .body = WN_BODY_JSON,
     .id = "createAnswer",
     .summary = "A question answered from the corpus, with verified citations.",
     .request = "AnswerRequest",
     .response = "Answer",
     .events = "AnswerEvent",
     .status = 200},
};
const size_t wn_n_routes = sizeof wn_routes / sizeof wn_routes[0];

/* One segment of pattern against one of path; both end at '/' or NUL. */
static bool segment_matches(const char *pattern, size_t pattern_len, const char *path,
                            size_t path_len, wn_route_match *m, size_t *n_params)
{
    if (pattern_len > 2 && pattern[0] == '{') {
        if (path_len == 0 || *n_params == WN_ROUTE_MAX_PARAMS)
            return false;
        m->params[*n_params] = path;
        m->param_lens[(*n_params)++] = path_len;
        return true;
    }
    return pattern_len == path_len && memcmp(pattern, path, path_len) == 0;
}

static bool path_matches(const char *pattern, const char *path, wn_route_match *m)
{
    size_t n_params = 0;
    while (*pattern == '/' && *path == '/') {
        pattern++;
        path++;
        size_t pattern_len = strcspn(pattern, "/"), path_len = strcspn(path, "/");
        if (!segment_matches(pattern, pattern_len, path, path_len, m, &n_params))
            return false;
        pattern += pattern_len;
        path += path_len;
    }
    return *pattern == '\0' && *path == '\0';
}

static void add_allow(wn_route_match *m, const char *method)
{
    size_t len = strlen(m->allow);
    bool get = strcmp(method, "GET") == 0;
    snprintf(m->allow + len, sizeof m->allow - len, "%s%s%s", len ? ", " : "", method,
             get ? ", HEAD" : "");
}

void wn_route_find(const char *method, const char *path, wn_route_match *out)
{
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < wn_n_routes; i++) {
        wn_route_match m = {0};
        if (!path_matches(wn_routes[i].path, path, &m))
            continue;
        add_allow(out, wn_routes[i].method);
        if (strcmp(wn_routes[i].method, wanted) != 0)
            continue;
        out->route = &wn_routes[i];
        memcpy(out->params, m.params, sizeof m.params);
        memcpy(out->param_lens, m.param_lens, sizeof m.param_lens);
    }
}
