/* The compute context: a table of kernels for one instruction set, a thread pool and per-thread
 * scratch; and the operations that models are built of.
 *
 *     wn_compute *c = NULL;
 *     WN_TRY(wn_compute_open(&c, &(wn_compute_options){.n_threads = 2}, err));
 *     WN_TRY(wn_matrix_create(&w, c, tensor, err));          // [n_out, n_in], any weight dtype
 *     wn_matmul(c, w, x, m, y);                              // y[m][n_out] = x[m][n_in] w^T
 *
 * All activations are f32, row-major, contiguous. Operations cannot fail: sizes are the caller's
 * promise (assert), scratch is allocated at open and on wn_matrix_create. Results are bit-identical
 * from run to run and for any number of threads, and a row's do not depend on the other rows: a
 * text that is read at once or piece by piece has the same bits. Threads: one caller at a time per
 * context. Matrices are immutable and may be shared by contexts of the same instruction set.
 */
#ifndef WN_KERNELS_COMPUTE_H
#define WN_KERNELS_COMPUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"
#include "base/status.h"
#include "base/thread_pool.h"
#include "kernels/kv_page.h"

/* Raised when the bits of any result change: part of what kept sessions and prefixes are known by,
 * so that none goes on from the sums of an older build. */
#define WN_NUMERICS_VERSION 2

typedef struct wn_compute wn_compute;
typedef struct wn_matrix wn_matrix;

typedef struct wn_compute_options {
    size_t n_threads; /* 0 = all processors this process may use */
    const char *isa;  /* NULL or "auto" = best; "ref", "avx2", "avx512", "avx512bf16", "amx"
                         (WINNOW_ISA), "amx-emulated" (AMX in C on AVX2, for tests); an absent one is
                         WN_UNSUPPORTED and the text says what the machine has */
    bool exact;       /* f32 products: weights stay as they are in the file, activations in f32. For
                         evaluation and golden tests; several times slower. The set "ref" always is */
} wn_compute_options;

wn_status wn_compute_open(wn_compute **out, const wn_compute_options *options, wn_error *err);
void wn_compute_close(wn_compute *c);
const char *wn_compute_isa(const wn_compute *c);    /* "avx512" */
const char *wn_compute_reason(const wn_compute *c); /* why, for `winnow doctor` */
bool wn_compute_is_exact(const wn_compute *c);
size_t wn_compute_n_threads(const wn_compute *c);
wn_thread_pool *wn_compute_pool(wn_compute *c);
/* Zeroes the threads' scratch, where copies of keys stay behind. */
void wn_compute_wipe(wn_compute *c);
/* Rows that are best read together: enough to pay for the weights' way through the caches, few
 * enough to stop or show progress in between. */
size_t wn_compute_chunk(const wn_compute *c);
/* What AUTO is here; another format is itself. */
wn_kv_format wn_compute_kv_format(const wn_compute *c, wn_kv_format asked);
/* For keys that are gone after one pass: the fastest to attend to. */
wn_kv_format wn_compute_fastest_kv_format(const wn_compute *c);

/* The weights of a linear layer, [n_out, n_in], as the kernels want them: block-quantised types are
 * packed into memory of the matrix (the tensor's bytes are not needed any more then, and a mapped
 * file's pages may be dropped: wn_matrix_is_packed); plain types and those of an exact context are
 * referenced, so their file must outlive the matrix. Types: F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q4_K Q5_K
 * Q6_K; n_in must be a multiple of the block (WN_FORMAT otherwise, naming the tensor). */
wn_status wn_matrix_create(wn_matrix **out, wn_compute *c, const wn_tensor *w, wn_error *err);
void wn_matrix_free(wn_matrix *w);
/* For a plain matrix that wn_matmul uses again and again, an encoder's: puts its weights once, in
 * another copy, into the form that is fastest to multiply. With tiles that is bf16, as without, and
 * the numbers stay the same. On other sets, with n_in a multiple of 32, words of 16 bits: weights
 * lose 2^-13 and activations 2^-12 of the largest of 256 columns. Nothing happens to a matrix with
 * wide inputs, nor in an exact context. */
wn_status wn_matrix_prepare(wn_matrix *w, wn_compute *c, wn_error *err);
bool wn_matrix_is_packed(const wn_matrix *w);
/* Products with w take no 8-bit activations; wn_matmul, with plain types, none rounded to bf16:
 * those of BF16 become sums of two bf16 numbers where there are tiles, others stay in f32. Before
 * its first product and instead of wn_matrix_prepare. */
void wn_matrix_set_wide_inputs(wn_matrix *w);
size_t wn_matrix_rows(const wn_matrix *w); /* n_out */
size_t wn_matrix_cols(const wn_matrix *w); /* n_in */
/* Row i as f32 [n_in]. */
void wn_matrix_row(const wn_matrix *w, size_t i, float *out);
/* Rows ids[0 .. n), in [0, n_out), as f32 [n][n_in] (embedding look-up). */
void wn_matrix_gather(wn_compute *c, const wn_matrix *w, const int32_t *ids, size_t n, float *out);

/* n elements of one block-quantised or plain type to f32; n a multiple of the block. */
void wn_dequantize(wn_dtype type, const void *src, float *dst, size_t n);
/* Any tensor (norm weights, biases) to a new f32 array of n elements; caller frees. */
wn_status wn_tensor_to_f32(float **out, const wn_tensor *t, wn_error *err);

/* y[m][n_out] = x[m][n_in] w^T (+ bias[n_out] unless NULL). y must not overlap x. */
void wn_matmul(wn_compute *c, const wn_matrix *w, const float *x, size_t m, const float *bias,
               float *y);
/* n products of the same x, in one go: x is packed once and the threads meet once. */
typedef struct wn_product {
    const wn_matrix *w; /* all with the same n_in */
    const float *bias;  /* NULL: none */
    float *y;           /* [m][n_out] */
    bool add;           /* y += instead of y = */
} wn_product;
#define WN_MATMUL_MANY 8 /* n at most */
void wn_matmul_many(wn_compute *c, const wn_product *products, size_t n, const float *x, size_t m);
/* RMS norms of rows (wn_rmsnorm), of which products are made at once. */
typedef struct wn_norm {
    const float *w;
    float eps;
    float *out; /* [m][n_in]: takes the normed rows; not x */
} wn_norm;
/* wn_matmul_many of norm->out. */
void wn_matmul_normed(wn_compute *c, const wn_product *products, size_t n, const float *x,
                      const wn_norm *norm, size_t m);
/* The same for tokens that come one by one: memory is the cost of few rows, up to 8 are nearly as
 * fast as one, and activations are rounded less. A row's bits depend on that row only, in both; but
 * the two differ, so who wants the bits of wn_matmul again has to call it again, whatever m is.
 *
 * Rounding of activations: packed weights are multiplied in integers. Decoding: 16 or 12 bits in
 * blocks of 256 columns (2^-16 or 2^-12 of the block's largest), on AVX2 with weights of 4 to 6
 * bits 8 in groups of 32. wn_matmul: bf16 operands with AMX; elsewhere 8 bits in groups of 32
 * columns on sets with an instruction for that. Plain weights: f32, or in wn_matmul bf16 operands
 * where the set has them, or what wn_matrix_prepare made. wn_matrix_set_wide_inputs restricts this:
 * no 8 bits, 16 bits with AMX and BF16 weights, all of f32 with other plain ones. Sums in f32 or
 * exact.
 */
void wn_matmul_decode(wn_compute *c, const wn_product *products, size_t n, const float *x,
                      size_t m);

/* The feed-forward part of a layer: y += a Wdown^T + down_bias, with a = silu(x Wgate^T) * x Wup^T
 * or, without a gate, a = gelu(x Wup^T + up_bias). */
typedef struct wn_ffn {
    const wn_matrix *gate, *up, *down; /* gate: may be NULL */
    const float *up_bias, *down_bias;  /* may be NULL; up_bias is for no gate */
    const wn_norm *norm;               /* of x first; NULL: none */
    const wn_matrix *next;             /* whose weights are wanted after these; NULL: not known */
} wn_ffn;
/* y may be x. inner: [m][d_ff] twice, once without a gate; not touched where a set does without.
 * decode: as wn_matmul_decode. */
void wn_ffn_add(wn_compute *c, const wn_ffn *f, const float *x, size_t m, bool decode, float *inner,
                float *y);

/* The attention part of an encoder's layer: y += concat of heads softmax(q k^T / sqrt(head_dim)) v
 * Wout^T + out_bias, with [q k v] = x Wqkv^T + qkv_bias, for n sequences that follow one another in
 * x and y [sum of lens][d] and do not see each other; y may be x. The sum of lens is 1024 at most.
 * False, and nothing done, where the set, the shapes or a length (over 512) do not allow to do it
 * in one go: then it takes products and wn_attention. */
typedef struct wn_self_attention {
    const wn_matrix *qkv, *out;       /* [3d, d], [d, d] */
    const float *qkv_bias, *out_bias; /* may be NULL */
    size_t n_heads;
    const wn_matrix *next; /* whose weights are wanted after these; NULL: not known */
} wn_self_attention;
bool wn_self_attention_add(wn_compute *c, const wn_self_attention *a, const float *x,
                           const size_t *lens, size_t n, float *y);

/* y[i] = x[i] / sqrt(mean(x[i]^2) + eps) * w; y may be x. */
void wn_rmsnorm(wn_compute *c, const float *x, const float *w, size_t m, size_t d, float eps,
                float *y);
/* y[i] = (x[i] - mean) / sqrt(var + eps) * w + b; y may be x. */
void wn_layernorm(wn_compute *c, const float *x, const float *w, const float *b, size_t m, size_t d,
                  float eps, float *y);

typedef enum wn_rope_order {
    WN_ROPE_NEOX,       /* pairs (i, i + head_dim/2) */
    WN_ROPE_INTERLEAVED /* pairs (2i, 2i + 1) */
} wn_rope_order;
/* angles [m][2][head_dim / 2]: cosines, then sines, of position pos0 + r times inv_freq [head_dim /
 * 2], which already holds any scaling (llama3). Computed in double; once for all layers. */
void wn_rope_angles(wn_compute *c, size_t m, size_t head_dim, size_t pos0, const float *inv_freq,
                    float *angles);
/* Rotates x [m][n_heads][head_dim] (row stride `stride` floats) in place by the angles of its rows.
 */
void wn_rope(wn_compute *c, float *x, size_t m, size_t stride, size_t n_heads, size_t head_dim,
             const float *angles, wn_rope_order order);

/* Attention of m queries over pages of keys (kv_page.h), with grouped KV heads: query head h reads
 * KV head h / (n_heads / n_kv_heads). Of every KV head there are two lists:
 *
 *   log   n_log keys that every query sees, in slots 0 .. of its pages. The counts may differ.
 *   tail  n_tail keys at consecutive positions from tail_first on, the last m of which are the
 *         queries' own. The key at position p is in slot p % WN_KV_SLOTS of page p / WN_KV_SLOTS -
 *         tail_first / WN_KV_SLOTS. Key k is visible to query q iff k <= q and (q - k <= window or
 *         it is not evicted).
 *
 * Without a tail (n_tail = 0) all queries see the same keys, as in an encoder. A query that sees
 * nothing gets 0. head_dim <= 256. F32 pages are multiplied in f32; others in bf16 where the set
 * has that, unless decoding. A query's bits depend on itself and on what it sees only, not on m;
 * those of decoding differ. */
typedef struct wn_kv_head {
    const uint8_t *const *log;
    size_t n_log;
    const uint8_t *const *tail;
    const uint64_t *evicted; /* per page of the tail, bit = slot; NULL: none is */
} wn_kv_head;

typedef struct wn_attention_args {
    const float *q; /* [m][q_stride] with heads at h * head_dim */
    size_t m, q_stride;
    const wn_kv_layout *layout;
    const wn_kv_head *heads; /* [n_kv_heads] */
    size_t tail_first, n_tail, window;
    bool decode; /* tokens that come one by one: keys are split over the threads; see above */
    size_t n_heads, n_kv_heads;
    float scale; /* of q . k */
    float *out;  /* as q */
    size_t out_stride;
} wn_attention_args;
void wn_attention(wn_compute *c, const wn_attention_args *a);
/* n of them, as different as they like, in one go: each gets the bits that it gets alone. */
void wn_attention_many(wn_compute *c, const wn_attention_args *args, size_t n);

/* y[i] = silu(gate[i]) * up[i], n elements; y may be gate. */
void wn_silu_mul(wn_compute *c, const float *gate, const float *up, size_t n, float *y);
/* y = 0.5 x (1 + erf(x / sqrt 2)); y may be x. */
void wn_gelu_erf(wn_compute *c, const float *x, size_t n, float *y);

#endif
