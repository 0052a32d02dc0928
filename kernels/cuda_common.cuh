/* What the CUDA kernels share: launch checks and reductions. */
#ifndef WN_KERNELS_CUDA_COMMON_CUH
#define WN_KERNELS_CUDA_COMMON_CUH

#include <cuda_runtime.h>

extern "C" {
#include "kernels/cuda_ops.h"
}

enum { WN_CUDA_THREADS = 256 };

/* The launch that was just made, as a status. */
static inline wn_status wn_cuda_launched(const char *what, wn_error *err)
{
    const cudaError_t e = cudaGetLastError();
    return e == cudaSuccess
               ? WN_OK
               : wn_error_set(err, WN_DEVICE, "CUDA launch of %s: %s", what, cudaGetErrorString(e));
}

/* Blocks for n independent items in a grid-stride loop. */
static inline unsigned wn_cuda_blocks(size_t n)
{
    const size_t blocks = (n + WN_CUDA_THREADS - 1) / WN_CUDA_THREADS;
    return (unsigned)(blocks < 65535 ? blocks : 65535);
}

static __device__ inline float wn_warp_sum(float x)
{
    for (int lane = 16; lane > 0; lane /= 2)
        x += __shfl_xor_sync(0xffffffffu, x, lane);
    return x;
}

/* Sum over a block of WN_CUDA_THREADS threads, given to every thread. All threads must call. */
static __device__ inline float wn_block_sum(float x)
{
    __shared__ float part[WN_CUDA_THREADS / 32];
    x = wn_warp_sum(x);
    __syncthreads(); /* an earlier call's readers are done with part */
    if (threadIdx.x % 32 == 0)
        part[threadIdx.x / 32] = x;
    __syncthreads();
    float sum = 0;
    for (int i = 0; i < WN_CUDA_THREADS / 32; i++)
        sum += part[i];
    return sum;
}

#endif
