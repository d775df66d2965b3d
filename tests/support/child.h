/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs something in a forked child that may die, and tells how it ended and what it wrote to stderr.
 *
 * The child's function uses CHECK, never a cmocka assertion (which would go on with the parent's tests in the child).
 * Fork only while no runtime runs.
 */
#ifndef TESTS_SUPPORT_CHILD_H
#define TESTS_SUPPORT_CHILD_H

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tests/support/check.h>
#include <tests/support/scale.h>

typedef struct child_end {
    int code;       /* exit code, or -1 */
    int signal;     /* the signal that ended it, or 0 */
    char err[8192]; /* the beginning of its stderr, as a string */
} child_end;

/* The child exits with this when one of its checks failed; functions return smaller numbers for their own use. */
#define CHILD_CHECKS_FAILED 99

static inline void child_main(int err_fd, unsigned seconds, int (*fn)(void *), void *arg)
{
    static const int usual[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGSYS, SIGABRT, SIGINT, SIGALRM};
    for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++)
        signal(usual[i], SIG_DFL);
    struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(err_fd, STDERR_FILENO);
    close(err_fd);
    atomic_store(&check_failures, 0);
    alarm(seconds);
    int code = fn(arg);
    exit(atomic_load(&check_failures) ? CHILD_CHECKS_FAILED : code);
}

static inline void child_collect(int fd, child_end *end)
{
    size_t used = 0;
    char rest[512];
    for (;;) {
        size_t room = sizeof end->err - 1 - used;
        ssize_t n = room ? read(fd, end->err + used, room) : read(fd, rest, sizeof rest);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        if (room)
            used += (size_t)n;
    }
    end->err[used] = '\0';
}

static inline void *end_of_thread(void *arg)
{
    return arg;
}

/*
 * ThreadSanitizer starts its thread in the background with the first thread of the program, and another one in a child.
 * A child of a process that had no thread yet would get both, and the runtime, which knows of one, would take the other
 * for a thread that may wake a task.
 */
static inline void start_sanitizers_thread(void)
{
    pthread_t thread;
    if (SN_TSAN && pthread_create(&thread, NULL, end_of_thread, NULL) == 0)
        pthread_join(thread, NULL);
}

/* False: fork or pipe refused. `meanwhile` (may be NULL) runs in the parent while the child does. */
static inline bool run_child_with(int (*fn)(void *), void *arg, unsigned seconds, void (*meanwhile)(pid_t, void *),
                                  void *meanwhile_arg, child_end *end)
{
    int p[2];
    if (pipe(p) != 0)
        return false;
    fflush(NULL);
    start_sanitizers_thread();
    pid_t pid = fork();
    if (pid < 0)
        return false;
    if (pid == 0) {
        close(p[0]);
        child_main(p[1], seconds, fn, arg);
    }
    close(p[1]);
    if (meanwhile)
        meanwhile(pid, meanwhile_arg);
    child_collect(p[0], end);
    close(p[0]);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    end->code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    end->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    return true;
}

static inline bool run_child(int (*fn)(void *), void *arg, child_end *end)
{
    return run_child_with(fn, arg, 60, NULL, NULL, end);
}

/* For the parent, in a cmocka test: shows all there is to see, then fails. */
#define child_fail(what, end)                                                                                     \
    do {                                                                                                          \
        fprintf(stderr, "%s: code %d, signal %d, stderr:\n%s\n", (what), (end)->code, (end)->signal, (end)->err); \
        fail_msg("code %d, signal %d", (end)->code, (end)->signal);                                               \
    } while (0)

#endif
