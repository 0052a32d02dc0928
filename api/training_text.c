#include "api/training_text.h"

#include <string.h>

#include "base/fs.h"
#include "base/json.h"

#define MAX_FILE_BYTES ((size_t)256 << 20)

static wn_status add_jsonl(wn_strbuf *out, const wn_strbuf *file, const char *path, wn_error *err)
{
    const char *at = file->data, *end = at + file->len;
    for (size_t line = 1; at < end; line++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        const char *title = "", *body = "";
        json_t *json = NULL;
        stop = stop ? stop : end;
        if (stop > at) {
            wn_status status = wn_json_parse(&json, at, (size_t)(stop - at), path, err);
            if (status == WN_OK)
                status = wn_json_get_str(json, "title", &title, err);
            if (status == WN_OK)
                status = wn_json_get_str(json, "text", &body, err);
            if (status == WN_OK)
                wn_strbuf_printf(out, "%s\n%s\n\n", title, body);
            json_decref(json);
            WN_TRY(status);
        }
        at = stop + 1;
    }
    return WN_OK;
}

/* To the last part. */
static wn_status add_file(void *ctx, const wn_fs_entry *entry, wn_error *err)
{
    wn_training_text *t = ctx;
    wn_strbuf file = {0}, *out = &t->parts[t->n_parts - 1];
    wn_status status = wn_fs_read(&file, entry->path, MAX_FILE_BYTES, err);
    if (status == WN_OK && file.len > 0 && !memchr(file.data, 0, file.len)) {
        t->n_files++;
        if (strcmp(wn_fs_extension(entry->path), "jsonl") == 0) {
            status = add_jsonl(out, &file, entry->path, err);
        } else {
            wn_strbuf_add(out, file.data, file.len);
            wn_strbuf_adds(out, "\n\n");
        }
    }
    wn_strbuf_free(&file);
    if (status == WN_OK && wn_strbuf_failed(out))
        status = wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", entry->path);
    return status;
}

static wn_status add_part(wn_training_text *t, wn_sha256 *sha, const char *path, wn_error *err)
{
    const wn_strbuf *part = &t->parts[t->n_parts++];
    WN_TRY(wn_fs_walk(path, add_file, t, err));
    if (part->len == 0)
        return wn_error_set(err, WN_INVALID, "%s: no text", path);
    t->n_bytes += part->len;
    WN_TRY(wn_sha256_add(sha, &part->len, sizeof part->len, err));
    return wn_sha256_add(sha, part->data, part->len, err);
}

wn_status wn_training_text_read(wn_training_text *t, char *const *paths, size_t n_paths,
                                wn_error *err)
{
    wn_sha256 *sha = NULL;
    *t = (wn_training_text){0};
    if (n_paths < 1 || n_paths > WN_TRAINING_MAX_PARTS)
        return wn_error_set(err, WN_INVALID, "%zu paths of text (1 to %d are possible)", n_paths,
                            WN_TRAINING_MAX_PARTS);
    WN_TRY(wn_sha256_open(&sha, err));
    wn_status status = WN_OK;
    for (size_t i = 0; status == WN_OK && i < n_paths; i++)
        status = add_part(t, sha, paths[i], err);
    wn_sha256_close(sha, t->digest);
    if (status != WN_OK)
        wn_training_text_free(t);
    return status;
}

void wn_training_text_free(wn_training_text *t)
{
    for (size_t i = 0; i < t->n_parts; i++)
        wn_strbuf_free(&t->parts[i]);
    *t = (wn_training_text){0};
}

void wn_training_text_piece(const wn_training_text *t, wn_piece_use use, size_t i, size_t n,
                            size_t want, const char **text, size_t *len)
{
    const wn_strbuf *part = &t->parts[i % t->n_parts];
    const size_t learn = part->len / 3 * 2, per_part = (n + t->n_parts - 1) / t->n_parts;
    const size_t first = use == WN_PIECE_LEARN ? 0 : learn;
    const size_t end = use == WN_PIECE_LEARN ? learn : part->len;
    const double share = (double)(i / t->n_parts) / (double)per_part;
    size_t at = first + (size_t)(share * (double)(end - first));
    if (end - at < want)
        at = end - first < want ? first : end - want;
    const char *line = memchr(part->data + at, '\n', end - at);
    const size_t after = line ? (size_t)(line - part->data) + 1 : end;
    if (at > 0 && after < at + want / 4 && after < end)
        at = after;
    *text = part->data + at;
    *len = end - at;
}
