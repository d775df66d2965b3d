/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands print. Each returns the program's exit status. */
#ifndef TOOLS_VIEWS_H
#define TOOLS_VIEWS_H

#include "target.h"

typedef struct view_options {
    size_t limit; /* tasks whose stacks are read */
    bool stacks;  /* as lines below the task, with files and lines */
} view_options;

int view_ps(const target *of, const view_options *options);
int view_pstree(const target *of, const view_options *options);

#endif
