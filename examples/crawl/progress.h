/* SPDX-License-Identifier: Apache-2.0 */
/* What is shown on stderr while pages are fetched: a bar on a terminal, elsewhere a line for each page. */
#ifndef CRAWL_PROGRESS_H
#define CRAWL_PROGRESS_H

#include "page.h"

/* Begins to show the progress of so many pages. Never suspends. */
void progress_begin(size_t pages);

/* A page has been fetched or has failed. Never suspends. */
void progress_page(const page *p);

/* Shows nothing any more. May suspend. */
void progress_end(void);

#endif
