/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seam for random choices: each worker has one generator, seeded from the runtime's seed and its index.
 * splitmix64 (Steele, Lea, Flood 2014): one add, two multiplications; quality is far beyond what a victim order needs.
 */
#ifndef SN_RANDOM_H
#define SN_RANDOM_H

#include "runtime/base.h"

typedef struct sn_random {
    uint64_t state;
} sn_random;

SN_INLINE uint64_t sn_random_next(sn_random *r)
{
    uint64_t z = (r->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Uniform in 0..bound-1 (bias below 2^-32). */
SN_INLINE uint32_t sn_random_below(sn_random *r, uint32_t bound)
{
    return (uint32_t)(((sn_random_next(r) >> 32) * bound) >> 32);
}

#endif
