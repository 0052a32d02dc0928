/* What every test program needs: cmocka in its required order, paths of data, loud skipping. */
#ifndef WN_TEST_SUPPORT_H
#define WN_TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/status.h"

/* WN_SHARED_DIR "/data/..." is the real data; absent on some machines: skip, loudly. */
#define WN_NEED_FILE(path)                                                                         \
    do {                                                                                           \
        if (access((path), R_OK) != 0) {                                                           \
            printf("SKIPPED: %s needs %s, which is not on this machine\n", __func__, (path));      \
            skip();                                                                                \
        }                                                                                          \
    } while (0)

/* $WINNOW_DATA_DIR/models or ~/.local/share/winnow/models, joined with name; a static buffer per
 * call site is not needed: snprintf into `out`. */
static inline const char *wn_test_model_path(char *out, size_t cap, const char *name)
{
    const char *data = getenv("WINNOW_DATA_DIR");
    if (data)
        snprintf(out, cap, "%s/models/%s", data, name);
    else
        snprintf(out, cap, "%s/.local/share/winnow/models/%s", getenv("HOME"), name);
    return out;
}

#define WN_ASSERT_OK(call)                                                                         \
    do {                                                                                           \
        wn_error wn_assert_err_ = {0};                                                             \
        wn_error *err = &wn_assert_err_;                                                           \
        wn_status wn_assert_status_ = (call);                                                      \
        if (wn_assert_status_ != WN_OK)                                                            \
            fail_msg("%s: %s: %s", #call, wn_status_name(wn_assert_status_), err->text);           \
    } while (0)

#endif
