/* Bounded queue of pointers between threads, with try-push: a full queue is the caller's 429/503.
 */
#ifndef WN_BASE_WORK_QUEUE_H
#define WN_BASE_WORK_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

typedef struct wn_work_queue wn_work_queue;

wn_status wn_work_queue_open(wn_work_queue **out, size_t capacity, wn_error *err);
bool wn_work_queue_try_push(wn_work_queue *q,
                            void *item);   /* false: full or shut; item is not NULL */
void *wn_work_queue_pop(wn_work_queue *q); /* waits; NULL: shut and empty */
size_t wn_work_queue_length(wn_work_queue *q);
void wn_work_queue_shut(wn_work_queue *q); /* no more pushes; poppers drain, then get NULL */
void wn_work_queue_close(
    wn_work_queue *q); /* frees; items left inside are the caller's; NULL is fine */

#endif
