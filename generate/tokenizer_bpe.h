/* Byte-pair merging: the table of merges, and the merging of one piece of text.
 *
 * A merge (left, right) -> id has a rank; in a piece, the pair of lowest rank is merged first, the
 * leftmost of equal ones before the others, until no pair is in the table (Sennrich et al. 2016).
 * O(n log n) in the piece: a megabyte without a space is no attack. The table is immutable after
 * loading (any thread); a wn_bpe_scratch belongs to one call.
 */
#ifndef WN_GENERATE_TOKENIZER_BPE_H
#define WN_GENERATE_TOKENIZER_BPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct wn_bpe_merge {
    uint32_t left, right; /* token ids */
    uint32_t rank;
    int32_t id; /* of the joined token; -1 = free slot */
} wn_bpe_merge;

typedef struct wn_bpe {
    wn_bpe_merge *slots;
    size_t n_slots; /* power of two */
    size_t n;       /* merges */
} wn_bpe;

/* Room for n merges. */
wn_status wn_bpe_init(wn_bpe *b, size_t n, wn_error *err);
void wn_bpe_free(wn_bpe *b);
/* At most the n of wn_bpe_init; a pair given again takes the later rank, as in `tokenizers`. */
void wn_bpe_add(wn_bpe *b, int32_t left, int32_t right, uint32_t rank, int32_t id);

/* A token under merging; a list over an array. prev and next are -1 at the ends. */
typedef struct wn_bpe_symbol {
    int32_t id; /* -1: merged into the one before it */
    int32_t prev, next;
} wn_bpe_symbol;

typedef struct wn_bpe_candidate {
    uint64_t key; /* rank << 32 | position: the order of merging */
    int32_t id;
} wn_bpe_candidate;

typedef struct wn_bpe_scratch {
    wn_bpe_symbol *symbols;
    wn_bpe_candidate *heap;
    size_t symbols_cap, heap_cap, heap_n;
} wn_bpe_scratch;

void wn_bpe_scratch_free(wn_bpe_scratch *s);

/* Merges ids[0..n) in place and returns how many remain; false in *ok when memory is out. n < 2^31.
 */
size_t wn_bpe_merge_ids(const wn_bpe *b, wn_bpe_scratch *s, int32_t *ids, size_t n, bool *ok);

#endif
