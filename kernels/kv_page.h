/* Pages of keys and values: the unit in which attention reads them and sessions hold them.
 *
 * A page holds WN_KV_SLOTS keys and values of one (layer, KV head), in natural rows:
 *
 *     0            K rows [WN_KV_SLOTS][head_dim]
 *     v_at         V rows [WN_KV_SLOTS][head_dim]
 *     k_scales_at  bf16 [WN_KV_SLOTS]                  INT8 only: K = scale * q
 *     v_scales_at  bf16 [WN_KV_SLOTS]                  INT8 only
 *
 * Rows follow one another without gaps (row_bytes each); the four parts and the page itself start
 * at multiples of 64 bytes, and page_bytes is one. Every instruction set reads this same layout.
 * Rounding happens here, in one piece of plain C: a page's bytes do not depend on the machine.
 *
 *     wn_kv_layout l = wn_kv_layout_of(WN_KV_BF16, 64);
 *     wn_kv_write(&l, page, slot, k, v);
 *
 * Attention ignores what lies in slots that are in no list, NaN included.
 * Threads: pages are plain memory; different slots may be written at the same time.
 */
#ifndef WN_KERNELS_KV_PAGE_H
#define WN_KERNELS_KV_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define WN_KV_SLOTS 64
#define WN_KV_SCALE_BYTES 2 /* of one row, in INT8 */

typedef enum wn_kv_format {
    WN_KV_AUTO, /* options only: BF16, or F32 (an exact context, precise weights) */
    WN_KV_F32,
    WN_KV_BF16, /* rounded to nearest even */
    WN_KV_INT8, /* -127 .. 127 times one bf16 scale per row of K and one per row of V */
} wn_kv_format;

const char *wn_kv_format_name(wn_kv_format f); /* "bf16" */
/* False for a name that is none of auto, f32, bf16, int8. */
bool wn_kv_format_parse(const char *name, wn_kv_format *out);

typedef struct wn_kv_layout {
    wn_kv_format format;
    size_t head_dim;
    size_t row_bytes, v_at, k_scales_at, v_scales_at, page_bytes;
} wn_kv_layout;

wn_kv_layout wn_kv_layout_of(wn_kv_format format, size_t head_dim); /* not AUTO */

/* k, v [head_dim], finite. */
void wn_kv_write(const wn_kv_layout *l, uint8_t *page, size_t slot, const float *k, const float *v);
/* What was written, rounded: k, v [head_dim]. */
void wn_kv_read(const wn_kv_layout *l, const uint8_t *page, size_t slot, float *k, float *v);
/* The scales of a page's K or V (k_scales_at, v_scales_at), widened: out [WN_KV_SLOTS]. */
static inline void wn_kv_scales(const uint8_t *page, size_t scales_at, float *out)
{
    uint16_t halves[WN_KV_SLOTS];
    uint32_t words[WN_KV_SLOTS];
    memcpy(halves, page + scales_at, sizeof halves);
    for (size_t i = 0; i < WN_KV_SLOTS; i++)
        words[i] = (uint32_t)halves[i] << 16;
    memcpy(out, words, sizeof words);
}
/* The bytes of one slot to a slot of another page. */
void wn_kv_copy(const wn_kv_layout *l, uint8_t *to, size_t to_slot, const uint8_t *from,
                size_t from_slot);

#endif
