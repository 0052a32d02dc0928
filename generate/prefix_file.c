#include "generate/prefix_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/fs.h"

#define MAX_META ((size_t)1 << 30)

static const uint64_t MAGIC = 0x31585077656e6e69; /* "innewPX1" */

wn_status prefix_file_key_make(prefix_file_key *out, const uint8_t secret[WN_SHA256_BYTES],
                               wn_error *err)
{
    static const char owner[] = "winnow prefix owner", digest[] = "winnow prefix digests";
    uint8_t mac[WN_SHA256_BYTES];
    WN_TRY(wn_hmac_sha256(secret, WN_SHA256_BYTES, owner, sizeof owner - 1, mac, err));
    memcpy(out->owner, mac, sizeof out->owner);
    WN_TRY(wn_hmac_sha256(secret, WN_SHA256_BYTES, digest, sizeof digest - 1, out->digest, err));
    out->secret = secret;
    return WN_OK;
}

size_t prefix_file_bytes(const prefix_file_header *h)
{
    return (size_t)(h->meta_bytes + h->log_bytes + h->tail_bytes) + 3 * WN_SHA256_BYTES;
}

static wn_status read_all(int fd, void *out, size_t len, size_t at, const char *path, wn_error *err)
{
    for (uint8_t *p = out; len > 0;) {
        const ssize_t n = pread(fd, p, len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return wn_error_set_errno(err, errno, "%s", path);
        if (n == 0)
            return wn_error_set(err, WN_FORMAT, "%s: ends too early", path);
        p += n;
        at += (size_t)n;
        len -= (size_t)n;
    }
    return WN_OK;
}

/* Lengths that go with one another and with the file's, before any of them is used. */
static wn_status check_header(const prefix_file_header *h, const prefix_file_key *key, size_t size,
                              const char *path, wn_error *err)
{
    if (h->magic != MAGIC)
        return wn_error_set(err, WN_FORMAT, "%s: no prefix", path);
    if (h->version != PREFIX_FILE_VERSION)
        return wn_error_set(err, WN_UNSUPPORTED, "%s: version %llu (%d is supported)", path,
                            (unsigned long long)h->version, PREFIX_FILE_VERSION);
    if (memcmp(h->owner, key->owner, sizeof h->owner) != 0)
        return wn_error_set(err, WN_CONFLICT, "%s: of another installation", path);
    const uint64_t lens[] = {h->meta_bytes, h->log_bytes,  h->tail_bytes, h->n,
                             h->n_ends,     h->ends_bytes, h->bits_bytes, h->corpus_len};
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++)
        if (lens[i] > size)
            return wn_error_set(err, WN_FORMAT, "%s: lengths beyond its end", path);
    if (h->n_first >= h->n || h->meta_bytes > MAX_META || prefix_file_bytes(h) != size ||
        sizeof *h + h->corpus_len + (h->n - h->n_first) * sizeof(int32_t) + h->ends_bytes +
                h->bits_bytes !=
            h->meta_bytes)
        return wn_error_set(err, WN_FORMAT, "%s: lengths contradict one another", path);
    return WN_OK;
}

static wn_status read_meta(prefix_file *f, const char *path, const prefix_file_key *key,
                           wn_error *err)
{
    const size_t len = (size_t)f->h.meta_bytes;
    uint8_t tag[WN_SHA256_BYTES];
    f->meta = wn_alloc(len + sizeof tag, 1);
    if (!f->meta)
        return wn_error_set(err, WN_NO_MEMORY, "%s: no memory for it", path);
    WN_TRY(read_all(f->fd, f->meta, len + sizeof tag, 0, path, err));
    WN_TRY(wn_hmac_sha256(key->secret, WN_SHA256_BYTES, f->meta, len, tag, err));
    if (!wn_equal_constant_time(tag, f->meta + len, sizeof tag) ||
        memcmp(f->meta, &f->h, sizeof f->h) != 0)
        return wn_error_set(err, WN_CORRUPT, "%s: does not verify", path);
    memcpy(f->tag, tag, sizeof tag);
    const uint8_t *corpus = f->meta + sizeof f->h;
    f->ids = corpus + f->h.corpus_len;
    f->ends = f->ids + (f->h.n - f->h.n_first) * sizeof(int32_t);
    f->bits = f->ends + f->h.ends_bytes;
    f->corpus = wn_strndup((const char *)corpus, (size_t)f->h.corpus_len);
    return f->corpus ? WN_OK : wn_error_set(err, WN_NO_MEMORY, "%s: no memory for it", path);
}

wn_status prefix_file_open(prefix_file *out, const char *path, const prefix_file_key *key,
                           wn_error *err)
{
    struct stat st;
    *out = (prefix_file){.fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)};
    if (out->fd < 0)
        return wn_error_set_errno(err, errno, "%s", path);
    wn_status status = WN_OK;
    if (fstat(out->fd, &st) != 0)
        status = wn_error_set_errno(err, errno, "%s", path);
    else if (!S_ISREG(st.st_mode))
        status = wn_error_set(err, WN_FORMAT, "%s: no regular file", path);
    if (status == WN_OK)
        status = read_all(out->fd, &out->h, sizeof out->h, 0, path, err);
    if (status == WN_OK)
        status = check_header(&out->h, key, (size_t)st.st_size, path, err);
    if (status == WN_OK)
        status = read_meta(out, path, key, err);
    if (status != WN_OK)
        prefix_file_close(out);
    return status;
}

void prefix_file_close(prefix_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    if (f->meta)
        explicit_bzero(f->meta, (size_t)f->h.meta_bytes);
    free(f->meta);
    free(f->corpus);
    *f = (prefix_file){.fd = -1};
}

bool prefix_file_next_end(const prefix_file *f, const uint8_t **at, uint64_t *n, char *document,
                          size_t cap)
{
    uint32_t len = 0;
    const size_t left = (size_t)(f->bits - *at);
    if (left < sizeof *n + sizeof len)
        return false;
    memcpy(n, *at, sizeof *n);
    memcpy(&len, *at + sizeof *n, sizeof len);
    if (len > left - sizeof *n - sizeof len || len >= cap)
        return false;
    memcpy(document, *at + sizeof *n + sizeof len, len);
    document[len] = '\0';
    *at += sizeof *n + sizeof len + len;
    return true;
}

/* Of one section, half of the digests. */
static wn_status section_mac(const prefix_file_key *key, const uint8_t tag[WN_SHA256_BYTES],
                             const wn_kv_span *span, bool tail, uint8_t out[WN_SHA256_BYTES],
                             wn_error *err)
{
    const size_t half = span->n_layers * WN_GMAC_BYTES;
    wn_strbuf b = {0};
    wn_strbuf_addc(&b, tail ? 't' : 'l');
    wn_strbuf_add(&b, tag, WN_SHA256_BYTES);
    wn_strbuf_add(&b, span->digests + (tail ? half : 0), half);
    wn_status status = wn_strbuf_failed(&b)
                           ? wn_error_set(err, WN_NO_MEMORY, "no memory for a prefix' digests")
                           : wn_hmac_sha256(key->secret, WN_SHA256_BYTES, b.data, b.len, out, err);
    wn_strbuf_free(&b);
    return status;
}

static wn_kv_span_io places(const prefix_file_header *h, const prefix_file_key *key, int fd,
                            bool write, wn_thread_pool *pool)
{
    const uint64_t log_at = h->meta_bytes + WN_SHA256_BYTES;
    return (wn_kv_span_io){.fd = fd,
                           .log_at = log_at,
                           .tail_at = log_at + h->log_bytes,
                           .write = write,
                           .digest_key = key->digest,
                           .pool = pool};
}

static wn_status read_span(const prefix_file *f, const prefix_file_key *key, wn_kv_span *span,
                           wn_thread_pool *pool, wn_error *err)
{
    const wn_kv_span_io io = places(&f->h, key, f->fd, false, pool);
    uint8_t expected[2][WN_SHA256_BYTES], mac[WN_SHA256_BYTES];
    if (wn_kv_span_log_bytes(span) != f->h.log_bytes ||
        wn_kv_span_tail_bytes(span) != f->h.tail_bytes)
        return wn_error_set(err, WN_FORMAT, "a prefix' keys and values have another length");
    WN_TRY(wn_kv_span_move(span, &io, err));
    WN_TRY(read_all(f->fd, expected, sizeof expected, (size_t)(io.tail_at + f->h.tail_bytes),
                    "the file of a prefix", err));
    for (size_t i = 0; i < (span->with_tail ? 2 : 1); i++) {
        WN_TRY(section_mac(key, f->tag, span, i == 1, mac, err));
        if (!wn_equal_constant_time(mac, expected[i], sizeof mac))
            return wn_error_set(err, WN_CORRUPT, "a prefix' keys and values do not verify");
    }
    return WN_OK;
}

wn_status prefix_file_load(const prefix_file *f, const prefix_file_key *key, wn_kv_store *kv,
                           bool with_tail, wn_thread_pool *pool, wn_error *err)
{
    wn_kv_span span = {0};
    const prefix_file_header *h = &f->h;
    if (h->from_tail > h->n_first || h->tail_first > h->n ||
        h->bits_bytes != wn_kv_span_bits_bytes(kv, (size_t)h->from_tail, (size_t)h->n))
        return wn_error_set(err, WN_FORMAT, "a prefix' decisions have another length");
    WN_TRY(wn_kv_span_begin(&span, kv, (size_t)h->n_first, (size_t)h->from_tail, (size_t)h->n,
                            (size_t)h->tail_first, f->bits, with_tail, err));
    wn_status status = read_span(f, key, &span, pool, err);
    wn_kv_span_close(&span);
    return status;
}

static wn_status write_all(int fd, const void *bytes, size_t len, size_t at, wn_error *err)
{
    for (const uint8_t *p = bytes; len > 0;) {
        const ssize_t n = pwrite(fd, p, len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return wn_error_set_errno(err, errno, "the file of a prefix: cannot write");
        p += n;
        at += (size_t)n;
        len -= (size_t)n;
    }
    return WN_OK;
}

void prefix_file_header_start(prefix_file_header *h, const prefix_file_key *key)
{
    h->magic = MAGIC;
    h->version = PREFIX_FILE_VERSION;
    memcpy(h->owner, key->owner, sizeof h->owner);
}

static wn_status write_parts(int fd, const prefix_file_key *key, const uint8_t *meta,
                             wn_kv_span *span, const uint8_t tag[WN_SHA256_BYTES], wn_error *err)
{
    prefix_file_header h;
    uint8_t macs[2][WN_SHA256_BYTES];
    memcpy(&h, meta, sizeof h);
    const wn_kv_span_io io = places(&h, key, fd, true, NULL);
    WN_TRY(write_all(fd, meta, (size_t)h.meta_bytes, 0, err));
    WN_TRY(write_all(fd, tag, WN_SHA256_BYTES, (size_t)h.meta_bytes, err));
    WN_TRY(wn_kv_span_move(span, &io, err));
    WN_TRY(section_mac(key, tag, span, false, macs[0], err));
    WN_TRY(section_mac(key, tag, span, true, macs[1], err));
    return write_all(fd, macs, sizeof macs, (size_t)(io.tail_at + h.tail_bytes), err);
}

wn_status prefix_file_write(const char *path, const prefix_file_key *key, const uint8_t *meta,
                            wn_kv_span *span, uint8_t tag[WN_SHA256_BYTES], wn_error *err)
{
    prefix_file_header h;
    wn_strbuf temporary = {0};
    int fd = -1;
    memcpy(&h, meta, sizeof h);
    WN_TRY(wn_hmac_sha256(key->secret, WN_SHA256_BYTES, meta, (size_t)h.meta_bytes, tag, err));
    wn_status status = wn_fs_draft_open(path, &temporary, &fd, err);
    if (status == WN_OK)
        status = wn_fs_draft_finish(fd, temporary.data, path,
                                    write_parts(fd, key, meta, span, tag, err), err);
    wn_strbuf_free(&temporary);
    return status;
}
