/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting a child: posix_spawn, which waits until the child has called exec and so knows why it could not. It runs in
 * a thread of the blocking pool; those block signals, so the child's mask is set.
 *
 * The child's descriptors. `source[i]` is what becomes its descriptor i. They are copied one after the other, and one
 * that lies where another is to be put would be lost; so such sources are first moved up here, above all targets. What
 * lies above the targets is closed by the child. All that is opened here is closed on exec, so a child that another
 * thread starts meanwhile gets none of it.
 */
#include "io/process.h"

#include "runtime/cancel.h"
#include "runtime/worker.h"

#include <sinew/blocking.h>
#include <sinew/errno.h>

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { STANDARD = 3, FDS_MAX = 4096 };
enum { NOTHING = -1, OPEN_NULL = -2 }; /* as a source: left as it is; /dev/null */

typedef struct start {
    const sinew_process_options *opt;
    char *const *argv;
    int targets;   /* how many descriptors the child has a say in: 0 ... targets - 1 */
    int *source;   /* one for each */
    int *to_close; /* by us, when the child has been started or not: its ends of pipes, sources moved up */
    int to_close_count;
    int ours[STANDARD];
    bool ran;
    pid_t pid;
    int pidfd;
} start;

/* --- descriptors ------------------------------------------------------------------------------------------------- */

static void later_close(start *s, int fd)
{
    s->to_close[s->to_close_count++] = fd;
}

static int make_pipe(start *s, int target)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -errno;
    bool reads = target == STDIN_FILENO; /* the child does */
    s->source[target] = ends[!reads];
    s->ours[target] = ends[reads];
    later_close(s, s->source[target]);
    return 0;
}

/* What one of the standard streams is to be. */
static int choose(start *s, int target, int wanted)
{
    s->source[target] = NOTHING;
    switch (wanted) {
    case SINEW_STDIO_INHERIT:
        return 0;
    case SINEW_STDIO_NULL:
        s->source[target] = OPEN_NULL;
        return 0;
    case SINEW_STDIO_PIPE:
        return make_pipe(s, target);
    case SINEW_STDIO_STDOUT: /* add_actions copies it from there */
        return target == STDERR_FILENO ? 0 : -EINVAL;
    default:
        s->source[target] = wanted;
        return wanted > 0 ? 0 : -EINVAL;
    }
}

static int move_up(start *s)
{
    for (int i = 0; i < s->targets; i++) {
        if (s->source[i] < 0 || s->source[i] == i || s->source[i] >= s->targets)
            continue;
        int fd = fcntl(s->source[i], F_DUPFD_CLOEXEC, s->targets);
        if (fd < 0)
            return -errno;
        s->source[i] = fd;
        later_close(s, fd);
    }
    return 0;
}

static int choose_all(start *s)
{
    const sinew_process_options *opt = s->opt;
    const int wanted[STANDARD] = {opt->in, opt->out, opt->err};
    int r = 0;
    for (int i = 0; r == 0 && i < STANDARD; i++)
        r = choose(s, i, wanted[i]);
    for (int i = STANDARD; r == 0 && i < s->targets; i++) {
        s->source[i] = opt->fds[i - STANDARD];
        r = s->source[i] >= 0 ? 0 : -EINVAL;
    }
    return r != 0 ? r : move_up(s);
}

/* --- posix_spawn ------------------------------------------------------------------------------------------------- */

/* These return errno codes, as posix_spawn does. */
static int add_actions(const start *s, posix_spawn_file_actions_t *actions)
{
    int e = 0;
    for (int i = 0; e == 0 && i < s->targets; i++) {
        if (s->source[i] == OPEN_NULL)
            e = posix_spawn_file_actions_addopen(actions, i, "/dev/null", i == STDIN_FILENO ? O_RDONLY : O_WRONLY, 0);
        else if (s->source[i] >= 0) /* to the same number, it is kept open over the exec */
            e = posix_spawn_file_actions_adddup2(actions, s->source[i], i);
        else if (i == STDERR_FILENO && s->opt->err == SINEW_STDIO_STDOUT)
            e = posix_spawn_file_actions_adddup2(actions, STDOUT_FILENO, STDERR_FILENO);
    }
    if (e == 0)
        e = posix_spawn_file_actions_addclosefrom_np(actions, s->targets);
    if (e == 0 && s->opt->directory)
        e = posix_spawn_file_actions_addchdir_np(actions, s->opt->directory);
    return e;
}

static int set_attributes(const sinew_process_options *opt, posix_spawnattr_t *attributes)
{
    sigset_t set;
    int flags = POSIX_SPAWN_SETSIGMASK;
    sigemptyset(&set);
    int e = posix_spawnattr_setsigmask(attributes, &set);
    if (e == 0 && !opt->keep_ignored) {
        flags |= POSIX_SPAWN_SETSIGDEF;
        sigfillset(&set);
        e = posix_spawnattr_setsigdefault(attributes, &set);
    }
    if (e == 0 && opt->group != 0) {
        flags |= POSIX_SPAWN_SETPGROUP;
        e = posix_spawnattr_setpgroup(attributes, opt->group < 0 ? 0 : opt->group);
    }
    if (opt->new_session)
        flags |= POSIX_SPAWN_SETSID;
    return e != 0 ? e : posix_spawnattr_setflags(attributes, (short)flags);
}

static int spawn_child(start *s)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int e = posix_spawn_file_actions_init(&actions);
    if (e != 0)
        return -e;
    e = posix_spawnattr_init(&attributes);
    if (e != 0)
        goto no_attributes;
    e = add_actions(s, &actions);
    if (e == 0)
        e = set_attributes(s->opt, &attributes);
    if (e == 0) {
        const char *program = s->opt->program ? s->opt->program : s->argv[0];
        char *const *env = s->opt->env ? s->opt->env : environ;
        e = (s->opt->no_search ? posix_spawn : posix_spawnp)(&s->pid, program, &actions, &attributes, s->argv, env);
    }
    posix_spawnattr_destroy(&attributes);
no_attributes:
    posix_spawn_file_actions_destroy(&actions);
    return -e;
}

/* In a thread of the pool. */
static intptr_t start_child(void *arg)
{
    start *s = arg;
    s->ran = true;
    int r = spawn_child(s);
    if (r != 0)
        return r;
    s->pidfd = sn_process_open(s->pid);
    if (s->pidfd >= 0 || s->pidfd == -ECHILD)
        return 0;
    r = s->pidfd; /* it cannot be watched: no descriptor is left, say */
    kill(s->pid, SIGKILL);
    while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return r;
}

/* --- the call ---------------------------------------------------------------------------------------------------- */

static void close_ours(const start *s)
{
    for (int i = 0; i < STANDARD; i++)
        if (s->ours[i] >= 0)
            close(s->ours[i]);
}

static int run_start(start *s)
{
    int r = choose_all(s);
    if (r == 0) {
        intptr_t told = sinew_blocking_wait(start_child, s);
        r = (int)told;
        SN_CHECK(s->ran || told < 0, "a blocking call that did not run says that it did");
    }
    for (int i = 0; i < s->to_close_count; i++)
        close(s->to_close[i]);
    if (r != 0)
        close_ours(s);
    return r;
}

static sinew_process *new_process(const sinew_process_options *opt)
{
    sinew_process *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    pthread_mutex_init(&p->lock, NULL); /* with default attributes it cannot fail */
    p->pidfd = -1;
    p->output_max = opt->output_max;
    sn_store(&p->code, 0, relaxed);
    sn_store(&p->references, 1, relaxed);
    return p;
}

static int start_process(start *s, sinew_process **out)
{
    sinew_process *p = new_process(s->opt);
    if (!p)
        return -ENOMEM;
    int r = run_start(s);
    if (r != 0) {
        sn_process_unref(p);
        return r;
    }
    p->pid = s->pid;
    p->pidfd = s->pidfd >= 0 ? s->pidfd : -1;
    sn_store(&p->code, SINEW_PROCESS_RUNNING, relaxed); /* nobody else has it yet */
    for (int i = 0; i < STANDARD; i++)
        sn_store(&p->pipes[i], s->ours[i], relaxed);
    /* A cancel while the child was being started. */
    r = sn_interrupt(sn_worker_self()->fiber);
    if (r != 0)
        sinew_process_free(p);
    else
        *out = p;
    return r;
}

int sinew_process_spawn(const sinew_process_options *opt, char *const argv[], sinew_process **out)
{
    static const sinew_process_options defaults;
    if (!out)
        return -EINVAL;
    *out = NULL;
    if (!sn_worker_of_task())
        return -EPERM;
    if (!opt)
        opt = &defaults;
    if (!argv || !argv[0] || opt->group < -1 || opt->fds_count > FDS_MAX || (opt->fds_count && !opt->fds))
        return -EINVAL;
    int r = sn_process_supported();
    if (r != 0)
        return r;
    start s = {.opt = opt, .argv = argv, .targets = STANDARD + (int)opt->fds_count, .ours = {-1, -1, -1}};
    /* Each target has at most one that is moved up, and each standard stream the end of a pipe. */
    size_t targets = (size_t)s.targets;
    s.source = malloc((2 * targets + STANDARD) * sizeof *s.source);
    if (!s.source)
        return -ENOMEM;
    s.to_close = s.source + targets;
    r = start_process(&s, out);
    free(s.source);
    return r;
}
