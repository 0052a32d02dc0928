/* Sentences and normalisation of any bytes: sentences are in order and inside the text; NFC of NFC
 * is itself. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/sentence.h"
#include "base/unicode_nfc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    wn_sentence s = {0};
    size_t last = 0;
    for (size_t at = 0; wn_sentence_next(text, size, &at, &s); last = s.end) {
        if (s.start < last || s.end <= s.start || s.end > size)
            abort();
    }
    wn_strbuf once = {0}, twice = {0};
    wn_unicode_nfc(text, size, &once);
    wn_unicode_nfc(wn_strbuf_cstr(&once), once.len, &twice);
    if (!wn_strbuf_failed(&once) && !wn_strbuf_failed(&twice) &&
        (once.len != twice.len || (once.len && memcmp(once.data, twice.data, once.len) != 0)))
        abort();
    wn_strbuf_free(&once);
    wn_strbuf_free(&twice);
    return 0;
}
