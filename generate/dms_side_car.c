#include "generate/dms_side_car.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/fs.h"
#include "generate/dms_heads.h"

/* A number as text, or a JSON value as text. */
static void set_number(json_t *metadata, const char *key, size_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%zu", value);
    json_object_set_new(metadata, key, json_string(text));
}

static void set_json(json_t *metadata, const char *key, const json_t *value)
{
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    if (text)
        json_object_set_new(metadata, key, json_string(text));
    free(text);
}

static json_t *metadata_of(const wn_model *m, const wn_dms_side_car *s, const char *fingerprint)
{
    uint8_t digest[WN_SHA256_BYTES];
    char hex[WN_SHA256_HEX];
    json_t *metadata = json_pack("{s:s, s:s, s:s}", "format", "winnow-dms", "version", "1",
                                 "base_fingerprint", fingerprint);
    if (!metadata)
        return NULL;
    if (wn_model_tokenizer(m)) {
        wn_tokenizer_fingerprint(wn_model_tokenizer(m), digest);
        wn_hex(digest, sizeof digest, hex);
        json_object_set_new(metadata, "tokenizer_fingerprint", json_string(hex));
    }
    set_number(metadata, "window_size", s->window);
    set_number(metadata, "min_window", s->min_window);
    set_number(metadata, "decision_shift", 0);
    set_json(metadata, "operating_points", s->points);
    set_json(metadata, "trained_on", s->trained_on);
    set_json(metadata, "metrics", s->metrics);
    return metadata;
}

/* The entry of one tensor of `rows` rows (cols 0: a vector) at *at, which moves behind it. */
static void add_entry(json_t *header, size_t layer, const char *what, size_t rows, size_t cols,
                      size_t *at)
{
    char name[64];
    const size_t bytes = rows * (cols ? cols : 1) * sizeof(float);
    snprintf(name, sizeof name, "layers.%zu.%s", layer, what);
    json_t *shape = cols ? json_pack("[I, I]", (json_int_t)rows, (json_int_t)cols)
                         : json_pack("[I]", (json_int_t)rows);
    json_object_set_new(header, name,
                        json_pack("{s:s, s:o, s:[I, I]}", "dtype", "F32", "shape", shape,
                                  "data_offsets", (json_int_t)*at, (json_int_t)(*at + bytes)));
    *at += bytes;
}

static void add_data(wn_strbuf *b, const wn_model_config *g, const wn_dms_side_car *s)
{
    const size_t n = g->n_kv_heads;
    for (size_t l = 0; l < g->n_layers; l++) {
        wn_strbuf_add(b, s->weight + l * n * g->d_model, n * g->d_model * sizeof *s->weight);
        wn_strbuf_add(b, s->bias + l * n, n * sizeof *s->bias);
    }
}

wn_status wn_dms_side_car_write(const char *path, const wn_model *m, const wn_dms_side_car *s,
                                wn_error *err)
{
    const wn_model_config *g = wn_model_config_of(m);
    char fingerprint[WN_SHA256_HEX];
    wn_strbuf header_text = {0}, b = {0};
    size_t at = 0;
    WN_TRY(wn_model_fingerprint(m, fingerprint, err));
    json_t *header = json_object();
    json_object_set_new(header, "__metadata__", metadata_of(m, s, fingerprint));
    for (size_t l = 0; l < g->n_layers; l++) {
        add_entry(header, l, "weight", g->n_kv_heads, g->d_model, &at);
        add_entry(header, l, "bias", g->n_kv_heads, 0, &at);
    }
    char *text = json_dumps(header, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(header);
    if (text)
        wn_strbuf_adds(&header_text, text);
    while (header_text.len % 8)
        wn_strbuf_addc(&header_text, ' ');
    const uint64_t len = header_text.len; /* little-endian, as every machine of ours */
    wn_strbuf_add(&b, &len, sizeof len);
    wn_strbuf_add(&b, header_text.data, header_text.len);
    add_data(&b, g, s);
    wn_status status = !text || wn_strbuf_failed(&header_text) || wn_strbuf_failed(&b)
                           ? wn_error_set(err, WN_NO_MEMORY, "%s: out of memory", path)
                           : wn_fs_write_atomic(path, b.data, b.len, err);
    free(text);
    wn_strbuf_free(&header_text);
    wn_strbuf_free(&b);
    return status;
}
