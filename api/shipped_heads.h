/* The eviction heads that come with winnow (deploy/heads): one side-car for a model of the
 * catalogue, by its name. They lie in share/winnow/heads beside the folder of the executable where
 * it was installed, and in deploy/heads where it was built in a folder of the source tree.
 *
 *     WN_TRY(wn_shipped_heads("smollm2-135m", &path, err));   // the caller frees path
 *
 * Any thread.
 */
#ifndef WN_API_SHIPPED_HEADS_H
#define WN_API_SHIPPED_HEADS_H

#include "base/status.h"

/* WN_NOT_FOUND, saying what to do instead, where none come for that model. */
wn_status wn_shipped_heads(const char *model, char **path, wn_error *err);

#endif
