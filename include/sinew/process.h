/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Child processes.
 *
 *     char *argv[] = {"sort", "-u", NULL};
 *     sinew_process_options opt = {.in = SINEW_STDIO_PIPE, .out = SINEW_STDIO_PIPE};
 *     sinew_process *p;
 *     int r = sinew_process_spawn(&opt, argv, &p);          // -ENOENT: there is no such program
 *     if (r == 0) {
 *         sinew_process_output o;
 *         r = sinew_process_communicate(p, "b\na\nb\n", 6, &o);
 *         if (r == 0)
 *             printf("%s exit code %d\n", (char *)o.out, o.returncode);
 *         ...
 *         free(o.out);
 *         sinew_process_free(p);
 *     }
 *
 * Children are watched by descriptors (pidfd), so no SIGCHLD handler is installed and nobody else's children are
 * waited for. A program that does that itself, waitpid(-1) or SIGCHLD ignored, takes the exit status away: the child
 * then counts as ended with 255, and the error handler is told (sinew_set_error_handler).
 *
 * A child that has ended is a zombie until somebody waits for it, asks for its returncode or frees the handle. Handles
 * belong to no runtime; those of a program that ends without freeing them leave their children running.
 *
 * Follows asyncio.create_subprocess_exec and asyncio.subprocess.Process.
 */
#ifndef SINEW_PROCESS_H
#define SINEW_PROCESS_H

#include <sinew/base.h>

#include <limits.h>
#include <sys/types.h>

SINEW_BEGIN_DECLS

typedef struct sinew_process sinew_process;

/* What a standard stream of the child is: one of these, or a descriptor > 0 of the caller's, which the child gets a
 * copy of. (Descriptor 0 can be given to `in` only, since that is what it inherits; otherwise dup it.) */
enum {
    SINEW_STDIO_INHERIT = 0,
    SINEW_STDIO_PIPE = -1,   /* a pipe, whose other end is the handle's */
    SINEW_STDIO_NULL = -2,   /* /dev/null */
    SINEW_STDIO_STDOUT = -3, /* `err` only: where `out` goes */
};

/* Zero in a field means its default. All is read before the call returns. */
typedef struct sinew_process_options {
    int in, out, err;    /* SINEW_STDIO_* or a descriptor; default: the caller's own */
    const char *program; /* what is run; default argv[0] */
    bool no_search;      /* `program` is a path; by default one without a slash is searched for in the caller's PATH */
    char *const *env;    /* "NAME=value" ... NULL; default: the caller's environment */
    const char *directory; /* where the child begins; a program given by a relative path is looked for from there */
    const int *fds;        /* the child has fds[i] as its descriptor 3 + i, and no others above its standard streams */
    size_t fds_count;
    pid_t group;       /* -1: a process group of its own; > 0: joins that one; default: the caller's */
    bool new_session;  /* setsid(2): no controlling terminal */
    bool keep_ignored; /* signals that the caller ignores stay ignored in the child (nohup) */
    size_t output_max; /* sinew_process_communicate gives up above so many bytes of a stream; default: no limit */
} sinew_process_options;

/*
 * Starts a program. *out is a handle, to be given back by sinew_process_free; NULL on error. `argv` ends with NULL and
 * begins with what the program is to find as argv[0]. `opt` may be NULL.
 *
 * The child has all signals unblocked and, unless keep_ignored says otherwise, with their default actions. It is
 * started by a thread for blocking calls (posix_spawn waits for the exec), so other tasks go on meanwhile. May suspend.
 *
 * Cancelled (or timed out): no child runs and nothing is open. One that had been started by then is killed and reaped.
 *
 * 0, or why the program could not be started: -ENOENT, -EACCES, -ENOEXEC, -E2BIG ... of exec, also -ENOENT, -ENOTDIR,
 * -EACCES for the directory and -EBADF for a descriptor; -EMFILE, -ENFILE, -ENOMEM, -EAGAIN: refused resources.
 * -EINVAL: out, argv or argv[0] NULL, a field out of range. -ENOSYS: this kernel (older than 5.4) has no descriptors
 * for processes, or they are forbidden; stderr says so. -EPERM outside of a task, or for a group or session that may
 * not be joined.
 */
SINEW_API int sinew_process_spawn(const sinew_process_options *opt, char *const argv[], sinew_process **out);

/* Its process id; that is the child's as long as it has not been reaped. -EINVAL for NULL. Any thread. Never suspends.
 */
SINEW_API pid_t sinew_process_pid(const sinew_process *p);

/* The return code of a child that runs. */
#define SINEW_PROCESS_RUNNING INT_MIN

/*
 * How it ended: its exit status (0 to 255), or -s when signal s has killed it; 255 also when somebody else has taken
 * the status. SINEW_PROCESS_RUNNING while it runs, also for NULL. Reaps a child that has ended. Any thread. Never
 * suspends.
 */
SINEW_API int sinew_process_returncode(sinew_process *p);

/*
 * Waits for the child's end; *returncode (may be NULL) is as above. Any number of tasks may wait, of any runtime. A
 * child whose output nobody reads may never end: sinew_process_communicate reads it. May suspend. 0; -ECANCELED,
 * -ETIMEDOUT: the child goes on, and so do the others who wait; -EINVAL for NULL, -EPERM.
 */
SINEW_API int sinew_process_wait(sinew_process *p, int *returncode);

/*
 * Sends a signal. 0; -ESRCH when the child is known to have ended (sinew_process_returncode has said so, or a wait has
 * returned). One that has ended unnoticed gets it in vain, and that is no error. -EINVAL: NULL, or no signal; -EPERM: a
 * child that has become somebody else's (setuid). Any thread. Never suspends.
 */
SINEW_API int sinew_process_signal(sinew_process *p, int signal);
SINEW_API int sinew_process_terminate(sinew_process *p); /* SIGTERM */
SINEW_API int sinew_process_kill(sinew_process *p);      /* SIGKILL */

/*
 * Our ends of the child's pipes, for sinew_read and sinew_write; -EBADF: that one is not piped, or is closed or taken.
 * They stay the handle's. Never suspend. A write to the input of a child that has closed it gives SIGPIPE, as with any
 * pipe: ignore that signal, and it is -EPIPE. (sinew_process_communicate raises none.)
 */
SINEW_API int sinew_process_stdin(const sinew_process *p);
SINEW_API int sinew_process_stdout(const sinew_process *p);
SINEW_API int sinew_process_stderr(const sinew_process *p);

/* Gives one of them away: `which` is 0, 1 or 2, and the caller closes it from now on. -EBADF as above, -EINVAL.
 * Never suspends. sinew_close(sinew_process_take(p, 0)) is the end of the child's input. */
SINEW_API int sinew_process_take(sinew_process *p, int which);

/* What sinew_process_communicate has read. The buffers are the caller's, to be given to free(3); each ends with a zero
 * byte which does not count. NULL: that stream was not piped. */
typedef struct sinew_process_output {
    void *out, *err;
    size_t out_length, err_length;
    int returncode; /* sinew_process_returncode */
} sinew_process_output;

/*
 * Feeds `length` bytes to the child's input and closes that, reads its output and its errors, all at once so that
 * neither waits for the other, then waits for its end. Only what is piped (and was not taken) takes part. A child that
 * closes its input early, or ends before it has read all, is no error. May suspend.
 *
 * 0, with *result filled in. Otherwise *result is empty, and the child goes on:
 *
 *     -ECANCELED, -ETIMEDOUT   what was read is kept, and how much was fed: a later call with the same input
 *                              continues there
 *     -EMSGSIZE                a stream has more than output_max bytes
 *     -EBUSY                   another task is in this call
 *     -EINVAL                  p or result is NULL, or there is input and stdin is not piped
 *     -ENOMEM, -EPERM, and the errors of read(2) and write(2)
 */
SINEW_API int sinew_process_communicate(sinew_process *p, const void *input, size_t length,
                                        sinew_process_output *result);

/*
 * Gives the handle back, and closes its pipes. A child that still runs is killed, and reaped when that has come about:
 * by the caller's runtime, whose sinew_run does not return before; in a thread that is no task's the call blocks for
 * it. To let a child go on, keep the handle. Tasks that wait for the child see its end; no other call may be under way.
 * NULL is allowed. Never suspends.
 */
SINEW_API void sinew_process_free(sinew_process *p);

SINEW_END_DECLS
#endif
