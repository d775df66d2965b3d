/* SPDX-License-Identifier: Apache-2.0 */
/* All pages, in the order in which they were named. */
#ifndef CRAWL_LIST_H
#define CRAWL_LIST_H

#include "page.h"

extern page *pages;
extern size_t pages_count;

/* Adds one, before the runtime starts: the others may move. The text is copied. 0, or -ENOMEM. */
int pages_add(const char *url);

void pages_free(void);

#endif
