/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a task that uses up its stack ends the process with a report that names the task and the size of its stack,
 * not with a bare crash or, worse, with a neighbour's memory overwritten.
 * Method: forked children that recurse with frames smaller than a page, in tasks that run in place, on stacks of their
 * own, with sizes of their own, and on every worker count. Address-sanitizer builds may report in its words instead.
 * Cannot see: frames that step over the guard, which only the compiler option for stack clashes prevents.
 */
#include <errno.h>
#include <limits.h>
#include <sys/mman.h>

#include <tests/support/child.h>
#include <tests/support/run.h>
#include <tests/support/tasks.h>

/* Volatile: the compiler cannot know that it is never reached. */
static volatile int depth_max = INT_MAX;

__attribute__((noinline)) static int dive(int depth)
{
    if (depth == depth_max)
        return 0;
    volatile char frame[600];
    frame[0] = (char)depth;
    frame[599] = (char)depth;
    /* Something is left to do after the call, so that it is none in tail position. */
    return dive(depth + 1) + frame[depth % 600];
}

static intptr_t dive_for_ever(void *arg)
{
    (void)arg;
    return dive(1);
}

static intptr_t trim_and_dive(void *arg)
{
    dive(depth_max - 50); /* some 30 KiB */
    if (sinew_stack_trim() != 0)
        return 0;
    return dive_for_ever(arg);
}

struct plan {
    unsigned workers;
    size_t stack_bytes;
    bool started_elsewhere, pinned, trimmed;
};

static intptr_t send_a_diver(void *arg)
{
    const struct plan *p = arg;
    sinew_spawn_options opt = {.name = "deep-diver", .stack_bytes = p->stack_bytes, .pinned = p->pinned};
    sinew_task *t = sinew_spawn_with(&opt, p->trimmed ? trim_and_dive : dive_for_ever, NULL);
    if (p->started_elsewhere)
        yield_until_done(t);
    return sinew_await(t);
}

static int run_a_diver(void *arg)
{
    const struct plan *p = arg;
    run_workers(p->workers, send_a_diver, arg);
    return 1;
}

/* The size may be written in bytes or in KiB. */
static bool names_size(const char *text, size_t bytes)
{
    char in_bytes[32], in_kib[32];
    snprintf(in_bytes, sizeof in_bytes, "%zu", bytes);
    snprintf(in_kib, sizeof in_kib, "%zu K", bytes >> 10);
    return strstr(text, in_bytes) || strstr(text, in_kib);
}

static void expect_report(const struct plan *plan)
{
    child_end end;
    struct plan copy = *plan;
    size_t size = plan->stack_bytes ? plan->stack_bytes : SINEW_STACK_BYTES_DEFAULT;
    assert_true(run_child(run_a_diver, &copy, &end));
    bool died = end.signal != 0 || (end.code != 0 && end.code != 1);
    bool told = strstr(end.err, "deep-diver") && strstr(end.err, "stack") && names_size(end.err, size);
    if (SN_ASAN && strstr(end.err, "stack-overflow"))
        told = true;
    if (!died || !told)
        child_fail("an overflow must end the process and name \"deep-diver\" and its size", &end);
}

static void an_overflow_names_the_task_and_its_size(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++)
        expect_report(&(struct plan){.workers = worker_counts[i], .started_elsewhere = true});
}

static void an_overflow_of_a_task_that_runs_in_place_names_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++)
        expect_report(&(struct plan){.workers = worker_counts[i]});
}

static void an_overflow_of_a_stack_with_its_own_size_names_that_size(void **state)
{
    (void)state;
    expect_report(&(struct plan){.workers = 2, .stack_bytes = (size_t)256 << 10, .started_elsewhere = true});
    expect_report(&(struct plan){.workers = 2, .stack_bytes = (size_t)1 << 20});
}

static void an_overflow_of_a_pinned_task_names_it(void **state)
{
    (void)state;
    expect_report(&(struct plan){.workers = 2, .pinned = true, .started_elsewhere = true});
}

static void a_trimmed_stack_still_has_its_guard(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++)
        expect_report(&(struct plan){.workers = worker_counts[i], .trimmed = true, .started_elsewhere = true});
    expect_report(&(struct plan){.workers = 2, .trimmed = true, .stack_bytes = (size_t)256 << 10});
}

/* Below a deep chain of awaits the stack is one of several: the innermost task is the one to name. */
static intptr_t chain_to_diver(void *arg)
{
    intptr_t left = (intptr_t)arg;
    if (left == 0)
        return sinew_await(spawn_named("deep-diver", dive_for_ever, NULL));
    return sinew_await(sinew_spawn(chain_to_diver, (void *)(left - 1)));
}

static int run_a_chain(void *arg)
{
    run_workers(*(unsigned *)arg, chain_to_diver, (void *)50);
    return 1;
}

static void an_overflow_at_the_end_of_a_chain_names_the_innermost_task(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        unsigned workers = worker_counts[i];
        child_end end;
        assert_true(run_child(run_a_chain, &workers, &end));
        bool told = strstr(end.err, "deep-diver") || (SN_ASAN && strstr(end.err, "stack-overflow"));
        if ((end.signal == 0 && end.code == 1) || !told)
            child_fail("the innermost task must be named", &end);
    }
}

static intptr_t crash(void *arg)
{
    (void)arg;
    volatile int *forbidden = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *forbidden = 1;
    return 0;
}

enum { SURVIVED = 77 };

static int run_a_crash(void *arg)
{
    (void)arg;
    run_workers(2, crash, NULL);
    return SURVIVED;
}

/* A fault elsewhere is not taken for an overflow, and keeps its meaning. */
static void another_fault_is_not_called_an_overflow(void **state)
{
    (void)state;
    child_end end;
    assert_true(run_child(run_a_crash, NULL, &end));
    if (end.signal != SIGSEGV && !under_sanitizer())
        child_fail("a fault must stay SIGSEGV", &end);
    if (end.code == SURVIVED || strstr(end.err, "overflow"))
        child_fail("a fault was called an overflow", &end);
}

TEST_MAIN(cmocka_unit_test(an_overflow_names_the_task_and_its_size),
          cmocka_unit_test(an_overflow_of_a_task_that_runs_in_place_names_it),
          cmocka_unit_test(an_overflow_of_a_stack_with_its_own_size_names_that_size),
          cmocka_unit_test(an_overflow_of_a_pinned_task_names_it),
          cmocka_unit_test(a_trimmed_stack_still_has_its_guard),
          cmocka_unit_test(an_overflow_at_the_end_of_a_chain_names_the_innermost_task),
          cmocka_unit_test(another_fault_is_not_called_an_overflow))
