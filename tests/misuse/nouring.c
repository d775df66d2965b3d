/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: where io_uring is forbidden or missing, a run is refused with -ENOSYS and one sentence that says what to do.
 * Method: a forked child installs a seccomp filter that answers io_uring_setup with EPERM or ENOSYS, as containers
 * and old kernels do, and tries to run.
 * Cannot see: kernels that have io_uring but lack an operation.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <tests/support/child.h>
#include <tests/support/process.h>
#include <tests/support/run.h>
#include <tests/support/tasks.h>

#if defined(__x86_64__)
#define THIS_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define THIS_ARCH AUDIT_ARCH_AARCH64
#else
#error "which architecture is this for seccomp?"
#endif

/* Answers system call `number` with `code`; all others pass. False: refused. */
static bool forbid(unsigned number, unsigned code)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, THIS_ARCH, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (code & SECCOMP_RET_DATA)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof filter[0], .filter = filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

enum { NO_FILTER = 7 };

static int run_without_uring(void *arg)
{
    int descriptors = count_descriptors(), threads = count_threads_before();
    if (!forbid(SYS_io_uring_setup, *(unsigned *)arg))
        return NO_FILTER;
    CHECK_EQ(run_workers(2, return_arg, (void *)5), -ENOSYS);
    CHECK_EQ(run_workers(1, return_arg, (void *)5), -ENOSYS);
    CHECK_EQ(count_descriptors(), descriptors);
    CHECK_EQ(count_threads_settled(threads), threads);
    return 0;
}

static void forbidden_io_uring_gives_enosys_and_a_sentence(void **state)
{
    (void)state;
    static const unsigned codes[] = {EPERM, ENOSYS};
    for (size_t i = 0; i < 2; i++) {
        unsigned code = codes[i];
        child_end end;
        assert_true(run_child(run_without_uring, &code, &end));
        if (end.code == NO_FILTER) {
            print_message("seccomp filters are refused here (valgrind, or no permission): not tested\n");
            skip();
        }
        if (end.code != 0 || !strstr(end.err, "io_uring"))
            child_fail("-ENOSYS and a sentence about io_uring", &end);
    }
}

TEST_MAIN(cmocka_unit_test(forbidden_io_uring_gives_enosys_and_a_sentence))
