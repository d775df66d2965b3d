/* SPDX-License-Identifier: Apache-2.0 */
/*
 * errno for code that runs in tasks. Include it after, or instead of, <errno.h> in files that read errno in a task.
 *
 * sinew saves errno for each task, but a compiler may not look it up again: the C library declares the address of errno
 * to be constant in a thread, so compilers keep it across a call that suspends, and a task that goes on in another
 * thread then reads that thread's errno (seen in two moves of three). Here the address is asked for at each use.
 * Not part of sinew.h, because the redefinition reaches everything in the file.
 */
#ifndef SINEW_ERRNO_H
#define SINEW_ERRNO_H

#include <sinew/base.h>

#include <errno.h>

SINEW_BEGIN_DECLS

/* The address of the calling thread's errno, now. Any thread. Never suspends. */
SINEW_API int *sinew_errno_location(void);

SINEW_END_DECLS

#undef errno
#define errno (*sinew_errno_location())

#endif
