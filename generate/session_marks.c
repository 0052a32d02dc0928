/* Where a session that evicts can go back to: copies of its KV store that share its pages. */
#include "generate/session_internal.h"

/* Both have the window before a cut, one of them a chunk behind it, and each a log's last page. */
size_t wn_session_pages_of_marks(size_t window, size_t n_chunk)
{
    return window ? (window + n_chunk) / WN_KV_SLOTS + 8 : 0;
}

/* Others can be cut anywhere: they need no mark. */
static bool evicts(const wn_session *s)
{
    return s->point.window && s->point.window < s->n_ctx;
}

size_t wn_session_mark_pages(const wn_session *s)
{
    return evicts(s) ? wn_session_pages_of_marks(s->point.window, s->n_chunk) : 0;
}

wn_status wn_session_open_marks(wn_session *s, bool wanted, wn_error *err)
{
    for (size_t i = 0; wanted && evicts(s) && i < SESSION_MARKS; i++) {
        WN_TRY(wn_kv_store_fork(&s->marks[i].kv, s->kv, err));
        wn_kv_store_truncate(s->marks[i].kv, 0);
    }
    return WN_OK;
}

void wn_session_close_marks(wn_session *s)
{
    for (size_t i = 0; i < SESSION_MARKS; i++)
        wn_kv_store_close(s->marks[i].kv);
}

void wn_session_set_mark(wn_session *s, size_t which)
{
    session_mark *mark = &s->marks[which];
    if (!mark->kv || s->n_read < s->length || mark->length == s->length)
        return;
    wn_kv_store_copy(mark->kv, s->kv, s->length);
    mark->length = s->length;
}

bool wn_session_drop_marks(wn_session *s, size_t n)
{
    bool any = false;
    for (size_t i = 0; i < SESSION_MARKS; i++) {
        session_mark *mark = &s->marks[i];
        if (mark->length <= n)
            continue;
        wn_kv_store_truncate(mark->kv, 0);
        mark->length = 0;
        any = true;
    }
    return any;
}

const session_mark *wn_session_mark_for(const wn_session *s, size_t n, size_t *length)
{
    const session_mark *best = NULL;
    *length = 0;
    for (size_t i = 0; i < SESSION_MARKS; i++) {
        const session_mark *mark = &s->marks[i];
        const size_t m = mark->length < n ? mark->length : n;
        if (m > *length && (m == mark->length || m >= wn_kv_store_back_to(mark->kv))) {
            best = mark;
            *length = m;
        }
    }
    return best;
}

size_t wn_session_mark_bytes(const wn_session *s)
{
    const wn_kv_store *seen[1 + SESSION_MARKS] = {s->kv};
    size_t n = 0;
    for (size_t i = 0; i < SESSION_MARKS && s->marks[i].kv; i++) {
        n += wn_kv_store_bytes_beside(s->marks[i].kv, seen, 1 + i);
        seen[1 + i] = s->marks[i].kv;
    }
    return n;
}
