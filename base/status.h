/* Status codes and the caller-owned error text.
 *
 * Every fallible function returns a wn_status (0 = WN_OK) and takes a `wn_error *err` as its last
 * parameter; NULL is allowed. The first error wins: a later wn_error_set on the same object keeps
 * the first text. The text names the file, the field and the value, so that a user can act on it.
 *
 *     wn_error err = {0};
 *     if (wn_file_map_open(&map, path, &err) != WN_OK)
 *         fprintf(stderr, "winnow: %s\n", err.text);
 *
 * Threads: a wn_error belongs to one thread at a time; nothing here is shared.
 */
#ifndef WN_BASE_STATUS_H
#define WN_BASE_STATUS_H

/* name, text for people. The one table: enum, wn_status_name and wn_status_text come from it. */
#define WN_STATUS_TABLE(X)                                                                         \
    X(OK, "ok")                                                                                    \
    X(INVALID, "invalid argument")                                                                 \
    X(NOT_FOUND, "not found")                                                                      \
    X(CONFLICT, "already exists or changed meanwhile")                                             \
    X(FORMAT, "malformed data")                                                                    \
    X(UNSUPPORTED, "not supported")                                                                \
    X(CORRUPT, "data does not verify")                                                             \
    X(IO, "input/output error")                                                                    \
    X(NO_SPACE, "no space left")                                                                   \
    X(NO_MEMORY, "out of memory")                                                                  \
    X(LIMIT, "limit exceeded")                                                                     \
    X(BUSY, "busy")                                                                                \
    X(CANCELLED, "cancelled")                                                                      \
    X(DEADLINE, "deadline passed")                                                                 \
    X(DENIED, "not permitted")                                                                     \
    X(UNAVAILABLE, "not available")                                                                \
    X(DEVICE, "device error")                                                                      \
    X(INTERNAL, "internal error")

typedef enum wn_status {
#define WN_STATUS_ENUM(name, text) WN_##name,
    WN_STATUS_TABLE(WN_STATUS_ENUM)
#undef WN_STATUS_ENUM
} wn_status;

typedef struct wn_error {
    wn_status status; /* WN_OK while nothing has failed */
    char text[240];   /* NUL-terminated, cut at a character border; always valid UTF-8 without
                       * control characters: other bytes of names from outside show as "?" */
} wn_error;

/* Records status and a printf-formatted text in err (unless err is NULL or already set) and returns
 * `status`, so that `return wn_error_set(err, WN_IO, "...")` is the idiom. */
wn_status wn_error_set(wn_error *err, wn_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As wn_error_set, with ": <strerror(errnum)>" appended. ENOSPC/EDQUOT become WN_NO_SPACE, ENOENT
 * WN_NOT_FOUND, EACCES/EPERM WN_DENIED, ENOMEM WN_NO_MEMORY, all others WN_IO. */
wn_status wn_error_set_errno(wn_error *err, int errnum, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "context: " before the text of a set error (cuts the tail if it does not fit). */
void wn_error_prefix(wn_error *err, const char *context);

const char *wn_status_name(wn_status status); /* "WN_IO"; never NULL */
const char *wn_status_text(wn_status status); /* "input/output error"; never NULL */

/* Forwards a failure to the caller. */
#define WN_TRY(call)                                                                               \
    do {                                                                                           \
        wn_status wn_try_status_ = (call);                                                         \
        if (wn_try_status_ != WN_OK)                                                               \
            return wn_try_status_;                                                                 \
    } while (0)

/* As WN_TRY for functions with a local `wn_status status` and an `out:` label. */
#define WN_TRY_OUT(call)                                                                           \
    do {                                                                                           \
        status = (call);                                                                           \
        if (status != WN_OK)                                                                       \
            goto out;                                                                              \
    } while (0)

#endif
