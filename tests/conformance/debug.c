/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the rules of debug mode (A224, A226), as docs/conformance.md lists them; the number in a test's name is the
 * rule's.
 * Method: a slow step is one that goes on until its report has come, or is tried until one has; each is bounded by a
 * time that the task has measured itself, however busy the machine is. That none is reported is shown with a limit that
 * no step reaches. Where a task comes from is compared with a return address that its spawner has taken.
 * Cannot see: the symbols that backtrace_symbols finds; how soon a report comes.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <unistd.h>

#include <tests/support/child.h>
#include <tests/support/process.h>
#include <tests/support/run.h>
#include <tests/support/tasks.h>

/* A body as main task with 1, 2 and 8 workers, and with these options. */
#define IN_RUNTIME_SAYING(name, ...)                                                   \
    static intptr_t name##_body(void *unused_);                                        \
    static void name(void **state)                                                     \
    {                                                                                  \
        (void)state;                                                                   \
        for (size_t i = 0; i < WORKER_COUNTS; i++) {                                   \
            sinew_options opt = {.workers = worker_counts[i], __VA_ARGS__};            \
            int failures_before = atomic_load(&check_failures);                        \
            watchdog_begin(#name, opt.workers, (unsigned)scaled(50, 110));             \
            intptr_t result = sinew_run_with(&opt, name##_body, NULL);                 \
            watchdog_end();                                                            \
            if (result != 0 || atomic_load(&check_failures) != failures_before)        \
                fail_msg("%s with %u workers: %ld", #name, opt.workers, (long)result); \
        }                                                                              \
    }                                                                                  \
    static intptr_t name##_body(void *unused_ __attribute__((unused)))

#define LIMIT SINEW_MS(2)

/* Reports about one task, by its name. */
struct reports {
    char name[48];
    atomic_int named;         /* for the tests' own use */
    atomic_int running, over; /* how many came while the step ran, and when it had ended */
    _Atomic sinew_time took;  /* the longest */
    atomic_int created;       /* frames in the last one */
    atomic_int standing;      /* reports whose stack had `stands_in` in it */
    uintptr_t stands_in;
};

static void count_report(const sinew_error_report *report, void *arg)
{
    struct reports *r = arg;
    if (strcmp(report->name, r->name) != 0) /* on a busy machine anything can be slow */
        return;
    CHECK_EQ(report->error, 0);
    CHECK(report->took >= LIMIT);
    CHECK(report->what != NULL);
    CHECK(sinew_self() == NULL);
    if (report->took > atomic_load(&r->took))
        atomic_store(&r->took, report->took);
    atomic_store(&r->created, (int)report->created_count);
    for (size_t i = 0; i < report->stack_count; i++)
        if ((uintptr_t)report->stack[i] - r->stands_in < 256) {
            atomic_fetch_add(&r->standing, 1);
            break;
        }
    atomic_fetch_add(strstr(report->what, "running") ? &r->running : &r->over, 1);
}

static void compute(sinew_time duration)
{
    for (sinew_time end = sinew_now() + duration; sinew_now() < end;)
        ;
}

static intptr_t compute_a_while(void *arg)
{
    (void)arg;
    compute(3 * LIMIT);
    return 0;
}

static intptr_t compute_until_reported(void *arg)
{
    struct reports *r = arg;
    while (atomic_load(&r->running) == 0)
        ;
    return 0;
}

/* Counts what is said of the tasks with this name; until no_more_reports. */
static void count_reports(struct reports *r, const char *name)
{
    snprintf(r->name, sizeof r->name, "%s", name);
    CHECK_EQ(sinew_set_error_handler(count_report, r), 0);
}

static intptr_t no_more_reports(void)
{
    return sinew_set_error_handler(NULL, NULL);
}

/* --- A224 --------------------------------------------------------------------------------------------------------- */

IN_RUNTIME_SAYING(a224_a_slow_step_is_reported_with_the_tasks_name_and_time, .debug = true, .slow_step = LIMIT)
{
    struct reports r = {0};
    count_reports(&r, "slow one");
    sinew_time begun = sinew_now();
    while (atomic_load(&r.over) == 0)
        CHECK_EQ(sinew_await(spawn_named("slow one", compute_a_while, NULL)), 0);
    CHECK(r.took >= LIMIT && r.took < sinew_now() - begun);
    CHECK(r.created > 0);
    return no_more_reports();
}

IN_RUNTIME_SAYING(a224_a_step_that_goes_on_is_reported_while_it_runs_and_when_it_has_ended, .debug = true,
                  .slow_step = LIMIT)
{
    struct reports r = {0};
    count_reports(&r, "hog");
    sinew_time begun = sinew_now();
    sinew_task *hog = spawn_named("hog", compute_until_reported, &r);
    CHECK_EQ(sinew_await(hog), 0);
    CHECK(r.took >= 10 * LIMIT);
    yield_until(&r.over, 1);
    CHECK(r.running >= 1);
    CHECK_EQ(r.over, 1);
    CHECK(r.took < sinew_now() - begun);
    return no_more_reports();
}

/* Each way to spend a long time in short steps. Readings of the clock are taken all the time, so that no step can have
 * been longer than the longest time between one of them and the sixth after it: each begins and ends between its own
 * two, those of a task that it awaits, and the next ones on either side. */
enum { READINGS = 6, STEPS = 100, WAYS = 4 };

struct many_steps {
    sinew_time before[READINGS], longest;
};

static void read_clock(struct many_steps *m)
{
    sinew_time now = sinew_now();
    for (int i = 0; i < READINGS; i++)
        if (m->before[i] && now - m->before[i] > m->longest)
            m->longest = now - m->before[i];
    memmove(m->before, m->before + 1, sizeof m->before - sizeof m->before[0]);
    m->before[READINGS - 1] = now;
}

static intptr_t one_step(void *arg)
{
    read_clock(arg);
    compute(LIMIT / 4);
    read_clock(arg);
    return 0;
}

static intptr_t yields(void *arg)
{
    for (int i = 0; i < STEPS; i++) {
        one_step(arg);
        CHECK_EQ(sinew_yield(), 0);
    }
    return 0;
}

static intptr_t sleeps(void *arg)
{
    for (int i = 0; i < STEPS; i++) {
        one_step(arg);
        CHECK_EQ(sinew_sleep(1), 0);
    }
    return 0;
}

static intptr_t awaits(void *arg)
{
    for (int i = 0; i < STEPS; i++) {
        one_step(arg);
        CHECK_EQ(sinew_await(spawn_named("a way", one_step, arg)), 0);
    }
    return 0;
}

static intptr_t awaits_pinned(void *arg)
{
    for (int i = 0; i < STEPS; i++) {
        one_step(arg);
        sinew_spawn_options opt = {.name = "a way", .pinned = true};
        CHECK_EQ(sinew_await(sinew_spawn_with(&opt, one_step, arg)), 0);
    }
    return 0;
}

/* More than 256 bytes long in no build. */
__attribute__((noinline)) static void stand_until_reported(struct reports *r)
{
    while (atomic_load(&r->running) == 0)
        ;
}

static intptr_t stand_somewhere(void *arg)
{
    stand_until_reported(arg);
    return 0;
}

/* A worker that the machine does not run just then is not asked, so it may take some. ThreadSanitizer keeps the signal
 * back. */
IN_RUNTIME_SAYING(a224_a_slow_step_is_reported_with_its_stack, .slow_step = LIMIT)
{
    struct reports r = {.stands_in = (uintptr_t)stand_until_reported};
    count_reports(&r, "standing");
    while (atomic_load(&r.standing) == 0) {
        atomic_store(&r.running, 0);
        CHECK_EQ(sinew_await(spawn_named("standing", stand_somewhere, &r)), 0);
        if (SN_TSAN) { /* whose runtime holds the signal back that asks where the task stands */
            print_message("under ThreadSanitizer no stack is reported: not looked at\n");
            break;
        }
    }
    return no_more_reports();
}

IN_RUNTIME_SAYING(a224_each_step_of_a_task_has_a_time_of_its_own, .debug = true, .slow_step = LIMIT)
{
    static const sinew_fn ways[WAYS] = {yields, sleeps, awaits, awaits_pinned};
    for (int way = 0; way < WAYS; way++) {
        struct reports r = {0};
        struct many_steps m;
        sinew_time begun;
        do { /* until on a busy machine most of the time was not that of one step */
            r = (struct reports){0};
            m = (struct many_steps){0};
            count_reports(&r, "a way");
            begun = sinew_now();
            read_clock(&m);
            CHECK_EQ(sinew_await(spawn_named("a way", ways[way], &m)), 0);
            read_clock(&m);
            CHECK_EQ(no_more_reports(), 0);
            CHECK_EQ(sinew_sleep(2 * LIMIT), 0); /* what is reported late is not counted again */
        } while (m.longest > (sinew_now() - begun) / 2);
        if (!CHECK(r.took <= m.longest))
            print_message("way %d: %" PRId64 " ns, and none was longer than %" PRId64 "\n", way, r.took, m.longest);
    }
    return 0;
}

static intptr_t inner(void *arg)
{
    struct reports *r = arg;
    sinew_time end = sinew_now() + SINEW_S(1);
    while (atomic_load(&r->running) == 0 && sinew_now() < end)
        ;
    return 0;
}

static intptr_t outer(void *arg)
{
    struct reports *r = arg;
    while (atomic_load(&r->running) == 0)
        CHECK_EQ(sinew_await(spawn_named("inner", inner, r)), 0);
    return 0;
}

IN_RUNTIME_SAYING(a224_of_tasks_that_run_in_place_the_innermost_is_named, .debug = true, .slow_step = LIMIT)
{
    struct reports r = {0};
    count_reports(&r, "inner");
    CHECK_EQ(sinew_await(spawn_named("outer", outer, &r)), 0);
    CHECK(r.running >= 1);
    return no_more_reports();
}

static intptr_t slow_callback(sinew_task *task, void *arg)
{
    (void)task;
    struct reports *r = arg;
    count_reports(r, sinew_name(sinew_self()));
    return compute_until_reported(r);
}

IN_RUNTIME_SAYING(a224_a_slow_callback_is_reported, .debug = true, .slow_step = LIMIT)
{
    struct reports r = {0};
    sinew_task *t = sinew_spawn(return_arg, NULL);
    CHECK_EQ(sinew_on_done(t, slow_callback, &r), 0);
    CHECK_EQ(sinew_await(t), 0);
    yield_until(&r.over, 1);
    CHECK(r.running >= 1);
    return no_more_reports();
}

static intptr_t slow_element(void *arg)
{
    struct reports *r = arg;
    if (atomic_fetch_add(&r->named, 1) == 0)
        count_reports(r, sinew_name(sinew_self()));
    return compute_until_reported(r);
}

IN_RUNTIME_SAYING(a224_a_slow_element_of_a_map_is_reported, .debug = true, .slow_step = LIMIT)
{
    struct reports r = {0};
    CHECK_EQ(sinew_map(slow_element, &r, 0, 3, NULL), 0);
    CHECK(r.running >= 1);
    return no_more_reports();
}

static intptr_t slow_without_a_name(void *arg)
{
    char name[48];
    snprintf(name, sizeof name, "task %p", (void *)sinew_self());
    count_reports(arg, name);
    return compute_until_reported(arg);
}

IN_RUNTIME_SAYING(a224_a_limit_works_without_debug_mode, .slow_step = LIMIT)
{
    struct reports r = {0};
    count_reports(&r, "hog");
    CHECK_EQ(sinew_await(spawn_named("hog", compute_until_reported, &r)), 0);
    CHECK_EQ(no_more_reports(), 0);
    CHECK_EQ(r.created, 0);
    /* There, who has not been asked for a name has none. */
    r = (struct reports){0};
    CHECK_EQ(sinew_await(sinew_spawn(slow_without_a_name, &r)), 0);
    return no_more_reports();
}

static void count_any(const sinew_error_report *report, void *arg)
{
    (void)report;
    atomic_fetch_add((atomic_int *)arg, 1);
}

static intptr_t compute_for_long(void *any)
{
    CHECK_EQ(sinew_set_error_handler(count_any, any), 0);
    compute(SINEW_MS(300));
    CHECK_EQ(sinew_sleep(SINEW_MS(50)), 0);
    CHECK_EQ(*(atomic_int *)any, 0);
    return no_more_reports();
}

static void a224_what_is_under_the_limit_is_not_reported(void **state)
{
    (void)state;
    static atomic_int any;
    const sinew_options quiet[] = {
        {.workers = 2},
        {.workers = 2, .slow_step = SINEW_S(3600)},
        {.workers = 2, .slow_step = SINEW_FOREVER - 1},
        {.workers = 2, .debug = true, .slow_step = SINEW_S(3600)},
        {.workers = 2, .debug = true, .slow_step = SINEW_FOREVER},
    };
    for (size_t i = 0; i < sizeof quiet / sizeof quiet[0]; i++)
        if (workers_possible(2))
            assert_int_equal(sinew_run_with(&quiet[i], compute_for_long, &any), 0);
    assert_int_equal(check_failures, 0);
}

static intptr_t count_my_threads(void *arg)
{
    *(int *)arg = count_threads();
    return 0;
}

static void a224_nobody_watches_unless_asked_to(void **state)
{
    (void)state;
    int before = count_threads_before(), threads = 0;
    sinew_options opt = {.workers = 1};
    assert_int_equal(sinew_run_with(&opt, count_my_threads, &threads), 0);
    assert_int_equal(threads, before);
    opt = (sinew_options){.workers = 1, .debug = true, .slow_step = SINEW_FOREVER};
    assert_int_equal(sinew_run_with(&opt, count_my_threads, &threads), 0);
    assert_int_equal(threads, before);
    opt = (sinew_options){.workers = 1, .debug = true};
    assert_int_equal(sinew_run_with(&opt, count_my_threads, &threads), 0);
    assert_int_equal(threads, before + 1);
    assert_int_equal(count_threads_settled(before), before);
}

struct slow_handler {
    atomic_int calls, inside;
};

static void take_a_while(const sinew_error_report *report, void *arg)
{
    struct slow_handler *h = arg;
    (void)report;
    atomic_store(&h->inside, 1);
    atomic_fetch_add(&h->calls, 1);
    usleep(2000);
    atomic_store(&h->inside, 0);
}

IN_RUNTIME_SAYING(a224_a_handler_that_was_replaced_is_not_running_any_more, .slow_step = LIMIT)
{
    static atomic_int others;
    for (int i = 0; i < 5; i++) {
        struct slow_handler h = {0};
        CHECK_EQ(sinew_set_error_handler(take_a_while, &h), 0);
        while (atomic_load(&h.calls) == 0) /* the step of main is slow */
            ;
        CHECK_EQ(i % 2 ? sinew_set_error_handler(count_any, &others) : no_more_reports(), 0);
        CHECK_EQ(h.inside, 0);
        sinew_yield();
    }
    return no_more_reports();
}

/* A handler may be what a task waits for: then that is no deadlock. */
struct waiting_main {
    struct reports reports;
    sinew_sem over;
};

static void post_when_over(const sinew_error_report *report, void *arg)
{
    struct waiting_main *m = arg;
    int before = atomic_load(&m->reports.over);
    count_report(report, &m->reports);
    if (atomic_load(&m->reports.over) != before)
        sinew_sem_post(&m->over);
}

/* A long limit, so that the standstill lasts longer than what usually goes by until a deadlock is reported. */
IN_RUNTIME_SAYING(a224_a_report_that_is_due_is_no_deadlock, .debug = true, .slow_step = SINEW_MS(160))
{
    struct waiting_main m = {.reports.name = "main"};
    sinew_sem_init(&m.over, 0);
    snprintf(m.reports.name, sizeof m.reports.name, "%s", sinew_name(sinew_self()));
    CHECK_EQ(sinew_set_error_handler(post_when_over, &m), 0);
    compute_until_reported(&m.reports);
    CHECK_EQ(sinew_sem_wait(&m.over), 0);
    return no_more_reports();
}

static intptr_t end_slowly(void *arg)
{
    struct reports *r = arg;
    count_reports(r, sinew_name(sinew_self()));
    return compute_until_reported(r);
}

static void a224_the_last_step_of_a_run_is_reported_before_it_returns(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        struct reports r = {0};
        sinew_options opt = {.workers = worker_counts[i], .debug = true, .slow_step = LIMIT};
        assert_int_equal(sinew_run_with(&opt, end_slowly, &r), 0);
        assert_int_equal(r.over, 1);
    }
    assert_int_equal(check_failures, 0);
}

static intptr_t compute_for_longer(void *arg)
{
    (void)arg;
    compute(20 * LIMIT);
    return 0;
}

static intptr_t compute_in_a_thread(void *arg)
{
    return sinew_blocking(compute_for_longer, arg);
}

IN_RUNTIME_SAYING(a224_blocking_work_is_no_step, .debug = true, .slow_step = LIMIT)
{
    struct reports r;
    do { /* on a busy machine the caller may be stopped for long in its own short steps, but not each time */
        r = (struct reports){0};
        count_reports(&r, "caller");
        CHECK_EQ(sinew_await(spawn_named("caller", compute_in_a_thread, NULL)), 0);
        CHECK_EQ(sinew_sleep(2 * LIMIT), 0);
        CHECK_EQ(no_more_reports(), 0);
    } while (r.took > 10 * LIMIT);
    return 0;
}

/* --- A226 --------------------------------------------------------------------------------------------------------- */

/* A way to make a task: in a function that says what its own return address is, and does not end by a call. */
struct made {
    void *returns_to; /* of the function that made it */
    void *frames[10];
    size_t count; /* as the task, or who has a reference, sees it */
    atomic_int seen;
};

#define MAKER __attribute__((noinline, noclone))
#ifdef __clang__
#undef MAKER
#define MAKER __attribute__((noinline))
#endif

static void look_at(struct made *m, const sinew_task *t)
{
    m->count = sinew_task_created_at(t, m->frames, 10);
    atomic_store(&m->seen, 1);
}

static intptr_t look_at_self(void *arg)
{
    look_at(arg, sinew_self());
    return 0;
}

static intptr_t look_at_callback(sinew_task *task, void *arg)
{
    (void)task;
    return look_at_self(arg);
}

MAKER static void make_spawned(struct made *m)
{
    m->returns_to = __builtin_return_address(0);
    sinew_task *t = sinew_spawn(look_at_self, m);
    CHECK_EQ(sinew_await(t), 0);
}

MAKER static void make_plain(struct made *m)
{
    m->returns_to = __builtin_return_address(0);
    sinew_task *t = sinew_spawn_with(NULL, look_at_self, m);
    CHECK_EQ(sinew_await(t), 0);
}

MAKER static void make_named(struct made *m)
{
    m->returns_to = __builtin_return_address(0);
    sinew_spawn_options opt = {.name = "named"};
    sinew_task *t = sinew_spawn_with(&opt, look_at_self, m);
    CHECK_EQ(sinew_await(t), 0);
}

MAKER static void make_pinned(struct made *m)
{
    m->returns_to = __builtin_return_address(0);
    sinew_spawn_options opt = {.pinned = true, .stack_bytes = 2 * SINEW_STACK_BYTES_DEFAULT};
    sinew_task *t = sinew_spawn_with(&opt, look_at_self, m);
    CHECK_EQ(sinew_await(t), 0);
}

MAKER static void make_eager(struct made *m)
{
    m->returns_to = __builtin_return_address(0);
    sinew_spawn_options opt = {.eager = true};
    sinew_task *t = sinew_spawn_with(&opt, look_at_self, m);
    CHECK_EQ(sinew_await(t), 0);
}

MAKER static void make_on_own(struct made *m)
{
    m->returns_to = __builtin_return_address(0);
    sinew_task *t = sinew_spawn_on(sinew_runtime_self(), look_at_self, m);
    CHECK_EQ(sinew_await(t), 0);
}

MAKER static void make_in_a_group(struct made *m)
{
    m->returns_to = __builtin_return_address(0);
    sinew_group g;
    sinew_group_init(&g);
    CHECK_EQ(sinew_group_spawn(&g, look_at_self, m), 0);
    CHECK_EQ(sinew_group_wait(&g), 0);
}

MAKER static void make_element(struct made *m)
{
    m->returns_to = __builtin_return_address(0);
    CHECK_EQ(sinew_map(look_at_self, m, 0, 1, NULL), 0);
    CHECK_EQ(m->seen, 1);
}

MAKER static void make_callback(struct made *m)
{
    m->returns_to = __builtin_return_address(0);
    sinew_task *t = sinew_spawn(return_arg, NULL);
    CHECK_EQ(sinew_on_done(t, look_at_callback, m), 0);
    CHECK_EQ(sinew_await(t), 0);
}

MAKER static void make_future(struct made *m)
{
    m->returns_to = __builtin_return_address(0);
    sinew_future *f = sinew_future_new();
    sinew_task *t = sinew_future_task(f);
    look_at(m, t);
    sinew_detach(t);
    sinew_future_unref(f);
}

typedef void (*maker)(struct made *m);

static const struct {
    const char *name;
    maker make;
} makers[] = {
    {"spawn", make_spawned},           {"spawn_with without options", make_plain},
    {"spawn_with a name", make_named}, {"spawn_with, pinned", make_pinned},
    {"spawn_with, eager", make_eager}, {"spawn_on", make_on_own},
    {"group_spawn", make_in_a_group},  {"map", make_element},
    {"on_done", make_callback},        {"future_new", make_future},
};

enum { MAKERS = sizeof makers / sizeof makers[0] };

/* The frame of the maker comes first: from there it goes back to its caller. A build without calls in a return's place
 * has one of sinew's own before it, where a call is made of another one. */
static void check_frames(size_t way, const struct made *m)
{
    size_t at = 0;
    while (at + 1 < m->count && at < 2 && m->frames[at + 1] != m->returns_to)
        at++;
    if (!CHECK(m->count >= 2 && m->count <= 10) || !CHECK(at < 2 && m->frames[at + 1] == m->returns_to))
        print_message("%s: %zu frames\n", makers[way].name, m->count);
}

static void make_each(void)
{
    for (size_t way = 0; way < MAKERS; way++) {
        struct made m = {0};
        makers[way].make(&m);
        yield_until(&m.seen, 1);
        check_frames(way, &m);
    }
}

IN_RUNTIME_SAYING(a226_where_a_task_was_made_is_kept, .debug = true)
{
    make_each();
    return 0;
}

static intptr_t make_each_in_a_task(void *arg)
{
    (void)arg;
    make_each();
    return 0;
}

IN_RUNTIME_SAYING(a226_also_for_what_any_sort_of_task_spawns, .debug = true)
{
    CHECK_EQ(sinew_await(sinew_spawn(make_each_in_a_task, NULL)), 0);
    CHECK_EQ(sinew_await(spawn_pinned(make_each_in_a_task, NULL)), 0);
    CHECK_EQ(sinew_await(spawn_eager(make_each_in_a_task, NULL)), 0);
    CHECK_EQ(sinew_map(make_each_in_a_task, NULL, 0, 10, NULL), 0);
    sinew_group g;
    sinew_group_init(&g);
    for (int i = 0; i < 10; i++)
        CHECK_EQ(sinew_group_spawn(&g, make_each_in_a_task, NULL), 0);
    return sinew_group_wait(&g);
}

/* In a plain thread. */
struct foreign {
    sinew_runtime *runtime;
    struct made task, future;
};

MAKER static void spawn_from_outside(struct foreign *f)
{
    f->task.returns_to = __builtin_return_address(0);
    sinew_task *t = sinew_spawn_on(f->runtime, look_at_self, &f->task);
    CHECK_EQ(sinew_task_join(t), 0);
}

static void *make_in_a_thread(void *arg)
{
    struct foreign *f = arg;
    spawn_from_outside(f);
    make_future(&f->future);
    return NULL;
}

IN_RUNTIME_SAYING(a226_a_plain_thread_can_be_where, .debug = true)
{
    struct foreign f = {.runtime = sinew_runtime_self()};
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, make_in_a_thread, &f), 0);
    yield_until(&f.task.seen, 1);
    yield_until(&f.future.seen, 1);
    pthread_join(thread, NULL);
    check_frames(0, &f.task);
    check_frames(MAKERS - 1, &f.future);
    return 0;
}

MAKER static intptr_t spawn_deep_down(int depth, struct made *m)
{
    if (depth == 0) {
        make_spawned(m);
        return 0;
    }
    intptr_t below = spawn_deep_down(depth - 1, m);
    __asm__ volatile("" : "+r"(below)); /* a call, not a loop */
    return below + 1;
}

IN_RUNTIME_SAYING(a226_ten_frames_are_kept_at_most, .debug = true)
{
    struct made m = {0};
    CHECK_EQ(spawn_deep_down(25, &m), 25);
    CHECK_EQ(m.count, 10);
    check_frames(0, &m);
    /* The walk ends where the task's stack begins. */
    m = (struct made){0};
    make_spawned(&m);
    CHECK(m.count >= 2 && m.count < 10);
    /* Fewer can be asked for, or only how many there are. */
    sinew_task *t = sinew_spawn(return_arg, NULL);
    void *frames[10] = {NULL};
    CHECK(sinew_task_created_at(t, NULL, 0) >= 2);
    CHECK(sinew_task_created_at(t, NULL, 10) >= 2);
    CHECK(sinew_task_created_at(t, frames, 1) >= 2);
    CHECK(frames[0] != NULL && frames[1] == NULL);
    CHECK_EQ(sinew_task_created_at(NULL, frames, 10), 0);
    return sinew_await(t);
}

IN_RUNTIME(a226_without_debug_mode_nothing_is_kept)
{
    for (size_t way = 0; way < MAKERS; way++) {
        struct made m = {0};
        makers[way].make(&m);
        yield_until(&m.seen, 1);
        if (!CHECK_EQ(m.count, 0))
            print_message("%s\n", makers[way].name);
    }
    return 0;
}

struct error {
    atomic_int n;
    intptr_t error;
    sinew_time took;
    size_t count;
    void *frames[10];
};

static void copy_error(const sinew_error_report *report, void *arg)
{
    struct error *e = arg;
    if (report->error == 0)
        return;
    e->error = report->error;
    e->took = report->took;
    e->count = report->created_count;
    for (size_t i = 0; i < report->created_count && i < 10; i++)
        e->frames[i] = report->created[i];
    atomic_fetch_add(&e->n, 1);
}

static intptr_t fail_now(void *arg)
{
    (void)arg;
    return -EIO;
}

static void same_frames(struct error *e, void *const *frames, size_t count)
{
    yield_until(&e->n, 1);
    CHECK_EQ(e->error, -EIO);
    CHECK_EQ(e->took, 0);
    CHECK(count >= 2);
    if (CHECK_EQ(e->count, count))
        for (size_t i = 0; i < count; i++)
            CHECK(e->frames[i] == frames[i]);
    *e = (struct error){0};
}

static intptr_t fail_in_a_group(void *arg)
{
    struct made *m = arg;
    look_at(m, sinew_self());
    return -EIO;
}

IN_RUNTIME_SAYING(a226_an_errors_report_says_where_its_task_was_made, .debug = true)
{
    struct error e = {0};
    CHECK_EQ(sinew_set_error_handler(copy_error, &e), 0);
    void *frames[10];
    sinew_task *t = sinew_spawn(fail_now, NULL);
    size_t count = sinew_task_created_at(t, frames, 10);
    sinew_detach(t);
    same_frames(&e, frames, count);

    sinew_future *f = sinew_future_new();
    t = sinew_future_task(f);
    count = sinew_task_created_at(t, frames, 10);
    sinew_detach(t);
    CHECK_EQ(sinew_future_set(f, -EIO), 0);
    sinew_future_unref(f);
    same_frames(&e, frames, count);

    /* The second error of a group. */
    sinew_group g;
    sinew_group_init(&g);
    struct made first = {0}, second = {0};
    CHECK_EQ(sinew_group_spawn(&g, fail_in_a_group, &first), 0);
    int spawned = sinew_group_spawn(&g, fail_in_a_group, &second);
    CHECK(spawned == 0 || spawned == -ECANCELED); /* the first may have run, and failed, on another worker */
    CHECK_EQ(sinew_group_wait(&g), -EIO);
    if (first.seen && second.seen) { /* else one was cancelled before it began */
        yield_until(&e.n, 1);
        CHECK(e.count == first.count || e.count == second.count);
    }
    return no_more_reports();
}

static intptr_t lose_an_error(void *arg)
{
    (void)arg;
    sinew_task *t = spawn_named("lost", fail_now, NULL);
    yield_until_done(t);
    sinew_detach(t);
    return sinew_sleep(SINEW_MS(10));
}

static intptr_t wait_for_ever(void *arg)
{
    (void)arg;
    sinew_future *f = sinew_future_new();
    CHECK_EQ(sinew_future_await(f), -EDEADLK);
    sinew_future_unref(f);
    return 0;
}

static intptr_t be_slow(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++)
        compute(3 * LIMIT);
    return 0;
}

struct case_of_debug {
    const char *name;
    sinew_fn main;
    const char *variable, *value; /* in the environment; NULL: by the options */
    const char *says[4];          /* in this order */
    const char *says_not;
    intptr_t result;
    int tries;
};

static int run_case(void *arg)
{
    const struct case_of_debug *c = arg;
    sinew_options opt = {.workers = 2, .slow_step = c->main == be_slow ? LIMIT : 0};
    opt.debug = !c->variable;
    if (c->variable)
        setenv(c->variable, c->value, 1);
    if (under_valgrind())
        opt.workers = 1;
    CHECK_EQ(sinew_run_with(&opt, c->main, NULL), c->result);
    return 0;
}

static bool says_all(const struct case_of_debug *c, const char *text)
{
    for (size_t i = 0; i < 4 && c->says[i]; i++) {
        text = strstr(text, c->says[i]);
        if (!text)
            return false;
    }
    return true;
}

static void try_case(const struct case_of_debug *c)
{
    child_end end = {.code = -1};
    for (int i = 0; i < c->tries; i++) { /* a busy machine may pass over the one step that is slow */
        assert_true(run_child(run_case, (void *)(uintptr_t)c, &end));
        if (end.code != 0 || says_all(c, end.err))
            break;
    }
    if (end.code != 0 || !says_all(c, end.err) || (c->says_not && strstr(end.err, c->says_not)))
        child_fail(c->name, &end);
}

static void a226_lines_on_stderr_say_where(void **state)
{
    (void)state;
    static const struct case_of_debug cases[] = {
        {"an error", lose_an_error, .says = {"lost", "(-5)", "created at:", "[0x"}, .tries = 1},
        {"a deadlock", wait_for_ever, .says = {"deadlock", "waiting: Task-", "created at:", "[0x"}, .tries = 1},
        {"a slow task", be_slow, .says = {"Task-", "without suspending (0.", "created at:", "[0x"}, .tries = 20},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        try_case(&cases[i]);
}

static void a226_the_environment_switches_debug_mode_on(void **state)
{
    (void)state;
    static const struct case_of_debug cases[] = {
        {"1", lose_an_error, "SINEW_DEBUG", "1", {"lost", "created at:"}, .tries = 1},
        {"0", lose_an_error, "SINEW_DEBUG", "0", {"lost"}, "created at:", .tries = 1},
        {"empty", lose_an_error, "SINEW_DEBUG", "", {"lost"}, "created at:", .tries = 1},
        {"2", lose_an_error, "SINEW_DEBUG", "2", {"SINEW_DEBUG is \"2\"", "0 to 1"}, "lost", -EINVAL, 1},
        {"yes", lose_an_error, "SINEW_DEBUG", "yes", {"SINEW_DEBUG is \"yes\""}, "lost", -EINVAL, 1},
        {"-1", lose_an_error, "SINEW_DEBUG", "-1", {"SINEW_DEBUG is \"-1\""}, "lost", -EINVAL, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        try_case(&cases[i]);
}

static intptr_t be_slow_until_told(void *arg)
{
    static struct reports r;
    (void)arg;
    count_reports(&r, sinew_name(sinew_self()));
    return compute_until_reported(&r);
}

static void a224_the_environment_sets_the_limit(void **state)
{
    (void)state;
    static const struct case_of_debug cases[] = {
        {"2", be_slow_until_told, "SINEW_SLOW_MS", "2", .tries = 1},
        {"0", be_slow_until_told, "SINEW_SLOW_MS", "0", {"SINEW_SLOW_MS is \"0\""}, NULL, -EINVAL, 1},
        {"1.5", be_slow_until_told, "SINEW_SLOW_MS", "1.5", {"SINEW_SLOW_MS is \"1.5\""}, NULL, -EINVAL, 1},
        {"-5", be_slow_until_told, "SINEW_SLOW_MS", "-5", {"SINEW_SLOW_MS is \"-5\""}, NULL, -EINVAL, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        try_case(&cases[i]);
}

TEST_MAIN(
    cmocka_unit_test(a224_a_slow_step_is_reported_with_the_tasks_name_and_time),
    cmocka_unit_test(a224_a_step_that_goes_on_is_reported_while_it_runs_and_when_it_has_ended),
    cmocka_unit_test(a224_each_step_of_a_task_has_a_time_of_its_own),
    cmocka_unit_test(a224_of_tasks_that_run_in_place_the_innermost_is_named),
    cmocka_unit_test(a224_a_slow_step_is_reported_with_its_stack), cmocka_unit_test(a224_a_slow_callback_is_reported),
    cmocka_unit_test(a224_a_slow_element_of_a_map_is_reported), cmocka_unit_test(a224_a_limit_works_without_debug_mode),
    cmocka_unit_test(a224_what_is_under_the_limit_is_not_reported),
    cmocka_unit_test(a224_nobody_watches_unless_asked_to),
    cmocka_unit_test(a224_a_handler_that_was_replaced_is_not_running_any_more),
    cmocka_unit_test(a224_a_report_that_is_due_is_no_deadlock),
    cmocka_unit_test(a224_the_last_step_of_a_run_is_reported_before_it_returns),
    cmocka_unit_test(a224_blocking_work_is_no_step), cmocka_unit_test(a224_the_environment_sets_the_limit),
    cmocka_unit_test(a226_where_a_task_was_made_is_kept), cmocka_unit_test(a226_also_for_what_any_sort_of_task_spawns),
    cmocka_unit_test(a226_a_plain_thread_can_be_where), cmocka_unit_test(a226_ten_frames_are_kept_at_most),
    cmocka_unit_test(a226_without_debug_mode_nothing_is_kept),
    cmocka_unit_test(a226_an_errors_report_says_where_its_task_was_made),
    cmocka_unit_test(a226_lines_on_stderr_say_where), cmocka_unit_test(a226_the_environment_switches_debug_mode_on))
