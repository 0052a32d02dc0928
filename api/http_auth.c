#include "api/http_auth.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/checked.h"
#include "base/fs.h"
#include "base/hash.h"
#include "index/corpus_set.h"

#define MAX_KEYS 1000
#define MAX_KEY_FILE_BYTES (1u << 20)
#define MAX_KEY_LEN 512

struct wn_http_principal {
    uint8_t digest[WN_SHA256_BYTES];
    wn_scope scope;
    char *corpora; /* ",a,b," or NULL = all */
};

struct wn_http_auth {
    wn_http_principal *keys;
    size_t n_keys;
};

static const wn_http_principal anyone = {.scope = WN_SCOPE_ADMIN};

static bool parse_digest(const char *hex, uint8_t out[WN_SHA256_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    if (strlen(hex) != WN_SHA256_HEX - 1)
        return false;
    for (size_t i = 0; i < WN_SHA256_BYTES; i++) {
        const char *high = strchr(digits, hex[2 * i] | 0x20);
        const char *low = strchr(digits, hex[2 * i + 1] | 0x20);
        if (!high || !low)
            return false;
        out[i] = (uint8_t)((high - digits) << 4 | (low - digits));
    }
    return true;
}

static bool parse_scope(const char *text, wn_scope *out)
{
    static const char *const names[] = {"read", "write", "admin"};
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = (wn_scope)(WN_SCOPE_READ + i);
            return true;
        }
    }
    return false;
}

/* The rest of a line: nothing or * = all corpora, else names, kept as ",a,b,". */
static bool parse_corpora(char **save, char **out)
{
    wn_strbuf b = {0};
    char *name;
    wn_strbuf_addc(&b, ',');
    while ((name = strtok_r(NULL, " \t,", save)) != NULL) {
        if (b.len == 1 && strcmp(name, "*") == 0 && !strtok_r(NULL, " \t,", save)) {
            wn_strbuf_free(&b);
            return true;
        }
        if (!wn_corpus_name_valid(name)) {
            wn_strbuf_free(&b);
            return false;
        }
        wn_strbuf_printf(&b, "%s,", name);
    }
    if (b.len == 1) {
        wn_strbuf_free(&b);
        return true;
    }
    *out = wn_strbuf_detach(&b);
    return *out != NULL;
}

static wn_status parse_line(wn_http_auth *a, char *line, const char *file, unsigned n,
                            wn_error *err)
{
    char *save = NULL;
    line[strcspn(line, "#\r")] = '\0';
    char *hex = strtok_r(line, " \t", &save);
    if (!hex)
        return WN_OK;
    char *scope = strtok_r(NULL, " \t", &save);
    if (a->n_keys == MAX_KEYS)
        return wn_error_set(err, WN_LIMIT, "%s: more than %d keys", file, MAX_KEYS);
    wn_http_principal *p = &a->keys[a->n_keys];
    if (!parse_digest(hex, p->digest))
        return wn_error_set(err, WN_FORMAT, "%s:%u: the first word must be a SHA-256 in hex", file,
                            n);
    if (!scope || !parse_scope(scope, &p->scope))
        return wn_error_set(err, WN_FORMAT, "%s:%u: the second word must be read, write or admin",
                            file, n);
    if (!parse_corpora(&save, &p->corpora))
        return wn_error_set(err, WN_FORMAT, "%s:%u: after the scope come names of corpora, or *",
                            file, n);
    a->n_keys++;
    return WN_OK;
}

static wn_status read_keys(wn_http_auth *a, const char *file, wn_error *err)
{
    wn_strbuf text = {0};
    a->keys = wn_alloc(MAX_KEYS, sizeof *a->keys);
    wn_status status = a->keys ? wn_fs_read(&text, file, MAX_KEY_FILE_BYTES, err)
                               : wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", file);
    unsigned n = 0;
    for (char *line = text.data, *next; status == WN_OK && line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        status = parse_line(a, line, file, ++n, err);
    }
    if (status == WN_OK && a->n_keys == 0)
        status = wn_error_set(err, WN_FORMAT, "%s: holds no key", file);
    wn_strbuf_free(&text);
    return status;
}

wn_status wn_http_auth_open(wn_http_auth **out, const char *keys_file, wn_error *err)
{
    wn_http_auth *a = wn_alloc(1, sizeof *a);
    if (!a)
        return wn_error_set(err, WN_NO_MEMORY, "keys: out of memory");
    wn_status status = keys_file ? read_keys(a, keys_file, err) : WN_OK;
    if (status != WN_OK) {
        wn_http_auth_close(a);
        return status;
    }
    *out = a;
    return WN_OK;
}

void wn_http_auth_close(wn_http_auth *a)
{
    if (!a)
        return;
    for (size_t i = 0; a->keys && i < MAX_KEYS; i++)
        free(a->keys[i].corpora);
    free(a->keys);
    free(a);
}

bool wn_http_auth_has_keys(const wn_http_auth *a)
{
    return a->n_keys > 0;
}

const wn_http_principal *wn_http_auth_check(const wn_http_auth *a, const char *authorization)
{
    if (a->n_keys == 0)
        return &anyone;
    if (!authorization || strncasecmp(authorization, "Bearer ", 7) != 0)
        return NULL;
    const char *key = authorization + 7;
    size_t len = strlen(key);
    uint8_t digest[WN_SHA256_BYTES];
    if (len == 0 || len > MAX_KEY_LEN || wn_sha256_of(key, len, digest, NULL) != WN_OK)
        return NULL;
    const wn_http_principal *found = NULL;
    for (size_t i = 0; i < a->n_keys; i++)
        if (wn_equal_constant_time(digest, a->keys[i].digest, sizeof digest))
            found = &a->keys[i];
    return found;
}

bool wn_http_may(const wn_http_principal *p, wn_scope scope)
{
    return scope == WN_SCOPE_NONE || (p && p->scope >= scope);
}

bool wn_http_may_see(const wn_http_principal *p, const char *corpus)
{
    if (!p || !wn_corpus_name_valid(corpus))
        return false;
    if (!p->corpora)
        return true;
    size_t len = strlen(corpus);
    for (const char *at = p->corpora; (at = strstr(at, corpus)) != NULL; at++)
        if (at[-1] == ',' && at[len] == ',')
            return true;
    return false;
}

bool wn_http_address_is_loopback(const char *address)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, address, &v4) == 1)
        return (ntohl(v4.s_addr) >> 24) == 127;
    return inet_pton(AF_INET6, address, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

bool wn_http_host_is_local(const char *host)
{
    char name[64];
    size_t len = host[0] == '[' ? strcspn(host, "]") : strcspn(host, ":");
    const char *rest = host + len;
    if (host[0] == '[') {
        if (*rest != ']')
            return false;
        rest++;
        host++;
        len--;
    }
    if (len == 0 || len >= sizeof name)
        return false;
    memcpy(name, host, len);
    name[len] = '\0';
    if (*rest == ':')
        rest += 1 + strspn(rest + 1, "0123456789");
    if (*rest != '\0')
        return false;
    return strcasecmp(name, "localhost") == 0 || wn_http_address_is_loopback(name);
}

bool wn_http_origin_is_same(const char *origin, const char *host)
{
    return strncasecmp(origin, "http://", 7) == 0 && strcasecmp(origin + 7, host) == 0;
}
