/* Plain text: paragraphs are what empty lines separate; lines stay as they are. */
#include <string.h>

#include "base/strbuf.h"
#include "ingest/doc_parser.h"
#include "ingest/text_decode.h"

/* Length of the line at `at` without its end; *next is behind the end (\n, \r\n or \r). */
static size_t read_line(const char *text, size_t len, size_t at, size_t *next)
{
    size_t end = at;
    while (end < len && text[end] != '\n' && text[end] != '\r' && text[end] != '\f')
        end++;
    *next = end + (end < len);
    if (end + 1 < len && text[end] == '\r' && text[end + 1] == '\n')
        *next = end + 2;
    while (end > at && (text[end - 1] == ' ' || text[end - 1] == '\t'))
        end--;
    return end - at;
}

static wn_status add_paragraphs(const char *text, size_t len, wn_doc_builder *out, wn_error *err)
{
    for (size_t at = 0, next = 0; at < len; at = next) {
        size_t n = read_line(text, len, at, &next);
        bool page_end = next > 0 && text[next - 1] == '\f';
        if (n > 0) {
            if (wn_doc_in_block(out))
                wn_doc_add(out, "\n", 1);
            else
                wn_doc_begin(out, WN_BLOCK_PARAGRAPH, 0);
            wn_doc_add(out, text + at, n);
        }
        if (n == 0 || page_end) {
            wn_doc_end(out);
            WN_TRY(wn_doc_builder_status(out, err));
        }
    }
    wn_doc_end(out);
    return WN_OK;
}

wn_status wn_parse_plain_text(const wn_doc_source *source, wn_doc_builder *out, wn_error *err)
{
    wn_strbuf text = {0};
    wn_status status =
        wn_text_decode(source->data, source->len, NULL, source->charsets, &text, err);
    if (status == WN_OK && wn_text_is_binary(wn_strbuf_cstr(&text), text.len))
        status = wn_error_set(err, WN_FORMAT, "binary data, not text");
    if (status == WN_OK)
        status = add_paragraphs(wn_strbuf_cstr(&text), text.len, out, err);
    wn_strbuf_free(&text);
    return status;
}
