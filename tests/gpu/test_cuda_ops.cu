/* Every CUDA operation against the C reference, at sizes 0, 1, 31, 33 and large. Built with
 * WN_CUDA=ON; without a device it says so and ends. Exit code 0 = all within tolerance (or no
 * device), 1 = not. */
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <cuda_runtime.h>

extern "C" {
#include "kernels/cuda_ops.h"
}

static int n_failed = 0;
static uint32_t state = 1;

static float next_float() /* -1 .. 1 */
{
    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8) / 8388608.0f - 1.0f;
}

static std::vector<float> floats(size_t n)
{
    std::vector<float> x(n);
    for (float &v : x)
        v = next_float();
    return x;
}

static void must(cudaError_t e)
{
    if (e != cudaSuccess) {
        std::printf("FAILED: CUDA: %s\n", cudaGetErrorString(e));
        std::exit(1);
    }
}

/* A host array and its copy on the device. */
template <class T> struct device_array {
    T *p = nullptr;
    size_t n;
    explicit device_array(const std::vector<T> &host) : n(host.size())
    {
        must(cudaMalloc(&p, (n + 1) * sizeof(T)));
        must(cudaMemcpy(p, host.data(), n * sizeof(T), cudaMemcpyHostToDevice));
    }
    ~device_array()
    {
        cudaFree(p);
    }
    device_array(const device_array &) = delete;
    std::vector<T> get() const
    {
        std::vector<T> host(n);
        must(cudaMemcpy(host.data(), p, n * sizeof(T), cudaMemcpyDeviceToHost));
        return host;
    }
};

static void compare(const char *what, size_t size, wn_status status,
                    const std::vector<float> &expected, const std::vector<float> &actual,
                    double tolerance)
{
    bool good = status == WN_OK && expected.size() == actual.size();
    for (size_t i = 0; good && i < expected.size(); i++)
        good = std::fabs((double)expected[i] - (double)actual[i]) <=
               tolerance * (1.0 + std::fabs((double)expected[i]));
    std::printf("%s %s, size %zu\n", good ? "ok    " : "FAILED", what, size);
    n_failed += !good;
}

static const size_t sizes[] = {0, 1, 31, 33, 4099};

static void test_rows(wn_compute *c)
{
    for (size_t d : sizes) {
        const size_t m = 3;
        const std::vector<float> x = floats(m * d), w = floats(d), b = floats(d);
        std::vector<float> expected(m * d);
        const device_array<float> dx(x), dw(w), db(b), dy(x);
        wn_rmsnorm(c, x.data(), w.data(), m, d, 1e-5f, expected.data());
        wn_status s = wn_cuda_rmsnorm(dx.p, dw.p, m, d, 1e-5f, dy.p, nullptr, nullptr);
        compare("rmsnorm", d, s, expected, d ? dy.get() : expected, 1e-5);
        wn_layernorm(c, x.data(), w.data(), b.data(), m, d, 1e-5f, expected.data());
        s = wn_cuda_layernorm(dx.p, dw.p, db.p, m, d, 1e-5f, dy.p, nullptr, nullptr);
        compare("layernorm", d, s, expected, d ? dy.get() : expected, 1e-5);
    }
}

static void test_elements(wn_compute *c)
{
    for (size_t n : sizes) {
        const std::vector<float> x = floats(n), y = floats(n);
        std::vector<float> expected(n), sum = y;
        const device_array<float> dx(x), dy(y), dz(y);
        wn_silu_mul(c, x.data(), y.data(), n, expected.data());
        wn_status s = wn_cuda_silu_mul(dx.p, dy.p, n, dz.p, nullptr, nullptr);
        compare("silu_mul", n, s, expected, dz.get(), 1e-6);
        wn_gelu_erf(c, x.data(), n, expected.data());
        s = wn_cuda_gelu_erf(dx.p, n, dz.p, nullptr, nullptr);
        compare("gelu_erf", n, s, expected, dz.get(), 1e-6);
        for (size_t i = 0; i < n; i++)
            sum[i] += x[i];
        s = wn_cuda_add(dx.p, n, dy.p, nullptr, nullptr);
        compare("add", n, s, sum, dy.get(), 0);
    }
}

static void test_rope(wn_compute *c)
{
    for (size_t m : sizes)
        for (int order = 0; order < 2; order++) {
            const size_t heads = 3, dim = 64, stride = heads * dim + 5;
            std::vector<float> x = floats(m * stride), freq = floats(dim / 2);
            std::vector<float> angles(m * dim);
            const device_array<float> dx(x), df(freq);
            wn_rope_angles(c, m, dim, 1000, freq.data(), angles.data());
            wn_rope(c, x.data(), m, stride, heads, dim, angles.data(), (wn_rope_order)order);
            const wn_status s = wn_cuda_rope(dx.p, m, stride, heads, dim, 1000, df.p,
                                             (wn_rope_order)order, nullptr, nullptr);
            compare(order ? "rope, interleaved" : "rope, neox", m, s, x, dx.get(), 1e-6);
        }
}

/* Random blocks; f16 numbers get a harmless exponent. */
static std::vector<uint8_t> blocks(wn_dtype type, size_t n)
{
    size_t bytes = 0;
    wn_dtype_bytes(type, n, &bytes);
    std::vector<uint8_t> data(bytes);
    const size_t size = wn_dtype_block_bytes(type);
    for (size_t i = 0; i < bytes; i++) {
        next_float();
        data[i] = (uint8_t)(state >> 13);
        const size_t at = i % size;
        const bool scale = type == WN_DTYPE_Q6_K  ? at == 209
                           : type == WN_DTYPE_F32 ? at == 3
                           : type == WN_DTYPE_BF16
                               ? at == 1
                               : at == 1 || (size != 34 && size != 18 && at == 3);
        if (scale)
            data[i] = (uint8_t)(type == WN_DTYPE_F32 || type == WN_DTYPE_BF16 ? 0x3d : 0x24);
    }
    return data;
}

static void test_weights(wn_compute *c)
{
    for (int t = 0; t <= WN_DTYPE_Q6_K; t++) {
        const wn_dtype type = (wn_dtype)t;
        const size_t block = wn_dtype_block_elements(type);
        for (size_t count : {(size_t)0, (size_t)1, (size_t)31, (size_t)33}) {
            const size_t n_in = (block == 1 ? 37 : 2) * block, n_out = count, m = 3;
            const std::vector<uint8_t> w = blocks(type, n_out * n_in);
            const std::vector<float> x = floats(m * n_in), bias = floats(n_out);
            std::vector<float> values(n_out * n_in), y(m * n_out);
            const device_array<uint8_t> dw(w);
            const device_array<float> dv(values), dx(x), db(bias), dy(y);
            wn_dequantize(type, w.data(), values.data(), values.size());
            wn_status s = wn_cuda_dequantize(type, dw.p, dv.p, values.size(), nullptr, nullptr);
            compare(wn_dtype_name(type), n_out, s, values, dv.get(), 1e-6);
            wn_tensor tensor = {"w", type, 2, {n_out, n_in}, w.data(), w.size()};
            wn_matrix *matrix = nullptr;
            if (wn_matrix_create(&matrix, c, &tensor, nullptr) != WN_OK) {
                n_failed++;
                continue;
            }
            wn_matmul(c, matrix, x.data(), m, bias.data(), y.data());
            s = wn_cuda_gemv(type, dw.p, n_out, n_in, dx.p, m, db.p, dy.p, nullptr, nullptr);
            compare("gemv", n_out, s, y, dy.get(), 1e-4);
            wn_matrix_free(matrix);
        }
    }
}

/* The same keys and values in pages, as the CPU wants them. */
struct paged_keys {
    wn_kv_layout layout;
    std::vector<std::vector<uint8_t>> pages;
    std::vector<std::vector<const uint8_t *>> lists;
    std::vector<wn_kv_head> heads;

    paged_keys(const std::vector<const float *> &k, const std::vector<const float *> &v,
               size_t n_keys, size_t dim)
        : layout(wn_kv_layout_of(WN_KV_F32, dim)), lists(k.size())
    {
        for (size_t h = 0; h < k.size(); h++) {
            for (size_t i = 0; i < n_keys; i++) {
                if (i % WN_KV_SLOTS == 0) {
                    pages.emplace_back(layout.page_bytes);
                    lists[h].push_back(pages.back().data());
                }
                wn_kv_write(&layout, pages.back().data(), i % WN_KV_SLOTS, k[h] + i * dim,
                            v[h] + i * dim);
            }
            wn_kv_head head = {};
            head.log = lists[h].data();
            head.n_log = n_keys;
            heads.push_back(head);
        }
    }
};

static void test_attention(wn_compute *c)
{
    const size_t heads = 6, kv_heads = 2;
    for (size_t dim : {(size_t)1, (size_t)33, (size_t)64, (size_t)256})
        for (size_t n_keys : {(size_t)1, (size_t)31, (size_t)33, (size_t)1500}) {
            const std::vector<float> q = floats(heads * dim), k = floats(kv_heads * n_keys * dim),
                                     v = floats(kv_heads * n_keys * dim);
            std::vector<float> out(heads * dim);
            const device_array<float> dq(q), dk(k), dv(v), dout(out);
            std::vector<const float *> hk, hv, kp, vp;
            for (size_t h = 0; h < kv_heads; h++) {
                hk.push_back(k.data() + h * n_keys * dim);
                hv.push_back(v.data() + h * n_keys * dim);
                kp.push_back(dk.p + h * n_keys * dim);
                vp.push_back(dv.p + h * n_keys * dim);
            }
            const device_array<const float *> dkp(kp), dvp(vp);
            const float scale = 1.0f / std::sqrt((float)dim);
            const paged_keys pages(hk, hv, n_keys, dim);
            wn_attention_args a = {};
            a.q = q.data();
            a.m = 1;
            a.q_stride = a.out_stride = heads * dim;
            a.layout = &pages.layout;
            a.heads = pages.heads.data();
            a.n_heads = heads;
            a.n_kv_heads = kv_heads;
            a.scale = scale;
            a.out = out.data();
            wn_attention(c, &a);
            const wn_status s = wn_cuda_attention_decode(
                dq.p, dkp.p, dvp.p, n_keys, heads, kv_heads, dim, scale, dout.p, nullptr, nullptr);
            compare("attention_decode", n_keys, s, out, dout.get(), 1e-5);
        }
}

int main()
{
    if (wn_cuda_device_count() == 0) {
        std::printf("SKIPPED: no CUDA device\n");
        return 0;
    }
    wn_compute *c = nullptr;
    const wn_compute_options options = {1, "ref"};
    if (wn_compute_open(&c, &options, nullptr) != WN_OK)
        return 1;
    test_rows(c);
    test_elements(c);
    test_rope(c);
    test_weights(c);
    test_attention(c);
    wn_compute_close(c);
    std::printf("%d failed\n", n_failed);
    return n_failed != 0;
}
