/* OpenAI's chat completion on the wire: chunks of a stream and the whole object, for answers from a
 * corpus and for plain conversations alike.
 *
 *     wn_chat_wire w = {.task = task, .model = "winnow/notes", ...};
 *     wn_chat_wire_start(&w);                      // id, and the first chunk of a stream
 *     wn_chat_wire_text(&w, "Hello", 5);
 *     wn_chat_wire_end(&w, &answer, annotations);  // last chunks and [DONE], or task->result
 *
 * Threads: the engine's.
 */
#ifndef WN_API_CHAT_WIRE_H
#define WN_API_CHAT_WIRE_H

#include "api/http_task.h"

typedef struct wn_chat_wire {
    wn_http_task *task;
    const char *model; /* as the request named it; borrowed */
    bool include_usage;
    char id[40];
    int64_t created;
    bool started;
} wn_chat_wire;

wn_status wn_chat_wire_start(wn_chat_wire *w); /* once; later calls do nothing */
wn_status wn_chat_wire_text(wn_chat_wire *w, const char *text, size_t len);
/* A delta with one annotation; takes it over. */
wn_status wn_chat_wire_annotation(wn_chat_wire *w, json_t *annotation);
/* annotations: array, borrowed; NULL: not from a corpus. */
wn_status wn_chat_wire_end(wn_chat_wire *w, const wn_answer *a, json_t *annotations);
/* Terminal error of a stream. */
void wn_chat_wire_error(wn_http_task *t, json_t *error);

/* The citation as a message annotation: type, index (where the cited sentence ends), and our keys.
 * New reference. */
json_t *wn_chat_wire_annotation_of(const json_t *citation);

#endif
