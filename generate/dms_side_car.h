/* Writes a side-car of linear eviction heads: the format is in dms_heads.h.
 *
 *     wn_dms_side_car s = {.weight = w, .bias = b, .window = 256, .points = json_array};
 *     WN_TRY(wn_dms_side_car_write("dms_heads.safetensors", model, &s, err));
 */
#ifndef WN_GENERATE_DMS_SIDE_CAR_H
#define WN_GENERATE_DMS_SIDE_CAR_H

#include <jansson.h>

#include "generate/model.h"

typedef struct wn_dms_side_car {
    const float *weight, *bias; /* [n_layers][n_kv_heads][d_model], [n_layers][n_kv_heads] */
    size_t window, min_window;  /* tokens */
    const json_t *points;       /* operating_points */
    const json_t *trained_on;   /* what people may want to know; NULL: left out */
    const json_t *metrics;      /* likewise */
} wn_dms_side_car;

/* Weights are written in f32. The file appears whole or not at all. Reads the model's whole file
 * for its fingerprint. */
wn_status wn_dms_side_car_write(const char *path, const wn_model *m, const wn_dms_side_car *s,
                                wn_error *err);

#endif
