/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random numbers that a printed seed gives again.
 */
#ifndef TESTS_SUPPORT_RANDOM_H
#define TESTS_SUPPORT_RANDOM_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* splitmix64: any state is a good one. */
static inline uint64_t random_next(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline uint64_t random_below(uint64_t *state, uint64_t n)
{
    return random_next(state) % n;
}

/* A seed that differs from one process to the next. */
static inline uint64_t random_fresh(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t state = (uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec << 20 ^ (uint64_t)getpid() << 40;
    return random_next(&state) >> 16;
}

/* The seed of this run of a test: SINEW_TEST_SEED, or a fresh one. It is printed. */
static inline uint64_t random_seed(void)
{
    const char *given = getenv("SINEW_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0) : random_fresh();
    fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
    return seed;
}

#endif
