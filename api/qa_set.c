#include "api/qa_set.h"

#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/strbuf.h"

wn_status wn_qa_lines(json_t **out, const char *dir, const char *file, wn_error *err)
{
    char *path = wn_fs_join(dir, file);
    wn_strbuf text = {0};
    json_t *array = json_array();
    wn_status status = path && array ? wn_fs_read(&text, path, (size_t)1 << 30, err)
                                     : wn_error_set(err, WN_NO_MEMORY, "qa: out of memory");
    const char *p = wn_strbuf_cstr(&text);
    while (status == WN_OK && *p) {
        size_t len = strcspn(p, "\n");
        json_t *row = NULL;
        if (len > 0)
            status = wn_json_parse(&row, p, len, path, err);
        if (row)
            json_array_append_new(array, row);
        p += len + (p[len] == '\n');
    }
    wn_strbuf_free(&text);
    free(path);
    if (status != WN_OK) {
        json_decref(array);
        return status;
    }
    *out = array;
    return WN_OK;
}

wn_status wn_qa_field(const json_t *row, const char *field, const char **out, wn_error *err)
{
    *out = NULL;
    WN_TRY(wn_json_get_str(row, field, out, err));
    return *out ? WN_OK : wn_error_set(err, WN_FORMAT, "qa: a line has no \"%s\"", field);
}
