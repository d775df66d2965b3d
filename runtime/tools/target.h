/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process that is looked at: its modules, the library's record in one of them, and its memory.
 *
 * The process is not stopped. Whatever is read may be out of date when it is looked at, and an address found in it may
 * lead nowhere: a read that fails is no error, it says that there is nothing to be told.
 */
#ifndef TOOLS_TARGET_H
#define TOOLS_TARGET_H

#include "runtime/inspect_record.h"

#include <elfutils/libdwfl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct target {
    pid_t pid;
    Dwfl *dwfl;
    Dwfl_Module *module; /* that has the library in it */
    bool shared;         /* which is libsinew.so, and nothing else */
    bool can_unwind;     /* false: of this architecture no stacks are shown */
    sn_inspection record;
} target;

/* Fails with a line that says why, or fills *t. */
void target_open(target *t, pid_t pid);
void target_close(target *t);

bool target_read(const target *t, uint64_t at, void *out, size_t bytes);
uint64_t target_word(const target *t, uint64_t at); /* 0 if it cannot be read */

/* Reads `bytes` from each of `count` addresses, one after the other into `out`; what cannot be read is zero there. */
void target_read_many(const target *t, const uint64_t *at, size_t count, size_t bytes, char *out);

/* A string of at most room - 1 bytes, in which what is not printable becomes '?'. False: not readable. */
bool target_read_text(const target *t, uint64_t at, char *out, size_t room);

/* A number of `bytes` at an offset of something that was read. */
uint64_t field(const char *from, uint32_t offset, size_t bytes);

#endif
