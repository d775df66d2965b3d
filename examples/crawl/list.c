/* SPDX-License-Identifier: Apache-2.0 */
#include "list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

page *pages;
size_t pages_count;
static size_t room;

int pages_add(const char *url)
{
    if (pages_count == room) {
        size_t more = room ? 2 * room : 64;
        page *moved = reallocarray(pages, more, sizeof *pages);
        if (!moved)
            return -ENOMEM;
        pages = moved;
        room = more;
    }
    char *copy = strdup(url);
    if (!copy)
        return -ENOMEM;
    pages[pages_count] = (page){.number = pages_count + 1, .url = copy};
    pages_count++;
    return 0;
}

void pages_free(void)
{
    for (size_t i = 0; i < pages_count; i++) {
        free(pages[i].url);
        free(pages[i].redirected_to);
        free(pages[i].reason);
    }
    free(pages);
}
