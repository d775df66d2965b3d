/* SPDX-License-Identifier: Apache-2.0 */
/* Options; how many CPUs this process may really use. */
#include "runtime/options.h"

#include "runtime/base.h"
#include "runtime/clock.h"
#include "runtime/slow.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

enum { SLOW_MS_MAX = 1000000000 };

/* The cgroup's CPU quota, rounded up; 0 when there is none. */
static unsigned quota_cpus(void)
{
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "re");
    long long quota = 0, period = 0;
    bool limited = file && fscanf(file, "%lld %lld", &quota, &period) == 2; /* "max 100000" does not match */
    if (file)
        fclose(file);
    if (!limited) {
        file = fopen("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "re");
        limited = file && fscanf(file, "%lld", &quota) == 1;
        if (file)
            fclose(file);
        file = limited ? fopen("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "re") : NULL;
        limited = file && fscanf(file, "%lld", &period) == 1;
        if (file)
            fclose(file);
    }
    return limited && quota > 0 && period > 0 ? (unsigned)((quota + period - 1) / period) : 0;
}

unsigned sn_usable_cpus(void)
{
    unsigned cpus = 1;
    for (int count = CPU_SETSIZE; count <= 1 << 20; count *= 4) { /* big machines need a bigger set */
        cpu_set_t *set = CPU_ALLOC((size_t)count);
        if (!set)
            break;
        size_t bytes = CPU_ALLOC_SIZE((size_t)count);
        bool got = sched_getaffinity(0, bytes, set) == 0;
        if (got)
            cpus = (unsigned)CPU_COUNT_S(bytes, set);
        CPU_FREE(set);
        if (got)
            break;
    }
    unsigned quota = quota_cpus();
    return quota && quota < cpus ? quota : cpus;
}

/* A number from the environment; *value stays as it is if the variable is not set, or empty. 0 or -EINVAL. */
static int from_environment(const char *variable, unsigned least, unsigned most, unsigned *value)
{
    const char *text = getenv(variable);
    if (!text || !*text)
        return 0;
    char *end;
    unsigned long number = strtoul(text, &end, 10);
    if (*end || number < least || number > most) {
        sn_complain("the environment variable %s is \"%s\"; use a number from %u to %u", variable, text, least, most);
        return -EINVAL;
    }
    *value = (unsigned)number;
    return 0;
}

static int default_workers(unsigned *workers)
{
    int r = from_environment("SINEW_WORKERS", 1, SINEW_WORKERS_MAX, workers);
    if (r != 0 || *workers != 0)
        return r;
    unsigned cpus = sn_usable_cpus();
    *workers = cpus < SINEW_WORKERS_MAX ? cpus : SINEW_WORKERS_MAX;
    return 0;
}

static int default_driver(sinew_driver *driver)
{
    const char *text = getenv("SINEW_DRIVER");
    if (*driver != SINEW_DRIVER_DEFAULT || !text || !*text)
        return 0;
    if (strcmp(text, "io_uring") == 0) {
        *driver = SINEW_DRIVER_IO_URING;
    } else if (strcmp(text, "epoll") == 0) {
        *driver = SINEW_DRIVER_EPOLL;
    } else {
        sn_complain("the environment variable SINEW_DRIVER is \"%s\"; use \"io_uring\" or \"epoll\"", text);
        return -EINVAL;
    }
    return 0;
}

static int default_debug(sinew_options *opt)
{
    unsigned debug = opt->debug, slow_ms = 0;
    int r = from_environment("SINEW_DEBUG", 0, 1, &debug);
    if (r == 0 && opt->slow_step == 0)
        r = from_environment("SINEW_SLOW_MS", 1, SLOW_MS_MAX, &slow_ms);
    opt->debug = opt->debug || debug;
    if (opt->slow_step == 0)
        opt->slow_step = slow_ms ? SINEW_MS(slow_ms) : opt->debug ? SN_SLOW_DEFAULT : SINEW_FOREVER;
    return r;
}

int sn_options_complete(const sinew_options *given, sinew_options *complete)
{
    *complete = given ? *given : (sinew_options){0};
    if (complete->workers > SINEW_WORKERS_MAX) {
        sn_complain("sinew_run_with: workers is %u; use 1 to %u, or 0 for one per usable CPU", complete->workers,
                    SINEW_WORKERS_MAX);
        return -EINVAL;
    }
    if (complete->stack_bytes &&
        (complete->stack_bytes < SINEW_STACK_BYTES_MIN || complete->stack_bytes > SINEW_STACK_BYTES_MAX)) {
        sn_complain("sinew_run_with: stack_bytes is %zu; use %zu to %zu, or 0 for %zu", complete->stack_bytes,
                    SINEW_STACK_BYTES_MIN, SINEW_STACK_BYTES_MAX, SINEW_STACK_BYTES_DEFAULT);
        return -EINVAL;
    }
    if (complete->blocking_threads > SINEW_BLOCKING_THREADS_MAX) {
        sn_complain("sinew_run_with: blocking_threads is %u; use 1 to %u, or 0 for %u", complete->blocking_threads,
                    SINEW_BLOCKING_THREADS_MAX, SINEW_BLOCKING_THREADS_DEFAULT);
        return -EINVAL;
    }
    if (complete->slow_step < 0) {
        sn_complain(
            "sinew_run_with: slow_step is %lld; use a time in nanoseconds, SINEW_FOREVER for no reports, or 0 for "
            "the default",
            (long long)complete->slow_step);
        return -EINVAL;
    }
    if ((unsigned)complete->driver > SINEW_DRIVER_EPOLL) {
        sn_complain("sinew_run_with: driver is %d; use one of SINEW_DRIVER_*", (int)complete->driver);
        return -EINVAL;
    }
    int r = default_debug(complete);
    if (r == 0)
        r = default_driver(&complete->driver);
    if (r != 0)
        return r;
    if (complete->blocking_threads == 0)
        complete->blocking_threads = SINEW_BLOCKING_THREADS_DEFAULT;
    if (complete->workers == 0) {
        r = default_workers(&complete->workers);
        if (r != 0)
            return r;
    }
    size_t bytes = SINEW_STACK_BYTES_MIN;
    size_t wanted = complete->stack_bytes ? complete->stack_bytes : SINEW_STACK_BYTES_DEFAULT;
    while (bytes < wanted)
        bytes *= 2;
    complete->stack_bytes = bytes;
    if (complete->seed == 0 && getrandom(&complete->seed, sizeof complete->seed, GRND_NONBLOCK) < 0)
        complete->seed = (uint64_t)sn_clock_now();
    return 0;
}
