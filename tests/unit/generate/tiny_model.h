/* A model of a few kilobytes, as a Hugging Face folder or as a GGUF file with the same weights. */
#ifndef WN_TEST_TINY_MODEL_H
#define WN_TEST_TINY_MODEL_H

#include "tests/gguf_builder.h"
#include "tests/unit/generate/random_checkpoint.h"

enum {
    TINY_LAYERS = 2,
    TINY_D = 32,
    TINY_HEADS = 4,
    TINY_KV = 2,
    TINY_HEAD = 8,
    TINY_FF = 64,
    TINY_VOCAB = 100,
    TINY_CTX = 160
};

static inline checkpoint_shape tiny_shape(bool tied, bool qkv_bias)
{
    return (checkpoint_shape){.n_layers = TINY_LAYERS,
                              .d_model = TINY_D,
                              .q_dim = TINY_HEADS * TINY_HEAD,
                              .kv_dim = TINY_KV * TINY_HEAD,
                              .d_ff = TINY_FF,
                              .n_vocab = TINY_VOCAB,
                              .tied = tied,
                              .qkv_bias = qkv_bias,
                              .gain = 8};
}

/* Fields of config.json; `type` is llama or qwen2, `more` is "" or ",\"field\":value". */
#define TINY_CONFIG(type, more)                                                                    \
    "{\"model_type\":\"" type "\",\"hidden_size\":32,\"num_attention_heads\":4,"                   \
    "\"num_key_value_heads\":2,\"intermediate_size\":64,\"num_hidden_layers\":2,"                  \
    "\"max_position_embeddings\":160,\"rms_norm_eps\":1e-5,\"vocab_size\":100,"                    \
    "\"rope_theta\":1000.0" more "}"

/* Rows of q and k as converters write them for llama: pairs next to each other. */
static inline void tiny_permute(float *w, size_t n_heads, size_t cols)
{
    size_t half = TINY_HEAD / 2, bytes = (size_t)TINY_HEAD * cols * sizeof *w;
    float *old = malloc(bytes);
    assert_non_null(old);
    for (size_t h = 0; h < n_heads; h++) {
        float *head = w + h * TINY_HEAD * cols;
        memcpy(old, head, bytes);
        for (size_t i = 0; i < half; i++) {
            memcpy(head + 2 * i * cols, old + i * cols, cols * sizeof *w);
            memcpy(head + (2 * i + 1) * cols, old + (half + i) * cols, cols * sizeof *w);
        }
    }
    free(old);
}

static inline void tiny_gguf_name(char out[96], const char *hf)
{
    static const char *const names[][2] = {
        {"input_layernorm", "attn_norm"},    {"self_attn.q_proj", "attn_q"},
        {"self_attn.k_proj", "attn_k"},      {"self_attn.v_proj", "attn_v"},
        {"self_attn.o_proj", "attn_output"}, {"post_attention_layernorm", "ffn_norm"},
        {"mlp.gate_proj", "ffn_gate"},       {"mlp.up_proj", "ffn_up"},
        {"mlp.down_proj", "ffn_down"},
    };
    snprintf(out, 96, "%s",
             strstr(hf, "embed")     ? "token_embd.weight"
             : strstr(hf, "lm_head") ? "output.weight"
                                     : "output_norm.weight");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strncmp(hf, "model.layers.", 13) == 0 && strstr(hf, names[i][0]))
            snprintf(out, 96, "blk.%c.%s%s", hf[13], names[i][1], strrchr(hf, '.'));
}

static inline void tiny_gguf_keys(wn_strbuf *b, const char *arch)
{
    static const struct {
        const char *suffix;
        uint32_t value;
    } keys[] = {{"block_count", TINY_LAYERS},         {"context_length", TINY_CTX},
                {"embedding_length", TINY_D},         {"feed_forward_length", TINY_FF},
                {"attention.head_count", TINY_HEADS}, {"attention.head_count_kv", TINY_KV},
                {"rope.dimension_count", TINY_HEAD}};
    char key[96];
    gb_key_str(b, "general.architecture", arch);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        snprintf(key, sizeof key, "%s.%s", arch, keys[i].suffix);
        gb_key_u32(b, key, keys[i].value);
    }
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", arch);
    gb_key_f32(b, key, 1e-5f);
    snprintf(key, sizeof key, "%s.rope.freq_base", arch);
    gb_key_f32(b, key, 1000);
}

enum { TINY_GGUF_KEYS = 10 };

/* Appends w, which has the values of random_floats, in Q8_0 without a loss. */
static inline void tiny_q8_0(wn_strbuf *b, const checkpoint_tensor *t, const float *w, size_t n)
{
    const float step = random_weight(t->name, 1, t->gain);
    const uint16_t scale = to_half(step, false);
    for (size_t i = 0; i < n; i++) {
        if (i % 32 == 0)
            wn_strbuf_add(b, &scale, sizeof scale);
        wn_strbuf_addc(b, (char)(int8_t)(w[i] / step));
    }
}

enum { GGUF_Q8_0 = 8 };

/* The GGUF file of the shape's weights, F32 or matrices in Q8_0; factors: rope_freqs.weight
 * [TINY_HEAD / 2] or NULL; scaling: <arch>.rope.scaling.type, with a factor of 4, or NULL. */
static inline void tiny_gguf(wn_strbuf *b, const char *arch, const checkpoint_shape *s,
                             const float *factors, const char *scaling)
{
    checkpoint_tensor t[CHECKPOINT_MAX_TENSORS];
    size_t n = checkpoint_tensors(s, t);
    wn_strbuf data = {0};
    bool llama = strcmp(arch, "llama") == 0;
    gb_header(b, 3, n + (factors ? 1 : 0), TINY_GGUF_KEYS + (scaling ? 2 : 0));
    tiny_gguf_keys(b, arch);
    if (scaling) {
        char key[96];
        snprintf(key, sizeof key, "%s.rope.scaling.type", arch);
        gb_key_str(b, key, scaling);
        snprintf(key, sizeof key, "%s.rope.scaling.factor", arch);
        gb_key_f32(b, key, 4);
    }
    for (size_t i = 0; i < n; i++) {
        char name[96];
        size_t count = checkpoint_elements(&t[i]);
        float *w = malloc(count * sizeof *w);
        assert_non_null(w);
        random_floats(t[i].name, t[i].gain, w, count);
        if (llama && strstr(t[i].name, "q_proj.weight"))
            tiny_permute(w, TINY_HEADS, t[i].cols);
        if (llama && strstr(t[i].name, "k_proj.weight"))
            tiny_permute(w, TINY_KV, t[i].cols);
        tiny_gguf_name(name, t[i].name);
        const bool q8_0 = s->q8_0 && t[i].rows > 0;
        gb_tensor(b, name, t[i].cols, t[i].rows, q8_0 ? GGUF_Q8_0 : 0, data.len);
        if (q8_0)
            tiny_q8_0(&data, &t[i], w, count);
        else
            wn_strbuf_add(&data, w, count * sizeof *w);
        gb_align(&data, 32);
        free(w);
    }
    if (factors) {
        gb_tensor(b, "rope_freqs.weight", TINY_HEAD / 2, 0, 0, data.len);
        wn_strbuf_add(&data, factors, TINY_HEAD / 2 * sizeof *factors);
    }
    gb_align(b, 32);
    wn_strbuf_add(b, data.data, data.len);
    wn_strbuf_free(&data);
}

#endif
