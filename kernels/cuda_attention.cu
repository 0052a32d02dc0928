/* Decode attention: one block per query head; its warps share out the keys, each with a running
 * softmax (maximum, sum, weighted values), merged at the end. Heads of one group are neighbouring
 * blocks, so the second reads K and V from L2. One block per head: long contexts on few heads leave
 * most of the device idle (a split over keys is the remedy). f32 throughout. */
#include "kernels/cuda_common.cuh"

enum { WARPS = WN_CUDA_THREADS / 32, MAX_DIM = 256, PER_LANE = MAX_DIM / 32 };

typedef struct warp_state {
    float top, sum, value[PER_LANE]; /* value: dimensions lane, lane + 32, ... */
} warp_state;

/* Keys warp, warp + WARPS, ... of one head. */
static __device__ void attend_keys(warp_state *s, const float *q, const float *k, const float *v,
                                   size_t n_keys, int dim, float scale)
{
    const int lane = threadIdx.x % 32;
    for (size_t j = threadIdx.x / 32; j < n_keys; j += WARPS) {
        float score = 0;
        for (int i = 0; i < PER_LANE && lane + 32 * i < dim; i++)
            score += q[lane + 32 * i] * k[j * dim + lane + 32 * i];
        __syncwarp(); /* lanes leave the loop at different i */
        score = wn_warp_sum(score) * scale;
        const float top = fmaxf(s->top, score);
        const float decay = expf(s->top - top), p = expf(score - top);
        s->top = top;
        s->sum = s->sum * decay + p;
        for (int i = 0; i < PER_LANE && lane + 32 * i < dim; i++)
            s->value[i] = s->value[i] * decay + p * v[j * dim + lane + 32 * i];
        __syncwarp();
    }
}

static __global__ void attention_decode_kernel(const float *q, const float *const *k,
                                               const float *const *v, size_t n_keys, int group,
                                               int dim, float scale, float *out)
{
    __shared__ float top[WARPS], sum[WARPS], value[WARPS][MAX_DIM];
    const size_t head = blockIdx.x;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    warp_state s = {-INFINITY, 0.0f, {0}};
    attend_keys(&s, q + head * dim, k[head / group], v[head / group], n_keys, dim, scale);
    for (int i = 0; i < PER_LANE; i++)
        value[warp][lane + 32 * i] = s.value[i];
    if (lane == 0) {
        top[warp] = s.top;
        sum[warp] = s.sum;
    }
    __syncthreads();
    float all_top = -INFINITY;
    for (int w = 0; w < WARPS; w++)
        all_top = fmaxf(all_top, top[w]);
    for (int d = threadIdx.x; d < dim; d += blockDim.x) {
        float total = 0, x = 0;
        for (int w = 0; w < WARPS; w++) {
            const float weight =
                sum[w] > 0 ? expf(top[w] - all_top) : 0.0f; /* a warp without keys */
            total += weight * sum[w];
            x += weight * value[w][d];
        }
        out[head * dim + d] = total > 0 ? x / total : 0.0f;
    }
}

wn_status wn_cuda_attention_decode(const float *q, const float *const *k, const float *const *v,
                                   size_t n_keys, size_t n_heads, size_t n_kv_heads,
                                   size_t head_dim, float scale, float *out, void *stream,
                                   wn_error *err)
{
    if (head_dim == 0 || head_dim > MAX_DIM || n_kv_heads == 0 || n_heads % n_kv_heads != 0)
        return wn_error_set(err, WN_INVALID, "attention: %zu heads, %zu KV heads, head_dim %zu",
                            n_heads, n_kv_heads, head_dim);
    if (n_heads == 0)
        return WN_OK;
    attention_decode_kernel<<<(unsigned)n_heads, WN_CUDA_THREADS, 0, (cudaStream_t)stream>>>(
        q, k, v, n_keys, (int)(n_heads / n_kv_heads), (int)head_dim, scale, out);
    return wn_cuda_launched("attention_decode", err);
}
