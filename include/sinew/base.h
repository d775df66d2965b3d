/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Types and macros that every other public header shares.
 *
 * Errors. A call that can fail returns a value >= 0 on success and a negative errno on failure, as io_uring
 * does. The variable `errno` is never part of the interface; the codes are those of <errno.h>, which is for the program
 * to include. Three mean the same thing everywhere:
 *
 *   -ECANCELED   somebody cancelled the calling task (sinew_cancel); delivered once per request
 *   -ETIMEDOUT   a timeout scope around the call expired (sinew/time.h); delivered once per scope
 *   -EPERM       the call must be made by a task, and was made outside of one
 *
 * Suspending. A call that "may suspend" is a checkpoint: other tasks may run before it returns, the caller may
 * go on in another thread, and a pending cancel or timeout is delivered there. All other calls never switch.
 * What a thread keeps for itself (thread-local variables, errno, pthread_self) must not be carried across a
 * checkpoint; `errno` is saved and restored for each task, see sinew/errno.h.
 */
#ifndef SINEW_BASE_H
#define SINEW_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define SINEW_API         __attribute__((visibility("default")))
#define SINEW_WARN_UNUSED __attribute__((warn_unused_result))
#else
#define SINEW_API
#define SINEW_WARN_UNUSED
#endif

#ifdef __cplusplus
#define SINEW_BEGIN_DECLS extern "C" {
#define SINEW_END_DECLS   }
#else
#define SINEW_BEGIN_DECLS
#define SINEW_END_DECLS
#endif

/* Nanoseconds: a duration, or an instant of CLOCK_MONOTONIC. */
typedef int64_t sinew_time;

#define SINEW_NS(n) ((sinew_time)(n))
#define SINEW_US(n) ((sinew_time)(n)*1000)
#define SINEW_MS(n) ((sinew_time)(n)*1000000)
#define SINEW_S(n)  ((sinew_time)(n)*1000000000)
/* As a duration or an instant: never. */
#define SINEW_FOREVER INT64_MAX

/*
 * A task's body. Its result is >= 0 (a number, or a pointer cast to intptr_t) or a negative errno;
 * -ECANCELED means that the task ended by cancellation.
 */
typedef intptr_t (*sinew_fn)(void *arg);

/* One running or finished task. A handle is a counted reference: see sinew_spawn. */
typedef struct sinew_task sinew_task;

#endif
