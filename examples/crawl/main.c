/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fetches many URLs at once: a task for each, and a semaphore so that there are not too many at one time.
 *
 *     $ crawl --limit 50 http://localhost:8080/ http://localhost:8080/nothing
 *     status      bytes  seconds  URL
 *        200       8192    0.004  http://localhost:8080/
 *        404         14    0.003  http://localhost:8080/nothing
 *     1 of 2 fetched, 8206 bytes in 0.005 s, 1 failed
 *
 * Ctrl-C cancels what is under way and prints the table of what is done; a second one ends the process at once.
 *
 *     main.c       all pages at once; the table
 *     list.c       the pages
 *     settings.c   the command line
 *     page.c       one page: attempts and redirects
 *     response.c   from bytes to a response, with llhttp
 *     url.c        from text to URLs, with libcurl
 *     transport.c  the connection to a server, with TLS if it is built
 *     progress.c   what is shown meanwhile
 */
#include "list.h"
#include "page.h"
#include "progress.h"
#include "settings.h"
#include "transport.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* --- fetching ----------------------------------------------------------------------------------------------------- */

static sinew_sem places;

static intptr_t fetch(void *arg)
{
    page *p = arg;
    atomic_fetch_add(&progress.under_way, 1);
    page_fetch(p);
    atomic_fetch_sub(&progress.under_way, 1);
    if (p->state != PAGE_CUT) {
        atomic_fetch_add(p->state == PAGE_FETCHED ? &progress.fetched : &progress.failed, 1);
        progress_page(p);
    }
    sinew_sem_post(&places);
    return 0;
}

/* 0, or -ECANCELED: some pages have been cut or not begun. Nothing is under way any more when this returns. */
static int fetch_all(void)
{
    sinew_group fetches;
    sinew_group_init(&fetches);
    int error = 0;
    for (size_t i = 0; i < pages_count && error == 0; i++) {
        /* The place is taken before the task is made, so a long list does not become as many waiting tasks. */
        error = sinew_sem_wait(&places);
        if (error == 0)
            error = sinew_group_spawn(&fetches, fetch, &pages[i]);
    }
    if (error < 0) /* Ctrl-C, or no memory */
        sinew_group_cancel(&fetches);
    int ended = sinew_group_wait(&fetches); /* cancels them, if Ctrl-C comes now */
    return error < 0 ? error : ended;
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

static void print_row(const page *p)
{
    if (p->status > 0)
        printf("%6d", p->status);
    else
        printf("%6s", "-");
    printf(" %10llu %8.3f  %s", p->bytes, (double)p->took / 1e9, p->url);
    if (p->redirected_to)
        printf(" -> %s", p->redirected_to);
    printf("%s%s\n", p->error < 0 ? ": " : "", page_problem(p));
}

/* Whether all were fetched. */
static bool report(sinew_time took)
{
    size_t counts[] = {[PAGE_NOT_BEGUN] = 0, [PAGE_CUT] = 0, [PAGE_FETCHED] = 0, [PAGE_FAILED] = 0};
    printf("%6s %10s %8s  %s\n", "status", "bytes", "seconds", "URL");
    for (size_t i = 0; i < pages_count; i++) {
        const page *p = &pages[i];
        counts[p->state]++;
        if (p->state == PAGE_FETCHED || p->state == PAGE_FAILED)
            print_row(p);
    }
    printf("%zu of %zu fetched, %llu bytes in %.3f s, %zu failed", counts[PAGE_FETCHED], pages_count,
           atomic_load(&progress.bytes), (double)took / 1e9, counts[PAGE_FAILED]);
    if (counts[PAGE_CUT] + counts[PAGE_NOT_BEGUN] > 0)
        printf(", %zu cut, %zu not begun", counts[PAGE_CUT], counts[PAGE_NOT_BEGUN]);
    putchar('\n');
    return counts[PAGE_FETCHED] == pages_count;
}

static intptr_t program(void *arg)
{
    (void)arg;
    sinew_sem_init(&places, settings.limit);
    sinew_time began = sinew_now();
    progress_begin(pages_count);
    int error = fetch_all();
    progress_end();
    bool complete = report(sinew_now() - began);
    return error < 0 && error != -ECANCELED ? error : !complete;
}

/* --- starting ----------------------------------------------------------------------------------------------------- */

/* A connection and a file for each fetch: take as many descriptors as the process may have. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* with fewer some fetches fail */
    }
}

int main(int argc, char **argv)
{
    settings_read(argc, argv);
    raise_descriptor_limit();
    if (transport_begin() < 0)
        return 1;
    intptr_t result = sinew_run_with(&settings.runtime, program, NULL);
    if (result < 0)
        fprintf(stderr, "crawl: %s\n", strerror((int)-result));
    if (settings.output >= 0)
        close(settings.output);
    transport_end();
    pages_free();
    return result != 0;
}
