/* A decoder model of the Llama family, loaded from a GGUF file (architectures llama, qwen2) or a
 * Hugging Face folder (config.json + safetensors; model_type llama, qwen2).
 *
 *     WN_TRY(wn_model_open(&m, c, "/models/Llama-3.2-1B-Instruct", err));
 *     WN_TRY(wn_session_open(&s, m, c, &(wn_session_options){.n_ctx = 4096}, err));
 *
 * Weights are mapped and stay as they are in the file. Every shape, count and type is checked
 * against the configuration before use; errors name file, tensor and field. Immutable after open:
 * any thread; it must be closed after its sessions, and `c` after it.
 */
#ifndef WN_GENERATE_MODEL_H
#define WN_GENERATE_MODEL_H

#include "base/status.h"
#include "generate/chat_template.h"
#include "generate/tokenizer.h"
#include "kernels/compute.h"

typedef struct wn_model wn_model;

typedef struct wn_model_config {
    char architecture[16]; /* "llama", "qwen2" */
    size_t n_layers, d_model, n_heads, n_kv_heads, head_dim, d_ff, n_vocab;
    size_t n_ctx; /* positions that the model was trained for */
    float norm_eps;
    float rope_theta;
    wn_rope_order rope_order;
    bool tied_embeddings, qkv_bias;
    /* rope_scaling of type llama3. Its numbers are 0 where the file gives only what they come to
     * (the tensor rope_freqs.weight of GGUF). */
    bool rope_llama3;
    float rope_factor, rope_low_freq_factor, rope_high_freq_factor;
    size_t rope_original_ctx;
} wn_model_config;

/* path: a .gguf file, a Hugging Face folder, or a folder that holds one .gguf file and no
 * config.json. */
wn_status wn_model_open(wn_model **out, wn_compute *c, const char *path, wn_error *err);
void wn_model_close(wn_model *m);
const wn_model_config *wn_model_config_of(const wn_model *m);
const wn_tokenizer *wn_model_tokenizer(const wn_model *m);
wn_chat_family wn_model_chat_family(const wn_model *m);
const char *wn_model_name(const wn_model *m); /* file or folder name without extension */
const char *wn_model_path(const wn_model *m);
size_t wn_model_weight_bytes(const wn_model *m);
wn_dtype wn_model_weight_type(const wn_model *m); /* of most of those bytes */
/* How its sessions hold keys and values where that is AUTO: in f32 where its weights have 11 bits
 * or more (F16, F32), of which bf16 would keep 8; otherwise as the compute context has it. */
wn_kv_format wn_model_kv_format(const wn_model *m, const wn_compute *c, wn_kv_format asked);

#endif
