/* SPDX-License-Identifier: Apache-2.0 */
/* What log.c and rewrite.c share. */
#ifndef KV_LOG_FILE_H
#define KV_LOG_FILE_H

#include "journal.h"

#include <sinew.h>

#include <stdatomic.h>
#include <stdbool.h>

typedef struct log_file {
    int fd;
    int64_t size;
} log_file;

/* Writes the chain and frees what is written. 0 or an error, which leaves the rest in the chain. */
int log_write_chain(log_file *f, chain *c);

/* The rewriter has made `next`, but for what still comes: the writer is to put it in place. Returns what became of
 * that; `next` is closed if it failed. */
int log_replace(log_file *next, const char *next_path);

/* Opens or makes a file for writing that nobody else may have: fd, or an error. `empty`: what it has is thrown away.
 * May suspend, for some seconds if somebody has it. */
int log_open_file(const char *path, bool empty);

const char *log_path(void);
void log_complain(const char *what, int error);

extern struct rewriting {
    sinew_sem wanted;
    atomic_bool running;
    atomic_ullong done;
    atomic_llong not_before;
} rewriting;

#endif
