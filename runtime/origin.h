/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where tasks come from. In debug mode (sinew_options) each task and future keeps the addresses of the calls that led
 * to its making, innermost first, from the caller of sinew's function on. They lie beside what else only some tasks
 * have (sn_task_ext) and go with it.
 *
 * Without debug mode nothing of this is paid for, not even a look whether it is on: in debug mode every task has an
 * ext, elements of maps too, and sinew_spawn takes a task that has one out of its shortest path anyway. A task whose
 * ext or origin found no memory has none, nor have those it spawns; that is no error.
 *
 * Taking one walks the stack by its unwind tables (backtrace(3)): a microsecond or two. The walk ends below
 * fiber_main, as the code that a fresh stack starts in has no tables.
 */
#ifndef SN_ORIGIN_H
#define SN_ORIGIN_H

#include "runtime/task.h"

enum { SN_ORIGIN_FRAMES = 10 };

typedef struct sn_origin {
    size_t count;
    void *frames[SN_ORIGIN_FRAMES];
} sn_origin;

/* A runtime in debug mode begins and ends. The first walk of a process may load a library, for which a task's stack
 * might be too small: it is done here. */
void sn_origin_begin(void);
void sn_origin_end(void);

/* For what belongs to no runtime: is the calling thread one of a runtime in debug mode, or, if it is no worker, does
 * any such runtime run? */
bool sn_origin_wanted(void);

/* The calling stack, without what is above `caller`: a return address in it. */
void sn_origin_take(sn_origin *out, const void *caller);
/* For a task that nobody else knows yet. */
void sn_origin_keep(sinew_task *t, const sn_origin *origin);
void sn_origin_note(sinew_task *t, const void *caller); /* both */

/* NULL: none was kept. The caller has a reference, or the lock of names and the right to look (name.c). */
const sn_origin *sn_origin_of(const sinew_task *t);

/* Lines on stderr, after the one they belong to. */
void sn_origin_print(const char *head, void *const *frames, size_t count);

#endif
