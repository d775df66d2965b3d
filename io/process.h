/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A child process, as the files that start it, wait for it and talk to it see it.
 *
 *   RUNNING --waitid, by whoever comes first--> ended: `code` is its return code, for good
 *
 * The descriptor of the process (pidfd) is what makes this safe: it becomes readable when the child has ended, any
 * number of tasks may wait for that, and it never means another process, however often the number has been given
 * again. `code` changes once, under the lock; after that nobody touches the process any more.
 *
 * References: one is the handle's, one each that of calls which suspend, and one of the task that reaps a child whose
 * handle was given back.
 */
#ifndef SN_PROCESS_H
#define SN_PROCESS_H

#include "runtime/atomic.h"
#include "runtime/base.h"

#include <sinew/process.h>

#include <pthread.h>

/* What communicate has read of a stream. */
typedef struct sn_process_read {
    char *data; /* NULL: nothing was begun */
    size_t length, capacity;
} sn_process_read;

struct sinew_process {
    pid_t pid;
    int pidfd; /* -1: somebody else had reaped it before it could be opened */
    pthread_mutex_t lock;
    _Atomic int code; /* SINEW_PROCESS_RUNNING until it was reaped; acquire, as the release of who has reaped */
    _Atomic uint32_t references;
    _Atomic int pipes[3]; /* our ends, by the child's descriptor; -1: none */
    /* communicate; between two calls of it these are nobody's */
    _Atomic uint32_t communicating;
    size_t output_max, fed;
    sn_process_read read[2]; /* stdout, stderr */
};

/* Does this kernel have what we need? 0, or -ENOSYS with a line on stderr. */
int sn_process_supported(void);

/* Descriptor of a child of ours; -ECHILD: somebody else has reaped it; -errno. */
int sn_process_open(pid_t pid);

/* Kills the child, and sees to it that it is reaped; may block where the caller is no task. */
void sn_process_abandon(sinew_process *p);

SN_INLINE void sn_process_ref(sinew_process *p)
{
    sn_add(&p->references, 1, relaxed); /* by somebody who has one */
}
void sn_process_unref(sinew_process *p);

#endif
