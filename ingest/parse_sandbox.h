/* What a parser process gives up before it looks at a file.
 *
 *     wn_sandbox *s = NULL;
 *     WN_TRY(wn_sandbox_prepare(&s, err));         // once, before forking
 *     WN_TRY(wn_sandbox_enter(s, &limits, err));   // in the child; there is no way back
 *
 * After that the process can read and write the descriptors that it has, manage memory and end; no
 * files, sockets, processes or signals (seccomp allow-list; Landlock where the kernel has it, as a
 * second wall), no core dump, no new privileges, limited CPU time and memory. A forbidden call ends
 * the process (in builds with sanitizers it fails with EPERM, so that reports come out). Linux
 * only. Fails closed: without seccomp nothing is parsed.
 */
#ifndef WN_INGEST_PARSE_SANDBOX_H
#define WN_INGEST_PARSE_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

typedef struct wn_sandbox wn_sandbox;

typedef struct wn_sandbox_limits {
    unsigned cpu_s;
    size_t memory_bytes; /* of address space, on top of what is mapped already */
} wn_sandbox_limits;

wn_status wn_sandbox_prepare(wn_sandbox **out, wn_error *err);
wn_status wn_sandbox_enter(const wn_sandbox *s, const wn_sandbox_limits *limits, wn_error *err);
void wn_sandbox_free(wn_sandbox *s);
/* Is this a build with sanitizers, whose reports need standard error? */
bool wn_sandbox_is_relaxed(void);

#endif
