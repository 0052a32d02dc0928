/* Norms, rotary embedding and element-wise operations. */
#include "kernels/cuda_common.cuh"

int wn_cuda_device_count(void)
{
    int n = 0;
    return cudaGetDeviceCount(&n) == cudaSuccess ? n : 0;
}

/* One block per row. y = x / sqrt(mean(x^2) + eps) w */
static __global__ void rmsnorm_kernel(const float *x, const float *w, size_t d, float eps, float *y)
{
    x += blockIdx.x * d;
    y += blockIdx.x * d;
    float sum = 0;
    for (size_t i = threadIdx.x; i < d; i += blockDim.x)
        sum += x[i] * x[i];
    const float scale = 1.0f / sqrtf(wn_block_sum(sum) / (float)d + eps);
    for (size_t i = threadIdx.x; i < d; i += blockDim.x)
        y[i] = x[i] * scale * w[i];
}

wn_status wn_cuda_rmsnorm(const float *x, const float *w, size_t m, size_t d, float eps, float *y,
                          void *stream, wn_error *err)
{
    if (m == 0 || d == 0)
        return WN_OK;
    rmsnorm_kernel<<<(unsigned)m, WN_CUDA_THREADS, 0, (cudaStream_t)stream>>>(x, w, d, eps, y);
    return wn_cuda_launched("rmsnorm", err);
}

/* One block per row, mean first: the variance does not cancel. y = (x - mean) / sqrt(var + eps) w +
 * b */
static __global__ void layernorm_kernel(const float *x, const float *w, const float *b, size_t d,
                                        float eps, float *y)
{
    x += blockIdx.x * d;
    y += blockIdx.x * d;
    float sum = 0, squares = 0;
    for (size_t i = threadIdx.x; i < d; i += blockDim.x)
        sum += x[i];
    const float mean = wn_block_sum(sum) / (float)d;
    for (size_t i = threadIdx.x; i < d; i += blockDim.x)
        squares += (x[i] - mean) * (x[i] - mean);
    const float scale = 1.0f / sqrtf(wn_block_sum(squares) / (float)d + eps);
    for (size_t i = threadIdx.x; i < d; i += blockDim.x)
        y[i] = (x[i] - mean) * scale * w[i] + b[i];
}

wn_status wn_cuda_layernorm(const float *x, const float *w, const float *b, size_t m, size_t d,
                            float eps, float *y, void *stream, wn_error *err)
{
    if (m == 0 || d == 0)
        return WN_OK;
    layernorm_kernel<<<(unsigned)m, WN_CUDA_THREADS, 0, (cudaStream_t)stream>>>(x, w, b, d, eps, y);
    return wn_cuda_launched("layernorm", err);
}

/* One thread per (row, pair), which turns the pair of every head: the angle is worked out once, in
 * double as on the CPU (positions reach 131072: a f32 angle would be off by 0.004). */
static __global__ void rope_kernel(float *x, size_t m, size_t stride, size_t n_heads,
                                   size_t head_dim, size_t pos0, const float *inv_freq,
                                   bool interleaved)
{
    const size_t half = head_dim / 2, step = (size_t)gridDim.x * blockDim.x;
    for (size_t n = blockIdx.x * (size_t)blockDim.x + threadIdx.x; n < m * half; n += step) {
        const size_t row = n / half, i = n % half;
        double s, c;
        sincos((double)(pos0 + row) * (double)inv_freq[i], &s, &c);
        const size_t apart = interleaved ? 1 : half;
        float *p = x + row * stride + (interleaved ? 2 * i : i);
        for (size_t h = 0; h < n_heads; h++, p += head_dim) {
            const float a = p[0], b = p[apart];
            p[0] = a * (float)c - b * (float)s;
            p[apart] = a * (float)s + b * (float)c;
        }
    }
}

wn_status wn_cuda_rope(float *x, size_t m, size_t stride, size_t n_heads, size_t head_dim,
                       size_t pos0, const float *inv_freq, wn_rope_order order, void *stream,
                       wn_error *err)
{
    const size_t n = m * (head_dim / 2);
    if (n == 0 || n_heads == 0)
        return WN_OK;
    rope_kernel<<<wn_cuda_blocks(n), WN_CUDA_THREADS, 0, (cudaStream_t)stream>>>(
        x, m, stride, n_heads, head_dim, pos0, inv_freq, order == WN_ROPE_INTERLEAVED);
    return wn_cuda_launched("rope", err);
}

/* Grid-stride loops over n elements. */
static __global__ void silu_mul_kernel(const float *gate, const float *up, size_t n, float *y)
{
    const size_t step = (size_t)gridDim.x * blockDim.x;
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n; i += step)
        y[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
}

wn_status wn_cuda_silu_mul(const float *gate, const float *up, size_t n, float *y, void *stream,
                           wn_error *err)
{
    if (n == 0)
        return WN_OK;
    silu_mul_kernel<<<wn_cuda_blocks(n), WN_CUDA_THREADS, 0, (cudaStream_t)stream>>>(gate, up, n,
                                                                                     y);
    return wn_cuda_launched("silu_mul", err);
}

static __global__ void gelu_kernel(const float *x, size_t n, float *y)
{
    const size_t step = (size_t)gridDim.x * blockDim.x;
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n; i += step)
        y[i] = 0.5f * x[i] * erfcf(-0.70710678f * x[i]);
}

wn_status wn_cuda_gelu_erf(const float *x, size_t n, float *y, void *stream, wn_error *err)
{
    if (n == 0)
        return WN_OK;
    gelu_kernel<<<wn_cuda_blocks(n), WN_CUDA_THREADS, 0, (cudaStream_t)stream>>>(x, n, y);
    return wn_cuda_launched("gelu", err);
}

static __global__ void add_kernel(const float *x, size_t n, float *y)
{
    const size_t step = (size_t)gridDim.x * blockDim.x;
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n; i += step)
        y[i] += x[i];
}

wn_status wn_cuda_add(const float *x, size_t n, float *y, void *stream, wn_error *err)
{
    if (n == 0)
        return WN_OK;
    add_kernel<<<wn_cuda_blocks(n), WN_CUDA_THREADS, 0, (cudaStream_t)stream>>>(x, n, y);
    return wn_cuda_launched("add", err);
}
