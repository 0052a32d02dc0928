/* What a parser process that has been taken over may send: refused, or a document that can be read.
 */
#include <stdlib.h>
#include <string.h>

#include "ingest/parse_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile size_t sum; /* keeps the reads */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wn_parsed_doc doc;
    char *frame = malloc(size ? size : 1);
    if (!frame)
        return 0;
    memcpy(frame, data, size);
    if (wn_frame_decode(frame, size, &doc, NULL) != WN_OK)
        return 0;
    sum = sum + strlen(doc.text) + strlen(doc.title);
    for (size_t i = 0; i < doc.n_blocks; i++)
        sum = sum + strlen(doc.blocks[i].headings) + (unsigned char)doc.text[doc.blocks[i].end - 1];
    wn_parsed_doc_free(&doc);
    return 0;
}
