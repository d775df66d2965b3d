/* SPDX-License-Identifier: Apache-2.0 */
/* Options; how many CPUs this process may really use. */
#include "runtime/options.h"

#include "runtime/base.h"
#include "runtime/clock.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

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

static int default_workers(unsigned *workers)
{
    const char *text = getenv("SINEW_WORKERS");
    if (text && *text) {
        char *end;
        unsigned long value = strtoul(text, &end, 10);
        if (*end || value < 1 || value > SINEW_WORKERS_MAX) {
            sn_complain("the environment variable SINEW_WORKERS is \"%s\"; use a number from 1 to %u", text,
                        SINEW_WORKERS_MAX);
            return -EINVAL;
        }
        *workers = (unsigned)value;
        return 0;
    }
    unsigned cpus = sn_usable_cpus();
    *workers = cpus < SINEW_WORKERS_MAX ? cpus : SINEW_WORKERS_MAX;
    return 0;
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
    if (complete->blocking_threads == 0)
        complete->blocking_threads = SINEW_BLOCKING_THREADS_DEFAULT;
    if (complete->workers == 0) {
        int r = default_workers(&complete->workers);
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
