/* Monotonic and wall clocks. */
#ifndef WN_BASE_CLOCK_H
#define WN_BASE_CLOCK_H

#include <stdint.h>

int64_t wn_clock_ns(void);     /* monotonic nanoseconds */
double wn_clock_ms(void);      /* monotonic milliseconds */
int64_t wn_clock_unix_s(void); /* seconds since 1970 */

#endif
