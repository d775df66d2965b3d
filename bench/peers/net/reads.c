/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random reads of 4 KiB, by tasks that each read in a loop: what fio's io_uring engine does at the same depth.
 *
 *     reads FILE DEPTH SECONDS [--workers N] [--plain]
 *
 * DEPTH tasks have a read under way each; --plain is a loop over pread(2) without tasks, for depth 1. Every block
 * begins with its own number, as the one who made the file has seen to, and every read is checked for it. One line of
 * JSON.
 */
#include "support.h"

#include <sinew.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { block_bytes = 4096, looks_at_clock = 32 };

typedef struct reader {
    uint64_t random, reads, wrong;
    char *block; /* aligned, as fio's are */
} reader;

static int fd;
static uint64_t blocks;
static bool plain;
static int64_t measure_from_ns, end_ns;

/* Xorshift: the offset costs next to nothing, and no two readers go the same way. */
static uint64_t next_block(reader *r)
{
    r->random ^= r->random << 13;
    r->random ^= r->random >> 7;
    r->random ^= r->random << 17;
    return (uint64_t)(((unsigned __int128)r->random * blocks) >> 64);
}

static bool read_one(reader *r)
{
    uint64_t number = next_block(r), found;
    off_t offset = (off_t)(number * block_bytes);
    ssize_t n = plain ? pread(fd, r->block, block_bytes, offset) : sinew_pread(fd, r->block, block_bytes, offset);
    memcpy(&found, r->block, sizeof found);
    r->wrong += n != block_bytes || found != number;
    return n >= 0;
}

/* The clock is read once in many reads; a round that the warm-up ends in is not counted. */
static intptr_t read_until_end(void *arg)
{
    reader *r = arg;
    for (;;) {
        int64_t now = now_ns();
        if (now >= end_ns)
            return 0;
        for (int i = 0; i < looks_at_clock; i++)
            if (!read_one(r))
                return -EIO;
        if (now >= measure_from_ns)
            r->reads += looks_at_clock;
    }
}

typedef struct plan {
    size_t depth;
    double seconds;
    reader *readers;
} plan;

static intptr_t read_all(void *arg)
{
    plan *p = arg;
    sinew_group readers;
    sinew_group_init(&readers);
    for (size_t i = 0; i < p->depth; i++) {
        int error = sinew_group_spawn(&readers, read_until_end, &p->readers[i]);
        if (error < 0)
            return error;
    }
    return sinew_group_wait(&readers);
}

__attribute__((noreturn)) static void wrong_usage(void)
{
    fputs("usage: reads FILE DEPTH SECONDS [--workers N] [--plain]\n", stderr);
    exit(2);
}

int main(int argc, char **argv)
{
    sinew_options options = {.workers = 1};
    struct stat status;
    if (argc < 4)
        wrong_usage();
    for (int i = 4; i < argc; i++) {
        if (strcmp(argv[i], "--plain") == 0)
            plain = true;
        else if (strcmp(argv[i], "--workers") == 0 && i + 1 < argc)
            options.workers = (unsigned)number_argument("--workers", argv[++i], 1);
        else
            wrong_usage();
    }
    plan p = {.depth = (size_t)number_argument("DEPTH", argv[2], 1), .seconds = strtod(argv[3], NULL)};
    p.readers = calloc(p.depth, sizeof(*p.readers));
    fd = open(argv[1], O_RDONLY | O_CLOEXEC);
    if (p.readers == NULL || fd < 0 || fstat(fd, &status) != 0)
        die(argv[1]);
    blocks = (uint64_t)status.st_size / block_bytes;
    if (blocks == 0 || p.seconds <= 0 || (plain && p.depth != 1))
        wrong_usage();
    for (size_t i = 0; i < p.depth; i++) {
        p.readers[i].random = (i + 1) * 0x9e3779b97f4a7c15u;
        p.readers[i].block = aligned_alloc(block_bytes, block_bytes);
        if (p.readers[i].block == NULL)
            die("aligned_alloc");
    }

    measure_from_ns = now_ns() + 200000000;
    end_ns = measure_from_ns + (int64_t)(p.seconds * 1e9);
    intptr_t result = plain ? read_until_end(&p.readers[0]) : sinew_run_with(&options, read_all, &p);
    uint64_t reads = 0, wrong = 0;
    for (size_t i = 0; i < p.depth; i++) {
        reads += p.readers[i].reads;
        wrong += p.readers[i].wrong;
    }
    double seconds = (double)(now_ns() - measure_from_ns) * 1e-9;
    printf("{\"depth\": %zu, \"reads\": %llu, \"per_second\": %.0f, \"wrong\": %llu}\n", p.depth,
           (unsigned long long)reads, (double)reads / seconds, (unsigned long long)wrong);
    return result < 0 || wrong > 0 || reads == 0;
}
