/* SPDX-License-Identifier: Apache-2.0 */
/* The call stacks of fibers, of the running one and of those that are suspended. */
#ifndef SN_UNWIND_H
#define SN_UNWIND_H

#include "runtime/fiber.h"

/* A part of a stack: frames that end above `low` and not above `high` (addresses; stacks grow down). */
typedef struct sn_stack_part {
    uintptr_t low, high;
} sn_stack_part;

/* Calls see(return address, arg) for each frame in that part, innermost first, until it returns false or the fiber's
 * first function is reached. `f` is the running fiber, or one that nobody can resume meanwhile. */
void sn_unwind(const sn_fiber *f, bool running, sn_stack_part part, bool (*see)(void *address, void *arg), void *arg);

/* Where on the stack the outer task of an in-place call ends. */
SN_INLINE uintptr_t sn_frame_address(const sn_frame *frame)
{
#if SN_ASAN
    return (uintptr_t)frame->stack;
#else
    return (uintptr_t)frame;
#endif
}

#endif
