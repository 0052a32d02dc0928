#include "ingest/parse_sandbox.h"

#include <errno.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/checked.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WN_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define WN_SANITIZED 1
#endif
#endif
#ifndef WN_SANITIZED
#define WN_SANITIZED 0
#endif

struct wn_sandbox {
    scmp_filter_ctx filter;
};

/* No PROT_EXEC: a parser makes no code. */
static const int memory_calls[] = {SCMP_SYS(mmap), SCMP_SYS(mprotect)};

/* sysinfo: glibc's qsort asks how much memory there is. */
static const int allowed_calls[] = {
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(close),
    SCMP_SYS(lseek),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(brk),
    SCMP_SYS(madvise),
    SCMP_SYS(futex),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(getrandom),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sysinfo),
    SCMP_SYS(restart_syscall),
};

/* pdfium looks for the system's fonts and goes on without them: these fail, and do not end the
 * process. The text of a document must not depend on the fonts of a machine anyway. */
static const int refused_calls[] = {
    SCMP_SYS(open),   SCMP_SYS(openat), SCMP_SYS(newfstatat), SCMP_SYS(stat),     SCMP_SYS(lstat),
    SCMP_SYS(access), SCMP_SYS(fstat),  SCMP_SYS(faccessat),  SCMP_SYS(readlink), SCMP_SYS(ioctl),
};

/* What the sanitizers' runtimes call while they report. */
static const int sanitizer_calls[] = {
    SCMP_SYS(sigaltstack), SCMP_SYS(rt_sigaction), SCMP_SYS(tgkill),
    SCMP_SYS(getrlimit),   SCMP_SYS(prlimit64),    SCMP_SYS(personality),
};

static int add_all(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t n)
{
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = seccomp_rule_add(filter, action, calls[i], 0);
    return rc;
}

static int add_rules(scmp_filter_ctx filter)
{
    int rc = add_all(filter, SCMP_ACT_ALLOW, allowed_calls,
                     sizeof allowed_calls / sizeof *allowed_calls);
    if (rc == 0 && !WN_SANITIZED) /* there it is the default */
        rc = add_all(filter, SCMP_ACT_ERRNO(EACCES), refused_calls,
                     sizeof refused_calls / sizeof *refused_calls);
    for (size_t i = 0; i < 2 && rc == 0; i++)
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, memory_calls[i], 1,
                              SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    if (WN_SANITIZED && rc == 0)
        rc = add_all(filter, SCMP_ACT_ALLOW, sanitizer_calls,
                     sizeof sanitizer_calls / sizeof *sanitizer_calls);
    return rc;
}

wn_status wn_sandbox_prepare(wn_sandbox **out, wn_error *err)
{
    wn_sandbox *s = wn_alloc(1, sizeof *s);
    if (!s)
        return wn_error_set(err, WN_NO_MEMORY, "sandbox: no memory");
    s->filter = seccomp_init(WN_SANITIZED ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_KILL_PROCESS);
    int rc = s->filter ? add_rules(s->filter) : -ENOMEM;
    if (rc != 0) {
        wn_sandbox_free(s);
        return wn_error_set_errno(err, -rc, "sandbox: the seccomp filter cannot be made");
    }
    *out = s;
    return WN_OK;
}

void wn_sandbox_free(wn_sandbox *s)
{
    if (s && s->filter)
        seccomp_release(s->filter);
    free(s);
}

bool wn_sandbox_is_relaxed(void)
{
    return WN_SANITIZED;
}

/* Bytes of address space in use. */
static size_t mapped_bytes(void)
{
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f && fscanf(f, "%lu", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static wn_status set_limits(const wn_sandbox_limits *l, wn_error *err)
{
    size_t memory = l->memory_bytes + mapped_bytes();
    const struct {
        int what;
        rlim_t soft, hard;
        bool skip;
    } limits[] = {
        {RLIMIT_CPU, l->cpu_s, l->cpu_s + 1, false}, /* SIGXCPU, then SIGKILL */
        {RLIMIT_AS, memory, memory, WN_SANITIZED},
        {RLIMIT_FSIZE, 0, 0, false},
        {RLIMIT_CORE, 0, 0, false},
        {RLIMIT_NPROC, 0, 0, false},
        {RLIMIT_NOFILE, 0, 0, false},
    };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct rlimit r = {limits[i].soft, limits[i].hard};
        if (!limits[i].skip && setrlimit((__rlimit_resource_t)limits[i].what, &r) != 0)
            return wn_error_set_errno(err, errno, "sandbox: limit %d", limits[i].what);
    }
    return WN_OK;
}

/* Handles every right of the kernel's Landlock version and allows none. Headers on Debian 12 stop
 * at version 2, so the later bits are written out. Absent or switched off: seccomp alone forbids
 * the same calls. */
static wn_status enter_landlock(wn_error *err)
{
    struct {
        uint64_t fs, net, scoped;
    } attributes = {0};
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (version < 1)
        return WN_OK;
    const uint64_t fs_bits = version >= 5 ? 16 : version >= 3 ? 15 : version >= 2 ? 14 : 13;
    attributes.fs = (1u << fs_bits) - 1;      /* 2: refer; 3: truncate; 5: ioctl on devices */
    attributes.net = version >= 4 ? 3 : 0;    /* bind and connect TCP */
    attributes.scoped = version >= 6 ? 3 : 0; /* abstract sockets, signals */
    size_t size = version >= 6 ? 24 : version >= 4 ? 16 : 8;
    long fd = syscall(SYS_landlock_create_ruleset, &attributes, size, 0);
    if (fd < 0 || syscall(SYS_landlock_restrict_self, fd, 0) != 0)
        return wn_error_set_errno(err, errno, "sandbox: Landlock %ld", version);
    close((int)fd);
    return WN_OK;
}

wn_status wn_sandbox_enter(const wn_sandbox *s, const wn_sandbox_limits *limits, wn_error *err)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return wn_error_set_errno(err, errno, "sandbox: no_new_privs");
    if (!WN_SANITIZED && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return wn_error_set_errno(err, errno, "sandbox: dumpable");
    WN_TRY(enter_landlock(err));
    WN_TRY(set_limits(limits, err));
    int rc = seccomp_load(s->filter);
    if (rc != 0)
        return wn_error_set_errno(err, -rc, "sandbox: seccomp");
    return WN_OK;
}
