/* The text that eviction heads are trained on: files and folders, one part each, and of every part
 * the first two thirds to learn from and the last for choosing and measuring operating points.
 *
 *     WN_TRY(wn_training_text_read(&t, paths, n_paths, err));
 *     wn_training_text_piece(&t, WN_PIECE_LEARN, i, n, 8000, &text, &len);
 *     wn_training_text_free(&t);
 *
 * Files are plain text (UTF-8); of .jsonl files the fields "title" and "text" of every line. Files
 * with a NUL byte are passed over.
 */
#ifndef WN_API_TRAINING_TEXT_H
#define WN_API_TRAINING_TEXT_H

#include "base/hash.h"
#include "base/strbuf.h"

#define WN_TRAINING_MAX_PARTS 256

typedef struct wn_training_text {
    wn_strbuf parts[WN_TRAINING_MAX_PARTS];
    size_t n_parts, n_files, n_bytes;
    uint8_t digest[WN_SHA256_BYTES]; /* of all of it */
} wn_training_text;

typedef enum wn_piece_use { WN_PIECE_LEARN, WN_PIECE_MEASURE } wn_piece_use;

/* WN_INVALID where a path has no text, and for too many of them. */
wn_status wn_training_text_read(wn_training_text *t, char *const *paths, size_t n_paths,
                                wn_error *err);
void wn_training_text_free(wn_training_text *t);

/* Piece i of n: part after part, evenly spread over each. It begins at a line where one is near,
 * and has the bytes up to the end of its third or two thirds, at least `want` where these have
 * them. */
void wn_training_text_piece(const wn_training_text *t, wn_piece_use use, size_t i, size_t n,
                            size_t want, const char **text, size_t *len);

#endif
