#include "base/clock.h"

#include <time.h>

int64_t wn_clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

double wn_clock_ms(void)
{
    return (double)wn_clock_ns() / 1e6;
}

int64_t wn_clock_unix_s(void)
{
    return (int64_t)time(NULL);
}
