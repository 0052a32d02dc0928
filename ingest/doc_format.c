#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/checked.h"
#include "base/fs.h"
#include "base/strbuf.h"
#include "base/utf8.h"
#include "ingest/doc_parser.h"
#include "ingest/parse_frame.h"

static bool sniff_pdf(const uint8_t *data, size_t len)
{
    return len >= 5 && memcmp(data, "%PDF-", 5) == 0;
}

static bool sniff_html(const uint8_t *data, size_t len)
{
    size_t at = len >= 3 && memcmp(data, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    while (at < len && (data[at] <= ' '))
        at++;
    const char *s = (const char *)data + at;
    size_t left = len - at;
    return (left >= 14 && strncasecmp(s, "<!doctype html", 14) == 0) ||
           (left >= 6 && strncasecmp(s, "<html", 5) == 0 && (s[5] == '>' || s[5] <= ' '));
}

const wn_doc_format wn_doc_formats[] = {
    {"plain text", "text/plain", "txt text log rst", NULL, wn_parse_plain_text, false, false},
    {"Markdown", "text/markdown", "md markdown mdown mkd", NULL, wn_parse_markdown, false, false},
    {"HTML", "text/html", "html htm xhtml", sniff_html, wn_parse_html, false, false},
    {"PDF", "application/pdf", "pdf", sniff_pdf, wn_parse_pdf, true, true},
};
const size_t wn_n_doc_formats = sizeof wn_doc_formats / sizeof *wn_doc_formats;

/* Is `word` one of the blank-separated `words`? Any case. */
static bool has_word(const char *words, const char *word)
{
    size_t len = strlen(word);
    while (len > 0 && *words) {
        size_t n = strcspn(words, " ");
        if (n == len && strncasecmp(words, word, n) == 0)
            return true;
        words += n + (words[n] == ' ');
    }
    return false;
}

/* UTF-8 without control characters, as far as the first 4 KiB tell. */
static bool looks_like_text(const uint8_t *data, size_t len)
{
    size_t n = len < 4096 ? len : 4096;
    for (size_t i = 0; i < n; i++)
        if (data[i] < ' ' && !memchr("\n\r\t\f", data[i], 4))
            return false;
    if (n < len)
        n = wn_utf8_floor((const char *)data, n);
    return n > 0 && wn_utf8_valid((const char *)data, n);
}

const wn_doc_format *wn_doc_format_find(const char *name, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < wn_n_doc_formats; i++)
        if (wn_doc_formats[i].bytes_decide && wn_doc_formats[i].sniff(data, len))
            return &wn_doc_formats[i];
    const char *extension = wn_fs_extension(name);
    for (size_t i = 0; i < wn_n_doc_formats; i++)
        if (has_word(wn_doc_formats[i].extensions, extension))
            return &wn_doc_formats[i];
    if (*extension)
        return NULL;
    for (size_t i = 0; i < wn_n_doc_formats; i++)
        if (wn_doc_formats[i].sniff && wn_doc_formats[i].sniff(data, len))
            return &wn_doc_formats[i];
    return looks_like_text(data, len) ? &wn_doc_formats[0] : NULL;
}

const wn_doc_format *wn_doc_format_by_name(const char *name)
{
    for (size_t i = 0; i < wn_n_doc_formats; i++)
        if (strcmp(wn_doc_formats[i].name, name) == 0)
            return &wn_doc_formats[i];
    return NULL;
}

void wn_doc_format_list(char *out, size_t cap)
{
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < wn_n_doc_formats; i++) {
        for (const char *w = wn_doc_formats[i].extensions; *w;) {
            int len = (int)strcspn(w, " ");
            int m = snprintf(out + n, cap - n, "%s.%.*s", n ? " " : "", len, w);
            if (m < 0 || (size_t)m >= cap - n)
                return;
            n += (size_t)m;
            w += len + (w[len] == ' ');
        }
    }
}

static wn_status append_frame(void *ctx, const void *data, size_t len, wn_error *err)
{
    wn_strbuf *frame = ctx;
    wn_strbuf_add(frame, data, len);
    return frame->failed ? wn_error_set(err, WN_NO_MEMORY, "no memory for the document") : WN_OK;
}

wn_status wn_doc_parse(const wn_doc_format *format, const wn_doc_source *source, wn_parsed_doc *out,
                       wn_error *err)
{
    wn_doc_builder *b = NULL;
    wn_strbuf frame = {0};
    *out = (wn_parsed_doc){0};
    wn_status status = wn_doc_builder_open(&b, err);
    if (status == WN_OK)
        status = format->parse(source, b, err);
    if (status == WN_OK)
        status = wn_doc_builder_write(b, append_frame, &frame, err);
    wn_doc_builder_close(b);
    size_t len = frame.len;
    char *bytes = status == WN_OK ? wn_strbuf_detach(&frame) : NULL;
    wn_strbuf_free(&frame);
    return bytes ? wn_frame_decode(bytes, len, out, err) : status;
}
