/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process can see of itself: open descriptors, threads, memory, processor time.
 */
#ifndef TESTS_SUPPORT_PROCESS_H
#define TESTS_SUPPORT_PROCESS_H

#include <dirent.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static inline int count_entries(const char *directory)
{
    DIR *d = opendir(directory);
    if (!d)
        return -1;
    int n = 0;
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

/* The descriptor that the counting itself opens is in every count alike. */
static inline int count_descriptors(void)
{
    return count_entries("/proc/self/fd");
}

static inline int count_threads(void)
{
    return count_entries("/proc/self/task");
}

static inline void *end_at_once(void *arg)
{
    return arg;
}

/* The number to compare with later. A sanitizer starts a thread of its own with the program's first one, so there has
 * been one. */
static inline int count_threads_before(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, end_at_once, NULL) == 0)
        pthread_join(thread, NULL);
    int before = -1, now = count_threads();
    for (int i = 0; i < 100 && now != before; i++) {
        usleep(2000);
        before = now;
        now = count_threads();
    }
    return now;
}

/* A joined thread leaves /proc a moment later than pthread_join returns. Waits up to a second for `n`; gives the count.
 */
static inline int count_threads_settled(int n)
{
    int now = count_threads();
    for (int i = 0; i < 1000 && now != n; i++) {
        usleep(1000);
        now = count_threads();
    }
    return now;
}

/* A line "key:  n kB" of a file under /proc, in bytes; 0 when there is none. */
static inline uint64_t proc_bytes(const char *file, const char *key)
{
    FILE *f = fopen(file, "r");
    if (!f)
        return 0;
    char line[256];
    unsigned long long kib = 0;
    size_t key_len = strlen(key);
    while (fgets(line, sizeof line, f)) {
        if (strncmp(line, key, key_len) == 0 && line[key_len] == ':') {
            sscanf(line + key_len + 1, "%llu", &kib);
            break;
        }
    }
    fclose(f);
    return (uint64_t)kib << 10;
}

static inline uint64_t resident_bytes(void)
{
    return proc_bytes("/proc/self/status", "VmRSS");
}

static inline uint64_t address_space_bytes(void)
{
    return proc_bytes("/proc/self/status", "VmSize");
}

static inline uint64_t available_bytes(void)
{
    return proc_bytes("/proc/meminfo", "MemAvailable");
}

static inline int64_t processor_time_us(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (int64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 + u.ru_utime.tv_usec + u.ru_stime.tv_usec;
}

#endif
