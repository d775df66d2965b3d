/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report of a stack overflow. A fault in the guard of the running fiber's stack, caught on the worker's alternate
 * signal stack, is described in one line (task, size, what to do) and then left to whoever handled SIGSEGV before, by
 * default the kernel, which ends the process.
 */
#ifndef SN_OVERFLOW_H
#define SN_OVERFLOW_H

#include "runtime/worker.h"

/* Installs the handler, once a process. */
void sn_overflow_init(void);

/* Gives the calling worker thread its alternate stack, and takes it away. */
int sn_overflow_enter(sn_worker *w); /* 0 or -ENOMEM */
void sn_overflow_leave(sn_worker *w);

#endif
