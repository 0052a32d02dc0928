/* Plain text of any bytes: parsed, cut into passages, nothing lost (document_check.h). */
#include "ingest/doc_parser.h"
#include "tests/fuzz/document_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_document("plain text", data, size);
    return 0;
}
