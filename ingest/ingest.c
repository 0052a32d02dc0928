#include "ingest/ingest.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/utf8.h"
#include "ingest/embed_queue.h"
#include "ingest/file_list.h"
#include "ingest/known_files.h"
#include "ingest/prepared_document.h"

#define DEFAULT_FILE_BYTES ((size_t)64 << 20)

/* One call of wn_ingest_paths. */
typedef struct ingest_run {
    const wn_ingest_options *o;
    wn_parse_pool *pool, *own_pool; /* own_pool: ours to close */
    wn_known_files known;
    wn_embed_queue queue;
    wn_ingest_report *report;
    size_t files_done, files_total;
    double started_ms;
} ingest_run;

static size_t max_file_bytes(const wn_ingest_options *o)
{
    return o->max_file_bytes ? o->max_file_bytes : DEFAULT_FILE_BYTES;
}

static wn_status check_options(const wn_ingest_options *o, wn_error *err)
{
    if (!o->corpus)
        return wn_error_set(err, WN_INVALID, "ingest: no corpus");
    if (o->embed && o->dim == 0)
        return wn_error_set(err, WN_INVALID, "ingest: an embedder of 0 dimensions");
    return WN_OK;
}

static wn_status open_pool(const wn_ingest_options *o, wn_parse_pool **pool, wn_parse_pool **own,
                           wn_error *err)
{
    wn_parse_options po = {.pdfium_path = o->pdfium_path};
    if (!o->parsers)
        WN_TRY(wn_parse_pool_open(own, &po, err));
    *pool = o->parsers ? o->parsers : *own;
    return WN_OK;
}

static wn_status hash_hex(const void *data, size_t len, char out[WN_SHA256_HEX], wn_error *err)
{
    uint8_t digest[WN_SHA256_BYTES];
    WN_TRY(wn_sha256_of(data, len, digest, err));
    wn_hex(digest, sizeof digest, out);
    return WN_OK;
}

/* The document that the corpus has under a path: *id (0 = none), and whether its bytes are these.
 */
static wn_status look_up(wn_corpus *corpus, const char *path, const char *checksum, int64_t *id,
                         bool *same, wn_error *err)
{
    wn_document_record record = {0};
    wn_error absent = {0};
    wn_status status = wn_corpus_document_by_path(corpus, path, &record, &absent);
    *id = 0;
    *same = false;
    if (status == WN_NOT_FOUND)
        return WN_OK;
    if (status != WN_OK)
        return wn_error_set(err, status, "%s", absent.text);
    *id = record.doc.id;
    *same = strcmp(record.doc.checksum, checksum) == 0;
    wn_document_record_free(&record);
    return WN_OK;
}

static void count(wn_ingest_report *r, wn_ingest_outcome outcome)
{
    size_t *const counters[] = {&r->added,     &r->replaced, &r->unchanged,
                                &r->duplicate, &r->skipped,  &r->failed};
    (*counters[outcome])++;
}

/* A file is done: counted and told. */
static void finish_file(ingest_run *run, const char *path, wn_ingest_outcome outcome, int64_t id,
                        const char *message)
{
    count(run->report, outcome);
    run->files_done++;
    run->report->seconds = (wn_clock_ms() - run->started_ms) / 1000;
    wn_ingest_event event = {.path = path,
                             .outcome = outcome,
                             .document_id = id,
                             .message = message,
                             .files_done = run->files_done,
                             .files_total = run->files_total,
                             .passages_done = run->report->passages,
                             .seconds = run->report->seconds};
    if (run->o->on_event)
        run->o->on_event(run->o->event_ctx, &event);
}

static wn_status on_stored(void *ctx, const wn_prepared *p, int64_t id, wn_status status,
                           const char *why, wn_error *err)
{
    ingest_run *run = ctx;
    if (status != WN_OK) {
        finish_file(run, p->path, WN_INGEST_FAILED, 0, why);
        return WN_OK;
    }
    run->report->passages += p->passages.n;
    finish_file(run, p->path, p->replaces ? WN_INGEST_REPLACED : WN_INGEST_ADDED, id, "");
    if (!p->moved)
        return wn_known_files_add(&run->known, p->checksum, id, p->path, err);
    /* Only now: a move that fails half-way loses nothing. */
    WN_TRY(wn_corpus_delete_document(run->o->corpus, p->moved, err));
    return wn_known_files_move(&run->known, p->moved, id, p->path, err);
}

/* The text of a failure without the path that the event carries anyway. */
static const char *without_path(const char *text, const char *path)
{
    size_t n = strlen(path);
    return strncmp(text, path, n) == 0 && strncmp(text + n, ": ", 2) == 0 ? text + n + 2 : text;
}

/* Is trouble with a file's parse the file's own, so that the others go on? */
static bool is_files_fault(wn_status status)
{
    return status != WN_UNAVAILABLE && status != WN_NO_MEMORY && status != WN_CANCELLED &&
           status != WN_INTERNAL;
}

/* Same bytes under another path: in the corpus or waiting for their vectors. */
static const char *find_duplicate(const ingest_run *run, const char *checksum, int64_t *id)
{
    const wn_known_file *known = wn_known_files_find(&run->known, checksum);
    const wn_prepared *waiting = wn_embed_queue_find(&run->queue, checksum);
    *id = known ? known->id : 0;
    return known ? known->path : waiting ? waiting->path : NULL;
}

static wn_status parse_file(ingest_run *run, const char *path, const char *checksum, bool replaces,
                            int64_t moved, const wn_doc_format *format, const wn_strbuf *bytes,
                            wn_error *err)
{
    wn_error why = {0};
    wn_prepared p = {.format = format,
                     .source_bytes = bytes->len,
                     .replaces = replaces || moved != 0,
                     .moved = moved,
                     .path = wn_strdup(path)};
    if (!p.path)
        return wn_error_set(err, WN_NO_MEMORY, "no memory for a path");
    memcpy(p.checksum, checksum, sizeof p.checksum);
    wn_status status =
        wn_prepared_parse(&p, run->o, run->pool, wn_strbuf_cstr(bytes), bytes->len, &why);
    if (status == WN_OK)
        return wn_embed_queue_add(&run->queue, &p, err);
    wn_prepared_free(&p);
    if (!is_files_fault(status))
        return wn_error_set(err, status, "%s: %s", path, why.text);
    finish_file(run, path, WN_INGEST_FAILED, 0, why.text);
    return WN_OK;
}

/* A file whose bytes are read and whose format is known. */
static wn_status ingest_bytes_of(ingest_run *run, const char *path, const wn_doc_format *format,
                                 const wn_strbuf *bytes, wn_error *err)
{
    char checksum[WN_SHA256_HEX];
    int64_t id = 0, same_id = 0;
    bool same = false;
    WN_TRY(hash_hex(wn_strbuf_cstr(bytes), bytes->len, checksum, err));
    WN_TRY(look_up(run->o->corpus, path, checksum, &id, &same, err));
    if (same) {
        finish_file(run, path, WN_INGEST_UNCHANGED, id, "");
        return WN_OK;
    }
    const char *other = id == 0 ? find_duplicate(run, checksum, &same_id) : NULL;
    /* A file of ours that is no longer where it was has moved. Uploads have no file. */
    bool moved = other && same_id != 0 && *other == '/' && !wn_fs_exists(other);
    if (other && !moved) {
        finish_file(run, path, WN_INGEST_DUPLICATE, same_id, other);
        return WN_OK;
    }
    if (moved) /* a further copy is a duplicate of this one */
        WN_TRY(wn_known_files_move(&run->known, same_id, same_id, path, err));
    return parse_file(run, path, checksum, id != 0, moved ? same_id : 0, format, bytes, err);
}

/* Reads a file and finds its format. In a folder, files of other kinds are skipped, most of them by
 * their name alone: models and images are large. */
static wn_ingest_outcome read_file(const ingest_run *run, const wn_listed_file *file,
                                   wn_strbuf *bytes, const wn_doc_format **format, wn_error *why)
{
    const wn_ingest_outcome refuse = file->named ? WN_INGEST_FAILED : WN_INGEST_SKIPPED;
    bool no_extension = !*wn_fs_extension(file->path);
    if (!file->named && !no_extension &&
        wn_prepared_format(file->path, "", 0, format, why) != WN_OK)
        return WN_INGEST_SKIPPED;
    wn_status status = wn_fs_read(bytes, file->path, max_file_bytes(run->o), why);
    if (status != WN_OK)
        return status == WN_LIMIT && no_extension ? refuse : WN_INGEST_FAILED;
    if (bytes->len == 0) {
        wn_error_set(why, WN_FORMAT, "the file is empty");
        return refuse;
    }
    if (wn_prepared_format(file->path, wn_strbuf_cstr(bytes), bytes->len, format, why) != WN_OK)
        return refuse;
    return WN_INGEST_ADDED;
}

static wn_status ingest_file(ingest_run *run, const wn_listed_file *file, wn_error *err)
{
    wn_strbuf bytes = {0};
    wn_error why = file->problem;
    const wn_doc_format *format = NULL;
    wn_status status = WN_OK;
    wn_ingest_outcome outcome = WN_INGEST_FAILED;
    if (why.status == WN_OK)
        outcome = read_file(run, file, &bytes, &format, &why);
    if (outcome == WN_INGEST_ADDED)
        status = ingest_bytes_of(run, file->path, format, &bytes, err);
    else
        finish_file(run, file->path, outcome, 0, without_path(why.text, file->path));
    wn_strbuf_free(&bytes);
    return status;
}

static wn_status ingest_list(ingest_run *run, const wn_file_list *list, wn_error *err)
{
    run->files_total = list->n;
    for (size_t i = 0; i < list->n; i++) {
        if (run->o->cancel && atomic_load(run->o->cancel))
            return wn_error_set(err, WN_CANCELLED, "cancelled after %zu of %zu files",
                                run->files_done, run->files_total);
        WN_TRY(ingest_file(run, &list->items[i], err));
    }
    return wn_embed_queue_flush(&run->queue, err);
}

wn_status wn_ingest_paths(const wn_ingest_options *o, const char *const *paths, size_t n_paths,
                          wn_ingest_report *report, wn_error *err)
{
    wn_file_list list = {0};
    wn_ingest_report ignored;
    wn_ingest_report *r = report ? report : &ignored;
    *r = (wn_ingest_report){0};
    WN_TRY(check_options(o, err));
    ingest_run *run = wn_alloc(1, sizeof *run);
    if (!run)
        return wn_error_set(err, WN_NO_MEMORY, "ingest: no memory");
    run->o = run->queue.o = o;
    run->report = r;
    run->started_ms = wn_clock_ms();
    run->queue.on_stored = on_stored;
    run->queue.ctx = run;
    wn_status status = open_pool(o, &run->pool, &run->own_pool, err);
    if (status == WN_OK)
        status = wn_file_list_read(&list, paths, n_paths, err);
    if (status == WN_OK)
        status = wn_known_files_read(&run->known, o->corpus, err);
    if (status == WN_OK)
        status = ingest_list(run, &list, err);
    r->seconds = (wn_clock_ms() - run->started_ms) / 1000;
    wn_file_list_free(&list);
    wn_known_files_free(&run->known);
    wn_embed_queue_free(&run->queue);
    wn_parse_pool_close(run->own_pool);
    free(run);
    return status;
}
