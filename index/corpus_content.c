/* Validation of what is put into a corpus: later readers rely on it (offsets inside the text and on
 * character borders, UTF-8 everywhere, unit vectors). */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"
#include "index/corpus_internal.h"

enum { MAX_ATTRIBUTES = 16, MAX_KEY_CHARS = 64, MAX_VALUE_CHARS = 512, MAX_NAME_BYTES = 4096 };
/* SQLite's own limit of a value is 10^9 bytes. */
#define MAX_TEXT_BYTES ((size_t)512 << 20)

static const char *name_of(const wn_document_content *content)
{
    return content->doc.path;
}

static wn_status check_string(const wn_document_content *content, const char *what, const char *s,
                              size_t max, wn_error *err)
{
    size_t len = s ? strlen(s) : 0;
    if (len > max)
        return wn_error_set(err, WN_LIMIT, "%s: %s has %zu bytes, %zu are possible",
                            name_of(content), what, len, max);
    if (len > 0 && !wn_utf8_valid(s, len))
        return wn_error_set(err, WN_INVALID, "%s: %s is not UTF-8", name_of(content), what);
    return WN_OK;
}

static wn_status check_attribute(const char *path, const char *key, const json_t *value,
                                 wn_error *err)
{
    size_t key_chars = wn_utf8_count(key, strlen(key));
    if (key_chars == 0 || key_chars > MAX_KEY_CHARS)
        return wn_error_set(err, WN_INVALID,
                            "%s: attributes: a key of %zu characters, 1 to %d are possible", path,
                            key_chars, MAX_KEY_CHARS);
    if (json_is_string(value)) {
        size_t chars = wn_utf8_count(json_string_value(value), json_string_length(value));
        if (chars > MAX_VALUE_CHARS)
            return wn_error_set(err, WN_INVALID,
                                "%s: attributes: %s has %zu characters, %d are possible", path, key,
                                chars, MAX_VALUE_CHARS);
    } else if (!json_is_number(value) && !json_is_boolean(value)) {
        return wn_error_set(err, WN_INVALID,
                            "%s: attributes: %s must be a string, a number or a boolean", path,
                            key);
    }
    return WN_OK;
}

static wn_status check_attributes(const wn_document_content *content, wn_error *err)
{
    const char *text = content->doc.attributes, *path = name_of(content);
    if (!text)
        return WN_OK;
    json_t *object = NULL;
    WN_TRY(wn_json_parse(&object, text, strlen(text), "attributes", err));
    wn_status status = WN_OK;
    if (!json_is_object(object))
        status = wn_error_set(err, WN_INVALID, "%s: attributes must be a JSON object", path);
    else if (json_object_size(object) > MAX_ATTRIBUTES)
        status = wn_error_set(err, WN_INVALID, "%s: %zu attributes, %d are possible", path,
                              json_object_size(object), MAX_ATTRIBUTES);
    const char *key = NULL;
    json_t *value = NULL;
    if (status == WN_OK)
        json_object_foreach(object, key, value)
        {
            status = check_attribute(path, key, value, err);
            if (status != WN_OK)
                break;
        }
    json_decref(object);
    return status;
}

static wn_status check_strings(const wn_document_content *content, wn_error *err)
{
    const wn_document *d = &content->doc;
    WN_TRY(check_string(content, "path", d->path, MAX_NAME_BYTES, err));
    WN_TRY(check_string(content, "file name", d->filename, MAX_NAME_BYTES, err));
    WN_TRY(check_string(content, "title", d->title, MAX_NAME_BYTES, err));
    WN_TRY(check_string(content, "media type", d->media_type, 256, err));
    WN_TRY(check_string(content, "checksum", d->checksum, 128, err));
    if (content->text_len > MAX_TEXT_BYTES)
        return wn_error_set(err, WN_LIMIT, "%s: text of %zu bytes, %zu are possible", d->path,
                            content->text_len, MAX_TEXT_BYTES);
    if (content->text_len > 0 && !wn_utf8_valid(content->text, content->text_len))
        return wn_error_set(err, WN_INVALID, "%s: the text is not UTF-8", d->path);
    if (d->n_pages < 0 || d->source_bytes > INT64_MAX)
        return wn_error_set(err, WN_INVALID, "%s: %d pages, %llu source bytes", d->path, d->n_pages,
                            (unsigned long long)d->source_bytes);
    return check_attributes(content, err);
}

static bool on_border(const wn_document_content *content, size_t pos)
{
    return pos == content->text_len || ((unsigned char)content->text[pos] & 0xC0) != 0x80;
}

static wn_status check_range(const wn_document_content *content, const char *what, size_t i,
                             size_t start, size_t end, wn_error *err)
{
    if (start >= end || end > content->text_len)
        return wn_error_set(err, WN_INVALID, "%s: %s %zu: bytes %zu to %zu of a text of %zu",
                            name_of(content), what, i, start, end, content->text_len);
    if (!on_border(content, start) || !on_border(content, end))
        return wn_error_set(err, WN_INVALID, "%s: %s %zu: bytes %zu to %zu cut a character",
                            name_of(content), what, i, start, end);
    return WN_OK;
}

static wn_status check_blocks(const wn_document_content *content, wn_error *err)
{
    size_t last_end = 0;
    for (size_t i = 0; i < content->n_blocks; i++) {
        const wn_block *b = &content->blocks[i];
        WN_TRY(check_range(content, "block", i, b->start, b->end, err));
        WN_TRY(check_string(content, "headings of a block", b->headings, MAX_NAME_BYTES, err));
        if (b->start < last_end || b->page < 0 || (unsigned)b->kind > WN_BLOCK_CODE)
            return wn_error_set(
                err, WN_INVALID,
                "%s: block %zu: starts at %zu (the one before ends at %zu), page %d,"
                " kind %d",
                name_of(content), i, b->start, last_end, b->page, (int)b->kind);
        last_end = b->end;
    }
    return WN_OK;
}

static wn_status check_vector(const wn_document_content *content, size_t i, wn_error *err)
{
    const float *v = content->vectors + i * content->dim;
    double norm = 0;
    for (size_t j = 0; j < content->dim; j++)
        norm += (double)v[j] * (double)v[j];
    if (!(fabs(norm - 1) < 0.01)) /* true for NaN as well */
        return wn_error_set(err, WN_INVALID, "%s: vector %zu has the squared norm %g, not 1",
                            name_of(content), i, norm);
    return WN_OK;
}

static wn_status check_passages(const wn_document_content *content, wn_error *err)
{
    size_t last_start = 0;
    for (size_t i = 0; i < content->n_passages; i++) {
        const wn_passage *p = &content->passages[i];
        WN_TRY(check_range(content, "passage", i, p->start, p->end, err));
        WN_TRY(check_string(content, "headings of a passage", p->headings, MAX_NAME_BYTES, err));
        if (p->start < last_start || p->page_start < 0 || p->page_end < p->page_start)
            return wn_error_set(err, WN_INVALID,
                                "%s: passage %zu: starts at %zu (the one before at %zu),"
                                " pages %d to %d",
                                name_of(content), i, p->start, last_start, p->page_start,
                                p->page_end);
        last_start = p->start;
        if (content->vectors)
            WN_TRY(check_vector(content, i, err));
    }
    return WN_OK;
}

wn_status wn_content_check(const wn_document_content *content, wn_error *err)
{
    if (!content->doc.path || !*content->doc.path)
        return wn_error_set(err, WN_INVALID, "a document needs a path");
    if (content->n_passages > INT32_MAX || content->n_blocks > INT32_MAX)
        return wn_error_set(err, WN_LIMIT, "%s: too many blocks or passages", name_of(content));
    if (content->vectors && (content->dim == 0 || content->dim > WN_VECTOR_MAX_DIM))
        return wn_error_set(err, WN_INVALID, "%s: vectors of %zu dimensions, 1 to %d are possible",
                            name_of(content), content->dim, WN_VECTOR_MAX_DIM);
    WN_TRY(check_strings(content, err));
    WN_TRY(check_blocks(content, err));
    return check_passages(content, err);
}
