#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static int log_fd = -1;
static wn_log_level log_level = WN_LOG_INFO;

void wn_log_init(int fd, wn_log_level level)
{
    log_fd = fd;
    log_level = level;
}

void wn_log(wn_log_level level, const char *room, const char *format, ...)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    if (log_fd < 0 || level > log_level)
        return;
    char line[1024];
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t n = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &utc);
    n += (size_t)snprintf(line + n, sizeof line - n, ".%03ldZ %s %s: ", now.tv_nsec / 1000000,
                          names[level], room);
    va_list args;
    va_start(args, format);
    int more = vsnprintf(line + n, sizeof line - n - 1, format, args);
    va_end(args);
    if (more > 0)
        n += (size_t)more < sizeof line - n - 1 ? (size_t)more : sizeof line - n - 2;
    for (size_t i = 0; i < n; i++) /* one call, one line, and no orders to a terminal */
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7F)
            line[i] = ' ';
    line[n++] = '\n';
    ssize_t written = write(log_fd, line, n);
    (void)written; /* nowhere to report a failed log line */
}
