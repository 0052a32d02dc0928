/* Writes the seeded random checkpoints of tests/golden/logits/generate.py as Hugging Face folders:
 * the weights follow from the tensors' names, so that no large file has to be kept. */
#ifndef WN_TEST_RANDOM_CHECKPOINT_H
#define WN_TEST_RANDOM_CHECKPOINT_H

#include "tests/test_support.h"

#include "base/strbuf.h"

/* int8 bytes of splitmix64(fnv1a64(name) + i * gamma), i = 1, 2 ... */
typedef struct random_bytes {
    uint64_t key, z;
    unsigned left;
} random_bytes;

static inline random_bytes random_bytes_of(const char *name)
{
    random_bytes r = {.key = 0xCBF29CE484222325u};
    for (; *name; name++)
        r.key = (r.key ^ (uint8_t)*name) * 0x100000001B3u;
    return r;
}

static inline int8_t random_bytes_next(random_bytes *r)
{
    if (r->left == 0) {
        r->key += 0x9E3779B97F4A7C15u;
        uint64_t z = r->key;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        r->z = z ^ (z >> 31);
        r->left = 8;
    }
    int8_t k = (int8_t)(uint8_t)r->z;
    r->z >>= 8;
    r->left--;
    return k;
}

/* gain: a power of two for all but the norms; small models need larger weights. */
static inline float random_weight(const char *name, int8_t k, float gain)
{
    if (strstr(name, "norm"))
        return 1.0f + (float)(k >> 2) / 64.0f;
    if (strstr(name, "embed"))
        return (float)k * 0x1p-9f * gain;
    if (strstr(name, "lm_head"))
        return (float)k * 0x1p-10f * gain;
    bool qk = strstr(name, "q_proj") || strstr(name, "k_proj");
    return (float)k * (qk ? 0x1p-11f : 0x1p-12f) * gain;
}

/* The first n weights of the tensor. */
static inline void random_floats(const char *name, float gain, float *out, size_t n)
{
    random_bytes r = random_bytes_of(name);
    for (size_t i = 0; i < n; i++)
        out[i] = random_weight(name, random_bytes_next(&r), gain);
}

/* Exact: the weights have at most 8 significant bits and exponents that f16 holds. */
static inline uint16_t to_half(float w, bool bf16)
{
    uint32_t u = 0;
    memcpy(&u, &w, sizeof u);
    if (bf16)
        return (uint16_t)(u >> 16);
    uint32_t sign = u >> 16 & 0x8000, exponent = u >> 23 & 0xFF;
    return (uint16_t)(w == 0 ? 0 : sign | (exponent - 127 + 15) << 10 | (u >> 13 & 0x3FF));
}

typedef enum checkpoint_dtype { CHECKPOINT_F32, CHECKPOINT_F16, CHECKPOINT_BF16 } checkpoint_dtype;

typedef struct checkpoint_tensor {
    char name[96];
    size_t rows, cols; /* rows 0: a vector */
    checkpoint_dtype dtype;
    float gain;
} checkpoint_tensor;

static inline size_t checkpoint_elements(const checkpoint_tensor *t)
{
    return (t->rows ? t->rows : 1) * t->cols;
}

static inline void write_random_tensor(FILE *f, const checkpoint_tensor *t)
{
    enum { BATCH = 1 << 16 };
    static uint32_t words[BATCH];
    static uint16_t halves[BATCH];
    random_bytes r = random_bytes_of(t->name);
    size_t n = checkpoint_elements(t);
    for (size_t done = 0; done < n;) {
        size_t m = n - done < BATCH ? n - done : BATCH;
        for (size_t i = 0; i < m; i++) {
            float w = random_weight(t->name, random_bytes_next(&r), t->gain);
            if (t->dtype == CHECKPOINT_F32)
                memcpy(&words[i], &w, sizeof w);
            else
                halves[i] = to_half(w, t->dtype == CHECKPOINT_BF16);
        }
        if (t->dtype == CHECKPOINT_F32)
            assert_int_equal(fwrite(words, sizeof words[0], m, f), m);
        else
            assert_int_equal(fwrite(halves, sizeof halves[0], m, f), m);
        done += m;
    }
}

/* One safetensors file with these tensors. */
static inline void write_checkpoint_file(const char *path, const checkpoint_tensor *t, size_t n)
{
    static const char *const names[] = {"F32", "F16", "BF16"};
    wn_strbuf header = {0};
    size_t at = 0;
    wn_strbuf_adds(&header, "{");
    for (size_t i = 0; i < n; i++) {
        size_t bytes = checkpoint_elements(&t[i]) * (t[i].dtype == CHECKPOINT_F32 ? 4 : 2);
        wn_strbuf_printf(&header, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", i ? "," : "", t[i].name,
                         names[t[i].dtype]);
        if (t[i].rows)
            wn_strbuf_printf(&header, "%zu,", t[i].rows);
        wn_strbuf_printf(&header, "%zu],\"data_offsets\":[%zu,%zu]}", t[i].cols, at, at + bytes);
        at += bytes;
    }
    wn_strbuf_adds(&header, "}");
    while (header.len % 8)
        wn_strbuf_addc(&header, ' ');
    uint64_t len = header.len;
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(&len, sizeof len, 1, f), 1);
    assert_int_equal(fwrite(header.data, header.len, 1, f), 1);
    for (size_t i = 0; i < n; i++)
        write_random_tensor(f, &t[i]);
    assert_int_equal(fclose(f), 0);
    wn_strbuf_free(&header);
}

typedef struct checkpoint_shape {
    size_t n_layers, d_model, q_dim, kv_dim, d_ff, n_vocab;
    bool tied;
    checkpoint_dtype dtype; /* of the layers' matrices */
    bool qkv_bias;
    float gain; /* 0 = 1 */
    bool q8_0;  /* tiny_gguf: matrices in that type, with the same values */
} checkpoint_shape;

enum { CHECKPOINT_MAX_TENSORS = 64 };

/* Every tensor of a llama checkpoint; returns how many. */
static inline size_t checkpoint_tensors(const checkpoint_shape *s,
                                        checkpoint_tensor t[CHECKPOINT_MAX_TENSORS])
{
    const struct {
        const char *name;
        size_t rows, cols;
    } layer[] = {
        {"input_layernorm", 0, s->d_model},          {"self_attn.q_proj", s->q_dim, s->d_model},
        {"self_attn.k_proj", s->kv_dim, s->d_model}, {"self_attn.v_proj", s->kv_dim, s->d_model},
        {"self_attn.o_proj", s->d_model, s->q_dim},  {"post_attention_layernorm", 0, s->d_model},
        {"mlp.gate_proj", s->d_ff, s->d_model},      {"mlp.up_proj", s->d_ff, s->d_model},
        {"mlp.down_proj", s->d_model, s->d_ff},
    };
    size_t n = 0;
    t[n++] = (checkpoint_tensor){"model.embed_tokens.weight", s->n_vocab, s->d_model,
                                 CHECKPOINT_BF16, 0};
    for (size_t l = 0; l < s->n_layers; l++)
        for (size_t i = 0; i < sizeof layer / sizeof layer[0]; i++) {
            t[n] = (checkpoint_tensor){"", layer[i].rows, layer[i].cols,
                                       layer[i].rows ? s->dtype : CHECKPOINT_F32, 0};
            snprintf(t[n].name, sizeof t[n].name, "model.layers.%zu.%s.weight", l, layer[i].name);
            n++;
        }
    for (size_t l = 0; s->qkv_bias && l < s->n_layers; l++)
        for (int i = 0; i < 3; i++) {
            t[n] = (checkpoint_tensor){"", 0, i ? s->kv_dim : s->q_dim, CHECKPOINT_F32, 0};
            snprintf(t[n].name, sizeof t[n].name, "model.layers.%zu.self_attn.%c_proj.bias", l,
                     "qkv"[i]);
            n++;
        }
    t[n++] = (checkpoint_tensor){"model.norm.weight", 0, s->d_model, CHECKPOINT_F32, 0};
    if (!s->tied)
        t[n++] = (checkpoint_tensor){"lm_head.weight", s->n_vocab, s->d_model, CHECKPOINT_BF16, 0};
    for (size_t i = 0; i < n; i++)
        t[i].gain = s->gain == 0 ? 1 : s->gain;
    return n;
}

static inline void write_text_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

/* config.json and weights, in one file or (sharded) in two with an index. dir must exist. */
static inline void write_checkpoint(const char *dir, const checkpoint_shape *s, const char *config,
                                    bool sharded)
{
    checkpoint_tensor t[CHECKPOINT_MAX_TENSORS];
    size_t n = checkpoint_tensors(s, t), n_first = sharded ? n / 2 : n;
    char path[256];
    snprintf(path, sizeof path, "%s/config.json", dir);
    write_text_file(path, config);
    snprintf(path, sizeof path, "%s/%s", dir, sharded ? "a.safetensors" : "model.safetensors");
    write_checkpoint_file(path, t, n_first);
    if (!sharded)
        return;
    wn_strbuf index = {0};
    snprintf(path, sizeof path, "%s/b.safetensors", dir);
    write_checkpoint_file(path, t + n_first, n - n_first);
    for (size_t i = 0; i < n; i++)
        wn_strbuf_printf(&index, "%s\"%s\":\"%s.safetensors\"", i ? "," : "{\"weight_map\":{",
                         t[i].name, i < n_first ? "a" : "b");
    wn_strbuf_adds(&index, "}}");
    snprintf(path, sizeof path, "%s/model.safetensors.index.json", dir);
    write_text_file(path, index.data);
    wn_strbuf_free(&index);
}

#endif
