/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stacks of suspended tasks, as functions and lines of source.
 *
 * A stack is copied out of the target, and only believed if its fiber was the same before and after. Of the runtime's
 * own functions only the call that the program made is kept: that one says what the task waits for.
 */
#ifndef TOOLS_STACKS_H
#define TOOLS_STACKS_H

#include "snapshot.h"

typedef struct stack_line {
    const char *function; /* of the reader */
    const char *file;     /* the last part of the path; NULL: unknown */
    int line;
    bool internal; /* the runtime's */
} stack_line;

typedef struct task_stack {
    const stack_line **lines; /* innermost first */
    unsigned count;
    bool cut; /* there were more */
} task_stack;

typedef struct stack_reader stack_reader;

stack_reader *stacks_open(const snapshot *s);
void stacks_close(stack_reader *r);

/* The task's own part of its fiber's stack; count 0: nothing can be said, as of a task that runs. To be freed:
 * free(lines). */
task_stack stacks_of(stack_reader *r, uint32_t task);

#endif
