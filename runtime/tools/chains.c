/* SPDX-License-Identifier: Apache-2.0 */
/* Stacks for printing; see chains.h. */
#include "chains.h"

#include "fail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN_FIRST = 4, SHORT_BYTES = 256 };

void chains_open(chains *c, const snapshot *s, size_t limit)
{
    *c = (chains){.snapshot = s, .left = limit};
    if (!limit)
        return;
    c->reader = stacks_open(s);
    c->stacks = take_memory(s->tasks_count, sizeof *c->stacks);
    c->shorts = take_memory(s->tasks_count, sizeof *c->shorts);
    c->asked = take_memory(s->tasks_count, sizeof *c->asked);
}

void chains_close(chains *c)
{
    if (!c->reader)
        return;
    for (uint32_t i = 0; i < c->snapshot->tasks_count; i++) {
        free(c->stacks[i].lines);
        free(c->shorts[i]);
    }
    free(c->stacks);
    free(c->shorts);
    free(c->asked);
    stacks_close(c->reader);
}

const task_stack *chains_stack(chains *c, uint32_t task)
{
    if (!c->reader)
        return NULL;
    const seen_task *t = &c->snapshot->tasks[task];
    if (!c->asked[task] && t->fiber != NONE && t->state != SEEN_RUNNING) {
        if (!c->left) {
            c->ran_out = true;
            return NULL;
        }
        c->left--;
        c->asked[task] = true;
        c->stacks[task] = stacks_of(c->reader, task);
    }
    return c->stacks[task].count ? &c->stacks[task] : NULL;
}

/* The innermost functions and the outermost one. */
const char *chains_short(chains *c, uint32_t task)
{
    const task_stack *stack = chains_stack(c, task);
    if (!stack)
        return NULL;
    if (c->shorts[task])
        return c->shorts[task];
    char text[SHORT_BYTES];
    size_t length = 0;
    for (unsigned i = 0; i < stack->count && length < sizeof text; i++) {
        if (i == SHOWN_FIRST && stack->count > SHOWN_FIRST + 1) {
            length += (size_t)snprintf(text + length, sizeof text - length, " <- ...");
            i = stack->count - 1;
            if (length >= sizeof text)
                break;
        }
        length +=
            (size_t)snprintf(text + length, sizeof text - length, "%s%s", i ? " <- " : "", stack->lines[i]->function);
    }
    c->shorts[task] = strdup(text);
    return c->shorts[task];
}

void chains_say_rest(const chains *c)
{
    if (c->reader && !c->snapshot->target->can_unwind)
        printf("(stacks are only shown on x86-64)\n");
    if (c->ran_out)
        printf("(some of the %u tasks without their stacks; --limit N shows more)\n", c->snapshot->tasks_count);
}
