/* splitmix64 (Steele, Lea, Flood 2014): small, portable random numbers, the same on every machine.
 * Not for secrets. */
#ifndef WN_BASE_SPLITMIX_H
#define WN_BASE_SPLITMIX_H

#include <stdint.h>

#define WN_SPLITMIX_STEP 0x9E3779B97F4A7C15u

/* Scatters the bits: of a counter's multiple of the step, or of a key's, a number of its own. */
static inline uint64_t wn_splitmix_of(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static inline uint64_t wn_splitmix_next(uint64_t *state)
{
    return wn_splitmix_of(*state += WN_SPLITMIX_STEP);
}

static inline double wn_splitmix_share(uint64_t random) /* [0, 1) */
{
    return (double)(random >> 11) * 0x1p-53;
}

#endif
