/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boost.Context's fcontext: the only declarations of it in the project. They are plain C symbols of libboost_context; its
 * C++ headers are not used. A context is a pointer to registers saved on its own stack; it is consumed by the jump that resumes it.
 */
#ifndef SN_CONTEXT_H
#define SN_CONTEXT_H

typedef void *sn_context;

typedef struct sn_transfer {
    sn_context from; /* where the jump came from: its context, to be kept by who arrives */
    void *data;
} sn_transfer;

sn_transfer jump_fcontext(sn_context to, void *data);
sn_context make_fcontext(void *stack_top, __SIZE_TYPE__ bytes, void (*entry)(sn_transfer));

#endif
