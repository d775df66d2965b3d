/* SPDX-License-Identifier: Apache-2.0 */
/* What is to be fetched, and what became of it. */
#ifndef CRAWL_PAGE_H
#define CRAWL_PAGE_H

#include <sinew.h>

#include <stdatomic.h>

typedef struct page {
    size_t number; /* from 1, in the order of the list */
    char *url;
    enum { PAGE_NOT_BEGUN, PAGE_CUT, PAGE_FETCHED, PAGE_FAILED } state;
    int status;               /* of the response; 0: there was none */
    int error;                /* why it failed; 0: because of the status */
    unsigned long long bytes; /* of the body */
    sinew_time took;          /* all attempts and redirects together */
    char *redirected_to;      /* or NULL */
    char *reason;             /* for the error, where its number alone says little; or NULL */
} page;

/* All pages together, for the progress that is shown. */
extern struct progress {
    atomic_size_t fetched, failed, under_way;
    atomic_ullong bytes;
} progress;

/* A task: fetches the page and sets its result. The argument is the page. Always returns 0. */
intptr_t page_fetch(void *page);

/* What happened, in words. */
const char *page_problem(const page *p);

#endif
