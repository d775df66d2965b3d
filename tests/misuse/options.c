/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: options out of range are refused with -EINVAL and a line on stderr before anything starts; the limits
 * themselves work.
 * Method: forked children for the refused ones; runs with the smallest and largest allowed values.
 * Cannot see: machines that cannot start SINEW_WORKERS_MAX threads.
 */
#include <errno.h>

#include <tests/support/child.h>
#include <tests/support/process.h>
#include <tests/support/run.h>
#include <tests/support/tasks.h>

static int run_with_bad_options(void *arg)
{
    int descriptors = count_descriptors(), threads = count_threads_before();
    CHECK_EQ(sinew_run_with(arg, return_arg, (void *)5), -EINVAL);
    CHECK_EQ(count_descriptors(), descriptors);
    CHECK_EQ(count_threads_settled(threads), threads);
    return 0;
}

static void options_out_of_range_give_einval_and_a_line(void **state)
{
    (void)state;
    sinew_options bad[] = {
        {.workers = 10000},
        {.workers = SINEW_WORKERS_MAX + 1},
        {.workers = UINT32_MAX},
        {.workers = 2, .stack_bytes = 1},
        {.workers = 2, .stack_bytes = SINEW_STACK_BYTES_MIN - 1},
        {.workers = 2, .stack_bytes = SINEW_STACK_BYTES_MAX + 1},
        {.workers = 2, .stack_bytes = (size_t)1 << 40},
        {.workers = 2, .stack_bytes = SIZE_MAX},
        {.workers = 2, .blocking_threads = SINEW_BLOCKING_THREADS_MAX + 1},
        {.workers = 2, .blocking_threads = UINT32_MAX},
        {.workers = 2, .driver = (sinew_driver)3},
        {.workers = 2, .driver = (sinew_driver)-1},
        {.workers = 2, .slow_step = -1},
        {.workers = 2, .slow_step = INT64_MIN, .debug = true},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        child_end end;
        assert_true(run_child(run_with_bad_options, &bad[i], &end));
        if (end.code != 0 || !strstr(end.err, "sinew") || !strchr(end.err, '\n'))
            child_fail("-EINVAL and a line", &end);
    }
}

static intptr_t small_work(void *arg)
{
    (void)arg;
    sinew_task *tasks[10];
    for (int i = 0; i < 10; i++)
        tasks[i] = sinew_spawn(return_arg, (void *)1);
    CHECK_EQ(sinew_gather(tasks, 10, NULL), 0);
    CHECK_EQ(sinew_sleep(SINEW_US(10)), 0);
    CHECK_EQ(sinew_blocking(return_arg, (void *)2), 2);
    return 6;
}

static void the_limits_themselves_work(void **state)
{
    (void)state;
    sinew_options good[] = {
        {.workers = 2, .stack_bytes = scaled(SINEW_STACK_BYTES_MIN, SINEW_STACK_BYTES_DEFAULT)},
        {.workers = 2, .stack_bytes = 100000},
        {.workers = 2, .stack_bytes = (size_t)8 << 20},
        {.workers = 2, .stack_bytes = scaled(SINEW_STACK_BYTES_MAX, (size_t)16 << 20)},
        {.workers = (unsigned)scaled(SINEW_WORKERS_MAX, 32)},
        {.workers = 2, .blocking_threads = 1},
        {.workers = 2, .blocking_threads = SINEW_BLOCKING_THREADS_MAX},
        {.workers = 2, .slow_step = 1},
        {.workers = 2, .slow_step = SINEW_FOREVER - 1, .debug = true},
        {.workers = 2, .slow_step = SINEW_FOREVER, .debug = true},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        int descriptors = count_descriptors();
        intptr_t r = sinew_run_with(&good[i], small_work, NULL);
        if (r != 6)
            fail_msg("workers %u, stack_bytes %zu: %ld", good[i].workers, good[i].stack_bytes, (long)r);
        assert_int_equal(count_descriptors(), descriptors);
    }
    assert_int_equal(check_failures, 0);
}

IN_RUNTIME(spawn_options_out_of_range_give_no_task)
{
    static const size_t bad[] = {1, SINEW_STACK_BYTES_MIN - 1, SINEW_STACK_BYTES_MAX + 1, (size_t)1 << 40, SIZE_MAX};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        sinew_spawn_options opt = {.stack_bytes = bad[i]};
        CHECK(sinew_spawn_with(&opt, return_arg, NULL) == NULL);
        opt.eager = true;
        CHECK(sinew_spawn_with(&opt, return_arg, NULL) == NULL);
    }
    sinew_spawn_options smallest = {.stack_bytes = SINEW_STACK_BYTES_MIN};
    CHECK_EQ(sinew_await(sinew_spawn_with(&smallest, return_arg, (void *)4)), 4);
    return 0;
}

struct variable {
    const char *name, *value;
};

static int run_with_environment(void *arg)
{
    const struct variable *v = arg;
    setenv(v->name, v->value, 1);
    intptr_t r = sinew_run(small_work, NULL);
    /* Refused or passed over, but not obeyed and no crash. */
    CHECK(r == 6 || r == -EINVAL);
    return 0;
}

static void nonsense_in_the_environment_does_no_harm(void **state)
{
    (void)state;
    static const char *const values[] = {"",    "0",   "-1",   "1000000", "99999999999999999999",
                                         "abc", "2x2", "0x10", " ",       "3.5"};
    static const char *const names[] = {"SINEW_WORKERS", "SINEW_DEBUG", "SINEW_SLOW_MS", "SINEW_DRIVER"};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
            struct variable v = {names[k], values[i]};
            child_end end;
            assert_true(run_child(run_with_environment, &v, &end));
            if (end.code != 0)
                child_fail(values[i], &end);
        }
}

static int run_with_no_driver(void *arg)
{
    setenv("SINEW_DRIVER", arg, 1);
    CHECK_EQ(sinew_run(small_work, NULL), -EINVAL);
    return 0;
}

static void a_driver_that_there_is_not_gives_einval_and_a_line(void **state)
{
    (void)state;
    static char values[][16] = {"uring", "IO_URING", "epoll ", "1"};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        child_end end;
        assert_true(run_child(run_with_no_driver, values[i], &end));
        if (end.code != 0 || !strstr(end.err, "SINEW_DRIVER") || !strstr(end.err, values[i]))
            child_fail(values[i], &end);
    }
}

TEST_MAIN(cmocka_unit_test(options_out_of_range_give_einval_and_a_line), cmocka_unit_test(the_limits_themselves_work),
          cmocka_unit_test(spawn_options_out_of_range_give_no_task),
          cmocka_unit_test(nonsense_in_the_environment_does_no_harm),
          cmocka_unit_test(a_driver_that_there_is_not_gives_einval_and_a_line))
