/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting and stopping a runtime.
 *
 * The calling thread becomes worker 0; the others are threads of their own. Each opens its driver in its own thread
 * (rings demand that) and reports; only when all have succeeded does main start, so a refused resource is an error of
 * sinew_run and nothing has run yet.
 */
#include "runtime/callback.h"
#include "runtime/cancel.h"
#include "runtime/fork.h"
#include "runtime/inspect.h"
#include "runtime/kick.h"
#include "runtime/local.h"
#include "runtime/options.h"
#include "runtime/origin.h"
#include "runtime/overflow.h"
#include "runtime/report.h"
#include "runtime/slow.h"
#include "runtime/task_hot.h"

#include <limits.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

/* SIGINT: one runtime at a time may handle it. */
static _Atomic(sn_runtime *) interrupted_runtime;
static _Atomic uint32_t in_handler;

static void on_interrupt(int signal)
{
    (void)signal;
    int saved = errno;
    sn_add(&in_handler, 1, seq_cst); /* before the pointer is read; partner: the exchange in give_interrupt_back */
    sn_runtime *rt = sn_load(&interrupted_runtime, seq_cst);
    if (rt) {
        sn_store(&rt->interrupted, 1, release);
        for (uint32_t i = 0; i < rt->workers_count; i++)
            rt->driver->wake(rt->workers[i].driver); /* a write to an eventfd */
    }
    sn_sub(&in_handler, 1, release);
    errno = saved;
}

static bool take_interrupt(sn_runtime *rt)
{
    struct sigaction now;
    if (gettid() != getpid() || sigaction(SIGINT, NULL, &now) != 0 || now.sa_flags & SA_SIGINFO ||
        now.sa_handler != SIG_DFL)
        return false;
    sn_runtime *nobody = NULL;
    if (!sn_cas(&interrupted_runtime, &nobody, rt, acq_rel))
        return false;
    /* The second one meets the default action again and ends the process. */
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = (int)(SA_RESTART | SA_RESETHAND | SA_ONSTACK)};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    return true;
}

/* Somebody who listens to SIGINT may have put another action in place of ours, and puts ours back when no run is there
 * any more; then it ends here: both look after they have changed something. After its one arrival ours is the default
 * already, but for the flags. */
void sn_interrupt_settle(void)
{
    struct sigaction now, standard = {.sa_handler = SIG_DFL};
    if (!sn_load(&interrupted_runtime, seq_cst) && sigaction(SIGINT, NULL, &now) == 0 &&
        (now.sa_handler == on_interrupt || now.sa_handler == SIG_DFL))
        sigaction(SIGINT, &standard, NULL);
}

static void give_interrupt_back(void)
{
    sn_exchange(&interrupted_runtime, NULL, seq_cst);
    sn_interrupt_settle();
    while (sn_load(&in_handler, seq_cst) != 0) /* in some other thread; it holds no lock and ends soon */
        sched_yield();
}

/* SIGINT is blocked. */
void sn_interrupt_forked(void)
{
    if (sn_exchange(&interrupted_runtime, NULL, seq_cst))
        sn_interrupt_settle();
    sn_store(&in_handler, 0, relaxed); /* in a thread that the child does not have */
}

typedef struct start {
    sn_runtime *rt;
    sem_t reported;            /* once per thread */
    _Atomic uint32_t decision; /* 0 undecided, 1 go, 2 give up */
    sem_t decided;
} start;

typedef struct thread_start {
    start *start;
    sn_worker *worker;
} thread_start;

static int enter_thread(sn_worker *w)
{
    sn_tls_worker = w;
    w->errno_location = &errno;
    w->thread_id = gettid();
    w->fiber = &w->sched;
#if SN_TSAN
    w->sched.tsan_context = __tsan_get_current_fiber();
    sn_tsan_release(&w->sched); /* the thread's own set-up (its thread-local storage) comes before every task on it */
#endif
#if SN_ASAN
    pthread_attr_t attributes;
    void *low = NULL;
    size_t bytes = 0;
    sn_fiber *forked = sn_fork_fiber();
    if (forked) {
        low = forked->stack_low;
        bytes = (size_t)((char *)forked - forked->stack_low);
    } else if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
        pthread_attr_getstack(&attributes, &low, &bytes);
        pthread_attr_destroy(&attributes);
    }
    w->sched.stack_low = low;
    w->sched.stack_bytes = bytes;
#endif
    int r = sn_overflow_enter(w);
    if (r == 0)
        r = sn_fork_open_driver(w);
    if (r == 0)
        sn_kick_enter(w);
    return r;
}

static void leave_thread(sn_worker *w)
{
    if (w->driver) {
        sn_kick_leave(w);
        sn_fork_close_driver(w);
    }
    sn_overflow_leave(w);
    sn_tls_worker = NULL;
}

static void *thread_main(void *arg)
{
    thread_start *ts = arg;
    sn_worker *w = ts->worker;
    start *s = ts->start;
    w->thread_result = enter_thread(w);
    sem_post(&s->reported);
    while (sem_wait(&s->decided) != 0)
        ;
    if (sn_load(&s->decision, acquire) == 1)
        sn_worker_loop(w);
    /* The others may still wake this driver until all have left their loops. */
    pthread_barrier_wait(&w->runtime->end);
    leave_thread(w);
    return NULL;
}

static _Atomic uint32_t worker_numbers;

static int init_worker(sn_runtime *rt, uint32_t index, uint64_t seed)
{
    sn_worker *w = &rt->workers[index];
    w->runtime = rt;
    w->index = index;
    w->number = sn_add(&worker_numbers, 1, relaxed) + 1;
    w->place = (uint64_t)SN_TASK_NEW << SN_TASK_STATE_SHIFT | (uint64_t)index << 32;
    w->budget = SN_BUDGET;
    w->random.state = seed + index * UINT64_C(0xd1342543de82ef95);
    w->sched.pinned = -1;
    ck_stack_init(&w->inbox);
    sn_timers_init(&w->timers);
    return sn_runq_init(&w->runq);
}

/* Threads that have woken somebody and are not out of it yet, or were woken by the end of a task and have not run. */
static void see_guests_off(sn_runtime *rt)
{
    while (sn_load(&rt->guests, acquire) != 0) /* e2 in worker.h */
        sched_yield();
}

static void free_runtime(sn_runtime *rt)
{
    sn_inspect_remove(rt);
    see_guests_off(rt);
    if (rt->workers)
        for (uint32_t i = 0; i < rt->workers_count; i++) {
            sn_runq_destroy(&rt->workers[i].runq);
            sn_timers_destroy(&rt->workers[i].timers);
        }
    sn_stacks_destroy(&rt->stacks);
    sn_task_pool_destroy(rt->task_pool);
    sn_blocking_destroy(&rt->blocking);
    sn_blocking_destroy(&rt->lookups);
    sn_slow_free(rt);
    if (rt->debug)
        sn_origin_end();
    free(rt->workers);
    free(rt);
}

static sn_runtime *new_runtime(const sinew_options *opt, const sn_driver_ops *driver, bool may_fall_back)
{
    sn_runtime *rt = NULL;
    if (posix_memalign((void **)&rt, SN_CACHE_LINE, sizeof *rt) != 0)
        return NULL;
    memset(rt, 0, sizeof *rt);
    if (sn_blocking_init(&rt->blocking, rt, opt->blocking_threads) != 0)
        goto no_blocking;
    if (sn_blocking_init(&rt->lookups, rt, SN_LOOKUP_THREADS_MAX) != 0)
        goto no_lookups;
    rt->driver = driver;
    rt->may_fall_back = may_fall_back;
    rt->debug = opt->debug;
    if (rt->debug)
        sn_origin_begin();
    rt->cpu_each = opt->workers == 1 || opt->workers <= sn_usable_cpus(); /* which reads files */
    rt->stack_bytes = opt->stack_bytes;
    rt->in_place_bytes = opt->stack_bytes / SN_IN_PLACE_SHARE;
    sn_idle_init(&rt->idle);
    ck_stack_init(&rt->inbox);
    sn_stacks_init(&rt->stacks, opt->stack_bytes);
    rt->task_pool = sn_task_pool_new(rt);
    if (rt->task_pool && posix_memalign((void **)&rt->workers, SN_CACHE_LINE, opt->workers * sizeof *rt->workers) != 0)
        rt->workers = NULL;
    if (rt->workers) {
        memset(rt->workers, 0, opt->workers * sizeof *rt->workers);
        for (; rt->workers_count < opt->workers; rt->workers_count++)
            if (init_worker(rt, rt->workers_count, opt->seed) != 0)
                break;
    }
    if (!rt->workers || rt->workers_count < opt->workers) {
        free_runtime(rt);
        return NULL;
    }
    sn_inspect_add(rt);
    return rt;
no_lookups:
    sn_blocking_destroy(&rt->blocking);
no_blocking:
    free(rt);
    return NULL;
}

/* Starts the threads, runs the loop in this one, joins. 0, or why it could not start. */
static int run_workers(sn_runtime *rt, sinew_fn fn, void *arg, const sinew_options *opt, const void *caller)
{
    uint32_t n = rt->workers_count;
    sn_context_values *values = sn_context_current(); /* of the task whose blocking call this is, if any */
    thread_start *threads = calloc(n, sizeof *threads);
    if (!threads)
        return -ENOMEM;
    start s = {.rt = rt};
    sem_init(&s.reported, 0, 0);
    sem_init(&s.decided, 0, 0);

    sn_worker *self = &rt->workers[0];
    int r = enter_thread(self);
    uint32_t started = 1;
    for (; r == 0 && started < n; started++) {
        threads[started] = (thread_start){&s, &rt->workers[started]};
        int refused = pthread_create(&rt->workers[started].thread, NULL, thread_main, &threads[started]);
        if (refused) {
            r = -refused;
            sn_complain("sinew_run: thread %u of %u is refused: %s; ask for fewer workers or raise the limit",
                        started + 1, n, strerror(refused));
            break;
        }
    }
    pthread_barrier_init(&rt->end, NULL, started);
    for (uint32_t i = 1; i < started; i++)
        while (sem_wait(&s.reported) != 0)
            ;
    for (uint32_t i = 1; i < started && r == 0; i++)
        r = rt->workers[i].thread_result;
    if (r == 0 && opt->slow_step != SINEW_FOREVER)
        r = sn_slow_begin(rt, opt->slow_step);

    bool interrupt = false;
    if (r == 0) {
        self->sched.task = NULL;
        rt->main_task = sn_task_make(self, fn, arg);
        if (rt->main_task && values && !sn_task_extend(rt->main_task)) {
            sn_task_unmake(self, rt->main_task);
            rt->main_task = NULL;
        }
        if (rt->main_task && values)
            rt->main_task->ext->values = sn_context_ref(values);
        if (rt->main_task && rt->debug)
            sn_origin_note(rt->main_task, caller);
        if (rt->main_task)
            sn_task_push(self, rt->main_task);
        else
            r = -ENOMEM;
    }
    if (r == 0 && !opt->keep_sigint)
        interrupt = take_interrupt(rt);
    sn_store(&s.decision, r == 0 ? 1 : 2, release);
    for (uint32_t i = 1; i < started; i++)
        sem_post(&s.decided);
    if (r == 0)
        sn_worker_loop(self);
    if (interrupt)
        give_interrupt_back();
    sn_blocking_end(&rt->blocking); /* what it still runs may wake workers */
    sn_blocking_end(&rt->lookups);
    sn_callbacks_end(rt);
    sn_slow_end(rt);    /* the same */
    see_guests_off(rt); /* before any driver is closed: they may be about to wake it */
    pthread_barrier_wait(&rt->end);
    sn_tsan_acquire(rt);
    if (rt->main_task) {
        sn_task_asked(rt->main_task);
        sn_task_unref(rt->main_task);
    }
    leave_thread(self);
    for (uint32_t i = 1; i < started; i++)
        pthread_join(rt->workers[i].thread, NULL);
    pthread_barrier_destroy(&rt->end);
    sem_destroy(&s.reported);
    sem_destroy(&s.decided);
    free(threads);
    return r;
}

/* A whole run. *refused: it has not begun, as the kernel refuses one of the workers, or all, such a driver, and another
 * may be used: by all workers, so it begins anew. */
static intptr_t run_on(const sn_driver_ops *driver, bool may_fall_back, bool *refused, sinew_fn fn, void *arg,
                       const sinew_options *opt, const void *caller)
{
    *refused = false;
    sn_runtime *rt = sn_fork_init() == 0 ? new_runtime(opt, driver, may_fall_back) : NULL;
    if (!rt) {
        sn_complain("sinew_run: no memory for %u workers", opt->workers);
        return -ENOMEM;
    }
    int r = run_workers(rt, fn, arg, opt, caller);
    intptr_t result = r != 0 ? r : rt->main_result;
    if (r == 0 && rt->interrupt_handled && result == -ECANCELED)
        result = -EINTR;
    *refused = r == -ENOSYS && may_fall_back;
    free_runtime(rt);
    return result;
}

intptr_t sinew_run_with(const sinew_options *opt, sinew_fn fn, void *arg)
{
    sinew_options complete;
    if (!fn) {
        sn_complain("sinew_run: the function is NULL");
        return -EINVAL;
    }
    if (sn_worker_self()) {
        sn_complain("sinew_run: called inside a task; spawn a task instead, or call it from a thread of its own");
        return -EDEADLK;
    }
    int r = sn_options_complete(opt, &complete);
    if (r != 0)
        return r;
    sn_fence_init();
    sn_overflow_init();
    sn_kick_init();
    bool either = complete.driver == SINEW_DRIVER_DEFAULT, refused;
    const sn_driver_ops *driver = complete.driver == SINEW_DRIVER_EPOLL ? &sn_driver_epoll : &sn_driver_uring;
    intptr_t result = run_on(driver, either, &refused, fn, arg, &complete, __builtin_return_address(0));
    if (refused)
        result = run_on(&sn_driver_epoll, false, &refused, fn, arg, &complete, __builtin_return_address(0));
    return result;
}

intptr_t sinew_run(sinew_fn fn, void *arg)
{
    return sinew_run_with(NULL, fn, arg);
}

unsigned sinew_workers(void)
{
    sn_worker *w = sn_worker_of_task();
    return w ? w->runtime->workers_count : 0;
}

const char *sinew_driver_name(void)
{
    sn_worker *w = sn_worker_of_task();
    return w ? w->runtime->driver->name : NULL;
}

unsigned sinew_worker_index(void)
{
    sn_worker *w = sn_worker_of_task();
    return w ? w->index : UINT_MAX;
}

int sinew_get_stats(sinew_stats *out)
{
    if (!out)
        return -EINVAL;
    sn_worker *self = sn_worker_of_task();
    if (!self)
        return -EPERM;
    sn_runtime *rt = self->runtime;
    *out = (sinew_stats){0};
    int64_t live = 0;
    for (uint32_t i = 0; i < rt->workers_count; i++) {
        sn_counters *c = &rt->workers[i].counters;
        out->tasks_spawned += sn_load(&c->spawned[0], relaxed) + sn_load(&c->spawned[1], relaxed);
        uint64_t fast = sn_load(&c->in_place[0], relaxed) + sn_load(&c->in_place[1], relaxed);
        out->tasks_finished += sn_load(&c->finished[0], relaxed) + sn_load(&c->finished[1], relaxed) + fast;
        out->tasks_in_place += sn_load(&c->in_place_slow, relaxed) + fast;
        out->switches += sn_load(&c->switches, relaxed);
        out->steals += sn_load(&c->steals, relaxed);
        out->steals_failed += sn_load(&c->steals_failed, relaxed);
        out->tasks_stolen += sn_load(&c->tasks_stolen, relaxed);
        out->kicks += sn_load(&c->kicks, relaxed);
        out->parks += sn_load(&c->parks, relaxed);
        out->wakes += sn_load(&c->wakes, relaxed);
        out->polls += sn_load(&c->polls, relaxed);
        out->ops_submitted += sn_load(&c->submitted, relaxed);
        out->ops_completed += sn_load(&c->completed, relaxed);
        live += sn_load(&c->fibers_live, relaxed);
    }
    out->tasks_spawned += sn_load(&rt->injected[0], relaxed) + sn_load(&rt->injected[1], relaxed);
    out->stacks_pooled = sn_load(&rt->stacks.pooled_count, relaxed);
    out->stacks_live = live > 0 ? (uint64_t)live : 0;
    out->blocking_threads = sn_load(&rt->blocking.threads, relaxed);
    out->blocking_queued = sn_load(&rt->blocking.queued, relaxed);
    return 0;
}
