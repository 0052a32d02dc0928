/* Shared by the tests of ingest: paths of real data, a pool with the real formats. */
#ifndef WN_INGEST_TEST_SUPPORT_H
#define WN_INGEST_TEST_SUPPORT_H

#include "tests/test_support.h"

#include "base/fs.h"
#include "base/strbuf.h"
#include "ingest/parse_worker.h"

#define DOCS WN_SHARED_DIR "/data/docs/"
#define GOLDEN WN_SOURCE_DIR "/tests/golden/ingest/"

/* Where setup puts libpdfium.so. */
static inline const char *pdfium_path(void)
{
    static char path[512];
    static const char *const places[] = {"lib", "pdfium"};
    const char *data = getenv("WINNOW_DATA_DIR"), *home = getenv("HOME");
    for (size_t i = 0; i < 2; i++) {
        if (data)
            snprintf(path, sizeof path, "%s/%s/libpdfium.so", data, places[i]);
        else
            snprintf(path, sizeof path, "%s/.local/share/winnow/%s/libpdfium.so", home ? home : "",
                     places[i]);
        if (access(path, R_OK) == 0)
            break;
    }
    return path;
}

static inline wn_parse_pool *open_real_pool(unsigned cpu_s)
{
    wn_parse_pool *pool = NULL;
    wn_parse_options o = {.pdfium_path = pdfium_path(), .cpu_s = cpu_s};
    WN_ASSERT_OK(wn_parse_pool_open(&pool, &o, err));
    return pool;
}

static inline wn_strbuf read_file(const char *path)
{
    wn_strbuf bytes = {0};
    WN_ASSERT_OK(wn_fs_read(&bytes, path, (size_t)64 << 20, err));
    return bytes;
}

static inline wn_status parse_bytes(wn_parse_pool *pool, const char *name, const void *data,
                                    size_t len, wn_parsed_doc *doc, wn_error *err)
{
    const wn_doc_format *format = wn_doc_format_find(name, data, len);
    assert_non_null(format);
    *err = (wn_error){0};
    return wn_parse_pool_run(pool, format, data, len, doc, err);
}

#endif
