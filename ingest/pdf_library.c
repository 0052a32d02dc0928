#include "ingest/pdf_library.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"

static wn_status bind_all(wn_pdf_library *pdf, const char *path, wn_error *err)
{
#define WN_PDF_BIND(name, symbol, result, parameters)                                              \
    {                                                                                              \
        void *address = dlsym(pdf->library, #symbol);                                              \
        if (!address)                                                                              \
            return wn_error_set(err, WN_FORMAT, "%s: has no function %s", path, #symbol);          \
        memcpy(&pdf->name, &address, sizeof address);                                              \
    }
    WN_PDF_FUNCTIONS(WN_PDF_BIND)
#undef WN_PDF_BIND
    return WN_OK;
}

wn_status wn_pdf_library_open(wn_pdf_library **out, const char *path, wn_error *err)
{
    if (access(path, R_OK) != 0)
        return wn_error_set_errno(err, errno, "%s: the PDF library cannot be read", path);
    wn_pdf_library *pdf = wn_alloc(1, sizeof *pdf);
    if (!pdf)
        return wn_error_set(err, WN_NO_MEMORY, "%s: no memory", path);
    wn_status status = WN_OK;
    pdf->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!pdf->library) {
        const char *why = dlerror();
        status = wn_error_set(err, WN_FORMAT, "%s: %s", path, why ? why : "cannot be loaded");
    } else {
        status = bind_all(pdf, path, err);
    }
    if (status != WN_OK) {
        wn_pdf_library_close(pdf);
        return status;
    }
    pdf->init_library();
    *out = pdf;
    return WN_OK;
}

void wn_pdf_library_close(wn_pdf_library *pdf)
{
    free(pdf);
}
