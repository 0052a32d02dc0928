#include "api/shipped_heads.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/model_catalog.h"
#include "base/checked.h"
#include "base/fs.h"
#include "base/strbuf.h"

static const char *const places[] = {"/../share/winnow/heads/", "/../deploy/heads/"};
#define N_PLACES (sizeof places / sizeof *places)

/* The side-car of a name in one of the places; NULL: it is not there. New string. */
static char *find(const char *folder, const char *place, const char *model)
{
    wn_strbuf path = {0};
    wn_strbuf_printf(&path, "%s%s%s.safetensors", folder, place, model);
    char *found = wn_strbuf_failed(&path) || !wn_fs_exists(wn_strbuf_cstr(&path))
                      ? NULL
                      : wn_strdup(wn_strbuf_cstr(&path));
    wn_strbuf_free(&path);
    return found;
}

wn_status wn_shipped_heads(const char *model, char **path, wn_error *err)
{
    char folder[PATH_MAX];
    const ssize_t len = readlink("/proc/self/exe", folder, sizeof folder - 1);
    folder[len > 0 ? len : 0] = 0;
    char *slash = strrchr(folder, '/');
    *path = NULL;
    if (slash)
        *slash = 0;
    /* Only names: a path would leave the folder. */
    for (size_t i = 0; slash && wn_catalog_find(model) && !*path && i < N_PLACES; i++)
        *path = find(folder, places[i], model);
    if (*path)
        return WN_OK;
    return wn_error_set(err, WN_NOT_FOUND,
                        "--heads auto: no eviction heads came with this winnow for %.100s; train "
                        "some (winnow retrofit) and name their file",
                        model);
}
