/* Small helpers over jansson for files and requests from outside: load with limits, read typed
 * fields, errors that name the source and the field. jansson checks UTF-8 and depth itself. */
#ifndef WN_BASE_JSON_H
#define WN_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* *out is a new reference. `name` stands in the error text. Duplicate keys are refused. */
wn_status wn_json_load_file(json_t **out, const char *path, size_t max_bytes, wn_error *err);
wn_status wn_json_parse(json_t **out, const char *text, size_t len, const char *name,
                        wn_error *err);

/* Optional fields: absent or null leaves *out (the default) untouched; a wrong type or a value out
 * of [min, max] is WN_INVALID with "name: field must be ...". Strings are borrowed from obj. */
wn_status wn_json_get_str(const json_t *obj, const char *field, const char **out, wn_error *err);
wn_status wn_json_get_int(const json_t *obj, const char *field, int64_t min, int64_t max,
                          int64_t *out, wn_error *err);
wn_status wn_json_get_num(const json_t *obj, const char *field, double min, double max, double *out,
                          wn_error *err);
wn_status wn_json_get_bool(const json_t *obj, const char *field, bool *out, wn_error *err);

#endif
