/* Tokenizer from the metadata of a GGUF file (tokenizer.ggml.*, model "gpt2"). */
#include <string.h>

#include "generate/tokenizer_internal.h"

#define KEY_TOKENS "tokenizer.ggml.tokens"
#define KEY_TYPES "tokenizer.ggml.token_type"
#define KEY_MERGES "tokenizer.ggml.merges"

/* Values of tokenizer.ggml.token_type. */
enum { TYPE_NORMAL = 1, TYPE_UNKNOWN, TYPE_CONTROL, TYPE_USER_DEFINED, TYPE_UNUSED, TYPE_BYTE };

/* Names of pre-tokenizers (tokenizer.ggml.pre). Qwen2's published tokenizer brings text to NFC
 * first; the model was trained on such text, so we do too, though the file does not say it. */
static const struct {
    const char *name;
    wn_pretokenizer_kind kind;
    bool nfc, ignore_merges, add_bos;
} pre_table[] = {
    {"llama-bpe", WN_PRE_LLAMA3, false, true, true},
    {"llama3", WN_PRE_LLAMA3, false, true, true},
    {"llama-v3", WN_PRE_LLAMA3, false, true, true},
    {"qwen2", WN_PRE_QWEN2, true, false, false},
    {"smollm", WN_PRE_SMOLLM, false, false, false},
    {"starcoder", WN_PRE_SMOLLM, false, false, false},
    {"refact", WN_PRE_SMOLLM, false, false, false},
    {"gpt-2", WN_PRE_GPT2, false, false, false},
};

static bool equals(wn_gguf_string s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

static wn_status read_kind(wn_tokenizer *t, const wn_gguf *g, bool *add_bos, wn_error *err)
{
    wn_gguf_string model = {0}, pre = {0};
    WN_TRY(wn_gguf_str(g, "tokenizer.ggml.model", &model, err));
    if (!equals(model, "gpt2"))
        return wn_error_set(err, WN_UNSUPPORTED,
                            "%s: tokenizer.ggml.model \"%.*s\" (known: gpt2, byte-level BPE)",
                            wn_gguf_path(g), (int)(model.len < 40 ? model.len : 40), model.data);
    WN_TRY(wn_gguf_str(g, "tokenizer.ggml.pre", &pre, err));
    for (size_t i = 0; i < sizeof pre_table / sizeof *pre_table; i++) {
        if (!equals(pre, pre_table[i].name))
            continue;
        t->pre = pre_table[i].kind;
        t->nfc = pre_table[i].nfc;
        t->ignore_merges = pre_table[i].ignore_merges;
        *add_bos = pre_table[i].add_bos;
        return WN_OK;
    }
    return wn_error_set(
        err, WN_UNSUPPORTED,
        "%s: tokenizer.ggml.pre \"%.*s\" (known: llama-bpe, qwen2, smollm, starcoder, "
        "refact, gpt-2)",
        wn_gguf_path(g), (int)(pre.len < 40 ? pre.len : 40), pre.data);
}

static wn_status add_token(wn_tokenizer *t, const wn_gguf *g, size_t id, int32_t type,
                           wn_error *err)
{
    wn_gguf_string text = {0};
    const char *path = wn_gguf_path(g);
    uint8_t flags = 0;
    WN_TRY(wn_gguf_array_str(g, KEY_TOKENS, id, &text, err));
    switch (type) {
    case TYPE_NORMAL:
    case TYPE_BYTE:
        return wn_vocab_set_text(&t->vocab, (int64_t)id, text.data, text.len, path, err);
    case TYPE_UNKNOWN:
    case TYPE_CONTROL:
        flags = WN_TOKEN_ADDED | WN_TOKEN_SPECIAL;
        break;
    case TYPE_USER_DEFINED:
        flags = WN_TOKEN_ADDED;
        break;
    case TYPE_UNUSED:
        break;
    default:
        return wn_error_set(err, WN_FORMAT, "%s: " KEY_TYPES "[%zu] is %d (1 to 6 are known)", path,
                            id, type);
    }
    if (flags)
        WN_TRY(wn_added_add(&t->raw, text.data, text.len, (int32_t)id, err));
    return wn_vocab_set_bytes(&t->vocab, (int64_t)id, text.data, text.len, flags, path, err);
}

static wn_status read_vocab(wn_tokenizer *t, const wn_gguf *g, wn_error *err)
{
    size_t n = 0, n_types = 0;
    WN_TRY(wn_gguf_array_len(g, KEY_TOKENS, &n, err));
    bool typed = wn_gguf_has(g, KEY_TYPES);
    if (typed)
        WN_TRY(wn_gguf_array_len(g, KEY_TYPES, &n_types, err));
    if (typed && n_types != n)
        return wn_error_set(err, WN_FORMAT, "%s: %zu " KEY_TYPES " for %zu " KEY_TOKENS,
                            wn_gguf_path(g), n_types, n);
    WN_TRY(wn_vocab_init(&t->vocab, n, err));
    for (size_t id = 0; id < n; id++) {
        int32_t type = TYPE_NORMAL;
        if (typed)
            WN_TRY(wn_gguf_array_i32(g, KEY_TYPES, id, &type, err));
        WN_TRY(add_token(t, g, id, type, err));
    }
    return wn_vocab_index(&t->vocab, wn_gguf_path(g), err);
}

static wn_status read_merges(wn_tokenizer *t, const wn_gguf *g, wn_error *err)
{
    size_t n = 0;
    wn_strbuf scratch = {0};
    wn_status status = WN_OK;
    WN_TRY(wn_gguf_array_len(g, KEY_MERGES, &n, err));
    WN_TRY(wn_bpe_init(&t->bpe, n, err));
    for (size_t i = 0; i < n; i++) {
        wn_gguf_string m = {0};
        WN_TRY_OUT(wn_gguf_array_str(g, KEY_MERGES, i, &m, err));
        const char *space = memchr(m.data, ' ', m.len);
        size_t left = space ? (size_t)(space - m.data) : m.len;
        size_t right = space ? left + 1 : m.len;
        WN_TRY_OUT(wn_tokenizer_add_merge_text(t, m.data, left, m.data + right, m.len - right,
                                               (uint32_t)i, &scratch, wn_gguf_path(g), err));
    }
out:
    wn_strbuf_free(&scratch);
    return status;
}

/* A special id named by the file. Some converters give end tokens the type "user defined": they are
 * special whatever the type says, so that text cannot end a turn. */
static wn_status read_special(wn_tokenizer *t, const wn_gguf *g, const char *key, uint8_t flags,
                              int32_t *out, wn_error *err)
{
    uint32_t id = 0;
    if (!wn_gguf_has(g, key))
        return WN_OK;
    WN_TRY(wn_gguf_u32(g, key, &id, err));
    if (id >= t->vocab.n)
        return wn_error_set(err, WN_FORMAT, "%s: %s is %u, but the vocabulary has %zu tokens",
                            wn_gguf_path(g), key, id, t->vocab.n);
    if (t->vocab.flags[id] & WN_TOKEN_ADDED)
        t->vocab.flags[id] |= WN_TOKEN_SPECIAL;
    t->vocab.flags[id] |= flags;
    if (out)
        *out = (int32_t)id;
    return WN_OK;
}

static wn_status read_specials(wn_tokenizer *t, const wn_gguf *g, bool add_bos, wn_error *err)
{
    int32_t bos = -1;
    static const char *const ends[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    WN_TRY(read_special(t, g, "tokenizer.ggml.bos_token_id", 0, &bos, err));
    for (int i = 0; i < 3; i++)
        WN_TRY(read_special(t, g, ends[i], WN_TOKEN_END, NULL, err));
    if (wn_gguf_has(g, "tokenizer.ggml.add_bos_token"))
        WN_TRY(wn_gguf_bool(g, "tokenizer.ggml.add_bos_token", &add_bos, err));
    t->bos = add_bos ? bos : -1;
    return WN_OK;
}

wn_status wn_tokenizer_from_gguf(wn_tokenizer **out, const wn_gguf *g, wn_error *err)
{
    bool add_bos = false;
    wn_tokenizer *t = wn_tokenizer_new();
    if (!t)
        return wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", wn_gguf_path(g));
    wn_status status = read_kind(t, g, &add_bos, err);
    if (status == WN_OK)
        status = read_vocab(t, g, err);
    if (status == WN_OK)
        status = read_merges(t, g, err);
    if (status == WN_OK)
        status = read_specials(t, g, add_bos, err);
    if (status == WN_OK)
        status = wn_tokenizer_finish(t, wn_gguf_path(g), err);
    return wn_tokenizer_hand_over(t, status, wn_gguf_path(g), out, err);
}
