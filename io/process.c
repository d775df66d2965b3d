/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for children, and ending them; see process.h.
 *
 * A wait is a poll of the pidfd and then a waitid that finds the child ended. So nothing depends on SIGCHLD, and only
 * our own children are reaped. The lock makes sure that one waitid has the status before another one is told that there
 * is no such child: that answer can then only mean that somebody outside of sinew has taken it.
 *
 * A child whose handle is given back while it runs is killed. The task that reaps it is started inside of that call, or
 * a runtime that is ending would not begin it, and takes no notice of the cancel that it gets then: the child is
 * ending.
 */
#include "io/process.h"

#include "runtime/report.h"
#include "runtime/worker.h"

#include <sinew/errno.h>
#include <sinew/io.h>
#include <sinew/task.h>
#include <sinew/time.h>

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { UNKNOWN_STATUS = 255 };

/* --- descriptors of processes ----------------------------------------------------------------------------------- */

static int open_pidfd(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    return fd < 0 ? -errno : fd; /* it is closed on exec */
}

static int supported;
static pthread_once_t probed = PTHREAD_ONCE_INIT;

/* waitid knows pidfds a version later than pidfd_open (5.4), and tells about a process that is no child. */
static void probe(void)
{
    int fd = open_pidfd(getpid());
    siginfo_t info;
    if (fd >= 0 && waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG | WNOWAIT) != 0 && errno == ECHILD)
        supported = 1;
    else
        sn_complain("child processes need pidfd_open and waitid(P_PIDFD): use a kernel from 5.4 on, or allow them in "
                    "the seccomp profile of the container");
    if (fd >= 0)
        close(fd);
}

int sn_process_supported(void)
{
    pthread_once(&probed, probe);
    return supported ? 0 : -ENOSYS;
}

/* Between the start of the child and this the number may have become another process's, if somebody has reaped the
 * child; but not another child's that we may wait for. */
int sn_process_open(pid_t pid)
{
    siginfo_t info;
    int fd = open_pidfd(pid);
    if (fd < 0)
        return fd == -ESRCH ? -ECHILD : fd;
    if (waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG | WNOWAIT) == 0)
        return fd;
    close(fd);
    return -ECHILD;
}

/* --- the end of a child ------------------------------------------------------------------------------------------ */

static void report_stolen(const sinew_process *p)
{
    const sn_worker *w = sn_worker_self();
    char name[32];
    snprintf(name, sizeof name, "process %d", (int)p->pid);
    sn_report(w ? w->runtime : NULL,
              &(sinew_error_report){.what = "somebody else has taken the exit status of a child process (waitpid, or "
                                            "SIGCHLD ignored); it counts as 255",
                                    .name = name,
                                    .error = -ECHILD});
}

/* Has it ended? `flags`: WNOHANG, or 0 to block until it has. */
static int reap(sinew_process *p, int flags)
{
    int code = sn_load(&p->code, acquire);
    if (code != SINEW_PROCESS_RUNNING)
        return code;
    bool stolen = false;
    pthread_mutex_lock(&p->lock);
    code = sn_load(&p->code, relaxed);
    if (code == SINEW_PROCESS_RUNNING) {
        siginfo_t info = {.si_pid = 0};
        int r = -1;
        if (p->pidfd >= 0)
            do
                r = waitid(P_PIDFD, (id_t)p->pidfd, &info, WEXITED | flags);
            while (r != 0 && errno == EINTR);
        if (r == 0 && info.si_pid != 0)
            code = info.si_code == CLD_EXITED ? info.si_status & 0xff : -info.si_status;
        else if (r != 0) {
            stolen = true;
            code = UNKNOWN_STATUS;
        }
        sn_store(&p->code, code, release);
    }
    pthread_mutex_unlock(&p->lock);
    if (stolen)
        report_stolen(p);
    return code;
}

pid_t sinew_process_pid(const sinew_process *p)
{
    return p ? p->pid : -EINVAL;
}

int sinew_process_returncode(sinew_process *p)
{
    return p ? reap(p, WNOHANG) : SINEW_PROCESS_RUNNING;
}

/* Until it has ended, or the caller is asked to. */
static int wait_for_end(sinew_process *p)
{
    int r = 0;
    while (sn_load(&p->code, acquire) == SINEW_PROCESS_RUNNING) {
        if (p->pidfd >= 0)
            r = sinew_poll(p->pidfd, POLLIN);
        if (r >= 0 && reap(p, WNOHANG) == SINEW_PROCESS_RUNNING)
            r = sinew_sleep(SINEW_MS(1)); /* it has ended, but a debugger is to be told first */
        if (r < 0)
            return r;
    }
    return 0;
}

int sinew_process_wait(sinew_process *p, int *returncode)
{
    if (!p)
        return -EINVAL;
    if (!sn_worker_of_task())
        return -EPERM;
    sn_process_ref(p);
    int r = wait_for_end(p);
    if (r == 0 && returncode)
        *returncode = sn_load(&p->code, acquire);
    sn_process_unref(p);
    return r;
}

/* --- signals to it ----------------------------------------------------------------------------------------------- */

int sinew_process_signal(sinew_process *p, int signal)
{
    if (!p)
        return -EINVAL;
    if (sn_load(&p->code, acquire) != SINEW_PROCESS_RUNNING)
        return -ESRCH;
    if (p->pidfd < 0 || syscall(SYS_pidfd_send_signal, p->pidfd, signal, NULL, 0) == 0 || errno == ESRCH)
        return 0; /* ESRCH: it ends at this moment, or somebody else has reaped it */
    return -errno;
}

int sinew_process_terminate(sinew_process *p)
{
    return sinew_process_signal(p, SIGTERM);
}

int sinew_process_kill(sinew_process *p)
{
    return sinew_process_signal(p, SIGKILL);
}

/* --- pipes ------------------------------------------------------------------------------------------------------- */

static int pipe_of(const sinew_process *p, int which)
{
    int fd = p ? sn_load(&p->pipes[which], relaxed) : -1; /* a number, and nothing that hangs on it */
    return fd < 0 ? -EBADF : fd;
}

int sinew_process_stdin(const sinew_process *p)
{
    return pipe_of(p, STDIN_FILENO);
}

int sinew_process_stdout(const sinew_process *p)
{
    return pipe_of(p, STDOUT_FILENO);
}

int sinew_process_stderr(const sinew_process *p)
{
    return pipe_of(p, STDERR_FILENO);
}

int sinew_process_take(sinew_process *p, int which)
{
    if (!p || which < 0 || which > 2)
        return -EINVAL;
    int fd = sn_exchange(&p->pipes[which], -1, relaxed); /* as above */
    return fd < 0 ? -EBADF : fd;
}

/* --- the end of the handle --------------------------------------------------------------------------------------- */

void sn_process_unref(sinew_process *p)
{
    if (sn_sub(&p->references, 1, acq_rel) != 1)
        return;
    if (p->pidfd >= 0)
        close(p->pidfd);
    for (int i = 0; i < 2; i++)
        free(p->read[i].data);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

/* A task: the child has been killed. */
static intptr_t reap_killed(void *arg)
{
    sinew_process *p = arg;
    int r;
    do
        r = wait_for_end(p);
    while (r == -ECANCELED || r == -ETIMEDOUT || r == -EDEADLK);
    if (r != 0)
        reap(p, 0);
    sn_process_unref(p);
    return 0;
}

void sn_process_abandon(sinew_process *p)
{
    sinew_process_kill(p);
    if (reap(p, WNOHANG) != SINEW_PROCESS_RUNNING)
        return;
    sinew_task *t = NULL;
    sn_process_ref(p);
    if (sn_worker_of_task()) {
        char name[32];
        snprintf(name, sizeof name, "reap process %d", (int)p->pid);
        sinew_spawn_options opt = {.name = name, .eager = true};
        t = sinew_spawn_with(&opt, reap_killed, p);
    }
    if (!t || sinew_result(t) == -ENOMEM) { /* nobody has begun to */
        reap(p, 0);
        sn_process_unref(p);
    }
    sinew_detach(t);
}

void sinew_process_free(sinew_process *p)
{
    if (!p)
        return;
    for (int i = 0; i < 3; i++) {
        int fd = sinew_process_take(p, i);
        if (fd >= 0)
            close(fd);
    }
    sn_process_abandon(p);
    sn_process_unref(p);
}
