/* A question to a corpus as a task of the engine: what /v1/corpora/{id}/answers and chat
 * completions with model winnow/<corpus> have in common. How it looks on the wire is the format's
 * matter.
 *
 *     wn_ask_task *t = wn_ask_task_open(call, "notes", stream, &format);   // NULL: call has its
 * reply t->ask.question = ...; wn_http_task_submit(&t->task, call);
 */
#ifndef WN_API_ASK_TASK_H
#define WN_API_ASK_TASK_H

#include "api/http_task.h"
#include "api/route_sampling.h"

typedef struct wn_ask_task wn_ask_task;

/* Each may be NULL; not WN_OK stops the answer. JSON arguments are borrowed. */
typedef struct wn_ask_format {
    wn_http_task_kind kind; /* work = wn_ask_task_work, clear = wn_ask_task_clear */
    wn_status (*retrieval)(wn_ask_task *t, const wn_search_result *result,
                           const wn_ask_reading *reading);
    wn_status (*prefix)(wn_ask_task *t, const wn_answer_prefix *prefix);
    wn_status (*prefill)(wn_ask_task *t, size_t done, size_t total);
    wn_status (*text)(wn_ask_task *t, const char *text, size_t len);
    wn_status (*citation)(wn_ask_task *t, json_t *citation);
    wn_status (*done)(wn_ask_task *t, const wn_ask_result *result); /* sets task.result too */
} wn_ask_format;

struct wn_ask_task {
    wn_http_task task; /* first */
    const wn_ask_format *format;
    wn_ask ask; /* its strings are borrowed from task.request */
    wn_route_sampling sampling;
    char corpus_name[65];
    wn_corpus *corpus;
    wn_metadata_filter *filter;
    wn_answer_turn *history; /* owned array of borrowed strings */
    const wn_search_result *retrieval;
    wn_strbuf text;    /* sent so far */
    json_t *citations; /* array of all sent */
    void *extra;       /* of the format; freed with the task */
};

wn_ask_task *wn_ask_task_open(wn_http_call *call, const char *corpus, bool stream,
                              const wn_ask_format *format);
/* Field mode of the request; false after a 400. */
bool wn_ask_task_mode(wn_http_call *call, wn_ask_task *t);
wn_status wn_ask_task_work(wn_http_task *task, wn_error *err);
void wn_ask_task_clear(wn_http_task *task);

#endif
