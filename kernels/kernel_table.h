/* The table of functions that an instruction set provides, and everything they work on.
 *
 * A table is one constant, exported by one translation unit that is compiled with its own flags
 * (kernels.cmake). compute.c chooses a table at open; the drivers (matmul.c, attention.c, ...)
 * split work into units and call it. A new instruction set is a new file and a row in compute.c's
 * list: the layouts of packed operands belong to the table, and drivers only know their sizes.
 * Functions here are pure: no allocation, no threads, no state.
 */
#ifndef WN_KERNELS_KERNEL_TABLE_H
#define WN_KERNELS_KERNEL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"
#include "kernels/compute.h"
#include "kernels/panel_region.h"

/* Weights [n_out, n_in]. Packed: panels of 16 rows (packed_weights.h). Otherwise the tensor's own
 * bytes, each row row_bytes of blocks of `type`, any alignment. */
struct wn_matrix {
    wn_dtype type;
    const uint8_t *data; /* NULL when packed */
    size_t n_out, n_in, row_bytes;
    uint8_t *panels; /* NULL when not packed */
    size_t panel_bytes;
    wn_panel_region *region; /* that panels, tiles or slivers lie in */
    uint8_t *tiles;          /* [n_out / 32][n_in / 32][2] tiles of 1 KB; NULL: none */
    uint8_t *slivers;        /* of word_gemm: [n_in / kc][n_out / nr]; NULL: none */
    bool wide_x;             /* no 8-bit activations, nor, many rows, single bf16 ones */
};

#define WN_GEMV_ROWS 8 /* rows of x in one pass over the weights */

/* Up to 256 columns of a row of activations as integers (simd_quantize.h), 16 bits with one scale,
 * x = scale * q, or 8 bits with a scale per group of 32 columns, x = scales[k / 32] * bytes[k]. */
typedef struct wn_x_block {
    union {
        int16_t q[256]; /* in each quad of columns: 0, 2, 1, 3 */
        struct {
            int8_t bytes[256];
            float scales[8];
            int16_t half_sums[8][2]; /* of bytes, per 16 columns */
        };
    };
    int32_t sum[8];                  /* of q or bytes, per 32 columns */
    float float_sum[8];              /* the same; with 8 bits times the group's scale */
    float scale, cache_line_end[15]; /* with 8 bits: 1 */
} wn_x_block;

/* Largest |q|: with scales per 32 columns sums of 32 products have to fit 32 bits, with scales of
 * super-blocks sums of 256 products of larger weights. */
static inline float wn_x_limit(wn_dtype type)
{
    return wn_dtype_block_elements(type) == 256 ? 2047.0f : 32767.0f;
}

/* Blocked product. K is cut at multiples of kc, counted from 0; each block's sum is formed in
 * registers, in order of k, and added to what was there: so an element's bits depend on its row of
 * x and its row of w only. */
#define WN_GEMM_KC 256 /* the usual kc: a multiple of every quantisation block */
#define WN_GEMM_NC 128 /* columns (rows of w) of a unit at most */
#define WN_GEMM_FEW_ROWS 64

/* Where a tile's sums go, strides in floats: y = from + sum + bias. */
typedef struct wn_gemm_out {
    const float *from; /* y, or where its sum over earlier columns of x lies; NULL: zeros */
    const float *bias; /* of these columns, or NULL */
    float *y;
    size_t from_stride, y_stride;
} wn_gemm_out;

typedef struct wn_gemm_kernels {
    size_t mr, nr;       /* rows of x in a strip, columns in a sliver; nr divides WN_GEMM_NC */
    size_t kc;           /* columns of x in either; divides WN_GEMM_KS */
    bool in_panels;      /* slivers are the blocks of w's panels, nr is 16: no pack_slivers */
    size_t strip_bytes;  /* mr rows of kc columns */
    size_t sliver_bytes; /* nr rows of w, kc columns: what stays in L1 while rows of x pass */
    /* Largest |q| in a strip for weights of a type; NULL: strips do not depend on the type. */
    float (*x_limit)(wn_dtype type);
    /* One strip: x [n_rows <= mr][n_k <= kc], row stride in floats, as products with w want it. */
    void (*pack_strip)(const wn_matrix *w, const float *x, size_t x_stride, size_t n_rows,
                       size_t n_k, void *out);
    /* Slivers that follow each other: rows row0 .. row0 + n_rows (<= NC) and columns k0 .. k0 + n_k
     * (<= kc) of w. temp: WN_GEMM_TEMP floats. */
    void (*pack_slivers)(const wn_matrix *w, size_t row0, size_t n_rows, size_t k0, size_t n_k,
                         void *out, float *temp);
    /* One tile of n_rows times n_cols <= nr: strip . sliver. */
    void (*multiply)(const wn_matrix *w, const void *strip, const void *sliver, size_t n_rows,
                     size_t n_cols, size_t n_k, const wn_gemm_out *out);
    /* As both of these for rows row0 .. of w, all strips of n_rows <= FEW_ROWS and n_cols <= nr,
     * the same bits; scratch: sliver_bytes. NULL: they do it. */
    void (*multiply_few)(const wn_matrix *w, size_t row0, size_t k0, const void *strips,
                         size_t n_rows, size_t n_cols, size_t n_k, void *scratch,
                         const wn_gemm_out *out);
} wn_gemm_kernels;

/* Products of many rows on tiles: bf16 operands, f32 sums, in order of k.
 * Rows of x are packed in strips of 32 for all of n_in: [n_in / 32][parts][2][16 rows][32 columns],
 * bf16, in each quad of columns 0, 2, 1, 3; missing rows and columns are zeros. With two parts an
 * element is the sum of two bf16 numbers, 16 bits of it, and so is the sum of their products. */
#define WN_TILE_STRIP 32
#define WN_TILE_PARTS 2       /* at most */
#define WN_TILE_COLUMNS 512   /* of y in a unit at most, where threads share them */
#define WN_TILE_MAX_ROWS 1024 /* packed at a time */
#define WN_TILE_FEW_ROWS 64   /* up to here units have these columns for one thread, too */

static inline size_t wn_tile_strip_bytes(size_t n_in, size_t parts)
{
    return (n_in + 31) / 32 * parts * WN_TILE_STRIP * 64;
}

/* What becomes of a sum before it is stored. */
typedef enum wn_tile_result {
    WN_TILE_F32,    /* y = or, when add, += sum + bias */
    WN_TILE_SWIGLU, /* packed: silu(sum of w) * sum of w2 */
    WN_TILE_GELU,   /* packed: gelu(sum + bias) */
    WN_TILE_BF16,   /* packed: sum + bias */
} wn_tile_result;

/* A piece of weights in tiles. */
typedef struct wn_tile_part {
    const wn_matrix *w;
    size_t column, n_cols; /* of y */
    size_t k, n_k;         /* tiles of columns of x */
} wn_tile_part;

typedef struct wn_tile_unit {
    const wn_matrix *w, *w2; /* w2: as w, SWIGLU only */
    wn_tile_result result;
    const uint8_t *x;      /* strips */
    size_t parts;          /* of x, and of packed results; 1 unless F32 or SWIGLU */
    size_t n_rows;         /* of x */
    size_t column, n_cols; /* of y; column is a multiple of 32 */
    const float *bias;     /* of these columns, or NULL */
    bool add;
    float *y; /* F32: at the unit's first row and column */
    size_t y_stride;
    uint8_t *packed;      /* otherwise: strips, at the unit's first row and column */
    size_t packed_stride; /* bytes of a strip */
    /* Of weights in tiles: these, all columns of x; and what is wanted after them and fetched
     * meanwhile (next.w may be NULL). */
    wn_tile_part part, next;
} wn_tile_unit;

/* Attention of one head of a sequence all of whose keys are seen by every query. */
#define WN_TILE_HEAD_ROWS 512 /* of a sequence at most */
#define WN_TILE_HEAD_DIM 64   /* at most */

typedef struct wn_tile_heads {
    const uint8_t *qkv;  /* strips of 3 d columns: q, k, v, each of all heads */
    size_t row0, n_rows; /* the sequence's */
    size_t d, head_dim;  /* multiples of 32 */
    size_t head;
    float scale;  /* of q . k */
    uint8_t *out; /* strips of d columns, the same rows: this head's columns are written */
} wn_tile_heads;

typedef struct wn_tile_kernels {
    /* One strip: x [n_rows <= 32][n_in]. */
    void (*pack_strip)(const float *x, size_t n_rows, size_t n_in, size_t parts, uint8_t *strip);
    void (*multiply)(const wn_tile_unit *unit, void *scratch);
    void (*attend)(const wn_tile_heads *heads, void *scratch);
    /* 16 rows of plain weights from row0 on, zeros behind the last, columns 32 k ..; 1 KB. temp:
     * 512 floats. */
    void (*pack_tile)(const wn_matrix *w, size_t row0, size_t k, void *tile, float *temp);
    size_t scratch_bytes;
} wn_tile_kernels;

#define WN_ATTENTION_MAX_HEAD_DIM 256

/* A unit of attention. Row r of a KV head is token r / group, head kv * group + r % group, group =
 * n_heads / n_kv_heads; its pages are counted through log and tail (attention_pages.h). */
typedef struct wn_attention_span {
    size_t kv, row0, n_rows; /* n_rows <= attention_rows */
    size_t page0, n_pages;
    /* NULL: all pages are here and the result goes to out. Otherwise [n_rows][head_dim + 2]: sum of
     * 2^(s - top) v, then top and the sum of 2^(s - top), s = q.k scale log2(e). */
    float *partial;
} wn_attention_span;

typedef struct wn_kernel_table {
    const char *name;
    /* y[j * y_stride + r] = or, when add, += w[r] . x[j] + bias[r], r in row0 .. row0 + n_rows, j <
     * m, x [m][n_in]. The bits of y[j] depend on x[j] only. For weights that are not packed. */
    void (*gemv)(const wn_matrix *w, size_t row0, size_t n_rows, const float *x, size_t m, bool add,
                 const float *bias, float *y, size_t y_stride);
    const wn_gemm_kernels *gemm; /* the same for any m, f32; NULL: gemv serves any m */
    /* The same for plain types in less than f32; NULL: gemm serves them. */
    const wn_gemm_kernels *fast_gemm;
    /* The same for plain weights whose slivers are packed once, n_in a multiple of 32; or NULL. */
    const wn_gemm_kernels *word_gemm;
    /* Packed weights; NULL: weights are not packed. row0 is a multiple of 16, row j of x is x[j *
     * x_stride], blocks of 256 columns. */
    void (*packed_gemv)(const wn_matrix *w, size_t row0, size_t n_rows, const wn_x_block *x,
                        size_t x_stride, size_t m, bool add, const float *bias, float *y,
                        size_t y_stride);
    /* The same with 8-bit activations, not for Q8_0; NULL: packed_gemv serves all. */
    void (*byte_gemv)(const wn_matrix *w, size_t row0, size_t n_rows, const wn_x_block *x,
                      size_t x_stride, size_t m, bool add, const float *bias, float *y,
                      size_t y_stride);
    const wn_gemm_kernels *packed_gemm;
    /* The same with 8-bit activations, for weights of up to byte_bits; NULL: packed_gemm serves
     * all. */
    const wn_gemm_kernels *byte_gemm;
    size_t byte_bits;
    /* Instead of fast_gemm, packed_gemm and byte_gemm; NULL where there are no tiles. */
    const wn_tile_kernels *tiles;
    /* n <= 256 columns, a multiple of 32, to 16 bits, |q| <= limit, or, for byte_gemv, to 8. */
    void (*quantize)(const float *x, size_t n, float limit, wn_x_block *out);
    void (*quantize_bytes)(const float *x, size_t n, wn_x_block *out);
    void (*attention)(const wn_attention_args *a, const wn_attention_span *span, void *scratch);
    wn_kv_format attention_format; /* that it reads fastest */
    size_t attention_rows, attention_row_step, attention_scratch_bytes;
    void (*rmsnorm)(const float *x, const float *w, size_t m, size_t d, float eps, float *y);
    void (*layernorm)(const float *x, const float *w, const float *b, size_t m, size_t d, float eps,
                      float *y);
    /* Every head of one row; c, s [head_dim / 2]: cosines and sines of the pairs' angles. */
    void (*rope)(float *x, size_t n_heads, size_t head_dim, const float *c, const float *s,
                 wn_rope_order order);
    void (*silu_mul)(const float *gate, const float *up, size_t n, float *y);
    void (*gelu_erf)(const float *x, size_t n, float *y);
} wn_kernel_table;

/* The reference of `attention` (attention_ref.c). */
void wn_attention_ref(const wn_attention_args *a, const wn_attention_span *span, void *scratch);

extern const wn_kernel_table wn_kernels_ref;
extern const wn_kernel_table wn_kernels_avx2;
extern const wn_kernel_table wn_kernels_avx512;
extern const wn_kernel_table wn_kernels_avx512bf16;
extern const wn_kernel_table wn_kernels_amx;
extern const wn_kernel_table wn_kernels_amx_emulated; /* on AVX2; for tests */

#endif
