/* What tells prefixes apart: the installation's secret, the model, the corpus. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/service_prefix.h"
#include "base/fs.h"
#include "generate/prompt.h"

#define SECRET_FILE "secret.key"

/* The installation's secret, made where there is none. */
wn_status wn_service_prefix_secret(wn_service *s, wn_error *err)
{
    service_prefixes *p = &s->prefixes;
    wn_strbuf bytes = {0};
    char *path = wn_fs_join(s->data_dir, SECRET_FILE);
    if (!path)
        return wn_error_set(err, WN_NO_MEMORY, "prefixes: out of memory");
    wn_status status = WN_OK;
    if (wn_fs_exists(path))
        status = wn_fs_read(&bytes, path, sizeof p->secret, err);
    if (status == WN_OK && bytes.len == sizeof p->secret) {
        memcpy(p->secret, bytes.data, sizeof p->secret);
    } else if (status == WN_OK || status == WN_LIMIT) { /* none, or no whole one */
        if (err)
            *err = (wn_error){0};
        status = wn_random_bytes(p->secret, sizeof p->secret, err);
        if (status == WN_OK)
            status = wn_fs_write_atomic(path, p->secret, sizeof p->secret, err);
    }
    wn_strbuf_free(&bytes);
    free(path);
    return status;
}

/* Which model it is, and its tokenizer: by what is in them. All of a model's bytes take longer to
 * hash than many a prefix takes to read. */
wn_status wn_service_prefix_identify(wn_service *s, wn_error *err)
{
    uint8_t tokenizer[WN_SHA256_BYTES] = {0};
    char hex[WN_SHA256_HEX], tokenizer_hex[WN_SHA256_HEX];
    WN_TRY(wn_model_sample_fingerprint(s->model, hex, err));
    wn_tokenizer_fingerprint(wn_model_tokenizer(s->model), tokenizer);
    wn_hex(tokenizer, sizeof tokenizer, tokenizer_hex);
    snprintf(s->prefixes.model_key, sizeof s->prefixes.model_key, "%s %s", hex, tokenizer_hex);
    return WN_OK;
}

/* The corpus' own part is a secret that only this installation can name, and ends with the corpus:
 * one of the same name, made later, has another. */
wn_status wn_service_prefix_key(wn_service *s, wn_corpus *corpus, const char *name,
                                char key[WN_PREFIX_KEY_LEN], wn_error *err)
{
    wn_corpus_stats stats = {0};
    uint8_t mac[WN_SHA256_BYTES];
    char text[128], hex[WN_SHA256_HEX];
    WN_TRY(wn_corpus_stats_read(corpus, &stats, err));
    const int len = snprintf(text, sizeof text, "%.64s %" PRId64, name, stats.created_at);
    WN_TRY(
        wn_hmac_sha256(s->prefixes.secret, sizeof s->prefixes.secret, text, (size_t)len, mac, err));
    wn_hex(mac, sizeof mac, hex);
    snprintf(key, WN_PREFIX_KEY_LEN, "%s %s %d %d", s->prefixes.model_key, hex, WN_PROMPT_VERSION,
             WN_CHAT_TEMPLATE_VERSION);
    return WN_OK;
}
