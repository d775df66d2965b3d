/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compiler's unwinder (the one that C++ exceptions use, in libgcc) starts where it is called. To start it in a
 * fiber that is suspended, it is called by a function whose unwind information says that its caller's registers are
 * those which the switch has saved on that fiber's stack: the unwinder goes on there, while it runs on the stack of who
 * asks.
 */
#include "runtime/unwind.h"

#include "runtime/task_hot.h"

#include <unwind.h>

typedef struct walk {
    const sn_fiber *fiber;
    sn_stack_part part;
    bool (*see)(void *address, void *arg);
    void *arg;
    uintptr_t begin; /* where the first frame of the fiber begins; 0: with this one */
    bool begun;
    _Unwind_Ptr address; /* of the frame before, whose upper end was not known yet */
} walk;

/* The runtime's own functions at the bottom. */
static bool is_bottom(const sn_fiber *f, _Unwind_Ptr address)
{
    void *function = _Unwind_FindEnclosingFunction((void *)address);
    return function == (void *)(uintptr_t)sn_task_run || function == (void *)(uintptr_t)f->entry ||
           (SN_TSAN && function == (void *)(uintptr_t)sn_task_body);
}

static _Unwind_Reason_Code step(struct _Unwind_Context *context, void *arg)
{
    walk *w = arg;
    uintptr_t low = _Unwind_GetCFA(context); /* of this frame: the upper end of the one before */
    if (w->begun && low > w->part.low &&
        (low > w->part.high || is_bottom(w->fiber, w->address) || !w->see((void *)w->address, w->arg)))
        return _URC_END_OF_STACK;
    w->begun = w->begun || w->begin == 0 || low == w->begin;
    w->address = _Unwind_GetIP(context);
    return _URC_NO_REASON;
}

static void walk_from_here(void *arg)
{
    _Unwind_Backtrace(step, arg);
}

#if defined(__x86_64__)

/*
 * Calls run(arg) as if from where `context` was saved. What ontop_fcontext leaves there (context.h): control words at
 * 0, then r12, r13, r14, r15, rbx, rbp, and the return address at 56; the caller's stack pointer is above that.
 */
void sn_call_over(const void *context, void (*run)(void *), void *arg) __attribute__((visibility("hidden")));

__asm__(".pushsection .text\n"
        ".hidden sn_call_over\n"
        ".globl sn_call_over\n"
        ".type sn_call_over, @function\n"
        "sn_call_over:\n"
        "    .cfi_startproc\n"
        "    endbr64\n"
        "    pushq %rbx\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    .cfi_rel_offset %rbx, 0\n"
        "    movq %rdi, %rbx\n"
        "    movq %rdx, %rdi\n"
        "    .cfi_remember_state\n"
        "    .cfi_def_cfa %rbx, 64\n"
        "    .cfi_offset %rip, -8\n"
        "    .cfi_offset %rbp, -16\n"
        "    .cfi_offset %rbx, -24\n"
        "    .cfi_offset %r15, -32\n"
        "    .cfi_offset %r14, -40\n"
        "    .cfi_offset %r13, -48\n"
        "    .cfi_offset %r12, -56\n"
        "    call *%rsi\n"
        "    .cfi_restore_state\n"
        "    popq %rbx\n"
        "    .cfi_adjust_cfa_offset -8\n"
        "    .cfi_restore %rbx\n"
        "    ret\n"
        "    .cfi_endproc\n"
        ".size sn_call_over, . - sn_call_over\n"
        ".popsection\n");

static void walk_suspended(walk *w)
{
    w->begin = (uintptr_t)w->fiber->context + 64;
    sn_call_over(w->fiber->context, walk_from_here, w);
}

#else

static void walk_suspended(walk *w)
{
    (void)w;
}

#endif

void sn_unwind(const sn_fiber *f, bool running, sn_stack_part part, bool (*see)(void *address, void *arg), void *arg)
{
    walk w = {.fiber = f, .part = part, .see = see, .arg = arg};
    if (running)
        walk_from_here(&w);
    else
        walk_suspended(&w);
}
