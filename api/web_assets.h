/* The files of api/web/, compiled in (api/api.cmake makes web_assets.c of them at build time), so
 * that the page works offline and from one binary. */
#ifndef WN_API_WEB_ASSETS_H
#define WN_API_WEB_ASSETS_H

#include <stddef.h>

typedef struct wn_web_asset {
    const char *name; /* "index.html" */
    const unsigned char *data;
    size_t len;
} wn_web_asset;

extern const wn_web_asset wn_web_assets[];
extern const size_t wn_n_web_assets;

#endif
