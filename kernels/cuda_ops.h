/* The operations of compute.h for CUDA devices: launch functions, callable from C.
 *
 *     WN_TRY(wn_cuda_rmsnorm(x, w, m, d, 1e-5f, y, stream, err));   // all pointers: device memory
 *
 * f32 activations, row-major and contiguous, formulas as in compute.h. `stream` is a cudaStream_t
 * (NULL = the default one). Calls only queue work; they return WN_DEVICE, with CUDA's text, when
 * the launch is refused. Sizes of 0 queue nothing. Built with -DWN_CUDA=ON only (sm_80, 89, 90,
 * 100, 120).
 *
 * State: compiled and linked by CI; run against the C reference by tests/gpu/test_cuda_ops.cu on
 * machines that have a device. Plain kernels, not tuned.
 */
#ifndef WN_KERNELS_CUDA_OPS_H
#define WN_KERNELS_CUDA_OPS_H

#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"
#include "base/status.h"
#include "kernels/compute.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Devices that can run this build; 0 without a driver. */
int wn_cuda_device_count(void);

/* x, y [m][d]; w, b [d]; y may be x. Sums in f32 by tree. */
wn_status wn_cuda_rmsnorm(const float *x, const float *w, size_t m, size_t d, float eps, float *y,
                          void *stream, wn_error *err);
wn_status wn_cuda_layernorm(const float *x, const float *w, const float *b, size_t m, size_t d,
                            float eps, float *y, void *stream, wn_error *err);

/* In place on x [m][n_heads][head_dim], rows `stride` floats apart; inv_freq [head_dim / 2]. */
wn_status wn_cuda_rope(float *x, size_t m, size_t stride, size_t n_heads, size_t head_dim,
                       size_t pos0, const float *inv_freq, wn_rope_order order, void *stream,
                       wn_error *err);

/* n elements; y may be an input. */
wn_status wn_cuda_silu_mul(const float *gate, const float *up, size_t n, float *y, void *stream,
                           wn_error *err);
wn_status wn_cuda_gelu_erf(const float *x, size_t n, float *y, void *stream, wn_error *err);
wn_status wn_cuda_add(const float *x, size_t n, float *y, void *stream, wn_error *err);

/* n elements of a weight type to f32; n a multiple of the block (else WN_INVALID). */
wn_status wn_cuda_dequantize(wn_dtype type, const void *src, float *dst, size_t n, void *stream,
                             wn_error *err);

/* y[m][n_out] = x[m][n_in] w^T (+ bias unless NULL); w [n_out, n_in] in blocks of `type`. For few
 * rows: every row of x reads all weights again, m <= 65535. */
wn_status wn_cuda_gemv(wn_dtype type, const void *w, size_t n_out, size_t n_in, const float *x,
                       size_t m, const float *bias, float *y, void *stream, wn_error *err);

/* One token's attention: q, out [n_heads][head_dim]; k, v: device arrays of n_kv_heads device
 * pointers to [n_keys][head_dim]. All keys are visible (the token is the last). Query head h reads
 * KV head h / (n_heads / n_kv_heads). head_dim <= 256 (else WN_INVALID). */
wn_status wn_cuda_attention_decode(const float *q, const float *const *k, const float *const *v,
                                   size_t n_keys, size_t n_heads, size_t n_kv_heads,
                                   size_t head_dim, float scale, float *out, void *stream,
                                   wn_error *err);

#ifdef __cplusplus
}
#endif

#endif
