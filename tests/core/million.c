/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a million tasks are parked at once, with stacks of the default size, in at most 5 GiB of memory.
 * Method: each waits at one semaphore with a mark on its stack; the resident size is read when all have arrived; then
 * all are let through, and each finds its mark. Two workers; the number shrinks with the memory that is free, and says
 * so. Cannot see: kernel memory beside page tables, which /proc does not charge to the process.
 */
#include <errno.h>
#include <stdlib.h>

#include <tests/support/process.h>
#include <tests/support/run.h>
#include <tests/support/tasks.h>

#define BYTES_PER_TASK_MAX (((uint64_t)5 << 30) / 1000000)

static sinew_sem gate_sem;
static atomic_int parked, marks_wrong;

static intptr_t park(void *arg)
{
    volatile intptr_t mark = (intptr_t)arg ^ 0x5a5a;
    atomic_fetch_add_explicit(&parked, 1, memory_order_relaxed);
    int r = sinew_sem_wait(&gate_sem);
    if (mark != ((intptr_t)arg ^ 0x5a5a))
        atomic_fetch_add(&marks_wrong, 1);
    return r < 0 ? r : 1;
}

static size_t tasks_that_fit(void)
{
    size_t n = scaled(1000000, SN_TSAN ? 2000 : 10000);
    uint64_t room = available_bytes() / 10 * 8;
    if (room < n * BYTES_PER_TASK_MAX) {
        n = (size_t)(room / BYTES_PER_TASK_MAX);
        print_message("only %zu tasks: not enough memory is free for a million\n", n);
    }
    return n;
}

static intptr_t park_a_million(void *arg)
{
    size_t n = tasks_that_fit();
    bool by_cancel = arg != NULL;
    sinew_sem_init(&gate_sem, 0);
    atomic_store(&parked, 0);
    uint64_t before = resident_bytes();
    sinew_task **tasks = malloc(n * sizeof(sinew_task *));
    size_t refused = 0;
    for (size_t i = 0; i < n; i++) {
        tasks[i] = sinew_spawn(park, (void *)(intptr_t)i);
        refused += tasks[i] == NULL;
        /* Let them park in between, so that the run queue stays short. */
        if (i % 1024 == 1023)
            sinew_yield();
    }
    CHECK_EQ(refused, 0);
    yield_until(&parked, (int)(n - refused));
    uint64_t used = resident_bytes() - before;
    print_message("%zu parked tasks: %.2f GiB resident, %llu bytes each\n", n, (double)used / (double)(1 << 30),
                  (unsigned long long)(used / n));
    if (!slowed_down())
        CHECK(used <= n * BYTES_PER_TASK_MAX);
    sinew_stats stats;
    CHECK_EQ(sinew_get_stats(&stats), 0);
    CHECK(stats.stacks_live >= n - refused);
    intptr_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (by_cancel)
            sinew_cancel(tasks[i]);
        else
            sinew_sem_post(&gate_sem);
    }
    for (size_t i = 0; i < n; i++)
        sum += sinew_await(tasks[i]);
    CHECK_EQ(sum, by_cancel ? (intptr_t)n * -ECANCELED : (intptr_t)n);
    CHECK_EQ(marks_wrong, 0);
    free(tasks);
    return 0;
}

static void a_million_tasks_park_and_resume(void **state)
{
    (void)state;
    run_body("a_million_tasks_park_and_resume", 2, park_a_million, NULL);
}

static void a_million_parked_tasks_are_cancelled(void **state)
{
    (void)state;
    run_body("a_million_parked_tasks_are_cancelled", 2, park_a_million, "");
}

TEST_MAIN(cmocka_unit_test(a_million_tasks_park_and_resume), cmocka_unit_test(a_million_parked_tasks_are_cancelled))
