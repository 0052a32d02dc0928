/* Builds small GGUF files in memory for tests, and puts bytes where a reader can open them by path.
 */
#ifndef WN_TEST_GGUF_BUILDER_H
#define WN_TEST_GGUF_BUILDER_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/strbuf.h"

enum {
    GB_U8 = 0,
    GB_U32 = 4,
    GB_I32 = 5,
    GB_F32 = 6,
    GB_BOOL = 7,
    GB_STR = 8,
    GB_ARR = 9,
    GB_U64 = 10
};

static inline void gb_u32(wn_strbuf *b, uint32_t v)
{
    wn_strbuf_add(b, &v, sizeof v);
}

static inline void gb_u64(wn_strbuf *b, uint64_t v)
{
    wn_strbuf_add(b, &v, sizeof v);
}

static inline void gb_f32(wn_strbuf *b, float v)
{
    wn_strbuf_add(b, &v, sizeof v);
}

static inline void gb_str(wn_strbuf *b, const char *s)
{
    gb_u64(b, strlen(s));
    wn_strbuf_adds(b, s);
}

static inline void gb_header(wn_strbuf *b, uint32_t version, uint64_t n_tensors, uint64_t n_keys)
{
    wn_strbuf_adds(b, "GGUF");
    gb_u32(b, version);
    gb_u64(b, n_tensors);
    gb_u64(b, n_keys);
}

static inline void gb_key(wn_strbuf *b, const char *key, uint32_t type)
{
    gb_str(b, key);
    gb_u32(b, type);
}

static inline void gb_key_u32(wn_strbuf *b, const char *key, uint32_t v)
{
    gb_key(b, key, GB_U32);
    gb_u32(b, v);
}

static inline void gb_key_f32(wn_strbuf *b, const char *key, float v)
{
    gb_key(b, key, GB_F32);
    gb_f32(b, v);
}

static inline void gb_key_str(wn_strbuf *b, const char *key, const char *v)
{
    gb_key(b, key, GB_STR);
    gb_str(b, v);
}

/* Dimensions innermost first, as the file has them; n1 = 0: one dimension. */
static inline void gb_tensor(wn_strbuf *b, const char *name, uint64_t n0, uint64_t n1,
                             uint32_t type, uint64_t offset)
{
    gb_str(b, name);
    gb_u32(b, n1 ? 2 : 1);
    gb_u64(b, n0);
    if (n1)
        gb_u64(b, n1);
    gb_u32(b, type);
    gb_u64(b, offset);
}

static inline void gb_align(wn_strbuf *b, size_t alignment)
{
    while (b->len % alignment)
        wn_strbuf_addc(b, '\0');
}

/* A memory file that holds the bytes; path (48 bytes) opens it. Close the result with close(). */
static inline int wn_test_memory_file(const void *data, size_t len, char path[48])
{
    int fd = memfd_create("test", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, len) != (ssize_t)len)
        return -1;
    snprintf(path, 48, "/proc/self/fd/%d", fd);
    return fd;
}

#endif
