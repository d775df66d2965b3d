/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the rules of subprocesses, A206 to A214 (conformance/rules.tsv), one test or more for each.
 * Method: shell scripts as children, held by a pipe that the test closes; what the kernel knows of children
 * (waitid, /proc) is asked beside the library.
 * Cannot see: a process number that is given to another process at the worst moment.
 */
#include <sys/stat.h>

#include <tests/support/child.h>
#include <tests/support/children.h>
#include <tests/support/files.h>
#include <tests/support/process.h>
#include <tests/support/run.h>
#include <tests/support/tasks.h>

enum { MUCH = 1 << 20 }; /* bytes: more than all the pipes between us and a child hold */

static char *make_input(void)
{
    char *input = malloc(MUCH);
    for (size_t i = 0; input && i < MUCH; i++)
        input[i] = (char)('a' + i % 23);
    return input;
}

/* --- A206, A207: communicate ---------------------------------------------------------------------------------------
 */

IN_RUNTIME(a206_a_child_is_fed_and_read_on_both_streams_at_once)
{
    sinew_process_options opt = {.in = SINEW_STDIO_PIPE, .out = SINEW_STDIO_PIPE, .err = SINEW_STDIO_PIPE};
    sinew_process *p = start_script(&opt, "tee /proc/self/fd/2");
    char *input = make_input();
    sinew_process_output o;
    CHECK_EQ(sinew_process_communicate(p, input, MUCH, &o), 0);
    CHECK_EQ(o.returncode, 0);
    if (CHECK_EQ(o.out_length, MUCH) && CHECK_EQ(o.err_length, MUCH)) {
        CHECK(memcmp(o.out, input, MUCH) == 0);
        CHECK(memcmp(o.err, input, MUCH) == 0);
        CHECK_EQ(((char *)o.out)[MUCH], 0);
    }
    free(o.out);
    free(o.err);
    free(input);
    sinew_process_free(p);
    return 0;
}

IN_RUNTIME(a206_what_is_not_piped_is_null_and_what_is_empty_is_not)
{
    sinew_process_output o;
    sinew_process *p = start_script(&(sinew_process_options){.out = SINEW_STDIO_PIPE, .err = SINEW_STDIO_NULL},
                                    "echo lost >&2; exit 3");
    CHECK_EQ(sinew_process_communicate(p, NULL, 0, &o), 0);
    CHECK(o.out != NULL && o.out_length == 0 && *(char *)o.out == 0);
    CHECK(o.err == NULL && o.err_length == 0);
    CHECK_EQ(o.returncode, 3);
    free(o.out);
    sinew_process_free(p);

    p = start_script(&(sinew_process_options){.in = SINEW_STDIO_PIPE}, "cat >/dev/null");
    CHECK_EQ(sinew_process_communicate(p, NULL, 0, &o), 0); /* and its input is at its end */
    CHECK(o.out == NULL && o.err == NULL);
    CHECK_EQ(o.returncode, 0);
    sinew_process_free(p);
    return 0;
}

IN_RUNTIME(a207_a_child_that_closes_its_input_early_is_no_failure)
{
    static const char *const scripts[] = {"exec <&-; echo done", "head -c 10 >/dev/null; echo done",
                                          "exec <&-; sleep 0.02; echo done", "echo done"};
    struct sigaction now;
    sigaction(SIGPIPE, NULL, &now);
    CHECK(now.sa_handler == SIG_DFL); /* or this test would say nothing */
    char *input = make_input();
    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
        sinew_process_options opt = {.in = SINEW_STDIO_PIPE, .out = SINEW_STDIO_PIPE};
        sinew_process *p = start_script(&opt, scripts[i]);
        sinew_process_output o;
        CHECK_EQ(sinew_process_communicate(p, input, MUCH, &o), 0);
        CHECK_STRING(o.out ? (char *)o.out : "(none)", "done\n");
        CHECK_EQ(o.returncode, 0);
        free(o.out);
        sinew_process_free(p);
    }
    free(input);
    return 0;
}

/* --- A208 to A210: waiting, codes, signals ------------------------------------------------------------------------ */

/* A child that ends with code 4 at the end of its input. */
static sinew_process *start_held(void)
{
    return start_script(&(sinew_process_options){.in = SINEW_STDIO_PIPE}, "cat; exit 4");
}

static void let_go(sinew_process *p)
{
    CHECK_EQ(sinew_close(sinew_process_take(p, STDIN_FILENO)), 0);
}

static intptr_t wait_for_code(void *arg)
{
    int code = -1000;
    int r = sinew_process_wait(arg, &code);
    return r < 0 ? r : code;
}

IN_RUNTIME(a208_several_may_wait_and_cancelling_one_disturbs_nobody)
{
    enum { WAITERS = 10 };
    sinew_process *p = start_held();
    sinew_task *waiters[WAITERS];
    for (int i = 0; i < WAITERS; i++)
        waiters[i] = sinew_spawn(wait_for_code, p);
    CHECK_EQ(sinew_sleep(SINEW_MS(2)), 0);
    for (int i = 0; i < WAITERS; i += 3) {
        CHECK(sinew_cancel(waiters[i]));
        CHECK_EQ(sinew_await(waiters[i]), -ECANCELED);
    }
    sinew_timeout limit;
    sinew_timeout_begin(&limit, SINEW_MS(2));
    CHECK_EQ(sinew_process_wait(p, NULL), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&limit), -ETIMEDOUT);
    CHECK_EQ(sinew_process_returncode(p), SINEW_PROCESS_RUNNING);
    for (int i = 0; i < WAITERS; i++)
        CHECK(i % 3 == 0 || !sinew_done(waiters[i]));
    let_go(p);
    for (int i = 0; i < WAITERS; i++)
        if (i % 3 != 0)
            CHECK_EQ(sinew_await(waiters[i]), 4);
    CHECK_EQ(wait_for_code(p), 4); /* at once, and again and again */
    CHECK_EQ(wait_for_code(p), 4);
    sinew_process_free(p);
    return 0;
}

IN_RUNTIME(a209_returncode_is_the_status_or_minus_the_signal_once_it_has_ended)
{
    sinew_process *p = start_held();
    CHECK_EQ(sinew_process_returncode(p), SINEW_PROCESS_RUNNING);
    let_go(p);
    CHECK_EQ(wait_for_code(p), 4);
    CHECK_EQ(sinew_process_returncode(p), 4);
    sinew_process_free(p);

    static const int signals[] = {SIGTERM, SIGKILL, SIGHUP, SIGUSR1};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        p = start_script(&(sinew_process_options){.in = SINEW_STDIO_PIPE}, "exec cat");
        CHECK_EQ(sinew_process_returncode(p), SINEW_PROCESS_RUNNING);
        CHECK_EQ(i == 0   ? sinew_process_terminate(p)
                 : i == 1 ? sinew_process_kill(p)
                          : sinew_process_signal(p, signals[i]),
                 0);
        CHECK_EQ(wait_for_code(p), -signals[i]);
        CHECK_EQ(sinew_process_returncode(p), -signals[i]);
        sinew_process_free(p);
    }
    /* Nobody waits: the question itself finds out. */
    p = start_script(NULL, "exit 200");
    pid_t pid = sinew_process_pid(p);
    CHECK_EQ(sinew_blocking_wait(until_ended, &pid), 0);
    CHECK_EQ(sinew_process_returncode(p), 200);
    sinew_process_free(p);
    return 0;
}

IN_RUNTIME(a210_a_signal_to_a_child_known_to_have_ended_is_refused)
{
    sinew_process *p = start_script(NULL, "exit 0");
    pid_t pid = sinew_process_pid(p);
    CHECK_EQ(sinew_blocking_wait(until_ended, &pid), 0);
    /* It has ended and nobody has looked: no error, and no effect. */
    CHECK_EQ(sinew_process_signal(p, SIGKILL), 0);
    CHECK_EQ(sinew_process_terminate(p), 0);
    CHECK_EQ(wait_for_code(p), 0);
    CHECK_EQ(sinew_process_signal(p, SIGKILL), -ESRCH);
    CHECK_EQ(sinew_process_terminate(p), -ESRCH);
    CHECK_EQ(sinew_process_kill(p), -ESRCH);
    CHECK_EQ(sinew_process_signal(p, 0), -ESRCH);
    sinew_process_free(p);
    return 0;
}

/* --- A211: what cannot be started ----------------------------------------------------------------------------------
 */

static int start_program(const char *program, const sinew_process_options *opt)
{
    char *argv[] = {(char *)(uintptr_t)program, NULL};
    sinew_process *p = (void *)1;
    int r = sinew_process_spawn(opt, argv, &p);
    CHECK((p != NULL) == (r == 0));
    sinew_process_free(p);
    return r;
}

IN_RUNTIME(a211_a_program_that_cannot_be_started_is_the_calls_error)
{
    char text[TEMPORARY_PATH];
    int fd = mkstemp(temporary_template(text));
    CHECK(fd >= 0 && write(fd, "no program\n", 11) == 11 && close(fd) == 0);
    int descriptors = count_descriptors();
    sinew_process_options piped = {.in = SINEW_STDIO_PIPE, .out = SINEW_STDIO_PIPE, .err = SINEW_STDIO_PIPE};
    CHECK_EQ(start_program("/no/such/program", &piped), -ENOENT);
    CHECK_EQ(start_program("no-such-program-anywhere", &piped), -ENOENT);
    CHECK_EQ(start_program("", &piped), -ENOENT);
    CHECK_EQ(start_program(text, &piped), -EACCES); /* not executable */
    CHECK_EQ(chmod(text, 0700), 0);
    CHECK_EQ(start_program(text, &piped), -ENOEXEC);
    piped.directory = "/no/such/directory";
    CHECK_EQ(start_program("true", &piped), -ENOENT);
    piped.directory = text;
    CHECK_EQ(start_program("true", &piped), -ENOTDIR);
    piped.directory = NULL;
    piped.out = 999;
    CHECK_EQ(start_program("true", &piped), -EBADF);
    piped.out = SINEW_STDIO_PIPE;
    CHECK_EQ(start_program("true", &piped), 0);
    unlink(text);
    CHECK(children_gone());
    CHECK_EQ(count_descriptors(), descriptors);
    return 0;
}

/* --- A212: who is watched, and how ---------------------------------------------------------------------------------
 */

static intptr_t nothing_of_others(void *arg)
{
    pid_t stranger = fork();
    if (stranger == 0)
        _exit(33);
    for (int i = 0; i < 10; i++) {
        sinew_process *p = start_script(NULL, "exit 5");
        CHECK_EQ(wait_for_code(p), 5);
        sinew_process_free(p);
    }
    struct sigaction now;
    CHECK_EQ(sigaction(SIGCHLD, NULL, &now), 0);
    CHECK(now.sa_handler == SIG_DFL);
    CHECK_EQ(sinew_blocking_wait(until_ended, &stranger), 0);
    int status = 0;
    CHECK_EQ(waitpid(stranger, &status, 0), stranger);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 33);
    return (intptr_t)arg;
}

IN_RUNTIME(a212_other_children_and_sigchld_are_left_alone)
{
    return nothing_of_others(NULL);
}

static atomic_int thefts;

static void note_theft(const sinew_error_report *report, void *arg)
{
    (void)arg;
    CHECK_EQ(report->error, -ECHILD);
    atomic_fetch_add(&thefts, 1);
}

IN_RUNTIME(a212_a_status_that_somebody_else_took_is_255_with_a_warning)
{
    CHECK_EQ(sinew_set_error_handler(note_theft, NULL), 0);
    atomic_store(&thefts, 0);
    sinew_process *p = start_held();
    sinew_task *waiter = sinew_spawn(wait_for_code, p);
    CHECK_EQ(sinew_sleep(SINEW_MS(2)), 0);
    let_go(p);
    /* Stolen while a task waits in the driver, which may be quicker than we are. */
    int status;
    bool stolen = waitpid(sinew_process_pid(p), &status, 0) > 0;
    CHECK_EQ(sinew_await(waiter), stolen ? 255 : 4);
    CHECK_EQ(atomic_load(&thefts), stolen);
    sinew_process_free(p);

    p = start_held();
    let_go(p);
    CHECK_EQ(waitpid(sinew_process_pid(p), &status, 0), sinew_process_pid(p));
    CHECK_EQ(sinew_process_kill(p), 0); /* not known yet */
    CHECK_EQ(sinew_process_returncode(p), 255);
    CHECK_EQ(wait_for_code(p), 255);
    CHECK_EQ(sinew_process_kill(p), -ESRCH);
    CHECK_EQ(atomic_load(&thefts), stolen + 1);
    sinew_process_free(p);
    return 0;
}

static intptr_t run_with_sigchld_ignored(void *arg)
{
    (void)arg;
    CHECK_EQ(sinew_set_error_handler(note_theft, NULL), 0);
    for (int i = 0; i < 20; i++) {
        sinew_process *p = start_script(NULL, i % 2 ? "exit 0" : "sleep 0.01");
        CHECK_EQ(wait_for_code(p), 255);
        sinew_process_free(p);
    }
    CHECK_EQ(atomic_load(&thefts), 20);
    return 0;
}

static int ignore_sigchld(void *arg)
{
    signal(SIGCHLD, SIG_IGN);
    atomic_store(&thefts, 0);
    return (int)run_workers(*(unsigned *)arg, run_with_sigchld_ignored, NULL);
}

static void a212_with_sigchld_ignored_every_status_is_255(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        unsigned workers = worker_counts[i];
        child_end end;
        assert_true(run_child(ignore_sigchld, &workers, &end));
        if (end.code != 0)
            child_fail(__func__, &end);
    }
}

/* --- A213: cancelling the start ------------------------------------------------------------------------------------
 */

struct starting {
    int fd; /* the child's output */
    const char *script;
    int result; /* of the start: that of a task which was cancelled says less */
};

static intptr_t start_one(void *arg)
{
    struct starting *s = arg;
    char *argv[] = {(char *)"sh", (char *)"-c", (char *)(uintptr_t)s->script, NULL};
    sinew_process_options opt = {.in = SINEW_STDIO_PIPE, .out = s->fd, .err = SINEW_STDIO_PIPE};
    sinew_process *p;
    int r = sinew_process_spawn(&opt, argv, &p);
    if (r == 0)
        sinew_process_free(p);
    CHECK(r == 0 || p == NULL);
    s->result = r;
    return r;
}

/* The one who starts is pinned to our worker, and we do not give that up before its child runs: so the cancel finds a
 * child that has been started, and a call that has not returned. Unless the child was so quick, or our yield so slow,
 * that the call has returned before; then it is tried again. */
static bool cancel_a_started_child(void)
{
    int p[2];
    CHECK_EQ(pipe2(p, O_CLOEXEC), 0);
    struct starting s = {.fd = p[1], .script = "echo; exec sleep 1000"};
    sinew_task *t = spawn_pinned(start_one, &s);
    CHECK_EQ(sinew_yield(), 0);
    char c;
    bool in_time = !sinew_done(t);
    if (in_time) {
        CHECK_EQ(read(p[0], &c, 1), 1);
        CHECK(!sinew_done(t));
        CHECK(sinew_cancel(t));
    }
    CHECK_EQ(sinew_await(t), in_time ? -ECANCELED : 0);
    CHECK_EQ(s.result, in_time ? -ECANCELED : 0);
    close(p[1]);
    while (sinew_read(p[0], &c, 1) > 0) /* until it lives no more */
        ;
    close(p[0]);
    return in_time;
}

IN_RUNTIME_PINNED(a213_a_cancel_of_the_start_ends_the_child_that_was_started)
{
    int descriptors = count_descriptors();
    for (int tries = 1; !cancel_a_started_child(); tries++)
        if (!CHECK(tries < 1000))
            break;
    CHECK(children_gone());
    CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(count_descriptors(), descriptors);
    return 0;
}

static atomic_int holding;
static atomic_int hold;

static intptr_t hold_the_pool(void *arg)
{
    (void)arg;
    atomic_fetch_add(&holding, 1);
    while (atomic_load(&hold))
        usleep(500);
    return 0;
}

static intptr_t hold_a_thread(void *arg)
{
    return sinew_blocking_wait(hold_the_pool, arg);
}

static intptr_t cancel_in_line(void *arg)
{
    (void)arg;
    int descriptors = count_descriptors();
    atomic_store(&holding, 0);
    atomic_store(&hold, 1);
    sinew_task *holder = sinew_spawn(hold_a_thread, NULL);
    yield_until(&holding, 1);
    struct starting s = {.fd = SINEW_STDIO_PIPE, .script = "exit 0"};
    sinew_task *t = sinew_spawn(start_one, &s);
    CHECK_EQ(sinew_sleep(SINEW_MS(2)), 0);
    CHECK(sinew_cancel(t));
    CHECK_EQ(sinew_await(t), -ECANCELED);
    CHECK_EQ(s.result, -ECANCELED);
    CHECK(!has_children());
    CHECK_EQ(count_descriptors(), descriptors);
    atomic_store(&hold, 0);
    return sinew_await(holder);
}

static void a213_a_start_that_waits_for_a_thread_starts_nothing_when_cancelled(void **state)
{
    (void)state;
    int failures = atomic_load(&check_failures);
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        sinew_options opt = {.workers = worker_counts[i], .blocking_threads = 1};
        watchdog_begin(__func__, opt.workers, 50);
        assert_int_equal(sinew_run_with(&opt, cancel_in_line, NULL), 0);
        watchdog_end();
        assert_int_equal(atomic_load(&check_failures), failures);
    }
}

IN_RUNTIME(a213_cancels_at_any_moment_leave_no_child_and_no_descriptor)
{
    int descriptors = count_descriptors(), started = 0;
    for (int i = 0; i < (int)scaled(60, 20); i++) {
        struct starting s = {.fd = SINEW_STDIO_NULL, .script = "exec sleep 1000"};
        sinew_task *t = sinew_spawn(start_one, &s);
        CHECK_EQ(sinew_sleep(SINEW_US(40) * i), 0);
        sinew_cancel(t);
        intptr_t r = sinew_await(t);
        CHECK(r == 0 || r == -ECANCELED);
        started += r == 0;
    }
    CHECK(children_gone());
    CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(count_descriptors(), descriptors);
    CHECK(started < 60);
    return 0;
}

/* --- A214: handles of running children -----------------------------------------------------------------------------
 */

IN_RUNTIME(a214_a_running_child_whose_handle_is_freed_is_killed_and_reaped)
{
    int descriptors = count_descriptors(), p[2];
    CHECK_EQ(pipe2(p, O_CLOEXEC), 0);
    sinew_process *child = start_script(&(sinew_process_options){.out = p[1]}, "exec sleep 1000");
    close(p[1]);
    sinew_process_free(child);
    char c;
    CHECK_EQ(sinew_read(p[0], &c, 1), 0);
    close(p[0]);
    CHECK(children_gone());
    CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(count_descriptors(), descriptors);
    return 0;
}

static intptr_t free_at_the_end(void *arg)
{
    (void)arg;
    for (int i = 0; i < 5; i++)
        sinew_process_free(start_script(NULL, "exec sleep 1000"));
    return 8;
}

static void a214_the_run_does_not_end_before_they_are_reaped(void **state)
{
    (void)state;
    int failures = atomic_load(&check_failures);
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        watchdog_begin(__func__, worker_counts[i], 50);
        assert_int_equal(run_workers(worker_counts[i], free_at_the_end, NULL), 8);
        watchdog_end();
        assert_false(has_children());
        assert_int_equal(atomic_load(&check_failures), failures);
    }
}

TEST_MAIN(cmocka_unit_test(a206_a_child_is_fed_and_read_on_both_streams_at_once),
          cmocka_unit_test(a206_what_is_not_piped_is_null_and_what_is_empty_is_not),
          cmocka_unit_test(a207_a_child_that_closes_its_input_early_is_no_failure),
          cmocka_unit_test(a208_several_may_wait_and_cancelling_one_disturbs_nobody),
          cmocka_unit_test(a209_returncode_is_the_status_or_minus_the_signal_once_it_has_ended),
          cmocka_unit_test(a210_a_signal_to_a_child_known_to_have_ended_is_refused),
          cmocka_unit_test(a211_a_program_that_cannot_be_started_is_the_calls_error),
          cmocka_unit_test(a212_other_children_and_sigchld_are_left_alone),
          cmocka_unit_test(a212_a_status_that_somebody_else_took_is_255_with_a_warning),
          cmocka_unit_test(a212_with_sigchld_ignored_every_status_is_255),
          cmocka_unit_test(a213_a_cancel_of_the_start_ends_the_child_that_was_started),
          cmocka_unit_test(a213_a_start_that_waits_for_a_thread_starts_nothing_when_cancelled),
          cmocka_unit_test(a213_cancels_at_any_moment_leave_no_child_and_no_descriptor),
          cmocka_unit_test(a214_a_running_child_whose_handle_is_freed_is_killed_and_reaped),
          cmocka_unit_test(a214_the_run_does_not_end_before_they_are_reaped))
