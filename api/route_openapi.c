/* GET /openapi.json: made from the route table, with the schemas of web/schemas.json. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/http_call.h"
#include "api/route_handlers.h"
#include "api/web_assets.h"

static json_t *load_schemas(void)
{
    for (size_t i = 0; i < wn_n_web_assets; i++)
        if (strcmp(wn_web_assets[i].name, "schemas.json") == 0)
            return json_loadb((const char *)wn_web_assets[i].data, wn_web_assets[i].len, 0, NULL);
    return NULL;
}

static json_t *ref(const char *schema)
{
    return json_pack("{s:s+}", "$ref", "#/components/schemas/", schema);
}

static json_t *content(const char *type, const char *schema)
{
    return schema ? json_pack("{s:{s:o}}", type, "schema", ref(schema)) : json_pack("{s:{}}", type);
}

static void add_path_parameters(const wn_route *r, json_t *parameters)
{
    for (const char *p = r->path; (p = strchr(p, '{')) != NULL; p++) {
        int len = (int)strcspn(p + 1, "}");
        json_array_append_new(parameters,
                              json_pack("{s:s%,s:s,s:b,s:{s:s}}", "name", p + 1, len, "in", "path",
                                        "required", 1, "schema", "type", "string"));
    }
}

static void add_query_parameters(const wn_route *r, json_t *parameters)
{
    for (const char *p = r->query; p && *p;) {
        size_t len = strcspn(p, " ");
        bool number = len == 5 && memcmp(p, "limit", 5) == 0;
        json_array_append_new(parameters,
                              json_pack("{s:s%,s:s,s:{s:s}}", "name", p, (int)len, "in", "query",
                                        "schema", "type", number ? "integer" : "string"));
        p += len + strspn(p + len, " ");
    }
}

static json_t *body_of(const wn_route *r)
{
    json_t *types = r->body == WN_BODY_UPLOAD ? content("multipart/form-data", r->request)
                                              : content("application/json", r->request);
    if (r->body == WN_BODY_UPLOAD)
        json_object_update_new(types, content("application/octet-stream", NULL));
    return json_pack("{s:b,s:o}", "required", 1, "content", types);
}

static const char *page_type(const wn_route *r)
{
    if (strcmp(r->path, "/") == 0)
        return "text/html";
    if (strcmp(r->path, "/app.js") == 0)
        return "text/javascript";
    return strcmp(r->path, "/style.css") == 0 ? "text/css" : "application/json";
}

static json_t *responses_of(const wn_route *r)
{
    char status[8];
    json_t *good = content(r->response ? "application/json" : page_type(r), r->response);
    if (r->events)
        json_object_update_new(good, content("text/event-stream", r->events));
    snprintf(status, sizeof status, "%d", r->status);
    json_t *o = json_pack("{s:{s:s,s:o},s:{s:s,s:o}}", status, "description", r->summary, "content",
                          good, "default", "description", "An error.", "content",
                          content("application/json", "Error"));
    if (r->body == WN_BODY_UPLOAD) /* the document was there already */
        json_object_set(o, "200", json_object_get(o, status));
    if (r->always && r->response && strcmp(r->path, "/readyz") == 0)
        json_object_set(o, "503", json_object_get(o, status));
    return o;
}

static json_t *operation(const wn_route *r)
{
    json_t *parameters = json_array();
    add_path_parameters(r, parameters);
    add_query_parameters(r, parameters);
    json_t *o = json_pack("{s:s,s:s,s:o,s:o}", "operationId", r->id, "summary", r->summary,
                          "parameters", parameters, "responses", responses_of(r));
    if (r->body != WN_BODY_NONE)
        json_object_set_new(o, "requestBody", body_of(r));
    if (r->scope == WN_SCOPE_NONE)
        json_object_set_new(o, "security", json_array());
    return o;
}

static json_t *all_paths(void)
{
    json_t *paths = json_object();
    for (size_t i = 0; i < wn_n_routes; i++) {
        const wn_route *r = &wn_routes[i];
        char method[16] = "";
        for (size_t k = 0; r->method[k] && k + 1 < sizeof method; k++)
            method[k] = (char)(r->method[k] | 0x20);
        if (!json_object_get(paths, r->path))
            json_object_set_new(paths, r->path, json_object());
        json_object_set_new(json_object_get(paths, r->path), method, operation(r));
    }
    return paths;
}

void wn_route_openapi(wn_http_call *call)
{
    wn_http_reply_json(
        call, 200,
        json_pack("{s:s,s:{s:s,s:s,s:s},s:[{s:[]}],s:o,s:{s:o,s:{s:{s:s,s:s}}}}", "openapi",
                  "3.1.0", "info", "title", "winnow", "version", "1", "description",
                  "Answers from your documents, with verified citations.", "security", "apiKey",
                  "paths", all_paths(), "components", "schemas", load_schemas(), "securitySchemes",
                  "apiKey", "type", "http", "scheme", "bearer"));
}
