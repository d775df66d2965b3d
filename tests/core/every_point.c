/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a program of all the library's waits can be cancelled at every point where it may be suspended, and leaves no
 * lock held, no item lost, no task running and nobody waiting.
 * Method: a program of steps, each of which waits for something that a helper gives it. Each run is cancelled at
 * another point: the j-th time that somebody looks while it is inside of step k; right after the k-th gift, before the
 * program can know of it; at the entry of step k. The program either gives up, with all its locks still held, or
 * swallows the cancel, repeats the step and goes on to its end. With one worker the looks are the same in every run;
 * with several they fall where they fall. After each run everything is counted and every lock taken. Cannot see: points
 * inside of calls that no look falls into with one worker; stress/ looks for those.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

enum when {
    INSIDE,
    AFTER_A_GIFT,
    AT_ENTRY,
};

/* Where a run is cancelled, and what its program then does. */
struct plan {
    enum when when;
    int k;         /* the step, or the gift */
    int look;      /* INSIDE: the how manieth look */
    bool swallows; /* goes on after the cancel */
    bool in_place; /* awaited before anybody can have started it */
};

enum { LOOKS_BEFORE_A_GIFT = 3, LOOKS_MAX = 8, STEPS_MAX = 40, RUNS_MAX = 4000 };

/* What goes through a queue, a channel, a pipe. */
struct account {
    int in, out;
};

/* A blocking call may go on after its caller was cancelled, so what it uses must outlive the run. */
static struct job {
    sinew_event go;
} jobs[RUNS_MAX];

struct world {
    struct plan plan;
    sinew_task *program;
    atomic_int entered, left; /* steps */
    atomic_int gifts;
    atomic_bool accepted; /* the cancel was */
    int delivered;        /* how many calls returned it */
    int step;             /* that the program, the helper, and at the end the main task is at */
    bool given[STEPS_MAX];
    sinew_event go[STEPS_MAX]; /* of the children of each step */

    sinew_mutex mutex, guard;
    sinew_cond cond;
    bool ready;
    sinew_rwlock read, write;
    sinew_sem sem;
    sinew_event event;
    sinew_barrier barrier;
    sinew_event barrier_go;
    sinew_latch latch;
    sinew_once once;
    sinew_event once_go;
    atomic_int once_begun, once_done;
    sinew_future *future;
    sinew_channel *full, *empty, *meet, *select_in, *select_out;
    sinew_queue *full_queue, *empty_queue, *joined;
    struct account of_full, of_empty, of_meet, of_select, of_full_queue, of_empty_queue, of_pipe;
    int pipe[2];
    struct job *job;
    sinew_task *kept[STEPS_MAX][2]; /* that a cancel of the program must leave alone */
    bool has_mutex, has_read, has_write, has_permit;
};

static void ask(struct world *w)
{
    if (sinew_cancel(w->program))
        atomic_store(&w->accepted, true);
}

/* After each gift. */
static void gift(struct world *w)
{
    if (atomic_fetch_add(&w->gifts, 1) == w->plan.k && w->plan.when == AFTER_A_GIFT)
        ask(w);
}

/* --- the steps: entered by the program, given by the helper, and looked at by the main task ----------------------- */

static int enter_mutex(struct world *w)
{
    int r = sinew_mutex_lock(&w->mutex);
    w->has_mutex = r == 0;
    return r;
}

static int give_mutex(struct world *w)
{
    return sinew_mutex_unlock(&w->mutex);
}

static void look_mutex(struct world *w, bool given)
{
    if (!given)
        CHECK_EQ(sinew_mutex_unlock(&w->mutex), 0);
    for (int i = 0; i < 2; i++) { /* a waiter left behind would be given it by the first unlock */
        CHECK_EQ(sinew_mutex_trylock(&w->mutex), 0);
        CHECK_EQ(sinew_mutex_unlock(&w->mutex), 0);
    }
}

static int enter_read(struct world *w)
{
    int r = sinew_rwlock_read_lock(&w->read);
    w->has_read = r == 0;
    return r;
}

static int give_read(struct world *w)
{
    return sinew_rwlock_write_unlock(&w->read);
}

static void take_whole(sinew_rwlock *l)
{
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(sinew_rwlock_try_write_lock(l), 0);
        CHECK_EQ(sinew_rwlock_write_unlock(l), 0);
    }
}

static void look_read(struct world *w, bool given)
{
    if (!given)
        CHECK_EQ(sinew_rwlock_write_unlock(&w->read), 0);
    take_whole(&w->read);
}

static int enter_write(struct world *w)
{
    int r = sinew_rwlock_write_lock(&w->write);
    w->has_write = r == 0;
    return r;
}

static int give_write(struct world *w)
{
    return sinew_rwlock_read_unlock(&w->write);
}

static void look_write(struct world *w, bool given)
{
    if (!given)
        CHECK_EQ(sinew_rwlock_read_unlock(&w->write), 0);
    take_whole(&w->write);
}

static int enter_sem(struct world *w)
{
    int r = sinew_sem_wait(&w->sem);
    w->has_permit = r == 0;
    return r;
}

static int give_sem(struct world *w)
{
    return sinew_sem_post(&w->sem);
}

static void look_sem(struct world *w, bool given)
{
    if (!given)
        CHECK_EQ(sinew_sem_post(&w->sem), 0);
    CHECK_EQ(sinew_sem_trywait(&w->sem), 0);
    CHECK_EQ(sinew_sem_trywait(&w->sem), -EAGAIN);
}

static int enter_cond(struct world *w)
{
    int r = sinew_mutex_lock(&w->guard);
    if (r < 0)
        return r;
    while (r == 0 && !w->ready)
        r = sinew_cond_wait(&w->cond, &w->guard);
    CHECK(sinew_mutex_locked(&w->guard));
    CHECK_EQ(sinew_mutex_unlock(&w->guard), 0);
    return r;
}

/* Two gifts: the notification, and some time later the mutex. */
static int give_cond(struct world *w)
{
    int r = sinew_mutex_lock(&w->guard);
    if (r < 0)
        return r;
    w->ready = true;
    CHECK_EQ(sinew_cond_notify(&w->cond, 1), 0);
    gift(w);
    for (int i = 0; i < LOOKS_BEFORE_A_GIFT && r == 0; i++)
        r = sinew_yield();
    CHECK_EQ(sinew_mutex_unlock(&w->guard), 0);
    return r;
}

static void look_cond(struct world *w, bool given)
{
    (void)given;
    CHECK_EQ(sinew_mutex_trylock(&w->guard), 0);
    CHECK_EQ(sinew_cond_notify_all(&w->cond), 0);
    CHECK_EQ(sinew_mutex_unlock(&w->guard), 0);
    CHECK(!sinew_mutex_locked(&w->guard));
}

static int enter_event(struct world *w)
{
    return sinew_event_wait(&w->event);
}

static int give_event(struct world *w)
{
    return sinew_event_set(&w->event);
}

static void look_event(struct world *w, bool given)
{
    CHECK_EQ(sinew_event_is_set(&w->event), given);
    CHECK_EQ(sinew_event_set(&w->event), 0);
}

static int enter_barrier(struct world *w)
{
    int r = sinew_barrier_wait(&w->barrier);
    return r < 0 ? r : 0;
}

/* Comes when told, and then again and again: one cancelled after both had come must come once more. */
static intptr_t come_to_barrier(void *arg)
{
    struct world *w = arg;
    int r = sinew_event_wait(&w->barrier_go);
    for (; r >= 0; gift(w))
        r = sinew_barrier_wait(&w->barrier);
    return r;
}

static int give_barrier(struct world *w)
{
    return sinew_event_set(&w->barrier_go);
}

static void look_barrier(struct world *w, bool given)
{
    (void)given;
    CHECK_EQ(sinew_barrier_n_waiting(&w->barrier), 0);
    CHECK(!sinew_barrier_broken(&w->barrier));
}

static int enter_latch(struct world *w)
{
    return sinew_latch_wait(&w->latch);
}

static int give_latch(struct world *w)
{
    return sinew_latch_count_down(&w->latch, 1);
}

static void look_latch(struct world *w, bool given)
{
    CHECK_EQ(sinew_latch_count_down(&w->latch, 1), given ? -ERANGE : 0);
    CHECK_EQ(sinew_latch_try_wait(&w->latch), 0);
}

static intptr_t do_once(void *arg)
{
    struct world *w = arg;
    atomic_fetch_add(&w->once_begun, 1);
    intptr_t r = sinew_event_wait(&w->once_go);
    if (r < 0)
        return r;
    atomic_fetch_add(&w->once_done, 1);
    return 7;
}

static intptr_t first_of_once(void *arg)
{
    struct world *w = arg;
    return sinew_once_run(&w->once, do_once, w);
}

static int enter_once(struct world *w)
{
    intptr_t r = sinew_once_run(&w->once, do_once, w);
    return r == 7 ? 0 : (int)r;
}

static int give_once(struct world *w)
{
    return sinew_event_set(&w->once_go);
}

static void look_once(struct world *w, bool given)
{
    (void)given; /* who ran it may have been cancelled all the same: then the next one runs it again */
    CHECK_EQ(sinew_event_set(&w->once_go), 0);
    CHECK_EQ(sinew_once_run(&w->once, do_once, w), 7);
    CHECK_EQ(w->once_done, 1);
}

static int enter_future(struct world *w)
{
    /* The cancel of one who waits is the future's. */
    if (sinew_future_result(w->future) == -ECANCELED)
        return 0;
    intptr_t r = sinew_future_await(w->future);
    return r == 42 ? 0 : (int)r;
}

static int give_future(struct world *w)
{
    int r = sinew_future_set(w->future, 42);
    CHECK(r == 0 || r == -EALREADY);
    return 0;
}

static void look_future(struct world *w, bool given)
{
    intptr_t r = sinew_future_result(w->future);
    CHECK(given ? r == 42 || r == -ECANCELED : r == -EINPROGRESS || r == -ECANCELED);
}

/* --- channels, queues, a pipe ----------------------------------------------------------------------------------- */

static int enter_send(struct world *w)
{
    int r = sinew_channel_send(w->full, &(int){2});
    w->of_full.in += r == 0;
    return r;
}

static int give_send(struct world *w)
{
    int item = 0;
    CHECK_EQ(sinew_channel_try_recv(w->full, &item), 0);
    CHECK_EQ(item, 1);
    w->of_full.out++;
    return 0;
}

static void look_send(struct world *w, bool given)
{
    (void)given;
    CHECK_EQ(1 + w->of_full.in, w->of_full.out + (int)sinew_channel_length(w->full));
}

static int enter_recv(struct world *w)
{
    int item = 0, r = sinew_channel_recv(w->empty, &item);
    CHECK_EQ(item, r == 0 ? 3 : 0);
    w->of_empty.out += r == 0;
    return r;
}

static int give_recv(struct world *w)
{
    CHECK_EQ(sinew_channel_try_send(w->empty, &(int){3}), 0);
    w->of_empty.in++;
    return 0;
}

static void look_recv(struct world *w, bool given)
{
    (void)given;
    CHECK_EQ(w->of_empty.in, w->of_empty.out + (int)sinew_channel_length(w->empty));
    CHECK_EQ(sinew_channel_length(w->empty), w->of_empty.in - w->of_empty.out);
}

static int enter_meet(struct world *w)
{
    int r = sinew_channel_send(w->meet, &(int){4});
    w->of_meet.in += r == 0;
    return r;
}

static int give_meet(struct world *w)
{
    int item = 0, r = sinew_channel_recv(w->meet, &item);
    CHECK_EQ(item, r == 0 ? 4 : 0);
    w->of_meet.out += r == 0;
    return r;
}

static void look_meet(struct world *w, bool given)
{
    (void)given;
    CHECK_EQ(w->of_meet.in, w->of_meet.out);
    CHECK_EQ(sinew_channel_try_send(w->meet, &(int){0}), -EAGAIN);
    CHECK_EQ(sinew_channel_try_recv(w->meet, &(int){0}), -EAGAIN);
}

static int enter_select(struct world *w)
{
    int item, out = 5;
    sinew_case cases[] = {{.kind = SINEW_CASE_RECV, .channel = w->select_in, .element = &item},
                          {.kind = SINEW_CASE_SEND, .channel = w->select_out, .element = &out},
                          {.kind = SINEW_CASE_TASK, .task = sinew_self()},
                          {.kind = SINEW_CASE_AFTER, .duration = VERY_LONG}};
    int r = sinew_select(cases, 4);
    w->of_select.in += r == 1;
    CHECK(r < 0 || r == 1);
    return r < 0 ? r : 0;
}

static int give_select(struct world *w)
{
    int item = 0, r = sinew_channel_recv(w->select_out, &item);
    CHECK_EQ(item, r == 0 ? 5 : 0);
    w->of_select.out += r == 0;
    return r;
}

static void look_select(struct world *w, bool given)
{
    (void)given;
    CHECK_EQ(w->of_select.in, w->of_select.out);
    CHECK_EQ(sinew_channel_try_send(w->select_in, &(int){0}), -EAGAIN);
    CHECK_EQ(sinew_channel_try_recv(w->select_out, &(int){0}), -EAGAIN);
}

static int enter_put(struct world *w)
{
    int r = sinew_queue_put(w->full_queue, &(int){2});
    w->of_full_queue.in += r == 0;
    return r;
}

static int give_put(struct world *w)
{
    int item = 0;
    CHECK_EQ(sinew_queue_try_get(w->full_queue, &item), 0);
    CHECK_EQ(item, 1);
    w->of_full_queue.out++;
    return 0;
}

static void look_put(struct world *w, bool given)
{
    (void)given;
    CHECK_EQ(1 + w->of_full_queue.in, w->of_full_queue.out + (int)sinew_queue_length(w->full_queue));
    CHECK_EQ(sinew_queue_unfinished(w->full_queue), 1 + w->of_full_queue.in);
}

static int enter_get(struct world *w)
{
    int item, r = sinew_queue_get(w->empty_queue, &item);
    CHECK(r < 0 || item == 3);
    w->of_empty_queue.out += r == 0;
    return r;
}

static int give_get(struct world *w)
{
    CHECK_EQ(sinew_queue_try_put(w->empty_queue, &(int){3}), 0);
    w->of_empty_queue.in++;
    return 0;
}

static void look_get(struct world *w, bool given)
{
    (void)given;
    CHECK_EQ(w->of_empty_queue.in, w->of_empty_queue.out + (int)sinew_queue_length(w->empty_queue));
    CHECK_EQ(sinew_queue_unfinished(w->empty_queue), w->of_empty_queue.in);
}

static int enter_join(struct world *w)
{
    return sinew_queue_join(w->joined);
}

static int give_join(struct world *w)
{
    int item;
    CHECK_EQ(sinew_queue_try_get(w->joined, &item), 0);
    return sinew_queue_task_done(w->joined);
}

static void look_join(struct world *w, bool given)
{
    CHECK_EQ(sinew_queue_unfinished(w->joined), !given);
    if (!given)
        CHECK_EQ(sinew_queue_task_done(w->joined), 0);
    CHECK_EQ(sinew_queue_join(w->joined), 0);
}

static int enter_pipe(struct world *w)
{
    char byte = 0;
    ssize_t n = sinew_read(w->pipe[0], &byte, 1);
    CHECK(n < 0 || (n == 1 && byte == 'x'));
    w->of_pipe.out += n == 1;
    return n < 0 ? (int)n : 0;
}

static int give_pipe(struct world *w)
{
    CHECK_EQ(write(w->pipe[1], "x", 1), 1);
    w->of_pipe.in++;
    return 0;
}

static void look_pipe(struct world *w, bool given)
{
    (void)given;
    int left = -1;
    CHECK_EQ(ioctl(w->pipe[0], FIONREAD, &left), 0);
    CHECK_EQ(w->of_pipe.in, w->of_pipe.out + left);
}

/* --- other tasks, time, threads --------------------------------------------------------------------------------- */

static intptr_t child(void *event)
{
    return sinew_event_wait(event);
}

static sinew_task *child_of(struct world *w)
{
    return sinew_spawn(child, &w->go[atomic_load(&w->left)]);
}

static int give_go(struct world *w)
{
    return sinew_event_set(&w->go[w->step]);
}

static void look_go(struct world *w, bool given)
{
    (void)given;
    CHECK_EQ(sinew_event_set(&w->go[w->step]), 0);
}

static int enter_await(struct world *w)
{
    return (int)sinew_await(child_of(w));
}

static int enter_await_started(struct world *w)
{
    return (int)sinew_await(spawn_eager(child, &w->go[atomic_load(&w->left)]));
}

static int enter_wait_for(struct world *w)
{
    return (int)sinew_wait_for(child_of(w), VERY_LONG);
}

static int enter_gather(struct world *w)
{
    return sinew_gather((sinew_task *[]){child_of(w), child_of(w)}, 2, NULL);
}

static int enter_settled(struct world *w)
{
    intptr_t results[2];
    int r = sinew_gather_settled((sinew_task *[]){child_of(w), child_of(w)}, 2, results);
    CHECK(r != 0 || (results[0] == 0 && results[1] == 0));
    return r;
}

static int enter_map(struct world *w)
{
    return sinew_map(child, &w->go[atomic_load(&w->left)], 0, 2, NULL);
}

static int enter_group(struct world *w)
{
    sinew_group g;
    sinew_group_init(&g);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(sinew_group_spawn(&g, child, &w->go[atomic_load(&w->left)]), 0);
    return sinew_group_wait(&g);
}

/* Two children that a cancel of the program must not reach. */
static sinew_task **kept_of(struct world *w)
{
    sinew_task **kept = w->kept[atomic_load(&w->left)];
    for (int i = 0; i < 2 && !kept[1]; i++)
        kept[i] = child_of(w);
    return kept;
}

static void look_kept(struct world *w, bool given)
{
    look_go(w, given);
    for (int i = 0; i < 2; i++)
        if (w->kept[w->step][i])
            CHECK_EQ(sinew_await(w->kept[w->step][i]), 0);
}

static int enter_shield(struct world *w)
{
    return (int)sinew_shield(sinew_ref(*kept_of(w)));
}

static int enter_wait(struct world *w)
{
    int r = sinew_wait(kept_of(w), 2, SINEW_ALL_COMPLETED, SINEW_FOREVER, NULL);
    return r == 2 ? 0 : r;
}

static int enter_as_completed(struct world *w)
{
    sinew_as_completed it;
    CHECK_EQ(sinew_as_completed_begin(&it, kept_of(w), 2, SINEW_FOREVER), 0);
    intptr_t r = 0;
    for (int i = 0; i < 2 && r >= 0; i++)
        r = sinew_as_completed_next(&it);
    sinew_as_completed_end(&it);
    return r < 0 ? (int)r : 0;
}

static int enter_sleep(struct world *w)
{
    (void)w;
    return sinew_sleep(SINEW_US(200));
}

static int enter_yield(struct world *w)
{
    (void)w;
    return sinew_yield();
}

static int enter_timeout(struct world *w)
{
    (void)w;
    sinew_timeout t;
    sinew_timeout_begin(&t, SINEW_US(200));
    int r = sinew_sleep(VERY_LONG), end = sinew_timeout_end(&t);
    CHECK(r == -ECANCELED || (r == -ETIMEDOUT && end == -ETIMEDOUT));
    return r == -ETIMEDOUT ? 0 : r;
}

/* A scope that does not expire around a wait that does not last. */
static int enter_scoped(struct world *w)
{
    sinew_timeout t;
    sinew_timeout_begin(&t, VERY_LONG);
    int r = sinew_event_wait(&w->go[atomic_load(&w->left)]);
    CHECK_EQ(sinew_timeout_end(&t), 0);
    return r;
}

static intptr_t blocked(void *arg)
{
    struct job *job = arg;
    return sinew_event_wait(&job->go);
}

static int enter_blocking(struct world *w)
{
    return (int)sinew_blocking(blocked, w->job);
}

static int give_blocking(struct world *w)
{
    return sinew_event_set(&w->job->go);
}

static void look_blocking(struct world *w, bool given)
{
    (void)given;
    CHECK_EQ(sinew_event_set(&w->job->go), 0);
}

static int enter_blocking_wait(struct world *w)
{
    return (int)sinew_blocking_wait(child, &w->go[atomic_load(&w->left)]);
}

static const struct step {
    const char *name;
    int (*enter)(struct world *w);
    int (*give)(struct world *w); /* NULL: nothing to be given */
    void (*look)(struct world *w, bool given);
} steps[] = {
    {"mutex_lock", enter_mutex, give_mutex, look_mutex},
    {"rwlock_read_lock", enter_read, give_read, look_read},
    {"rwlock_write_lock", enter_write, give_write, look_write},
    {"sem_wait", enter_sem, give_sem, look_sem},
    {"cond_wait", enter_cond, give_cond, look_cond},
    {"event_wait", enter_event, give_event, look_event},
    {"barrier_wait", enter_barrier, give_barrier, look_barrier},
    {"latch_wait", enter_latch, give_latch, look_latch},
    {"once_run", enter_once, give_once, look_once},
    {"future_await", enter_future, give_future, look_future},
    {"channel_send", enter_send, give_send, look_send},
    {"channel_recv", enter_recv, give_recv, look_recv},
    {"unbuffered channel_send", enter_meet, give_meet, look_meet},
    {"select", enter_select, give_select, look_select},
    {"queue_put", enter_put, give_put, look_put},
    {"queue_get", enter_get, give_get, look_get},
    {"queue_join", enter_join, give_join, look_join},
    {"read", enter_pipe, give_pipe, look_pipe},
    {"await", enter_await, give_go, look_go},
    {"await of a started task", enter_await_started, give_go, look_go},
    {"wait_for", enter_wait_for, give_go, look_go},
    {"gather", enter_gather, give_go, look_go},
    {"gather_settled", enter_settled, give_go, look_go},
    {"map", enter_map, give_go, look_go},
    {"group_wait", enter_group, give_go, look_go},
    {"shield", enter_shield, give_go, look_kept},
    {"wait", enter_wait, give_go, look_kept},
    {"as_completed_next", enter_as_completed, give_go, look_kept},
    {"sleep", enter_sleep, NULL, NULL},
    {"yield", enter_yield, NULL, NULL},
    {"sleep in a timeout", enter_timeout, NULL, NULL},
    {"event_wait in a timeout", enter_scoped, give_go, look_go},
    {"blocking", enter_blocking, give_blocking, look_blocking},
    {"blocking_wait", enter_blocking_wait, give_go, look_go},
};

enum { STEPS = sizeof steps / sizeof steps[0] };
_Static_assert((int)STEPS <= (int)STEPS_MAX, "more steps than there is room for");

/* --- the program and its helpers -------------------------------------------------------------------------------- */

static int take_step(struct world *w, int step)
{
    atomic_fetch_add(&w->entered, 1);
    int r = steps[step].enter(w);
    if (r == -ECANCELED) {
        w->delivered++;
        if (w->plan.swallows)
            r = steps[step].enter(w);
    }
    atomic_fetch_add(&w->left, 1);
    return r;
}

static void put_down(struct world *w)
{
    if (w->has_mutex)
        CHECK_EQ(sinew_mutex_unlock(&w->mutex), 0);
    if (w->has_read)
        CHECK_EQ(sinew_rwlock_read_unlock(&w->read), 0);
    if (w->has_write)
        CHECK_EQ(sinew_rwlock_write_unlock(&w->write), 0);
    if (w->has_permit)
        CHECK_EQ(sinew_sem_post(&w->sem), 0);
}

static intptr_t program(void *arg)
{
    struct world *w = arg;
    int r = 0;
    for (int step = 0; step < STEPS && r == 0; step++) {
        if (w->plan.when == AT_ENTRY && w->plan.k == step && CHECK(sinew_cancel(sinew_self())))
            atomic_store(&w->accepted, true);
        r = take_step(w, step);
        if (r != 0 && !(r == -ECANCELED && !w->plan.swallows))
            check_failed(__FILE__, __LINE__, "%s returned %d", steps[step].name, r);
    }
    put_down(w);
    return r;
}

static intptr_t give_all(void *arg)
{
    struct world *w = arg;
    int r = 0;
    for (int step = 0; step < STEPS && r == 0; step++) {
        int looks = 0;
        while (r == 0 && (atomic_load(&w->entered) <= step || looks++ < LOOKS_BEFORE_A_GIFT))
            r = sinew_yield();
        w->step = step;
        if (r < 0 || !steps[step].give)
            continue;
        r = steps[step].give(w);
        if (CHECK(r == 0 || r == -ECANCELED) && r == 0) {
            w->given[step] = true;
            gift(w);
        }
    }
    return r;
}

/* Cancels at the look that the plan says. */
static intptr_t watch(void *arg)
{
    struct world *w = arg;
    int looks = 0;
    while (atomic_load(&w->left) <= w->plan.k) {
        if (atomic_load(&w->entered) > w->plan.k && looks++ == w->plan.look) {
            ask(w);
            return 1;
        }
        if (sinew_yield() < 0)
            return 0;
    }
    return 0;
}

/* --- a run ------------------------------------------------------------------------------------------------------ */

static sinew_queue *queue_of(size_t max)
{
    return sinew_queue_new(&(sinew_queue_options){.element_bytes = sizeof(int), .max = max});
}

static void build(struct world *w, const struct plan *plan, struct job *job)
{
    w->plan = *plan;
    w->job = job;
    sinew_event_init(&job->go);
    for (int i = 0; i < STEPS; i++)
        sinew_event_init(&w->go[i]);
    sinew_mutex_init(&w->mutex);
    CHECK_EQ(sinew_mutex_lock(&w->mutex), 0);
    sinew_mutex_init(&w->guard);
    CHECK_EQ(sinew_cond_init(&w->cond, &w->guard), 0);
    sinew_rwlock_init(&w->read);
    CHECK_EQ(sinew_rwlock_write_lock(&w->read), 0);
    sinew_rwlock_init(&w->write);
    CHECK_EQ(sinew_rwlock_read_lock(&w->write), 0);
    sinew_sem_init(&w->sem, 0);
    sinew_event_init(&w->event);
    CHECK_EQ(sinew_barrier_init(&w->barrier, 2), 0);
    sinew_event_init(&w->barrier_go);
    sinew_latch_init(&w->latch, 1);
    w->once = (sinew_once)SINEW_ONCE_INIT;
    sinew_event_init(&w->once_go);
    w->future = sinew_future_new();
    w->full = sinew_channel_new(sizeof(int), 1);
    w->empty = sinew_channel_new(sizeof(int), 1);
    w->meet = sinew_channel_new(sizeof(int), 0);
    w->select_in = sinew_channel_new(sizeof(int), 0);
    w->select_out = sinew_channel_new(sizeof(int), 0);
    w->full_queue = queue_of(1);
    w->empty_queue = queue_of(1);
    w->joined = queue_of(0);
    CHECK_EQ(sinew_channel_send(w->full, &(int){1}), 0);
    CHECK_EQ(sinew_queue_put(w->full_queue, &(int){1}), 0);
    CHECK_EQ(sinew_queue_put(w->joined, &(int){1}), 0);
    CHECK_EQ(pipe2(w->pipe, O_CLOEXEC), 0);
}

static void tear_down(struct world *w)
{
    sinew_future_unref(w->future);
    sinew_channel_unref(w->full);
    sinew_channel_unref(w->empty);
    sinew_channel_unref(w->meet);
    sinew_channel_unref(w->select_in);
    sinew_channel_unref(w->select_out);
    sinew_queue_unref(w->full_queue);
    sinew_queue_unref(w->empty_queue);
    sinew_queue_unref(w->joined);
    close(w->pipe[0]);
    close(w->pipe[1]);
    free(w);
}

/* All tasks but the main one end, and the counters say the same. */
static void only_main_is_left(void)
{
    sinew_task_info info[4];
    sinew_stats stats;
    size_t n = 0;
    bool agree = false;
    for (int i = 0; i < 1000000 && !agree; i++) {
        n = sinew_tasks(NULL, info, 4);
        CHECK_EQ(sinew_get_stats(&stats), 0);
        agree = n == 1 && stats.tasks_spawned == stats.tasks_finished + 1;
        if (!agree)
            CHECK_EQ(sinew_yield(), 0);
    }
    if (!agree)
        check_failed(__FILE__, __LINE__, "%zu tasks are left (%s, %s); spawned %ju, finished %ju", n, info[0].name,
                     n > 1 ? info[1].name : "", (uintmax_t)stats.tasks_spawned, (uintmax_t)stats.tasks_finished);
}

static void end(sinew_task *helper)
{
    sinew_cancel(helper);
    intptr_t r = sinew_await(helper);
    CHECK(r >= 0 || r == -ECANCELED);
}

/* False: the program ended before it could be cancelled. */
static bool run_with_plan(const struct plan *plan, struct job *job)
{
    struct world *w = calloc(1, sizeof *w);
    build(w, plan, job);
    sinew_task *first = spawn_named("first", first_of_once, w);
    yield_until(&w->once_begun, 1);
    w->program = spawn_named("program", program, w);
    sinew_task *giver = spawn_named("giver", give_all, w);
    sinew_task *comer = spawn_named("comer", come_to_barrier, w);
    sinew_task *watcher = plan->when == INSIDE ? spawn_named("watcher", watch, w) : NULL;
    if (!plan->in_place)
        yield_until(&w->entered, 1);
    intptr_t result = sinew_await(sinew_ref(w->program));
    end(giver);
    end(first);
    end(comer);
    if (watcher)
        end(watcher);

    bool accepted = atomic_load(&w->accepted);
    CHECK(w->delivered <= accepted);
    CHECK_EQ(result, accepted && !(plan->swallows && w->delivered) ? -ECANCELED : 0);
    for (w->step = 0; w->step < STEPS; w->step++)
        if (steps[w->step].look)
            steps[w->step].look(w, w->given[w->step]);
    sinew_detach(w->program);
    only_main_is_left();
    CHECK_EQ(sinew_cancelling(), 0);
    tear_down(w);
    return accepted;
}

/* Of the tests before this one. */
static int failures_before;

static bool going_on(void)
{
    return atomic_load(&check_failures) == failures_before;
}

/* The same, and says where it failed. */
static bool cancel_at(struct plan plan)
{
    static int runs; /* by main tasks only, one after the other */
    bool accepted = run_with_plan(&plan, &jobs[runs++ % RUNS_MAX]);
    if (!going_on())
        fprintf(stderr, "... when cancelled %s %d (%s), look %d%s%s\n",
                plan.when == INSIDE         ? "in step"
                : plan.when == AFTER_A_GIFT ? "after gift"
                                            : "at the entry of step",
                plan.k, plan.when == AFTER_A_GIFT ? "one step has two gifts" : steps[plan.k].name, plan.look,
                plan.swallows ? ", swallowing it" : "", plan.in_place ? ", in place" : "");
    return accepted;
}

static const struct plan manners[] = {{.swallows = false},
                                      {.swallows = true},
                                      {.swallows = false, .in_place = true},
                                      {.swallows = true, .in_place = true}};
enum { MANNERS = sizeof manners / sizeof manners[0] };

IN_RUNTIME(a_program_cancelled_inside_of_any_step_leaves_nothing_behind)
{
    failures_before = atomic_load(&check_failures);
    for (int m = 0; m < MANNERS; m++) {
        for (int step = 0; step < STEPS && going_on(); step++) {
            struct plan plan = manners[m];
            plan.when = INSIDE;
            plan.k = step;
            while (plan.look < LOOKS_MAX && going_on() && cancel_at(plan))
                plan.look++;
            CHECK(plan.look > 0 || sinew_workers() > 1); /* each step was caught inside of a wait */
        }
    }
    return 0;
}

IN_RUNTIME(a_program_cancelled_right_after_it_was_given_something_loses_nothing)
{
    failures_before = atomic_load(&check_failures);
    for (int m = 0; m < MANNERS; m++) {
        struct plan plan = manners[m];
        plan.when = AFTER_A_GIFT;
        while (going_on() && cancel_at(plan))
            plan.k++;
        CHECK(plan.k >= STEPS - 5);
    }
    return 0;
}

IN_RUNTIME(a_program_cancelled_before_any_step_leaves_nothing_behind)
{
    failures_before = atomic_load(&check_failures);
    for (int m = 0; m < MANNERS; m++) {
        struct plan plan = manners[m];
        plan.when = AT_ENTRY;
        for (; plan.k < STEPS && going_on(); plan.k++)
            CHECK(cancel_at(plan));
    }
    return 0;
}

TEST_MAIN(cmocka_unit_test(a_program_cancelled_inside_of_any_step_leaves_nothing_behind),
          cmocka_unit_test(a_program_cancelled_right_after_it_was_given_something_loses_nothing),
          cmocka_unit_test(a_program_cancelled_before_any_step_leaves_nothing_behind))
