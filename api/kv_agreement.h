/* Texts that the model writes freely behind prefixes of one text, with all keys and with those that
 * eviction heads leave, compared token by token. Teacher-forced figures (kv_eval.h) cannot say how
 * soon two texts part.
 *
 *     n = wn_kv_places(&lengths, n_text, 4, places);
 *     WN_TRY(wn_kv_writer_open(&w, &reader_options, ids, places, n, 64, err));   // all keys
 *     WN_TRY(wn_kv_writer_judge(w, point, sums, err));        // adds to sums[places[i].line]
 *
 * Sessions read each prefix once, on from the one before, and a fork writes. Threads: as the
 * compute context.
 */
#ifndef WN_API_KV_AGREEMENT_H
#define WN_API_KV_AGREEMENT_H

#include "api/kv_lengths.h"
#include "api/kv_reader.h"

/* Sums over places; zero it first. */
typedef struct wn_kv_agreement {
    size_t n_places, n_tokens; /* tokens written at all places */
    size_t n_same;             /* places where all tokens are the same */
    size_t n_before, n_equal;  /* tokens before the first difference; equal ones, those included */
} wn_kv_agreement;

/* Adds two texts of n tokens. */
void wn_kv_agreement_add(wn_kv_agreement *s, const int32_t *dense, const int32_t *thin, size_t n);

typedef struct wn_kv_place {
    size_t at, line; /* tokens before it; the length that it belongs to */
} wn_kv_place;

/* So many places for each length that the text reaches, evenly behind the length before it and the
 * last at its end; ascending. out [WN_KV_MAX_LENGTHS * per_length]. Returns their number. */
size_t wn_kv_places(const wn_kv_lengths *lengths, size_t n_text, size_t per_length,
                    wn_kv_place *out);

typedef struct wn_kv_writer wn_kv_writer;

/* Writes with all keys. ids and places are borrowed; o->point is not looked at, o->n_ctx holds the
 * text; places that leave no room in it for n_write tokens are moved forward. */
wn_status wn_kv_writer_open(wn_kv_writer **out, const wn_kv_reader_options *o, const int32_t *ids,
                            const wn_kv_place *places, size_t n_places, size_t n_write,
                            wn_error *err);
void wn_kv_writer_close(wn_kv_writer *w); /* NULL is fine */
/* Writes with the point's keys and adds to sums, by line; places within the window are passed over,
 * since nothing is evicted there yet. */
wn_status wn_kv_writer_judge(wn_kv_writer *w, const wn_dms_point *point, wn_kv_agreement *sums,
                             wn_error *err);

#endif
