/* Messages between the pool and its worker, over a SOCK_SEQPACKET pair; one message each. */
#ifndef WN_INGEST_PARSE_PROTOCOL_H
#define WN_INGEST_PARSE_PROTOCOL_H

#include <stdint.h>

#define WN_WORKER_ARGUMENT "parse-worker" /* argv[1]; argv[2] is pdfium's path or "" */
#define WN_WORKER_FD 3                    /* the worker's end of the socket */
#define WN_WORKER_MAGIC 0x31505a57u

/* Worker to pool, once it is ready. */
typedef struct wn_worker_hello {
    uint32_t magic, n_formats;
    char problem[120]; /* "" = ready; else why nothing can be parsed: no sandbox */
} wn_worker_hello;

/* Pool to worker, with three descriptors: the file (memfd), the pipe for the frame, the pipe for
 * the wn_worker_exit. */
typedef struct wn_worker_request {
    uint32_t magic, format;
    uint32_t cpu_s, deadline_ms;
    uint64_t memory_bytes;
} wn_worker_request;

typedef enum wn_worker_end {
    WN_WORKER_EXITED,   /* value: exit status */
    WN_WORKER_SIGNALED, /* value: signal */
    WN_WORKER_LATE,     /* killed at its deadline */
    WN_WORKER_NO_FORK   /* value: errno */
} wn_worker_end;

/* Keeper to pool, when the parser has ended. */
typedef struct wn_worker_exit {
    uint32_t end;
    int32_t value;
} wn_worker_exit;

/* Exit statuses of a parser. */
enum { WN_PARSER_DONE = 0, WN_PARSER_NO_OUTPUT = 2, WN_PARSER_NO_SANDBOX = 3 };

#endif
