/* Parsing of hostile files in processes of their own.
 *
 *     int main(int argc, char **argv)
 *     {
 *         if (wn_parse_worker_requested(argc, argv))       // first of all
 *             return wn_parse_worker_main(argc, argv);
 *         ...
 *     wn_parse_pool *pool = NULL;
 *     wn_parse_options o = {.pdfium_path = path};
 *     WN_TRY(wn_parse_pool_open(&pool, &o, err));
 *     WN_TRY(wn_parse_pool_run(pool, format, data, len, &doc, err));
 *     wn_parse_pool_close(pool);
 *
 * How: the pool starts this program again (/proc/self/exe with the argument "parse-worker") at its
 * first file. That process has none of ours in its memory: no keys, no other documents, no threads.
 * It loads what parsers need and then forks two processes for each file: a keeper that watches the
 * clock, and the parser, which gives up everything but reading the file and writing the result
 * (parse_sandbox.h). A parser that crashes, loops or asks for too much fails its file, nothing
 * else. The file goes in as a sealed memfd; the result comes back through a pipe and is validated
 * (parse_frame.h).
 *
 * Threads: a pool may be used by many threads; files are parsed in parallel.
 */
#ifndef WN_INGEST_PARSE_WORKER_H
#define WN_INGEST_PARSE_WORKER_H

#include <stdbool.h>
#include <stddef.h>

#include "ingest/doc_parser.h"

typedef struct wn_parse_pool wn_parse_pool;

typedef struct wn_parse_options {
    const char *pdfium_path;      /* libpdfium.so; NULL: PDF is WN_UNSUPPORTED */
    unsigned cpu_s;               /* of one file; 0 = 10 */
    unsigned deadline_ms;         /* of one file, wall clock; 0 = 30000 */
    size_t memory_bytes;          /* of one file, address space; 0 = 512 MiB. Not limited in builds
                                     with sanitizers, which reserve terabytes */
    const wn_doc_format *formats; /* NULL = wn_doc_formats; the worker must serve the same table */
    size_t n_formats;
} wn_parse_options;

wn_status wn_parse_pool_open(wn_parse_pool **out, const wn_parse_options *o, wn_error *err);
void wn_parse_pool_close(wn_parse_pool *p); /* no run may be in progress; NULL is fine */

/* Parses one file. WN_FORMAT, WN_UNSUPPORTED: it cannot be read; WN_LIMIT: it takes too much time
 * or memory; WN_UNAVAILABLE: no worker can be started (the text says why). `format` is of the
 * pool's table. */
wn_status wn_parse_pool_run(wn_parse_pool *p, const wn_doc_format *format, const void *data,
                            size_t len, wn_parsed_doc *out, wn_error *err);

/* Was this program started as a parse worker? */
bool wn_parse_worker_requested(int argc, char **argv);
/* Serves until the pool is closed; returns the exit status. */
int wn_parse_worker_main(int argc, char **argv);
/* The same with other formats (tests). */
int wn_parse_worker_serve(int argc, char **argv, const wn_doc_format *formats, size_t n_formats);

#endif
