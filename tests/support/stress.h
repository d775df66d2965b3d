/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stress programs share: options, a loop of seeded runs, a watchdog.
 *
 *     program [--seconds N] [--seed S] [--workers W]
 *
 * Each run has a seed of its own; the first one's is S, so `--seed X --workers W --seconds 0` repeats exactly the run
 * that a failure named. Without --workers the count changes from run to run (1 to 8).
 */
#ifndef TESTS_SUPPORT_STRESS_H
#define TESTS_SUPPORT_STRESS_H

#include <pthread.h>
#include <sinew.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tests/support/check.h>
#include <tests/support/random.h>
#include <tests/support/scale.h>

typedef struct stress {
    const char *program;
    double seconds;
    uint64_t seed;    /* of this run */
    unsigned workers; /* of this run */
    unsigned workers_asked;
    uint64_t runs;
    sinew_time deadline;
    /* The watchdog's: the run must change `beat` at least once in so many seconds. */
    atomic_ulong beat;
    const char *_Atomic doing;
} stress;

static inline void stress_usage(const char *program)
{
    fprintf(stderr, "usage: %s [--seconds N] [--seed S] [--workers W]\n", program);
    exit(2);
}

static inline void stress_begin(stress *s, int argc, char **argv)
{
    *s = (stress){.program = argv[0], .seconds = 3, .seed = random_fresh()};
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 >= argc)
            stress_usage(argv[0]);
        char *end = argv[i + 1];
        if (strcmp(argv[i], "--seconds") == 0)
            s->seconds = strtod(argv[i + 1], &end);
        else if (strcmp(argv[i], "--seed") == 0)
            s->seed = strtoull(argv[i + 1], &end, 0);
        else if (strcmp(argv[i], "--workers") == 0)
            s->workers_asked = (unsigned)strtoul(argv[i + 1], &end, 0);
        if (*end || end == argv[i + 1])
            stress_usage(argv[0]);
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("seed %llu\n", (unsigned long long)s->seed);
    s->deadline = sinew_now() + (sinew_time)(s->seconds * 1e9);
}

/* The words that repeat the current run. */
static inline void stress_print_run(const stress *s)
{
    fprintf(stderr, "run %llu; again: %s --seed %llu --workers %u --seconds 0\n", (unsigned long long)s->runs,
            s->program, (unsigned long long)s->seed, s->workers);
}

/* Prepares the next run: true while there is one. A failed run is the last. */
static inline bool stress_next(stress *s)
{
    if (atomic_load(&check_failures)) {
        stress_print_run(s);
        return false;
    }
    if (s->runs > 0 && sinew_now() >= s->deadline)
        return false;
    uint64_t mix = s->seed;
    if (s->runs++ > 0)
        s->seed = random_next(&mix);
    mix = ~s->seed;
    s->workers = s->workers_asked ? s->workers_asked : 1 + (unsigned)random_below(&mix, 8);
    atomic_fetch_add(&s->beat, 1);
    return true;
}

static inline int stress_end(stress *s)
{
    if (atomic_load(&check_failures))
        return 1;
    printf("%llu runs\n", (unsigned long long)s->runs);
    return 0;
}

static inline void *stress_watch(void *arg)
{
    stress *s = arg;
    unsigned long seen = 0;
    int limit = (int)scaled(20, 100), quiet = 0;
    for (;;) {
        sleep(1);
        unsigned long beat = atomic_load(&s->beat);
        quiet = beat == seen ? quiet + 1 : 0;
        seen = beat;
        if (quiet < limit)
            continue;
        const char *doing = atomic_load(&s->doing);
        fprintf(stderr, "no progress for %d s (%s), beat %lu\n", limit, doing ? doing : "?", beat);
        stress_print_run(s);
        abort();
    }
}

/* A plain thread that ends the process, with the seed, when nothing goes on any more. */
static inline void stress_start_watchdog(stress *s)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, stress_watch, s) != 0) {
        fprintf(stderr, "no thread for the watchdog\n");
        exit(1);
    }
    pthread_detach(thread);
}

static inline void stress_beat(stress *s, const char *doing)
{
    atomic_store(&s->doing, doing);
    atomic_fetch_add(&s->beat, 1);
}

static inline intptr_t stress_run(const stress *s, sinew_fn fn, void *arg)
{
    sinew_options opt = {.workers = s->workers, .seed = s->seed | 1};
    return sinew_run_with(&opt, fn, arg);
}

#endif
