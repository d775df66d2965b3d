/* SPDX-License-Identifier: Apache-2.0 */
/* What stands at an address of code: functions with the ones inlined there, innermost first. Each is looked up once. */
#ifndef TOOLS_SYMBOLS_H
#define TOOLS_SYMBOLS_H

#include "stacks.h"

enum { INLINED_MAX = 16 };

typedef struct code_place {
    unsigned count;
    stack_line lines[INLINED_MAX];
} code_place;

typedef struct symbols symbols;

symbols *symbols_open(const target *t);
void symbols_close(symbols *s);
const code_place *symbols_at(symbols *s, uint64_t pc);

/* The function that the call just before a return address calls; NULL: not to be told. It may not be on the stack any
 * more: a function that ends with a call often jumps there instead. */
const stack_line *symbols_called(symbols *s, uint64_t return_address);

#endif
