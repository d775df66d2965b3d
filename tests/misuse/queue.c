/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a queue that cannot be made or used so says why, and one that gets no more memory says so and keeps what it
 * has. Method: bad options and a last reference dropped too early, in forked children whose stderr is read; a child
 * under an address-space limit. Cannot see: use after the last reference.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <tests/support/child.h>
#include <tests/support/process.h>
#include <tests/support/run.h>
#include <tests/support/tasks.h>

static int compare_ints(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static const struct bad {
    const sinew_queue_options *options;
    const char *complaint; /* has this word in it; NULL: no memory, and nothing is said */
} bad[] = {
    {NULL, "NULL"},
    {&(const sinew_queue_options){.element_bytes = 0}, "element_bytes"},
    {&(const sinew_queue_options){.kind = (sinew_queue_kind)3, .element_bytes = 4}, "kind"},
    {&(const sinew_queue_options){.kind = (sinew_queue_kind)-1, .element_bytes = 4}, "kind"},
    {&(const sinew_queue_options){.kind = SINEW_QUEUE_PRIORITY, .element_bytes = 4}, "compare"},
    {&(const sinew_queue_options){.element_bytes = SIZE_MAX / 2}, NULL},
};

static int make_bad(void *arg)
{
    const struct bad *b = arg;
    CHECK(sinew_queue_new(b->options) == NULL);
    return 0;
}

static void bad_options_are_refused_with_a_line_that_says_which(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        child_end end;
        struct bad b = bad[i];
        assert_true(run_child(make_bad, &b, &end));
        bool told = b.complaint ? strstr(end.err, "sinew_queue_new") && strstr(end.err, b.complaint) : !end.err[0];
        if (end.code != 0 || !told)
            child_fail(b.complaint ? b.complaint : "no memory", &end);
    }
}

static void null_is_answered(void **state)
{
    (void)state;
    int item = 0;
    sinew_queue_options opt = {.element_bytes = sizeof item};
    sinew_queue *q = sinew_queue_new(&opt);
    assert_int_equal(sinew_queue_put(NULL, &item), -EINVAL);
    assert_int_equal(sinew_queue_try_put(NULL, &item), -EINVAL);
    assert_int_equal(sinew_queue_get(NULL, &item), -EINVAL);
    assert_int_equal(sinew_queue_try_get(NULL, &item), -EINVAL);
    assert_int_equal(sinew_queue_put(q, NULL), -EINVAL);
    assert_int_equal(sinew_queue_try_put(q, NULL), -EINVAL);
    assert_int_equal(sinew_queue_get(q, NULL), -EINVAL);
    assert_int_equal(sinew_queue_try_get(q, NULL), -EINVAL);
    assert_int_equal(sinew_queue_task_done(NULL), -EINVAL);
    assert_int_equal(sinew_queue_join(NULL), -EINVAL);
    assert_int_equal(sinew_queue_shutdown(NULL, true), -EINVAL);
    assert_int_equal(sinew_queue_length(NULL), 0);
    assert_true(sinew_queue_empty(NULL));
    assert_false(sinew_queue_full(NULL));
    assert_int_equal(sinew_queue_unfinished(NULL), 0);
    assert_null(sinew_queue_ref(NULL));
    sinew_queue_unref(NULL);
    assert_int_equal(sinew_queue_unfinished(q), 0);
    sinew_queue_unref(q);
}

static intptr_t get_one(void *q)
{
    int item;
    return sinew_queue_get(q, &item);
}

static intptr_t drop_too_early(void *arg)
{
    (void)arg;
    sinew_queue_options opt = {.element_bytes = sizeof(int)};
    sinew_queue *q = sinew_queue_new(&opt);
    spawn_eager(get_one, q);
    sinew_queue_unref(q);
    return 0;
}

static int run_drop_too_early(void *arg)
{
    (void)arg;
    run_workers(2, drop_too_early, NULL);
    return 0;
}

static void dropping_a_queue_that_somebody_waits_for_stops_with_a_message(void **state)
{
    (void)state;
    child_end end;
    assert_true(run_child(run_drop_too_early, NULL, &end));
    if (end.signal != SIGABRT || !strstr(end.err, "sinew_queue_unref"))
        child_fail("no message", &end);
}

static intptr_t wait_for_nobody(void *arg)
{
    int item;
    CHECK_EQ(sinew_queue_get(arg, &item), -EDEADLK);
    CHECK_EQ(sinew_queue_length(arg), 0);
    return 3;
}

static int run_wait_for_nobody(void *arg)
{
    (void)arg;
    sinew_queue_options opt = {SINEW_QUEUE_PRIORITY, sizeof(int), 0, compare_ints};
    sinew_queue *q = sinew_queue_new(&opt);
    int result = (int)run_workers(2, wait_for_nobody, q);
    sinew_queue_unref(q);
    return result;
}

static void a_get_that_nobody_can_answer_is_a_deadlock(void **state)
{
    (void)state;
    child_end end;
    assert_true(run_child(run_wait_for_nobody, NULL, &end));
    if (end.code != 3 || !strstr(end.err, "deadlock"))
        child_fail("no report", &end);
}

enum { ELEMENT_BYTES = 1 << 16, ROOM = 40 << 20 };

static void fill(sinew_queue *q)
{
    static int element[ELEMENT_BYTES / sizeof(int)];
    int n = 0, r;
    while (element[0] = n, (r = sinew_queue_put(q, element)) == 0)
        n++;
    CHECK_EQ(r, -ENOMEM);
    CHECK_EQ(sinew_queue_try_put(q, element), -ENOMEM);
    CHECK(n > 4);
    CHECK_EQ(sinew_queue_length(q), n);
    CHECK_EQ(sinew_queue_unfinished(q), n);
    for (int i = 0; i < n; i++) {
        CHECK_EQ(sinew_queue_get(q, element), 0);
        CHECK_EQ(element[0], i);
    }
    CHECK_EQ(sinew_queue_put(q, element), 0);
}

static int fill_in_little_memory(void *arg)
{
    sinew_queue_options opt = {.kind = *(sinew_queue_kind *)arg, .element_bytes = ELEMENT_BYTES};
    opt.compare = compare_ints;
    sinew_queue *q = sinew_queue_new(&opt);
    struct rlimit limit;
    getrlimit(RLIMIT_AS, &limit);
    limit.rlim_cur = address_space_bytes() + ROOM;
    setrlimit(RLIMIT_AS, &limit);
    fill(q);
    sinew_queue_unref(q);
    return 4;
}

static void growth_that_is_refused_loses_nothing(void **state)
{
    (void)state;
    if (slowed_down()) {
        print_message("address-space limits are not possible under a sanitizer or valgrind: not tested\n");
        skip();
    }
    for (int k = 0; k < 2; k++) {
        sinew_queue_kind kind = k ? SINEW_QUEUE_PRIORITY : SINEW_QUEUE_FIFO;
        child_end end;
        assert_true(run_child(fill_in_little_memory, &kind, &end));
        if (end.code != 4)
            child_fail("a put beyond memory", &end);
    }
}

TEST_MAIN(cmocka_unit_test(bad_options_are_refused_with_a_line_that_says_which), cmocka_unit_test(null_is_answered),
          cmocka_unit_test(dropping_a_queue_that_somebody_waits_for_stops_with_a_message),
          cmocka_unit_test(a_get_that_nobody_can_answer_is_a_deadlock),
          cmocka_unit_test(growth_that_is_refused_loses_nothing))
