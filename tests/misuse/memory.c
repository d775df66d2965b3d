/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: when the kernel refuses memory, runs and spawns say so (-ENOMEM, -EAGAIN for a thread, NULL for a task), and
 * everything that has begun still ends.
 * Method: forked children under address-space limits that end at every stage: before the start, in it, among the
 * descriptors, among the stacks.
 * Cannot see: the out-of-memory killer. Not possible under sanitizers or valgrind, whose shadows need the address
 * space.
 */
#include <errno.h>
#include <sys/resource.h>

#include <tests/support/child.h>
#include <tests/support/process.h>
#include <tests/support/run.h>
#include <tests/support/tasks.h>

struct plan {
    unsigned workers;
    size_t room; /* bytes of address space beyond what is in use */
};

enum { RAN = 3, REFUSED = 4, TASKS = 20000 };

static sinew_sem gate_sem;
static sinew_task *tasks[TASKS];
static intptr_t results[TASKS];

static intptr_t park(void *arg)
{
    (void)arg;
    int r = sinew_sem_wait(&gate_sem);
    return r < 0 ? r : 1;
}

static intptr_t spawn_beyond_memory(void *arg)
{
    (void)arg;
    sinew_sem_init(&gate_sem, 0);
    int refused = 0, ran = 0, without_stack = 0;
    for (int i = 0; i < TASKS; i++) {
        tasks[i] = sinew_spawn(park, NULL);
        refused += tasks[i] == NULL;
        if (i % 64 == 0)
            sinew_yield();
    }
    for (int i = 0; i < TASKS; i++)
        sinew_sem_post(&gate_sem);
    for (int i = 0; i < TASKS; i++) {
        results[i] = sinew_await(tasks[i]);
        if (results[i] == 1)
            ran++;
        else if (results[i] == -ENOMEM)
            without_stack++;
        else if (tasks[i] || results[i] != -EINVAL)
            CHECK_EQ(results[i], 1);
    }
    CHECK_EQ(ran + without_stack + refused, TASKS);
    fprintf(stderr, "%d ran, %d got no stack, %d were refused\n", ran, without_stack, refused);
    return 5;
}

static int run_in_little_memory(void *arg)
{
    const struct plan *p = arg;
    struct rlimit before, now;
    int descriptors = count_descriptors(), threads = count_threads_before();
    getrlimit(RLIMIT_AS, &before);
    now = before;
    now.rlim_cur = address_space_bytes() + p->room;
    setrlimit(RLIMIT_AS, &now);
    intptr_t r = run_workers(p->workers, spawn_beyond_memory, NULL);
    setrlimit(RLIMIT_AS, &before);
    CHECK(r == 5 || r == -ENOMEM || r == -EAGAIN);
    CHECK_EQ(count_descriptors(), descriptors);
    CHECK_EQ(count_threads_settled(threads), threads);
    CHECK_EQ(run_workers(p->workers, return_arg, (void *)6), 6);
    return r == 5 ? RAN : REFUSED;
}

static void refused_memory_gives_errors_and_no_crash(void **state)
{
    (void)state;
    if (slowed_down()) {
        print_message("address-space limits are not possible under a sanitizer or valgrind: not tested\n");
        skip();
    }
    int ran = 0, refused = 0;
    for (unsigned workers = 1; workers <= 4; workers += 3) {
        for (size_t kib = 0; kib <= (size_t)2 << 20; kib = kib ? kib * 3 / 2 : 64) {
            struct plan p = {workers, kib << 10};
            child_end end;
            assert_true(run_child(run_in_little_memory, &p, &end));
            if (end.code != RAN && end.code != REFUSED) {
                fprintf(stderr, "%u workers, %zu KiB of room\n", workers, kib);
                child_fail("neither ran nor refused", &end);
            }
            ran += end.code == RAN;
            refused += end.code == REFUSED;
        }
    }
    print_message("%d runs refused, %d ran\n", refused, ran);
    assert_true(ran > 0);
    assert_true(refused > 0);
}

TEST_MAIN(cmocka_unit_test(refused_memory_gives_errors_and_no_crash))
