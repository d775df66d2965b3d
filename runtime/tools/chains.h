/* SPDX-License-Identifier: Apache-2.0 */
/* Stacks for printing. Each is read once, and only as many as were asked for: a million of them would take minutes. */
#ifndef TOOLS_CHAINS_H
#define TOOLS_CHAINS_H

#include "stacks.h"

typedef struct chains {
    const snapshot *snapshot;
    stack_reader *reader; /* NULL: none are wanted */
    task_stack *stacks;   /* of each task */
    char **shorts;        /* each stack as one line, or NULL */
    bool *asked;
    size_t left; /* that may still be read */
    bool ran_out;
} chains;

void chains_open(chains *c, const snapshot *s, size_t limit);
void chains_close(chains *c);

/* NULL: not to be had. */
const task_stack *chains_stack(chains *c, uint32_t task);

/* "innermost <- ... <- outermost", in few words; NULL: not to be had. */
const char *chains_short(chains *c, uint32_t task);

/* What there is to say below the table or tree. */
void chains_say_rest(const chains *c);

#endif
