/* Writes side-car files of eviction heads, sound ones and broken ones. */
#ifndef WN_TEST_SIDE_CAR_H
#define WN_TEST_SIDE_CAR_H

#include "tests/test_support.h"

#include "base/strbuf.h"

typedef struct side_car_spec {
    size_t n_layers, n_kv_heads, d_model;
    const char *fingerprint;
    const char *window, *shift; /* digits; shift NULL: left out */
    const char *points;         /* JSON with ' for " */
    const char *more;           /* further metadata as JSON members with ' for ", or NULL */
    const float *weight, *bias; /* [n_layers][n_kv_heads][d_model], [n_layers][n_kv_heads] */
    bool bf16;
    const char *leave_out; /* a metadata key */
} side_car_spec;

/* text with ' as ", and these escaped. */
static inline void side_car_quoted(wn_strbuf *b, const char *text, bool escape)
{
    for (; *text; text++) {
        if (*text == '\'' && escape)
            wn_strbuf_addc(b, '\\');
        wn_strbuf_addc(b, *text == '\'' ? '"' : *text);
    }
}

static inline void side_car_key(wn_strbuf *b, const side_car_spec *s, const char *key,
                                const char *value)
{
    if (!value || (s->leave_out && strcmp(s->leave_out, key) == 0))
        return;
    wn_strbuf_printf(b, "\"%s\":\"", key);
    side_car_quoted(b, value, true);
    wn_strbuf_adds(b, "\",");
}

static inline void side_car_values(wn_strbuf *data, const side_car_spec *s, const float *x,
                                   size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = 0;
        memcpy(&bits, &x[i], sizeof bits);
        const uint16_t half = (uint16_t)(bits >> 16);
        if (s->bf16)
            wn_strbuf_add(data, &half, sizeof half);
        else
            wn_strbuf_add(data, &bits, sizeof bits);
    }
}

static inline void side_car_bytes(wn_strbuf *out, const side_car_spec *s)
{
    const char *type = s->bf16 ? "BF16" : "F32";
    wn_strbuf header = {0}, data = {0};
    wn_strbuf_adds(&header, "{\"__metadata__\":{");
    side_car_key(&header, s, "format", "winnow-dms");
    side_car_key(&header, s, "version", "1");
    side_car_key(&header, s, "base_fingerprint", s->fingerprint);
    side_car_key(&header, s, "window_size", s->window);
    side_car_key(&header, s, "decision_shift", s->shift);
    side_car_key(&header, s, "operating_points", s->points);
    side_car_quoted(&header, s->more ? s->more : "", false);
    wn_strbuf_adds(&header, "\"trained_on\":\"nothing\"}");
    for (size_t i = 0; i < s->n_layers; i++) {
        size_t at = data.len;
        side_car_values(&data, s, s->weight + i * s->n_kv_heads * s->d_model,
                        s->n_kv_heads * s->d_model);
        wn_strbuf_printf(&header,
                         ",\"layers.%zu.weight\":{\"dtype\":\"%s\",\"shape\":[%zu,%zu],"
                         "\"data_offsets\":[%zu,%zu]}",
                         i, type, s->n_kv_heads, s->d_model, at, data.len);
        at = data.len;
        side_car_values(&data, s, s->bias + i * s->n_kv_heads, s->n_kv_heads);
        wn_strbuf_printf(&header,
                         ",\"layers.%zu.bias\":{\"dtype\":\"%s\",\"shape\":[%zu],"
                         "\"data_offsets\":[%zu,%zu]}",
                         i, type, s->n_kv_heads, at, data.len);
    }
    wn_strbuf_addc(&header, '}');
    while (header.len % 8)
        wn_strbuf_addc(&header, ' ');
    const uint64_t len = header.len;
    wn_strbuf_add(out, &len, sizeof len);
    wn_strbuf_add(out, header.data, header.len);
    wn_strbuf_add(out, data.data, data.len);
    wn_strbuf_free(&header);
    wn_strbuf_free(&data);
}

static inline void side_car_write(const char *path, const side_car_spec *s)
{
    wn_strbuf bytes = {0};
    side_car_bytes(&bytes, s);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes.data, 1, bytes.len, f), bytes.len);
    assert_int_equal(fclose(f), 0);
    wn_strbuf_free(&bytes);
}

#endif
