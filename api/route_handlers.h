/* The handlers that the route table names; each lives in the route_*.c of its subject. */
#ifndef WN_API_ROUTE_HANDLERS_H
#define WN_API_ROUTE_HANDLERS_H

struct wn_http_call;

void wn_route_livez(struct wn_http_call *call);
void wn_route_readyz(struct wn_http_call *call);
void wn_route_openapi(struct wn_http_call *call);
void wn_route_page(struct wn_http_call *call);
void wn_route_models(struct wn_http_call *call);
void wn_route_corpus_create(struct wn_http_call *call);
void wn_route_corpus_list(struct wn_http_call *call);
void wn_route_corpus_get(struct wn_http_call *call);
void wn_route_corpus_delete(struct wn_http_call *call);
void wn_route_document_upload(struct wn_http_call *call);
void wn_route_document_list(struct wn_http_call *call);
void wn_route_document_get(struct wn_http_call *call);
void wn_route_document_delete(struct wn_http_call *call);
void wn_route_prefix_prepare(struct wn_http_call *call);
void wn_route_prefix_get(struct wn_http_call *call);
void wn_route_prefix_delete(struct wn_http_call *call);
void wn_route_job_get(struct wn_http_call *call);
void wn_route_job_cancel(struct wn_http_call *call);
void wn_route_metrics(struct wn_http_call *call);
void wn_route_search(struct wn_http_call *call);
void wn_route_answers(struct wn_http_call *call);
void wn_route_chat(struct wn_http_call *call);
void wn_route_embeddings(struct wn_http_call *call);

#endif
