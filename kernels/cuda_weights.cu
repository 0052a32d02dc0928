/* Dequantisation and GEMV from quantised blocks. One function gives one element of a row; threads
 * that work on neighbouring elements read neighbouring bytes. See dequant_block.h for the formats.
 */
#include <cuda_fp16.h>

#include "kernels/cuda_common.cuh"

static __device__ inline float load_f16(const uint8_t *p)
{
    return __half2float(__ushort_as_half((unsigned short)(p[0] | p[1] << 8)));
}

static __device__ inline uint32_t load_u32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Sub-block s (0-7) of a Q4_K or Q5_K block: its 6-bit scale and min, times d and dmin. */
static __device__ inline void kquant_scale(const uint8_t *b, int s, float *scale, float *min)
{
    const uint8_t *q = b + 4;
    const int sc = s < 4 ? q[s] & 63 : (q[s + 4] & 15) | (q[s - 4] >> 6) << 4;
    const int mn = s < 4 ? q[s + 4] & 63 : (q[s + 4] >> 4) | (q[s] >> 6) << 4;
    *scale = load_f16(b) * (float)sc;
    *min = load_f16(b + 2) * (float)mn;
}

static __device__ inline float element_q4(const uint8_t *b, int i, int header)
{
    const int q = b[header + i % 16];
    return (float)(i < 16 ? q & 15 : q >> 4);
}

/* Element i (0-255) of a Q4_K or, with high bits, Q5_K block. */
static __device__ inline float element_kquant(const uint8_t *b, int i, bool fifth)
{
    float scale, min;
    const int s = i / 32;
    kquant_scale(b, s, &scale, &min);
    const int byte = b[(fifth ? 48 : 16) + i / 64 * 32 + i % 32];
    int q = s % 2 ? byte >> 4 : byte & 15;
    if (fifth)
        q |= (b[16 + i % 32] >> s & 1) << 4;
    return scale * (float)q - min;
}

static __device__ inline float element_q6_k(const uint8_t *b, int i)
{
    const int half = i / 128, quarter = i % 128 / 32, at = i % 32;
    const int low = b[64 * half + 32 * (quarter % 2) + at];
    const int high = b[128 + 32 * half + at] >> 2 * quarter & 3;
    const int q = ((quarter < 2 ? low & 15 : low >> 4) | high << 4) - 32;
    return load_f16(b + 208) * (float)(int8_t)b[192 + i / 16] * (float)q;
}

static __device__ inline float weight_at(wn_dtype type, const uint8_t *w, size_t k)
{
    const int i32 = (int)(k % 32), i256 = (int)(k % 256);
    switch (type) {
    case WN_DTYPE_F32:
        return __uint_as_float(load_u32(w + 4 * k));
    case WN_DTYPE_F16:
        return load_f16(w + 2 * k);
    case WN_DTYPE_BF16:
        return __uint_as_float((uint32_t)(w[2 * k] | w[2 * k + 1] << 8) << 16);
    case WN_DTYPE_Q8_0:
        w += k / 32 * 34;
        return load_f16(w) * (float)(int8_t)w[2 + i32];
    case WN_DTYPE_Q4_0:
        w += k / 32 * 18;
        return load_f16(w) * (element_q4(w, i32, 2) - 8.0f);
    case WN_DTYPE_Q4_1:
        w += k / 32 * 20;
        return load_f16(w) * element_q4(w, i32, 4) + load_f16(w + 2);
    case WN_DTYPE_Q4_K:
        return element_kquant(w + k / 256 * 144, i256, false);
    case WN_DTYPE_Q5_K:
        return element_kquant(w + k / 256 * 176, i256, true);
    case WN_DTYPE_Q6_K:
        return element_q6_k(w + k / 256 * 210, i256);
    default:
        return 0.0f;
    }
}

static wn_status check_type(wn_dtype type, size_t n, size_t *bytes, wn_error *err)
{
    if (type == WN_DTYPE_I32 || type == WN_DTYPE_I64 || !wn_dtype_bytes(type, n, bytes))
        return wn_error_set(err, WN_INVALID, "%zu elements of type %s are no weights", n,
                            wn_dtype_name(type));
    return WN_OK;
}

static __global__ void dequantize_kernel(wn_dtype type, const uint8_t *src, float *dst, size_t n)
{
    const size_t step = (size_t)gridDim.x * blockDim.x;
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n; i += step)
        dst[i] = weight_at(type, src, i);
}

wn_status wn_cuda_dequantize(wn_dtype type, const void *src, float *dst, size_t n, void *stream,
                             wn_error *err)
{
    size_t bytes = 0;
    WN_TRY(check_type(type, n, &bytes, err));
    if (n == 0)
        return WN_OK;
    dequantize_kernel<<<wn_cuda_blocks(n), WN_CUDA_THREADS, 0, (cudaStream_t)stream>>>(
        type, (const uint8_t *)src, dst, n);
    return wn_cuda_launched("dequantize", err);
}

/* One warp per row of w (grid x) and row of x (grid y); lanes take every 32nd element. */
static __global__ void gemv_kernel(wn_dtype type, const uint8_t *w, size_t row_bytes, size_t n_out,
                                   size_t n_in, const float *x, const float *bias, float *y)
{
    const size_t row = blockIdx.x * (size_t)(blockDim.x / 32) + threadIdx.x / 32;
    if (row >= n_out) /* whole warps leave: the shuffles below stay complete */
        return;
    x += blockIdx.y * n_in;
    float sum = 0;
    for (size_t k = threadIdx.x % 32; k < n_in; k += 32)
        sum += weight_at(type, w + row * row_bytes, k) * x[k];
    sum = wn_warp_sum(sum);
    if (threadIdx.x % 32 == 0)
        y[blockIdx.y * n_out + row] = sum + (bias ? bias[row] : 0.0f);
}

wn_status wn_cuda_gemv(wn_dtype type, const void *w, size_t n_out, size_t n_in, const float *x,
                       size_t m, const float *bias, float *y, void *stream, wn_error *err)
{
    size_t row_bytes = 0;
    WN_TRY(check_type(type, n_in, &row_bytes, err));
    if (m > 65535)
        return wn_error_set(err, WN_INVALID, "gemv: %zu rows, the limit is 65535", m);
    if (m == 0 || n_out == 0)
        return WN_OK;
    const unsigned rows = WN_CUDA_THREADS / 32;
    const dim3 grid((unsigned)((n_out + rows - 1) / rows), (unsigned)m);
    gemv_kernel<<<grid, WN_CUDA_THREADS, 0, (cudaStream_t)stream>>>(
        type, (const uint8_t *)w, row_bytes, n_out, n_in, x, bias, y);
    return wn_cuda_launched("gemv", err);
}
