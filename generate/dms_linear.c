/* Side-car files of linear heads (dms_heads.h has the format). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/json.h"
#include "base/safetensors.h"
#include "generate/dms_internal.h"

typedef struct side_car {
    const wn_safetensors *file;
    const char *path;
    wn_error *err;
} side_car;

static wn_status required(const side_car *f, const char *key, const char **out)
{
    *out = wn_safetensors_metadata(f->file, key);
    return *out ? WN_OK
                : wn_error_set(f->err, WN_FORMAT, "%s: metadata %s is missing", f->path, key);
}

/* Digits only; *out stays where the key is absent. */
static wn_status number(const side_car *f, const char *key, size_t min, size_t max, size_t *out)
{
    const char *text = wn_safetensors_metadata(f->file, key);
    if (!text)
        return WN_OK;
    const size_t len = strlen(text);
    const size_t value = strspn(text, "0123456789") == len && len >= 1 && len <= 10
                             ? (size_t)strtoull(text, NULL, 10)
                             : SIZE_MAX;
    if (value < min || value > max)
        return wn_error_set(f->err, WN_FORMAT, "%s: metadata %s is \"%s\", not %zu to %zu", f->path,
                            key, text, min, max);
    *out = value;
    return WN_OK;
}

static wn_status check_format(const side_car *f)
{
    const char *format = NULL, *version = NULL;
    WN_TRY(required(f, "format", &format));
    if (strcmp(format, "winnow-dms") != 0)
        return wn_error_set(f->err, WN_FORMAT, "%s: format is \"%s\", not winnow-dms", f->path,
                            format);
    WN_TRY(required(f, "version", &version));
    if (strcmp(version, "1") != 0)
        return wn_error_set(f->err, WN_UNSUPPORTED, "%s: version %s is not supported (1 is)",
                            f->path, version);
    return WN_OK;
}

static wn_status check_base(const side_car *f, const wn_model *m)
{
    const char *asked = NULL;
    char found[WN_SHA256_HEX];
    WN_TRY(required(f, "base_fingerprint", &asked));
    WN_TRY(wn_model_fingerprint(m, found, f->err));
    if (strcmp(asked, found) != 0)
        return wn_error_set(f->err, WN_CONFLICT,
                            "%s: these heads were trained for the model %.12s..., but %s is "
                            "%.12s...",
                            f->path, asked, wn_model_name(m), found);
    return WN_OK;
}

/* A model folder can carry another tokenizer beside the same weights: its ids mean other text then.
 */
static wn_status check_tokenizer(const side_car *f, const wn_model *m)
{
    const char *asked = wn_safetensors_metadata(f->file, "tokenizer_fingerprint");
    uint8_t digest[WN_SHA256_BYTES];
    char found[WN_SHA256_HEX];
    if (!asked || !wn_model_tokenizer(m))
        return WN_OK;
    wn_tokenizer_fingerprint(wn_model_tokenizer(m), digest);
    wn_hex(digest, sizeof digest, found);
    if (strcmp(asked, found) != 0)
        return wn_error_set(f->err, WN_CONFLICT,
                            "%s: these heads were trained with the tokenizer %.12s..., but that of "
                            "%s is %.12s...",
                            f->path, asked, wn_model_name(m), found);
    return WN_OK;
}

static wn_status read_point(const side_car *f, const json_t *json, size_t min_window,
                            wn_dms_point *out)
{
    int64_t window = 0;
    double bias = NAN, ratio = NAN;
    wn_error local = {0};
    wn_status status = json_is_object(json) ? WN_OK : WN_INVALID;
    if (status == WN_OK)
        status = wn_json_get_int(json, "window", (int64_t)min_window, WN_DMS_MAX_WINDOW, &window,
                                 &local);
    if (status == WN_OK)
        status = wn_json_get_num(json, "bias", -1e6, 1e6, &bias, &local);
    if (status == WN_OK)
        status = wn_json_get_num(json, "ratio", 1, 1e6, &ratio, &local);
    if (status == WN_OK && window && !isnan(bias) && !isnan(ratio)) {
        *out = (wn_dms_point){(size_t)window, (float)bias, ratio};
        return WN_OK;
    }
    return wn_error_set(f->err, WN_FORMAT, "%s: operating_points: %s", f->path,
                        local.text[0] ? local.text : "window, bias and ratio are needed");
}

static wn_status read_points(const side_car *f, wn_dms_heads *h, size_t min_window)
{
    const char *text = NULL;
    json_t *json = NULL;
    WN_TRY(required(f, "operating_points", &text));
    wn_status status = wn_json_parse(&json, text, strlen(text), f->path, f->err);
    h->n_points = json_array_size(json);
    if (status == WN_OK && h->n_points == 0)
        status =
            wn_error_set(f->err, WN_FORMAT, "%s: operating_points is no list of points", f->path);
    if (status == WN_OK && !(h->points = wn_alloc(h->n_points, sizeof *h->points)))
        status = wn_error_set(f->err, WN_NO_MEMORY, "%s: out of memory", f->path);
    for (size_t i = 0; status == WN_OK && i < h->n_points; i++)
        status = read_point(f, json_array_get(json, i), min_window, &h->points[i]);
    json_decref(json);
    return status;
}

/* One tensor as f32 to out: weights [rows, d_model] or a bias [rows]. */
static wn_status read_tensor(const side_car *f, const char *name, bool is_bias, size_t rows,
                             size_t d_model, float *out)
{
    const wn_tensor *t = wn_safetensors_tensor(f->file, name);
    const size_t n = is_bias ? rows : rows * d_model;
    if (!t)
        return wn_error_set(f->err, WN_FORMAT, "%s: tensor %s is missing", f->path, name);
    if (t->n_dims != (is_bias ? 1 : 2) || t->shape[0] != rows ||
        (!is_bias && t->shape[1] != d_model))
        return wn_error_set(
            f->err, WN_FORMAT,
            "%s: tensor %s: not the shape for %zu KV heads and a hidden size of %zu", f->path, name,
            rows, d_model);
    if (t->dtype != WN_DTYPE_F32 && t->dtype != WN_DTYPE_BF16)
        return wn_error_set(f->err, WN_UNSUPPORTED, "%s: tensor %s: type %s (F32 and BF16 are)",
                            f->path, name, wn_dtype_name(t->dtype));
    wn_dequantize(t->dtype, t->data, out, n);
    for (size_t i = 0; i < n; i++)
        if (!isfinite(out[i]))
            return wn_error_set(f->err, WN_FORMAT, "%s: tensor %s: element %zu is not finite",
                                f->path, name, i);
    return WN_OK;
}

static wn_status read_tensors(const side_car *f, wn_dms_heads *h, const wn_model_config *c)
{
    h->d_model = c->d_model;
    h->n_kv_heads = c->n_kv_heads;
    if (wn_safetensors_n_tensors(f->file) != 2 * c->n_layers)
        return wn_error_set(f->err, WN_FORMAT, "%s: %zu tensors, the model asks for %zu", f->path,
                            wn_safetensors_n_tensors(f->file), 2 * c->n_layers);
    h->weight = wn_alloc(c->n_layers * c->n_kv_heads, c->d_model * sizeof *h->weight);
    h->bias = wn_alloc(c->n_layers, c->n_kv_heads * sizeof *h->bias);
    if (!h->weight || !h->bias)
        return wn_error_set(f->err, WN_NO_MEMORY, "%s: out of memory", f->path);
    for (size_t i = 0; i < c->n_layers; i++) {
        char name[64];
        const size_t row = i * c->n_kv_heads;
        snprintf(name, sizeof name, "layers.%zu.weight", i);
        WN_TRY(
            read_tensor(f, name, false, c->n_kv_heads, c->d_model, h->weight + row * c->d_model));
        snprintf(name, sizeof name, "layers.%zu.bias", i);
        WN_TRY(read_tensor(f, name, true, c->n_kv_heads, c->d_model, h->bias + row));
    }
    return WN_OK;
}

static wn_status load(const side_car *f, wn_dms_heads *h, const wn_model *m)
{
    const char *window_size = NULL;
    size_t min_window = 0;
    h->kind = WN_DMS_LINEAR;
    WN_TRY(check_format(f));
    WN_TRY(required(f, "window_size", &window_size));
    WN_TRY(number(f, "window_size", 1, WN_DMS_MAX_WINDOW, &min_window));
    WN_TRY(number(f, "min_window", 1, min_window, &min_window));
    WN_TRY(number(f, "decision_shift", 0, 1, &h->decision_shift));
    WN_TRY(read_points(f, h, min_window));
    WN_TRY(read_tensors(f, h, wn_model_config_of(m)));
    WN_TRY(check_base(f, m)); /* the one that takes time */
    return check_tokenizer(f, m);
}

wn_status wn_dms_linear_load(wn_dms_heads *h, const wn_model *m, const char *path, wn_error *err)
{
    wn_safetensors *file = NULL;
    WN_TRY(wn_safetensors_open(&file, path, err));
    wn_status status = load(&(side_car){file, path, err}, h, m);
    wn_safetensors_close(file);
    return status;
}
