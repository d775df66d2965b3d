/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a test's body as the main task on each I/O driver that there is here, with 1, 2 and 8 workers.
 *
 *     ON_EACH_DRIVER(a_read_waits)
 *     {
 *         ...
 *         return 0;
 *     }
 */
#ifndef TESTS_SUPPORT_DRIVERS_H
#define TESTS_SUPPORT_DRIVERS_H

#include <tests/support/run.h>

static inline intptr_t say_nothing(void *arg)
{
    return (intptr_t)arg;
}

static inline bool driver_possible(sinew_driver driver)
{
    static int uring; /* 1: yes, -1: no */
    if (driver != SINEW_DRIVER_IO_URING)
        return true;
    if (uring == 0) {
        sinew_options opt = {.workers = 1, .driver = SINEW_DRIVER_IO_URING};
        uring = sinew_run_with(&opt, say_nothing, NULL) == 0 ? 1 : -1;
        if (uring < 0)
            fprintf(stderr, "note: io_uring is refused here; only epoll is tested\n");
    }
    return uring > 0;
}

static inline void run_body_on_each_driver(const char *name, sinew_fn body)
{
    static const struct {
        sinew_driver driver;
        const char *name;
    } drivers[] = {{SINEW_DRIVER_EPOLL, "epoll"}, {SINEW_DRIVER_IO_URING, "io_uring"}};
    for (size_t d = 0; d < sizeof drivers / sizeof drivers[0]; d++) {
        if (!driver_possible(drivers[d].driver))
            continue;
        for (size_t i = 0; i < WORKER_COUNTS; i++) {
            char text[200];
            int failures_before = atomic_load(&check_failures);
            snprintf(text, sizeof text, "%s on %s", name, drivers[d].name);
            watchdog_begin(text, worker_counts[i], (unsigned)scaled(50, 110));
            sinew_options opt = {.workers = worker_counts[i], .driver = drivers[d].driver};
            intptr_t result = sinew_run_with(&opt, body, NULL);
            watchdog_end();
            int failures = atomic_load(&check_failures) - failures_before;
            if (result != 0 || failures != 0)
                fail_msg("%s with %u workers: result %ld, %d failed checks", text, worker_counts[i], (long)result,
                         failures);
        }
    }
}

#define ON_EACH_DRIVER(name)                         \
    static intptr_t name##_body(void *unused_);      \
    static void name(void **state)                   \
    {                                                \
        (void)state;                                 \
        run_body_on_each_driver(#name, name##_body); \
    }                                                \
    static intptr_t name##_body(void *unused_ __attribute__((unused)))

#endif
