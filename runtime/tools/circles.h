/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks that await each other in a circle: none of them will ever go on, unless somebody cancels one. */
#ifndef TOOLS_CIRCLES_H
#define TOOLS_CIRCLES_H

#include "snapshot.h"

typedef struct circle {
    uint32_t *tasks; /* each awaits the next one, the last one the first */
    size_t count;
    struct circle *next;
} circle;

circle *circles_find(const snapshot *s);
void circles_free(circle *c);

/* Was it there in another snapshot, too? A snapshot is of no one instant, so one of them may show what never was. */
bool circle_is_in(const circle *c, const snapshot *of, const snapshot *other);

#endif
