/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what a child is given (descriptors, environment, directory, signals, group) is what the options say; its pipes;
 * communicate that is cut short; calls that are wrong. The rules of subprocesses are in conformance/processes.c.
 * Method: shell scripts that tell what they see, and /proc.
 * Cannot see: kernels without pidfd, but for a seccomp filter that answers like one.
 */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/syscall.h>

#include <tests/support/child.h>
#include <tests/support/children.h>
#include <tests/support/files.h>
#include <tests/support/process.h>
#include <tests/support/run.h>
#include <tests/support/tasks.h>

/* --- what the child gets --------------------------------------------------------------------------------------------
 */

static void expect_output(const sinew_process_options *opt, const char *script, const char *expected)
{
    char *text = output_of(opt, script);
    CHECK_STRING(text, expected);
    free(text);
}

IN_RUNTIME(environment_and_directory_are_those_given)
{
    char *env[] = {(char *)"A=1", (char *)"B=two words", NULL};
    setenv("FROM_PARENT", "yes", 1);
    expect_output(NULL, "echo $FROM_PARENT", "yes\n");
    expect_output(&(sinew_process_options){.env = env}, "echo $A-$B-$FROM_PARENT", "1-two words-\n");
    expect_output(&(sinew_process_options){.directory = "/"}, "pwd", "/\n");
    return 0;
}

IN_RUNTIME(the_program_is_searched_for_unless_told_otherwise)
{
    char *argv[] = {(char *)"another name", (char *)"-c", (char *)"echo $0", NULL};
    sinew_process_options opt = {.program = "sh", .out = SINEW_STDIO_PIPE};
    sinew_process *p;
    sinew_process_output o;
    CHECK_EQ(sinew_process_spawn(&opt, argv, &p), 0);
    CHECK_EQ(sinew_process_communicate(p, NULL, 0, &o), 0);
    CHECK_STRING((char *)o.out, "another name\n");
    free(o.out);
    sinew_process_free(p);
    opt.no_search = true;
    CHECK_EQ(sinew_process_spawn(&opt, argv, &p), -ENOENT);
    opt.program = "/bin/sh";
    CHECK_EQ(sinew_process_spawn(&opt, argv, &p), 0);
    CHECK_EQ(sinew_process_communicate(p, NULL, 0, &o), 0);
    free(o.out);
    sinew_process_free(p);
    return 0;
}

IN_RUNTIME(standard_streams_go_where_they_are_told)
{
    expect_output(&(sinew_process_options){.err = SINEW_STDIO_STDOUT}, "echo a; echo b >&2", "a\nb\n");
    expect_output(&(sinew_process_options){.in = SINEW_STDIO_NULL, .err = SINEW_STDIO_NULL},
                  "cat; echo lost >&2; readlink /proc/self/fd/0", "/dev/null\n");
    int p[2], q[2];
    CHECK_EQ(pipe2(p, O_CLOEXEC), 0);
    CHECK_EQ(pipe2(q, O_CLOEXEC), 0);
    CHECK_EQ(write(q[1], "input", 5), 5);
    close(q[1]);
    sinew_process *child =
        start_script(&(sinew_process_options){.in = q[0], .out = p[1], .err = p[1]}, "cat; echo error >&2");
    close(p[1]);
    close(q[0]);
    char text[64] = "";
    ssize_t n, length = 0;
    while ((n = sinew_read(p[0], text + length, sizeof text - 1 - (size_t)length)) > 0)
        length += n;
    CHECK_STRING(text, "inputerror\n");
    close(p[0]);
    CHECK_EQ(sinew_process_wait(child, NULL), 0);
    CHECK_EQ(sinew_process_stdin(child), -EBADF);
    CHECK_EQ(sinew_process_take(child, STDOUT_FILENO), -EBADF);
    sinew_process_free(child);
    return 0;
}

/* The child's descriptors 3, 4, ...: also ones that lie where others are to be put, and one that is given twice. */
IN_RUNTIME(descriptors_are_passed_in_order_and_no_others)
{
    enum { N = 6 };
    int p[2], fds[N], plain = open("/dev/null", O_RDONLY); /* would be inherited by exec */
    CHECK_EQ(pipe2(p, O_CLOEXEC), 0);
    char script[] = "for i in 3 4 5 6 7 8; do cat <&$i; done; ls /proc/self/fd | wc -l";
    for (int i = 0; i < N; i++) {
        int fd = temporary_file(O_CLOEXEC);
        CHECK(dprintf(fd, "%d", i) == 1 && lseek(fd, 0, SEEK_SET) == 0);
        fds[N - 1 - i] = fd; /* the lowest numbers are wanted at the highest */
    }
    /* ls has a directory open beside 0, 1, 2, and our six */
    sinew_process_options opt = {.fds = fds, .fds_count = N, .err = SINEW_STDIO_NULL};
    expect_output(&opt, script, "54321010\n");
    for (int i = 0; i < N; i++)
        close(fds[i]);
    int twice[] = {p[1], p[1]};
    opt = (sinew_process_options){.fds = twice, .fds_count = 2};
    sinew_process *child = start_script(&opt, "echo a >&3; echo b >&4");
    close(p[1]);
    char text[8] = "";
    CHECK_EQ(sinew_process_wait(child, NULL), 0);
    CHECK_EQ(read(p[0], text, sizeof text), 4);
    CHECK_STRING(text, "a\nb\n");
    sinew_process_free(child);
    close(p[0]);
    close(plain);
    return 0;
}

IN_RUNTIME(signals_are_unblocked_and_have_their_default_actions)
{
    /* posix_spawn ignores the two signals of the C library, 32 and 33, in the child */
    const char *script = "grep -E 'SigBlk|SigIgn' /proc/self/status | cut -f2 | sed s/180000/000000/ | sort -u";
    signal(SIGUSR1, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    expect_output(NULL, script, "0000000000000000\n");
    expect_output(&(sinew_process_options){.keep_ignored = true}, script, "0000000000000000\n0000000000000201\n");
    signal(SIGUSR1, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    return 0;
}

IN_RUNTIME(groups_and_sessions_are_those_asked_for)
{
    sinew_process_options piped = {.in = SINEW_STDIO_PIPE};
    sinew_process *inherits = start_script(&piped, "exec cat");
    piped.group = -1;
    sinew_process *leads = start_script(&piped, "exec cat");
    piped.group = sinew_process_pid(leads);
    sinew_process *joins = start_script(&piped, "exec cat");
    piped.group = 0;
    piped.new_session = true;
    sinew_process *session = start_script(&piped, "exec cat");
    CHECK_EQ(getpgid(sinew_process_pid(inherits)), getpgrp());
    CHECK_EQ(getpgid(sinew_process_pid(leads)), sinew_process_pid(leads));
    CHECK_EQ(getpgid(sinew_process_pid(joins)), sinew_process_pid(leads));
    CHECK_EQ(getsid(sinew_process_pid(joins)), getsid(0));
    CHECK_EQ(getsid(sinew_process_pid(session)), sinew_process_pid(session));
    sinew_process_free(inherits);
    sinew_process_free(leads);
    sinew_process_free(joins);
    sinew_process_free(session);
    CHECK(children_gone());
    return 0;
}

/* --- pipes ----------------------------------------------------------------------------------------------------------
 */

IN_RUNTIME(pipes_are_read_and_written_by_the_program_itself)
{
    sinew_process_options opt = {.in = SINEW_STDIO_PIPE, .out = SINEW_STDIO_PIPE};
    sinew_process *p = start_script(&opt, "exec cat");
    char text[8] = "";
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(sinew_write(sinew_process_stdin(p), "ping\n", 5), 5);
        CHECK_EQ(sinew_read(sinew_process_stdout(p), text, sizeof text), 5);
        CHECK_STRING(text, "ping\n");
    }
    CHECK_EQ(sinew_process_stderr(p), -EBADF);
    int out = sinew_process_take(p, STDOUT_FILENO);
    CHECK(out >= 0);
    CHECK_EQ(sinew_process_stdout(p), -EBADF);
    CHECK_EQ(sinew_close(sinew_process_take(p, STDIN_FILENO)), 0);
    CHECK_EQ(sinew_read(out, text, sizeof text), 0);
    CHECK_EQ(sinew_process_wait(p, NULL), 0);
    sinew_process_free(p);
    CHECK_EQ(sinew_close(out), 0); /* was ours */
    return 0;
}

/* --- communicate that is cut short -----------------------------------------------------------------------------------
 */

enum { MUCH = 300000 };

struct talk {
    sinew_process *process;
    const char *input;
    sinew_process_output output;
};

static intptr_t communicate(void *arg)
{
    struct talk *t = arg;
    return sinew_process_communicate(t->process, t->input, t->input ? MUCH : 0, &t->output);
}

/* The child's first half is read before the cancel, and the second call returns both. */
IN_RUNTIME(a_cancelled_communicate_goes_on_where_it_was_cut)
{
    static char input[MUCH];
    for (size_t i = 0; i < MUCH; i++)
        input[i] = (char)('A' + i % 19);
    int hold[2], told[2];
    CHECK_EQ(pipe2(hold, O_CLOEXEC), 0);
    CHECK_EQ(pipe2(told, O_CLOEXEC), 0);
    int fds[] = {hold[0], told[1]};
    sinew_process_options opt = {.in = SINEW_STDIO_PIPE, .out = SINEW_STDIO_PIPE, .fds = fds, .fds_count = 2};
    struct talk t = {.process = start_script(&opt, "head -c 100000; echo >&4; cat <&3; cat"), .input = input};
    close(hold[0]);
    close(told[1]);
    sinew_task *task = sinew_spawn(communicate, &t);
    char c;
    CHECK_EQ(sinew_read(told[0], &c, 1), 1);
    struct talk other = t;
    CHECK_EQ(communicate(&other), -EBUSY);
    CHECK(sinew_cancel(task));
    CHECK_EQ(sinew_await(task), -ECANCELED);
    CHECK(t.output.out == NULL);
    CHECK_EQ(sinew_process_returncode(t.process), SINEW_PROCESS_RUNNING);
    int flags = fcntl(sinew_process_stdin(t.process), F_GETFL);
    CHECK(flags >= 0 && !(flags & O_NONBLOCK));
    sinew_timeout limit;
    sinew_timeout_begin(&limit, SINEW_MS(3));
    CHECK_EQ(communicate(&t), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&limit), -ETIMEDOUT);
    close(hold[1]);
    CHECK_EQ(communicate(&t), 0);
    CHECK_EQ(t.output.returncode, 0);
    CHECK_EQ(t.output.out_length, MUCH);
    CHECK(t.output.out_length == MUCH && memcmp(t.output.out, input, MUCH) == 0);
    free(t.output.out);
    CHECK_EQ(communicate(&t), 0); /* once more: nothing is left, and the input has been fed */
    CHECK(t.output.out == NULL);
    sinew_process_free(t.process);
    close(told[0]);
    return 0;
}

IN_RUNTIME(too_much_output_is_an_error)
{
    sinew_process_options opt = {.out = SINEW_STDIO_PIPE, .err = SINEW_STDIO_PIPE, .output_max = 5000};
    struct talk t = {.process = start_script(&opt, "cat /dev/zero")};
    CHECK_EQ(communicate(&t), -EMSGSIZE);
    CHECK(t.output.out == NULL);
    sinew_process_free(t.process);
    t.process = start_script(&opt, "head -c 5000 /dev/zero >&2");
    CHECK_EQ(communicate(&t), 0);
    CHECK_EQ(t.output.err_length, 5000);
    free(t.output.out);
    free(t.output.err);
    sinew_process_free(t.process);
    return 0;
}

/* --- handles ---------------------------------------------------------------------------------------------------------
 */

static intptr_t wait_for_code(void *arg)
{
    int code = -1000;
    int r = sinew_process_wait(arg, &code);
    return r < 0 ? r : code;
}

IN_RUNTIME(who_waits_sees_the_end_of_a_child_whose_handle_is_freed)
{
    sinew_process *p = start_script(&(sinew_process_options){.in = SINEW_STDIO_PIPE}, "exec cat");
    sinew_task *waiter = spawn_eager(wait_for_code, p);
    sinew_process_free(p);
    CHECK_EQ(sinew_await(waiter), -SIGKILL);
    return 0;
}

static intptr_t start_and_keep(void *arg)
{
    *(sinew_process **)arg = start_script(&(sinew_process_options){.out = SINEW_STDIO_NULL}, "exec sleep 1000");
    return 0;
}

static intptr_t wait_elsewhere(void *arg)
{
    CHECK_EQ(sinew_process_terminate(arg), 0);
    return wait_for_code(arg);
}

static void a_handle_outlives_its_runtime(void **state)
{
    (void)state;
    int failures = atomic_load(&check_failures);
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        sinew_process *kept[2];
        assert_int_equal(run_workers(worker_counts[i], start_and_keep, &kept[0]), 0);
        assert_int_equal(run_workers(worker_counts[i], start_and_keep, &kept[1]), 0);
        assert_int_equal(sinew_process_returncode(kept[0]), SINEW_PROCESS_RUNNING);
        assert_int_equal(sinew_process_wait(kept[0], NULL), -EPERM);
        assert_int_equal(run_workers(worker_counts[i], wait_elsewhere, kept[0]), -SIGTERM);
        sinew_process_free(kept[0]);
        sinew_process_free(kept[1]); /* blocks until it is reaped */
        assert_false(has_children());
    }
    assert_int_equal(atomic_load(&check_failures), failures);
}

IN_RUNTIME(many_at_once)
{
    enum { N = 30 };
    sinew_process *p[N];
    sinew_task *tasks[N];
    intptr_t codes[N];
    int descriptors = count_descriptors();
    for (int i = 0; i < N; i++) {
        char script[32];
        snprintf(script, sizeof script, "exit %d", i);
        p[i] = start_script(NULL, script);
        tasks[i] = sinew_spawn(wait_for_code, p[i]);
    }
    CHECK_EQ(sinew_gather(tasks, N, codes), 0);
    for (int i = 0; i < N; i++) {
        CHECK_EQ(codes[i], i);
        sinew_process_free(p[i]);
    }
    CHECK(!has_children());
    CHECK_EQ(count_descriptors(), descriptors);
    return 0;
}

/* --- what is wrong ---------------------------------------------------------------------------------------------------
 */

IN_RUNTIME(wrong_arguments_are_refused)
{
    char *argv[] = {(char *)"true", NULL}, *none[] = {NULL};
    sinew_process *p = (void *)1;
    sinew_process_output o;
    CHECK_EQ(sinew_process_spawn(NULL, argv, NULL), -EINVAL);
    CHECK_EQ(sinew_process_spawn(NULL, NULL, &p), -EINVAL);
    CHECK(p == NULL);
    CHECK_EQ(sinew_process_spawn(NULL, none, &p), -EINVAL);
    const int minus[] = {-1};
    const sinew_process_options wrong[] = {
        {.in = SINEW_STDIO_STDOUT}, {.out = SINEW_STDIO_STDOUT},   {.err = -4}, {.group = -2},
        {.fds_count = 1},           {.fds = minus, .fds_count = 1}};
    int descriptors = count_descriptors();
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        CHECK_EQ(sinew_process_spawn(&wrong[i], argv, &p), -EINVAL);
    CHECK_EQ(sinew_process_spawn(&(sinew_process_options){.in = SINEW_STDIO_PIPE, .err = -4}, argv, &p), -EINVAL);
    CHECK_EQ(count_descriptors(), descriptors);
    CHECK_EQ(sinew_process_pid(NULL), -EINVAL);
    CHECK_EQ(sinew_process_returncode(NULL), SINEW_PROCESS_RUNNING);
    CHECK_EQ(sinew_process_wait(NULL, NULL), -EINVAL);
    CHECK_EQ(sinew_process_signal(NULL, 0), -EINVAL);
    CHECK_EQ(sinew_process_terminate(NULL), -EINVAL);
    CHECK_EQ(sinew_process_kill(NULL), -EINVAL);
    CHECK_EQ(sinew_process_stdin(NULL), -EBADF);
    CHECK_EQ(sinew_process_take(NULL, 0), -EINVAL);
    CHECK_EQ(sinew_process_communicate(NULL, NULL, 0, &o), -EINVAL);
    sinew_process_free(NULL);
    CHECK_EQ(sinew_process_spawn(NULL, argv, &p), 0);
    CHECK_EQ(sinew_process_take(p, 3), -EINVAL);
    CHECK_EQ(sinew_process_take(p, -1), -EINVAL);
    CHECK_EQ(sinew_process_signal(p, -1), -EINVAL);
    CHECK_EQ(sinew_process_communicate(p, NULL, 0, NULL), -EINVAL);
    CHECK_EQ(sinew_process_communicate(p, NULL, 1, &o), -EINVAL);
    CHECK_EQ(sinew_process_communicate(p, "x", 1, &o), -EINVAL); /* its input is not ours */
    CHECK_EQ(sinew_process_wait(p, NULL), 0);
    sinew_process_free(p);
    return 0;
}

static void outside_of_a_task_nothing_starts(void **state)
{
    (void)state;
    char *argv[] = {(char *)"true", NULL};
    sinew_process *p = (void *)1;
    assert_int_equal(sinew_process_spawn(NULL, argv, &p), -EPERM);
    assert_null(p);
}

#if defined(__x86_64__)
#define THIS_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define THIS_ARCH AUDIT_ARCH_AARCH64
#else
#error "which architecture is this for seccomp?"
#endif

enum { NO_FILTER = 7 };

static intptr_t start_without_pidfd(void *arg)
{
    char *argv[] = {(char *)"true", NULL};
    sinew_process *p;
    for (int i = 0; i < 2; i++)
        CHECK_EQ(sinew_process_spawn(NULL, argv, &p), -ENOSYS);
    CHECK(!has_children());
    return (intptr_t)arg;
}

static int run_without_pidfd(void *arg)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, THIS_ARCH, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_open, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof filter[0], .filter = filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        return NO_FILTER;
    return (int)run_workers(2, start_without_pidfd, arg);
}

static void a_kernel_without_pidfd_is_told_of(void **state)
{
    (void)state;
    child_end end;
    assert_true(run_child(run_without_pidfd, NULL, &end));
    if (end.code == NO_FILTER) {
        print_message("seccomp filters are refused here (valgrind, or no permission): not tested\n");
        skip();
    }
    if (end.code != 0 || !strstr(end.err, "pidfd_open"))
        child_fail("-ENOSYS and a sentence about pidfd_open", &end);
}

TEST_MAIN(cmocka_unit_test(a_kernel_without_pidfd_is_told_of), /* first: it is asked once in a process */
          cmocka_unit_test(outside_of_a_task_nothing_starts), cmocka_unit_test(wrong_arguments_are_refused),
          cmocka_unit_test(environment_and_directory_are_those_given),
          cmocka_unit_test(the_program_is_searched_for_unless_told_otherwise),
          cmocka_unit_test(standard_streams_go_where_they_are_told),
          cmocka_unit_test(descriptors_are_passed_in_order_and_no_others),
          cmocka_unit_test(signals_are_unblocked_and_have_their_default_actions),
          cmocka_unit_test(groups_and_sessions_are_those_asked_for),
          cmocka_unit_test(pipes_are_read_and_written_by_the_program_itself),
          cmocka_unit_test(a_cancelled_communicate_goes_on_where_it_was_cut),
          cmocka_unit_test(too_much_output_is_an_error),
          cmocka_unit_test(who_waits_sees_the_end_of_a_child_whose_handle_is_freed),
          cmocka_unit_test(a_handle_outlives_its_runtime), cmocka_unit_test(many_at_once))
