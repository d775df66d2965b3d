/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: sinew_stack_trim gives back what calls that have returned had touched of a stack, and nothing else.
 * Method: tasks that go deep and come back, with patterns in the frames that stay; mincore(2) says which pages are
 * there. Also on a stack that the task did not begin on top of (in place), again and again, and with other tasks that
 * wait. misuse/overflow tests that the guard is still there. Cannot see: which byte of the page with the caller's frame
 * is in use.
 */
#include <errno.h>
#include <sys/mman.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

enum { PAGE = 4096, PAGES = 8, DEPTH = PAGES * PAGE };

#if SN_ASAN
#define ON_THE_STACK __attribute__((noinline, no_sanitize("address"))) /* or the frame would lie elsewhere */
#else
#define ON_THE_STACK __attribute__((noinline))
#endif

/* Touches DEPTH bytes below the caller. */
ON_THE_STACK static unsigned go_deep(unsigned char seed)
{
    volatile unsigned char frame[DEPTH];
    unsigned sum = 0;
    for (size_t i = 0; i < DEPTH; i += 64)
        frame[i] = (unsigned char)(seed + i / 64);
    for (size_t i = 0; i < DEPTH; i += 64)
        sum += frame[i];
    return sum;
}

/* How many of the PAGES whole pages below the caller are there; the one next to its frame is left out. */
ON_THE_STACK static int pages_below(void)
{
    uintptr_t top = ((uintptr_t)__builtin_frame_address(0) & ~(uintptr_t)(PAGE - 1)) - PAGE;
    unsigned char there[PAGES - 2];
    if (mincore((char *)top - sizeof there * PAGE, sizeof there * PAGE, there) != 0)
        return -errno;
    int count = 0;
    for (size_t i = 0; i < sizeof there; i++)
        count += there[i] & 1;
    return count;
}

ON_THE_STACK static void fill(volatile unsigned char *at, size_t len, unsigned char seed)
{
    for (size_t i = 0; i < len; i++)
        at[i] = (unsigned char)(seed ^ i * 7);
}

ON_THE_STACK static size_t damaged(const volatile unsigned char *at, size_t len, unsigned char seed)
{
    size_t bytes = 0;
    for (size_t i = 0; i < len; i++)
        bytes += at[i] != (unsigned char)(seed ^ i * 7);
    return bytes;
}

static intptr_t trim_once(void *arg)
{
    unsigned char seed = (unsigned char)(uintptr_t)arg;
    unsigned sum = go_deep(seed);
    CHECK_EQ(pages_below(), PAGES - 2);
    CHECK_EQ(sinew_stack_trim(), 0);
    CHECK_EQ(pages_below(), 0);
    CHECK_EQ(go_deep(seed), sum);
    return 0;
}

IN_RUNTIME(what_returned_calls_had_touched_is_given_back)
{
    CHECK_EQ(trim_once(NULL), 0); /* the main task */
    sinew_task *tasks[50];
    for (size_t i = 0; i < 50; i++)
        tasks[i] = sinew_spawn(trim_once, (void *)i);
    CHECK_EQ(sinew_gather(tasks, 50, NULL), 0);
    return 0;
}

IN_RUNTIME(nothing_to_give_back_is_no_error)
{
    for (int i = 0; i < 1000; i++)
        CHECK_EQ(sinew_stack_trim(), 0);
    return 0;
}

/* Frames of every size, so that the boundary of a page lies everywhere in and between them. */
ON_THE_STACK static size_t nested(unsigned depth, size_t step)
{
    volatile unsigned char frame[16 + 1000];
    size_t len = 16 + step % 1000;
    fill(frame, len, (unsigned char)depth);
    CHECK_EQ(sinew_stack_trim(), 0);
    size_t bytes = depth > 1 ? nested(depth - 1, step + 8) : 0;
    CHECK_EQ(sinew_stack_trim(), 0);
    return bytes + damaged(frame, len, (unsigned char)depth);
}

IN_RUNTIME(frames_of_open_calls_are_left_alone)
{
    for (size_t step = 0; step < 600; step++)
        CHECK_EQ(nested(16, step), 0);
    return 0;
}

/* Awaits itself in place, two levels, each with a frame to be kept. */
ON_THE_STACK static intptr_t level(void *arg)
{
    intptr_t depth = (intptr_t)arg;
    volatile unsigned char frame[1500];
    fill(frame, sizeof frame, (unsigned char)depth);
    go_deep((unsigned char)depth);
    CHECK_EQ(sinew_stack_trim(), 0);
    if (depth > 0)
        CHECK_EQ(sinew_await(sinew_spawn(level, (void *)(depth - 1))), 0);
    else
        CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(sinew_stack_trim(), 0);
    return (intptr_t)damaged(frame, sizeof frame, (unsigned char)depth);
}

IN_RUNTIME(tasks_below_which_it_runs_in_place_keep_their_frames)
{
    for (int i = 0; i < 100; i++)
        CHECK_EQ(sinew_await(sinew_spawn(level, (void *)(intptr_t)2)), 0);
    return 0;
}

typedef struct crowd {
    sinew_event *go;
    atomic_int pages, waiting;
} crowd;

static intptr_t wait_trimmed(void *arg)
{
    crowd *c = arg;
    go_deep(1);
    CHECK_EQ(sinew_stack_trim(), 0);
    atomic_fetch_add(&c->pages, pages_below());
    atomic_fetch_add(&c->waiting, 1);
    CHECK_EQ(sinew_event_wait(c->go), 0);
    go_deep(2);
    return 0;
}

IN_RUNTIME(tasks_that_wait_hold_nothing_below_their_frames)
{
    enum { TASKS = 500 };
    sinew_event go;
    sinew_event_init(&go);
    crowd c = {.go = &go};
    sinew_group g;
    sinew_group_init(&g);
    for (int i = 0; i < TASKS; i++)
        CHECK_EQ(sinew_group_spawn(&g, wait_trimmed, &c), 0);
    while (atomic_load(&c.waiting) < TASKS)
        CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(atomic_load(&c.pages), 0);
    sinew_event_set(&go);
    CHECK_EQ(sinew_group_wait(&g), 0);
    return 0;
}

static void outside_of_a_task_it_is_refused(void **state)
{
    (void)state;
    assert_int_equal(sinew_stack_trim(), -EPERM);
}

TEST_MAIN(cmocka_unit_test(what_returned_calls_had_touched_is_given_back),
          cmocka_unit_test(nothing_to_give_back_is_no_error), cmocka_unit_test(frames_of_open_calls_are_left_alone),
          cmocka_unit_test(tasks_below_which_it_runs_in_place_keep_their_frames),
          cmocka_unit_test(tasks_that_wait_hold_nothing_below_their_frames),
          cmocka_unit_test(outside_of_a_task_it_is_refused))
