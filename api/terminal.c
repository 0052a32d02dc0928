#include "api/terminal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

static struct {
    bool out_tty, err_tty, quiet;
    bool line_shown; /* a progress line stands on the terminal */
    double last_ms;  /* of the last progress output */
    char label[64];  /* of the running bar */
    double bar_start_ms;
    uint64_t bar_start_done;
} term;

static const char *const style_codes[] = {"", "\033[1m", "\033[2m", "\033[32m", "\033[31m"};

void wn_terminal_init(bool quiet)
{
    term.out_tty = isatty(STDOUT_FILENO) == 1;
    term.err_tty = isatty(STDERR_FILENO) == 1;
    term.quiet = quiet;
}

bool wn_terminal_is_out_tty(void)
{
    return term.out_tty;
}

void wn_out(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    wn_progress_clear();
    vfprintf(stdout, format, args);
    va_end(args);
}

void wn_out_styled(wn_style style, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    wn_progress_clear();
    if (term.out_tty)
        fputs(style_codes[style], stdout);
    vfprintf(stdout, format, args);
    if (term.out_tty && style != WN_STYLE_PLAIN)
        fputs("\033[0m", stdout);
    va_end(args);
}

void wn_out_raw(const char *bytes, size_t len)
{
    wn_progress_clear();
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c >= 0x20 || c == '\n' || c == '\t') /* no escape sequences from documents */
            fputc(c, stdout);
    }
}

void wn_out_flush(void)
{
    fflush(stdout);
}

void wn_remark(const char *format, ...)
{
    if (term.quiet)
        return;
    va_list args;
    va_start(args, format);
    wn_progress_clear();
    fflush(stdout);
    if (term.err_tty)
        fputs(style_codes[WN_STYLE_DIM], stderr);
    vfprintf(stderr, format, args);
    if (term.err_tty)
        fputs("\033[0m", stderr);
    fputc('\n', stderr);
    va_end(args);
}

void wn_complain(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    wn_progress_clear();
    fflush(stdout);
    fputs("winnow: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

static size_t terminal_width(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20)
        return size.ws_col;
    return 80;
}

static void show_line(const char *text)
{
    if (term.err_tty) {
        size_t width = terminal_width() - 1;
        fprintf(stderr, "\r\033[K%.*s", (int)width, text);
        term.line_shown = true;
    } else {
        fprintf(stderr, "%s\n", text);
    }
    fflush(stderr);
}

static bool due(void)
{
    double now = wn_clock_ms();
    double interval = term.err_tty ? 100 : 10000;
    if (term.quiet || (term.last_ms != 0 && now - term.last_ms < interval))
        return false;
    term.last_ms = now;
    return true;
}

void wn_progress(const char *format, ...)
{
    if (!due())
        return;
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    show_line(text);
}

static void format_amount(uint64_t n, bool bytes, char out[24])
{
    if (bytes)
        wn_format_bytes(n, out);
    else
        snprintf(out, 24, "%llu", (unsigned long long)n);
}

void wn_progress_bar(const char *label, uint64_t done, uint64_t total, bool bytes,
                     const char *detail)
{
    double now = wn_clock_ms();
    if (strncmp(label, term.label, sizeof term.label - 1) != 0) {
        snprintf(term.label, sizeof term.label, "%s", label);
        term.bar_start_ms = now;
        term.bar_start_done = done;
        term.last_ms = 0;
    }
    if (!due())
        return;
    char bar[21] = "....................", amount[24], whole[24], eta[24] = "-:--", text[512];
    double share = total ? (double)done / (double)total : 0;
    for (size_t i = 0; i < 20 && (double)i < share * 20; i++)
        bar[i] = '#';
    double elapsed = (now - term.bar_start_ms) / 1000;
    double rate = elapsed > 0.2 ? (double)(done - term.bar_start_done) / elapsed : 0;
    if (rate > 0 && total >= done)
        wn_format_seconds((double)(total - done) / rate, eta);
    format_amount(done, bytes, amount);
    format_amount(total, bytes, whole);
    snprintf(text, sizeof text, "%s [%s] %3.0f %%  %s of %s  ETA %s  %s", label, bar, share * 100,
             amount, whole, eta, detail ? detail : "");
    show_line(text);
}

void wn_progress_clear(void)
{
    if (term.line_shown) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
        term.line_shown = false;
    }
}

const char *wn_format_bytes(uint64_t bytes, char out[24])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 999.5 && unit < 4) {
        value /= 1000;
        unit++;
    }
    snprintf(out, 24, unit && value < 99.95 ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return out;
}

const char *wn_format_seconds(double seconds, char out[24])
{
    unsigned long s = (unsigned long)(seconds + 0.5);
    if (s >= 3600)
        snprintf(out, 24, "%lu:%02lu:%02lu", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(out, 24, "%lu:%02lu", s / 60, s % 60);
    return out;
}

const char *wn_format_time(int64_t unix_s, char out[24])
{
    time_t t = (time_t)unix_s;
    struct tm local;
    localtime_r(&t, &local);
    strftime(out, 24, "%Y-%m-%d %H:%M", &local);
    return out;
}
