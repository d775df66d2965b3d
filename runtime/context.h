/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boost.Context's fcontext: the only declarations of it in the project. They are plain C symbols of libboost_context;
 * its C++ headers are not used. A context is a pointer to registers saved on its own stack; it is consumed by the jump
 * that resumes it.
 *
 * ontop_fcontext, not jump_fcontext: a jump leaves by `jmp` what was entered by `call`, so the processor's return
 * predictor is off by one and every return that follows is mispredicted (measured: a yield 27 ns instead of 13).
 * ontop_fcontext leaves through a function that returns, which puts it right.
 */
#ifndef SN_CONTEXT_H
#define SN_CONTEXT_H

typedef void *sn_context;

typedef struct sn_transfer {
    sn_context from; /* where the jump came from: its context, to be kept by who arrives */
    void *data;
} sn_transfer;

/* Saves the caller's registers, goes to `to`, calls `arrive` on that stack and returns its value to who waits there. (A
 * context that has never run does not get that value in a defined way, on x86-64 at least: its entry must not use it.)
 */
sn_transfer ontop_fcontext(sn_context to, void *data, sn_transfer (*arrive)(sn_transfer));
sn_context make_fcontext(void *stack_top, __SIZE_TYPE__ bytes, void (*entry)(sn_transfer));

#endif
