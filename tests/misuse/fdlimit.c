/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: with too few file descriptors a run is refused with -EMFILE and a line on stderr, at whatever point of the
 * start they end, and gives back all it had. Method: one forked child for each limit from "none more" up to plenty; at
 * least one must be refused and one must run. Cannot see: a limit for the whole system (ENFILE).
 */
#include <errno.h>
#include <sys/resource.h>

#include <tests/support/child.h>
#include <tests/support/process.h>
#include <tests/support/run.h>
#include <tests/support/tasks.h>

struct limit {
    int more; /* descriptors left for the runtime */
    unsigned workers;
};

enum { RAN = 3, REFUSED = 4 };

static intptr_t little_work(void *arg)
{
    (void)arg;
    CHECK_EQ(sinew_await(sinew_spawn(return_arg, (void *)4)), 4);
    CHECK_EQ(sinew_sleep(SINEW_US(10)), 0);
    return 5;
}

static int run_under_limit(void *arg)
{
    const struct limit *l = arg;
    struct rlimit now, before;
    int descriptors = count_descriptors(), threads = count_threads_before();
    int lowest_free = dup(STDERR_FILENO);
    close(lowest_free);
    getrlimit(RLIMIT_NOFILE, &before);
    now = before;
    now.rlim_cur = (rlim_t)(lowest_free + l->more);
    setrlimit(RLIMIT_NOFILE, &now);
    intptr_t r = run_workers(l->workers, little_work, NULL);
    setrlimit(RLIMIT_NOFILE, &before);
    CHECK(r == 5 || r == -EMFILE);
    CHECK_EQ(count_descriptors(), descriptors);
    CHECK_EQ(count_threads_settled(threads), threads);
    /* The refusal leaves nothing behind that would hinder the next run. */
    CHECK_EQ(run_workers(l->workers, little_work, NULL), 5);
    return r == 5 ? RAN : REFUSED;
}

static void too_few_descriptors_give_emfile_and_leak_none(void **state)
{
    (void)state;
    int ran = 0, refused = 0;
    for (unsigned workers = 1; workers <= 4; workers += 3) {
        for (int more = 0; more <= 24; more++) {
            struct limit l = {more, workers};
            child_end end;
            assert_true(run_child(run_under_limit, &l, &end));
            if (end.code == RAN) {
                ran++;
            } else if (end.code == REFUSED) {
                refused++;
                if (!strstr(end.err, "sinew") || !strchr(end.err, '\n'))
                    child_fail("a refusal is told", &end);
            } else {
                fprintf(stderr, "%u workers, %d more descriptors\n", workers, more);
                child_fail("neither ran nor refused", &end);
            }
        }
    }
    print_message("%d runs refused, %d ran\n", refused, ran);
    assert_true(ran > 0);
    assert_true(refused > 0);
}

TEST_MAIN(cmocka_unit_test(too_few_descriptors_give_emfile_and_leak_none))
