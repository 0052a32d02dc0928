/* Output for people: styles on a terminal, plain when piped; one live progress line on stderr.
 * The command line is one thread; these keep their state in one place. */
#ifndef WN_API_TERMINAL_H
#define WN_API_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum wn_style {
    WN_STYLE_PLAIN,
    WN_STYLE_BOLD,
    WN_STYLE_DIM,
    WN_STYLE_GREEN,
    WN_STYLE_RED
} wn_style;

void wn_terminal_init(bool quiet); /* quiet: no progress, no remarks */
bool wn_terminal_is_out_tty(void);

void wn_out(const char *format, ...) __attribute__((format(printf, 1, 2)));
void wn_out_styled(wn_style style, const char *format, ...) __attribute__((format(printf, 2, 3)));
void wn_out_raw(const char *bytes, size_t len); /* text from outside: control characters dropped */
void wn_out_flush(void);

/* Remarks and errors go to stderr, after the progress line is cleared. */
void wn_remark(const char *format, ...) __attribute__((format(printf, 1, 2)));
void wn_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Rewrites the live line (a terminal: at most 10 times a second; otherwise: one line in 10
 * seconds). */
void wn_progress(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* "label [#####.....] 42 %  1.2/3.0 GB  ETA 0:12"; rate and ETA from the first call with this
 * label. */
void wn_progress_bar(const char *label, uint64_t done, uint64_t total, bool bytes,
                     const char *detail);
void wn_progress_clear(void);

/* "1.2 GB"; a static buffer per call site is avoided: out holds 24 bytes. */
const char *wn_format_bytes(uint64_t bytes, char out[24]);
const char *wn_format_seconds(double seconds, char out[24]); /* "0:12", "1:02:03" */
const char *wn_format_time(int64_t unix_s, char out[24]);    /* "2026-11-27 10:51", local */

#endif
