/* One table for options: name, type, default, range, help. Values come in this order, later wins:
 * default < config file < environment (WINNOW_NAME) < command line (--name).
 *
 *     static const wn_option table[] = {
 *         {"port", WN_OPT_INT, "8080", 0, 65535, "PORT", "TCP port to listen on; 0 picks a free
 * one"}, {0}}; WN_TRY(wn_options_open(&o, table, err)); WN_TRY(wn_options_env(o, err));
 *     WN_TRY(wn_options_args(o, argc, argv, &n_rest, err)); // argv[0..n_rest) = positional
 *     int64_t port = wn_options_int(o, "port");
 *
 * `--name value`, `--name=value`; booleans `--name`, `--no-name`, `--name=true|false`; `--` ends
 * the options. An unknown name is WN_INVALID and the text offers the nearest one.
 */
#ifndef WN_BASE_OPTIONS_H
#define WN_BASE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/strbuf.h"

typedef enum wn_option_type { WN_OPT_BOOL, WN_OPT_INT, WN_OPT_NUM, WN_OPT_STR } wn_option_type;

typedef struct wn_option {
    const char *name; /* "top-k"; the environment's is WINNOW_TOP_K, the config file's "top-k" */
    wn_option_type type;
    const char *def; /* NULL: unset (wn_options_is_set is false, str NULL, numbers 0) */
    double min, max; /* INT and NUM only; min == max: no range */
    const char *arg; /* placeholder in --help: "N" */
    const char *help;
} wn_option;

typedef struct wn_options wn_options;

wn_status wn_options_open(wn_options **out, const wn_option *table, wn_error *err);
void wn_options_close(wn_options *o);
/* "key = value" lines, # comments, quotes optional; an unknown key is an error naming file and
 * line. Keys of `foreign` (NULL or a table) are accepted and passed over. */
wn_status wn_options_file(wn_options *o, const char *path, const wn_option *foreign, wn_error *err);
wn_status wn_options_env(wn_options *o, wn_error *err);
wn_status wn_options_args(wn_options *o, int argc, char **argv, int *n_positional, wn_error *err);
wn_status wn_options_set(wn_options *o, const char *name, const char *value, wn_error *err);

/* Names are ours: an unknown one is a bug (assert). Strings live as long as o. */
bool wn_options_is_set(const wn_options *o, const char *name); /* given by file, env or args */
bool wn_options_bool(const wn_options *o, const char *name);
int64_t wn_options_int(const wn_options *o, const char *name);
double wn_options_num(const wn_options *o, const char *name);
const char *wn_options_str(const wn_options *o, const char *name);

void wn_options_help(const wn_option *table, wn_strbuf *out); /* aligned, wrapped at 100 columns */
/* The nearest of a NULL-terminated list of names within edit distance 3, or NULL. */
const char *wn_nearest_name(const char *name, const char *const *names);

#endif
