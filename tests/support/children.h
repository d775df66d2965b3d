/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Child processes in tests: shell scripts, and what a process can see of its children.
 */
#ifndef TESTS_SUPPORT_CHILDREN_H
#define TESTS_SUPPORT_CHILDREN_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sinew.h>

#include <tests/support/check.h>

/* Starts `sh -c script`; NULL when that is refused. */
static inline sinew_process *start_script(const sinew_process_options *opt, const char *script)
{
    char *argv[] = {(char *)"sh", (char *)"-c", (char *)(uintptr_t)script, NULL};
    sinew_process *p = NULL;
    CHECK_EQ(sinew_process_spawn(opt, argv, &p), 0);
    return p;
}

/* Has the process a child, ended or not? */
static inline bool has_children(void)
{
    siginfo_t info;
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/* A killed child is reaped a moment later. */
static inline bool children_gone(void)
{
    for (int i = 0; i < 5000 && has_children(); i++)
        sinew_sleep(SINEW_MS(1));
    return !has_children();
}

/* Blocking; for a thread of the pool. Until the child has ended; leaves it to be reaped. */
static inline intptr_t until_ended(void *pid)
{
    siginfo_t info;
    while (waitid(P_PID, (id_t) * (pid_t *)pid, &info, WEXITED | WNOWAIT) != 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

/* What the child has written, as a string: to be given to free. */
static inline char *output_of(const sinew_process_options *opt, const char *script)
{
    sinew_process_options piped = opt ? *opt : (sinew_process_options){0};
    piped.out = SINEW_STDIO_PIPE;
    sinew_process *p = start_script(&piped, script);
    sinew_process_output o = {0};
    CHECK_EQ(sinew_process_communicate(p, NULL, 0, &o), 0);
    sinew_process_free(p);
    return o.out ? o.out : calloc(1, 1);
}

#define CHECK_STRING(actual, expected)      \
    ((strcmp((actual), (expected)) == 0) || \
     (check_failed(__FILE__, __LINE__, "\"%s\" instead of \"%s\"", (actual), (expected)), false))

#endif
