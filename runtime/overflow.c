/* SPDX-License-Identifier: Apache-2.0 */
/* The stack overflow report: see overflow.h. */
#include "runtime/overflow.h"

#include "runtime/fork.h"
#include "runtime/task.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

enum { ALTERNATE_BYTES = 64 << 10 };

static struct sigaction previous[2]; /* SIGSEGV, SIGBUS */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void report(sn_fiber *f)
{
    /* The lowest task that has used the most: name it and how deep it was nested. sinew_name may allocate, which a
     * handler must not. */
    unsigned depth = 0;
    for (sn_frame *frame = f->frame; frame; frame = frame->outer)
        depth++;
    const sinew_task *t = f->task;
    const char *name = t && t->ext && t->ext->name ? t->ext->name : "(unnamed)";
    sn_complain("stack overflow in task %s: its stack of %zu bytes is used up (%u tasks nested in place); "
                "raise stack_bytes in sinew_options or sinew_spawn_options, or use less stack",
                name, f->stack_bytes, depth);
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
    sn_worker *w = sn_worker_self_slow();
    sn_fiber *f = w ? w->fiber : sn_fork_fiber();
    if (f && (!w || f != &w->sched) && sn_stack_in_guard(f, info->si_addr))
        report(f);
    else if (!w && f && (uintptr_t)info->si_addr < sizeof *w) /* its caller looks for the worker that it had */
        sn_complain("a fault near address 0, in a child that a task forked; such a task must not return there, but end "
                    "by _exit or exec");
    const struct sigaction *old = &previous[signal == SIGBUS];
    if (old->sa_flags & SA_SIGINFO) {
        old->sa_sigaction(signal, info, context);
    } else if (old->sa_handler != SIG_DFL && old->sa_handler != SIG_IGN) {
        old->sa_handler(signal);
    } else {
        /* Back to the kernel's own action: the instruction faults again and ends the process. */
        struct sigaction standard = {.sa_handler = SIG_DFL};
        sigaction(signal, &standard, NULL);
    }
}

static void install(void)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, &previous[0]);
    sigaction(SIGBUS, &action, &previous[1]);
}

void sn_overflow_init(void)
{
    pthread_once(&once, install);
}

int sn_overflow_enter(sn_worker *w)
{
    w->alternate_stack = malloc(ALTERNATE_BYTES);
    if (!w->alternate_stack)
        return -ENOMEM;
    stack_t stack = {.ss_sp = w->alternate_stack, .ss_size = ALTERNATE_BYTES};
    sigaltstack(&stack, &w->previous_alternate);
    return 0;
}

void sn_overflow_leave(sn_worker *w)
{
    if (w->alternate_stack) {
        sigaltstack(&w->previous_alternate, NULL);
        free(w->alternate_stack);
        w->alternate_stack = NULL;
    }
}
