/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: channels deliver each element once and in order, meet where there is no room, serve first come first served,
 * close for both sides, and lose nothing to a cancel.
 * Method: pinned tasks where an order is claimed; races of send, receive, cancel and timeout in great number; plain
 * threads on either side, with and without a runtime.
 * Cannot see: order between waiters that arrive from different workers at once.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

IN_RUNTIME(elements_of_any_size_come_out_as_they_went_in)
{
    static const size_t sizes[] = {1, 3, 4, 8, 12, 16, 257, 4096, 65536};
    static unsigned char in[65536], out[65536];
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        sinew_channel *c = sinew_channel_new(sizes[s], 3);
        if (!CHECK(c != NULL))
            return 1;
        /* The ring goes round several times, at every filling. */
        for (int round = 0; round < 12; round++) {
            int fill = 1 + round % 3;
            for (int i = 0; i < fill; i++) {
                memset(in, round * 3 + i, sizes[s]);
                CHECK_EQ(sinew_channel_send(c, in), 0);
            }
            CHECK_EQ(sinew_channel_length(c), fill);
            for (int i = 0; i < fill; i++) {
                memset(in, round * 3 + i, sizes[s]);
                CHECK_EQ(sinew_channel_recv(c, out), 0);
                CHECK_EQ(memcmp(in, out, sizes[s]), 0);
            }
        }
        sinew_channel_unref(c);
    }
    return 0;
}

static void sizes_that_no_memory_could_hold_are_refused(void **state)
{
    (void)state;
    assert_null(sinew_channel_new(8, SIZE_MAX));
    assert_null(sinew_channel_new(8, SIZE_MAX / 8));
    assert_null(sinew_channel_new(1, SIZE_MAX - 64));
    assert_null(sinew_channel_new(0, SIZE_MAX));
    assert_null(sinew_channel_new(SINEW_CHANNEL_ELEMENT_MAX + 1, 0));
    assert_null(sinew_channel_new(SIZE_MAX, SIZE_MAX));
    sinew_channel *c = sinew_channel_new(SINEW_CHANNEL_ELEMENT_MAX, 1);
    assert_non_null(c);
    assert_int_equal(sinew_channel_capacity(c), 1);
    sinew_channel_unref(c);
}

IN_RUNTIME(signals_have_no_content)
{
    sinew_channel *c = sinew_channel_new(0, 1000000);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(sinew_channel_send(c, NULL), 0);
    CHECK_EQ(sinew_channel_length(c), 3);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(sinew_channel_recv(c, NULL), 0);
    CHECK_EQ(sinew_channel_try_recv(c, NULL), -EAGAIN);
    sinew_channel_unref(c);
    return 0;
}

IN_RUNTIME(try_never_waits)
{
    sinew_channel *buffered = sinew_channel_new(sizeof(int), 1), *unbuffered = sinew_channel_new(sizeof(int), 0);
    int n = 5;
    CHECK_EQ(sinew_channel_try_recv(buffered, &n), -EAGAIN);
    CHECK_EQ(sinew_channel_try_send(buffered, &n), 0);
    CHECK_EQ(sinew_channel_try_send(buffered, &n), -EAGAIN);
    n = 0;
    CHECK_EQ(sinew_channel_try_recv(buffered, &n), 0);
    CHECK_EQ(n, 5);
    CHECK_EQ(sinew_channel_try_send(unbuffered, &n), -EAGAIN);
    CHECK_EQ(sinew_channel_try_recv(unbuffered, &n), -EAGAIN);
    sinew_channel_close(buffered);
    CHECK_EQ(sinew_channel_try_send(buffered, &n), -EPIPE);
    CHECK_EQ(sinew_channel_try_recv(buffered, &n), -EPIPE);
    sinew_channel_unref(buffered);
    sinew_channel_unref(unbuffered);
    return 0;
}

/* One call of send or receive in a task of its own. */
struct party {
    sinew_channel *channel;
    event_log *log; /* gets the element that has been sent or received */
    int value, result, next_checkpoint;
    atomic_int started;
};

static intptr_t send_one(void *arg)
{
    struct party *p = arg;
    atomic_store(&p->started, 1);
    p->result = sinew_channel_send(p->channel, &p->value);
    if (p->result == 0 && p->log)
        log_event(p->log, p->value);
    p->next_checkpoint = sinew_yield();
    return 0;
}

static intptr_t recv_one(void *arg)
{
    struct party *p = arg;
    atomic_store(&p->started, 1);
    p->result = sinew_channel_recv(p->channel, &p->value);
    if (p->result == 0 && p->log)
        log_event(p->log, p->value);
    p->next_checkpoint = sinew_yield();
    return 0;
}

IN_RUNTIME_PINNED(what_need_not_wait_does_not_suspend)
{
    sinew_channel *c = sinew_channel_new(sizeof(int), 1);
    gate g;
    gate_init(&g, 0);
    gate_open(&g, 1);
    sinew_task *t = spawn_pinned(gate_pass, &g);
    int n = 1;
    CHECK_EQ(sinew_channel_send(c, &n), 0);
    CHECK_EQ(sinew_channel_recv(c, &n), 0);
    CHECK_EQ(sinew_channel_close(c), 0);
    CHECK_EQ(sinew_channel_recv(c, &n), -EPIPE);
    CHECK_EQ(sinew_channel_send(c, &n), -EPIPE);
    CHECK_EQ(g.reached, 0);
    CHECK_EQ(sinew_await(t), 0);
    sinew_channel_unref(c);
    return 0;
}

IN_RUNTIME_PINNED(an_unbuffered_send_returns_only_after_a_receiver_has_taken_the_element)
{
    sinew_channel *c = sinew_channel_new(sizeof(int), 0);
    event_log log = {.n = 0};
    struct party sender = {c, &log, 7, 1, 1, 0};
    sinew_task *t = spawn_pinned(send_one, &sender);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(log.n, 0);
    CHECK_EQ(sinew_channel_length(c), 0);
    int n = 0;
    CHECK_EQ(sinew_channel_recv(c, &n), 0);
    CHECK_EQ(n, 7);
    CHECK_EQ(log.n, 0); /* it is ready, and this task has not given way */
    CHECK_EQ(sinew_await(t), 0);
    CHECK_EQ(log.n, 1);
    sinew_channel_unref(c);
    return 0;
}

enum { PARTIES = 20 };

IN_RUNTIME_PINNED(receivers_are_served_first_come_first_served)
{
    sinew_channel *c = sinew_channel_new(sizeof(int), 4);
    struct party parties[PARTIES];
    sinew_task *tasks[PARTIES];
    for (int i = 0; i < PARTIES; i++) {
        parties[i] = (struct party){c, NULL, -1, 1, 1, 0};
        tasks[i] = spawn_pinned(recv_one, &parties[i]);
    }
    CHECK_EQ(sinew_yield(), 0);
    for (int i = 0; i < PARTIES; i++)
        CHECK_EQ(sinew_channel_send(c, &i), 0);
    /* A newcomer finds nothing: all elements belong to those who waited, though none of them has run. */
    int n;
    CHECK_EQ(sinew_channel_length(c), 0);
    CHECK_EQ(sinew_channel_try_recv(c, &n), -EAGAIN);
    CHECK_EQ(sinew_gather(tasks, PARTIES, NULL), 0);
    for (int i = 0; i < PARTIES; i++) {
        CHECK_EQ(parties[i].result, 0);
        CHECK_EQ(parties[i].value, i);
    }
    sinew_channel_unref(c);
    return 0;
}

static void check_senders_in_order(size_t capacity)
{
    sinew_channel *c = sinew_channel_new(sizeof(int), capacity);
    struct party parties[PARTIES];
    sinew_task *tasks[PARTIES];
    for (int i = 0; i < PARTIES; i++) {
        parties[i] = (struct party){c, NULL, i, 1, 1, 0};
        tasks[i] = spawn_pinned(send_one, &parties[i]);
    }
    CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(sinew_channel_length(c), capacity);
    for (int i = 0; i < PARTIES; i++) {
        int n = -1;
        CHECK_EQ(sinew_channel_try_recv(c, &n), 0);
        CHECK_EQ(n, i);
    }
    CHECK_EQ(sinew_gather(tasks, PARTIES, NULL), 0);
    for (int i = 0; i < PARTIES; i++)
        CHECK_EQ(parties[i].result, 0);
    sinew_channel_unref(c);
}

IN_RUNTIME_PINNED(senders_are_served_first_come_first_served)
{
    check_senders_in_order(0);
    check_senders_in_order(1);
    check_senders_in_order(7);
    return 0;
}

IN_RUNTIME_PINNED(a_newcomer_does_not_overtake_a_waiting_sender)
{
    sinew_channel *c = sinew_channel_new(sizeof(int), 1);
    struct party second = {c, NULL, 2, 1, 1, 0};
    int n = 1;
    CHECK_EQ(sinew_channel_send(c, &n), 0);
    sinew_task *t = spawn_pinned(send_one, &second);
    CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(sinew_channel_recv(c, &n), 0);
    CHECK_EQ(n, 1);
    /* The room made is taken by the one who waited. */
    n = 3;
    CHECK_EQ(sinew_channel_try_send(c, &n), -EAGAIN);
    CHECK_EQ(sinew_channel_recv(c, &n), 0);
    CHECK_EQ(n, 2);
    CHECK_EQ(sinew_await(t), 0);
    sinew_channel_unref(c);
    return 0;
}

/* --- close ------------------------------------------------------------------------------------------------------- */

IN_RUNTIME_PINNED(close_lets_receivers_drain_and_stops_senders)
{
    enum { WAITING = 200 }; /* more than close takes off at once */
    sinew_channel *c = sinew_channel_new(sizeof(int), 3);
    static struct party parties[WAITING];
    static sinew_task *tasks[WAITING];
    for (int i = 0; i < WAITING; i++) {
        parties[i] = (struct party){c, NULL, i, 1, 1, 0};
        tasks[i] = spawn_pinned(send_one, &parties[i]);
    }
    CHECK_EQ(sinew_yield(), 0);
    CHECK(!sinew_channel_closed(c));
    CHECK_EQ(sinew_channel_close(c), 0);
    CHECK(sinew_channel_closed(c));
    CHECK_EQ(sinew_channel_close(c), 0);
    CHECK_EQ(sinew_gather(tasks, WAITING, NULL), 0);
    for (int i = 0; i < WAITING; i++)
        CHECK_EQ(parties[i].result, i < 3 ? 0 : -EPIPE);
    int n = -1;
    CHECK_EQ(sinew_channel_send(c, &n), -EPIPE);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(sinew_channel_recv(c, &n), 0);
        CHECK_EQ(n, i);
    }
    n = 42;
    CHECK_EQ(sinew_channel_recv(c, &n), -EPIPE);
    CHECK_EQ(n, 42);
    sinew_channel_unref(c);
    return 0;
}

static void check_close_of_waiting(size_t capacity, sinew_fn fn)
{
    enum { WAITING = 150 };
    sinew_channel *c = sinew_channel_new(sizeof(int), capacity);
    struct party parties[WAITING];
    sinew_task *tasks[WAITING];
    for (int i = 0; i < WAITING; i++) {
        parties[i] = (struct party){c, NULL, 77, 1, 1, 0};
        tasks[i] = sinew_spawn(fn, &parties[i]);
    }
    for (int i = 0; i < 5; i++)
        CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(sinew_channel_close(c), 0);
    CHECK_EQ(sinew_gather(tasks, WAITING, NULL), 0);
    for (int i = 0; i < WAITING; i++) {
        CHECK_EQ(parties[i].result, -EPIPE);
        CHECK_EQ(parties[i].value, 77);
        CHECK_EQ(parties[i].next_checkpoint, 0);
    }
    CHECK_EQ(sinew_channel_length(c), 0);
    sinew_channel_unref(c);
}

IN_RUNTIME(close_wakes_all_who_wait)
{
    check_close_of_waiting(0, recv_one);
    check_close_of_waiting(4, recv_one);
    check_close_of_waiting(0, send_one);
    return 0;
}

/* --- cancel and timeout ------------------------------------------------------------------------------------------ */

IN_RUNTIME(who_is_cancelled_while_waiting_has_moved_nothing)
{
    sinew_channel *c = sinew_channel_new(sizeof(int), 0);
    struct party sender = {c, NULL, 1, 1, 1, 0}, receiver = {c, NULL, 2, 1, 1, 0};
    sinew_task *t = sinew_spawn(send_one, &sender);
    yield_until(&sender.started, 1);
    CHECK(sinew_cancel(t));
    CHECK_EQ(sinew_await(t), 0);
    CHECK_EQ(sender.result, -ECANCELED);
    CHECK_EQ(sender.next_checkpoint, 0);
    int n = 3;
    CHECK_EQ(sinew_channel_try_recv(c, &n), -EAGAIN);
    t = sinew_spawn(recv_one, &receiver);
    yield_until(&receiver.started, 1);
    CHECK(sinew_cancel(t));
    CHECK_EQ(sinew_await(t), 0);
    CHECK_EQ(receiver.result, -ECANCELED);
    CHECK_EQ(receiver.value, 2);
    CHECK_EQ(receiver.next_checkpoint, 0);
    CHECK_EQ(sinew_channel_try_send(c, &n), -EAGAIN);
    sinew_channel_unref(c);
    return 0;
}

/* The partner comes before the cancel, or between the cancel and the waiter's next run: done is done. */
static void check_cancel_around_hand_over(sinew_fn fn, bool cancel_first)
{
    sinew_channel *c = sinew_channel_new(sizeof(int), 0);
    struct party p = {c, NULL, 5, 1, 1, 0};
    sinew_task *t = spawn_pinned(fn, &p);
    CHECK_EQ(sinew_yield(), 0);
    int n = 5;
    if (cancel_first)
        CHECK(sinew_cancel(t));
    CHECK_EQ(fn == send_one ? sinew_channel_try_recv(c, &n) : sinew_channel_try_send(c, &n), 0);
    if (!cancel_first)
        CHECK(sinew_cancel(t));
    CHECK_EQ(sinew_await(t), 0);
    CHECK_EQ(n, 5);
    CHECK_EQ(p.value, 5);
    CHECK_EQ(p.result, 0);
    CHECK_EQ(p.next_checkpoint, -ECANCELED);
    sinew_channel_unref(c);
}

IN_RUNTIME_PINNED(a_hand_over_is_not_undone_by_a_cancel_which_comes_at_the_next_checkpoint)
{
    for (int i = 0; i < 2; i++) {
        check_cancel_around_hand_over(send_one, i == 0);
        check_cancel_around_hand_over(recv_one, i == 0);
    }
    return 0;
}

IN_RUNTIME(a_timeout_ends_the_waiting)
{
    sinew_channel *c = sinew_channel_new(sizeof(int), 1);
    int n = 4;
    sinew_timeout scope;
    sinew_timeout_begin(&scope, SINEW_MS(1));
    CHECK_EQ(sinew_channel_recv(c, &n), -ETIMEDOUT);
    CHECK_EQ(n, 4);
    CHECK_EQ(sinew_timeout_end(&scope), -ETIMEDOUT);
    /* Without waiting it is no checkpoint. */
    sinew_timeout_begin(&scope, 0);
    CHECK_EQ(sinew_channel_send(c, &n), 0);
    CHECK_EQ(sinew_channel_send(c, &n), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&scope), -ETIMEDOUT);
    CHECK_EQ(sinew_channel_length(c), 1);
    CHECK_EQ(sinew_yield(), 0);
    sinew_channel_unref(c);
    return 0;
}

static intptr_t recv_then_wait_for_cancel(void *arg)
{
    struct party *p = arg;
    p->result = sinew_channel_recv(p->channel, &p->value);
    int r;
    while ((r = sinew_yield()) == 0)
        ;
    return r;
}

static intptr_t await_receiver(void *arg)
{
    return sinew_await(sinew_spawn(recv_then_wait_for_cancel, arg));
}

IN_RUNTIME(a_cancel_of_who_awaits_the_waiter_is_neither_lost_nor_undoes_the_hand_over)
{
    for (int round = (int)scaled(200, 20); round > 0; round--) {
        sinew_channel *c = sinew_channel_new(sizeof(int), 0);
        struct party p = {c, NULL, 0, 1, 1, 0};
        sinew_task *outer = sinew_spawn(await_receiver, &p);
        int n = 6;
        CHECK_EQ(sinew_channel_send(c, &n), 0);
        CHECK(sinew_cancel(outer));
        CHECK_EQ(sinew_await(outer), -ECANCELED);
        CHECK_EQ(p.result, 0);
        CHECK_EQ(p.value, 6);
        sinew_channel_unref(c);
    }
    return 0;
}

/* Senders and receivers that are cancelled and time out at random moments: what was sent and what was received, and
 * what is left in the channel, agree, element by element. */
enum { RACERS = 8, RACE_ROUNDS_EACH = 3 };

struct race {
    sinew_channel *channel;
    atomic_int sent[RACERS * RACE_ROUNDS_EACH], received[RACERS * RACE_ROUNDS_EACH];
};

struct racer {
    struct race *race;
    int number;
};

static intptr_t race_send(void *arg)
{
    struct racer *r = arg;
    int result = 0;
    for (int i = 0; i < RACE_ROUNDS_EACH && result != -ECANCELED; i++) {
        int element = r->number * RACE_ROUNDS_EACH + i;
        sinew_timeout t;
        sinew_timeout_begin(&t, r->number % 2 ? SINEW_US(100) : SINEW_FOREVER);
        result = sinew_channel_send(r->race->channel, &element);
        if (result == 0)
            atomic_fetch_add(&r->race->sent[element], 1);
        sinew_timeout_end(&t);
    }
    return 0;
}

static intptr_t race_recv(void *arg)
{
    struct racer *r = arg;
    int result = 0;
    for (int i = 0; i < RACE_ROUNDS_EACH && result != -ECANCELED; i++) {
        int element = -1;
        sinew_timeout t;
        sinew_timeout_begin(&t, r->number % 2 ? SINEW_US(120) : SINEW_FOREVER);
        result = sinew_channel_recv(r->race->channel, &element);
        if (result == 0)
            atomic_fetch_add(&r->race->received[element], 1);
        else
            CHECK_EQ(element, -1);
        sinew_timeout_end(&t);
    }
    return 0;
}

static bool run_race(int round)
{
    struct race race = {.channel = sinew_channel_new(sizeof(int), (size_t)(round % 3))};
    struct racer racers[2 * RACERS];
    sinew_task *tasks[2 * RACERS];
    for (int i = 0; i < 2 * RACERS; i++) {
        racers[i] = (struct racer){&race, i % RACERS};
        tasks[i] = sinew_spawn(i < RACERS ? race_send : race_recv, &racers[i]);
    }
    for (int i = 0; i < round % 7; i++)
        sinew_yield();
    for (int i = 0; i < 2 * RACERS; i++)
        if ((i + round) % 3 != 0)
            sinew_cancel(tasks[i]);
    for (int i = 0; i < round % 5; i++)
        sinew_yield();
    if (round % 2)
        sinew_channel_close(race.channel);
    for (int i = 0; i < 2 * RACERS; i++)
        sinew_cancel(tasks[i]);
    bool good = CHECK_EQ(sinew_gather_settled(tasks, 2 * RACERS, NULL), 0);
    int left;
    while (sinew_channel_try_recv(race.channel, &left) == 0)
        atomic_fetch_add(&race.received[left], 1);
    for (int i = 0; i < RACERS * RACE_ROUNDS_EACH; i++)
        good &= CHECK_EQ(race.sent[i], race.received[i]);
    sinew_channel_unref(race.channel);
    return good;
}

IN_RUNTIME(no_element_is_lost_or_doubled_by_races_of_cancel_timeout_and_close)
{
    int rounds = (int)scaled(2000, 100);
    for (int round = 0; round < rounds; round++)
        if (!run_race(round))
            break;
    return 0;
}

IN_RUNTIME(tasks_that_wait_at_a_channel_end_with_the_runtime)
{
    /* Main returns while they wait; the run ends only if they do. */
    static struct party parties[10];
    static sinew_channel *c; /* outlives the tasks */
    if (c)
        sinew_channel_unref(c);
    c = sinew_channel_new(sizeof(int), 0);
    for (int i = 0; i < 10; i++) {
        parties[i] = (struct party){c, NULL, 0, 1, 1, 0};
        sinew_detach(sinew_spawn(recv_one, &parties[i]));
    }
    for (int i = 0; i < 5; i++)
        sinew_yield();
    return 0;
}

/* --- plain threads ----------------------------------------------------------------------------------------------- */

struct line {
    sinew_channel *channel;
    long n, sum;
};

static long count_up(struct line *l)
{
    for (long i = 1; i <= l->n; i++)
        if (sinew_channel_send(l->channel, &i) != 0)
            return -1;
    return sinew_channel_close(l->channel);
}

static long add_up(struct line *l)
{
    long previous = 0, i;
    while (sinew_channel_recv(l->channel, &i) == 0) {
        CHECK_EQ(i, previous + 1);
        previous = i;
        l->sum += i;
    }
    return 0;
}

static void *count_up_in_thread(void *arg)
{
    CHECK_EQ(count_up(arg), 0);
    return NULL;
}

static void *add_up_in_thread(void *arg)
{
    CHECK_EQ(add_up(arg), 0);
    return NULL;
}

static void check_thread_on_one_side(size_t capacity, bool thread_sends)
{
    /* The runtime cannot know that a thread will serve it; a sleeper says that all is well. */
    sinew_task *sleeper = sinew_spawn(sleep_very_long, NULL);
    sinew_yield();
    struct line l = {sinew_channel_new(sizeof(long), capacity), (long)scaled(3000, 300), 0};
    pthread_t thread;
    if (!CHECK_EQ(pthread_create(&thread, NULL, thread_sends ? count_up_in_thread : add_up_in_thread, &l), 0))
        return;
    CHECK_EQ(thread_sends ? add_up(&l) : count_up(&l), 0);
    pthread_join(thread, NULL);
    CHECK_EQ(l.sum, l.n * (l.n + 1) / 2);
    sinew_channel_unref(l.channel);
    sinew_cancel(sleeper);
    CHECK_EQ(sinew_await(sleeper), -ECANCELED);
}

IN_RUNTIME(a_plain_thread_can_stand_on_either_side)
{
    for (size_t capacity = 0; capacity < 12; capacity += 4) {
        check_thread_on_one_side(capacity, true);
        check_thread_on_one_side(capacity, false);
    }
    return 0;
}

static void channels_need_no_runtime(void **state)
{
    (void)state;
    watchdog_begin("channels_need_no_runtime", 0, 100);
    for (size_t capacity = 0; capacity < 12; capacity += 4) {
        struct line l = {sinew_channel_new(sizeof(long), capacity), (long)scaled(3000, 300), 0};
        pthread_t threads[2];
        assert_int_equal(pthread_create(&threads[0], NULL, count_up_in_thread, &l), 0);
        assert_int_equal(pthread_create(&threads[1], NULL, add_up_in_thread, &l), 0);
        for (int i = 0; i < 2; i++)
            pthread_join(threads[i], NULL);
        assert_int_equal(l.sum, l.n * (l.n + 1) / 2);
        sinew_channel_unref(l.channel);
    }
    assert_int_equal(check_failures, 0);
    watchdog_end();
}

struct blocked {
    sinew_channel *channel;
    int result;
};

static void *recv_in_thread(void *arg)
{
    struct blocked *b = arg;
    int n;
    b->result = sinew_channel_recv(b->channel, &n);
    return NULL;
}

IN_RUNTIME(close_wakes_blocked_threads)
{
    struct blocked b[3];
    pthread_t threads[3];
    sinew_channel *c = sinew_channel_new(sizeof(int), 2);
    for (int i = 0; i < 3; i++) {
        b[i] = (struct blocked){c, 0};
        CHECK_EQ(pthread_create(&threads[i], NULL, recv_in_thread, &b[i]), 0);
    }
    CHECK_EQ(sinew_sleep(SINEW_MS(5)), 0); /* most have begun to wait; those who have not find it closed */
    CHECK_EQ(sinew_channel_close(c), 0);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        CHECK_EQ(b[i].result, -EPIPE);
    }
    sinew_channel_unref(c);
    return 0;
}

/* Two runtimes side by side. */
static intptr_t count_up_in_task(void *arg)
{
    sinew_detach(sinew_spawn(sleep_very_long, NULL));
    sinew_yield();
    return count_up(arg);
}

static intptr_t add_up_in_task(void *arg)
{
    sinew_detach(sinew_spawn(sleep_very_long, NULL));
    sinew_yield();
    return add_up(arg);
}

static void *run_the_sender(void *arg)
{
    CHECK_EQ(run_workers(2, count_up_in_task, arg), 0);
    return NULL;
}

static void tasks_of_two_runtimes_can_meet(void **state)
{
    (void)state;
    if (!workers_possible(2))
        skip();
    watchdog_begin("tasks_of_two_runtimes_can_meet", 2, 100);
    for (size_t capacity = 0; capacity < 8; capacity += 4) {
        struct line l = {sinew_channel_new(sizeof(long), capacity), (long)scaled(3000, 300), 0};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, run_the_sender, &l), 0);
        assert_int_equal(run_workers(2, add_up_in_task, &l), 0);
        pthread_join(thread, NULL);
        assert_int_equal(l.sum, l.n * (l.n + 1) / 2);
        sinew_channel_unref(l.channel);
    }
    assert_int_equal(check_failures, 0);
    watchdog_end();
}

/* --- hand-overs order what the two did ---------------------------------------------------------------------------- */

struct relay {
    sinew_channel *there, *back;
    long rounds;
};

static intptr_t pass_on(void *arg)
{
    struct relay *r = arg;
    long *shared;
    while (sinew_channel_recv(r->there, &shared) == 0) {
        ++*shared; /* plain memory: only the hand-overs order the two */
        CHECK_EQ(sinew_channel_send(r->back, &shared), 0);
    }
    return 0;
}

IN_RUNTIME(plain_memory_can_be_handed_over)
{
    for (size_t capacity = 0; capacity < 2; capacity++) {
        struct relay r = {sinew_channel_new(sizeof(long *), capacity), sinew_channel_new(sizeof(long *), capacity),
                          (long)scaled(5000, 500)};
        sinew_task *t = sinew_spawn(pass_on, &r);
        long value = 0, *shared = &value;
        for (long i = 0; i < r.rounds; i++) {
            value++;
            CHECK_EQ(sinew_channel_send(r.there, &shared), 0);
            CHECK_EQ(sinew_channel_recv(r.back, &shared), 0);
            CHECK_EQ(value, 2 * (i + 1));
        }
        CHECK_EQ(sinew_channel_close(r.there), 0);
        CHECK_EQ(sinew_await(t), 0);
        sinew_channel_unref(r.there);
        sinew_channel_unref(r.back);
    }
    return 0;
}

static intptr_t send_and_drop(void *arg)
{
    sinew_channel *c = arg;
    int n = 8;
    int r = sinew_channel_send(c, &n);
    sinew_channel_unref(c);
    return r;
}

IN_RUNTIME(the_last_reference_frees_the_channel_whoever_holds_it)
{
    for (int round = (int)scaled(1000, 100); round > 0; round--) {
        sinew_channel *c = sinew_channel_new(sizeof(int), 0);
        sinew_task *t = sinew_spawn(send_and_drop, sinew_channel_ref(c));
        int n = 0;
        CHECK_EQ(sinew_channel_recv(c, &n), 0);
        CHECK_EQ(n, 8);
        sinew_channel_unref(c);
        CHECK_EQ(sinew_await(t), 0);
    }
    return 0;
}

TEST_MAIN(cmocka_unit_test(elements_of_any_size_come_out_as_they_went_in),
          cmocka_unit_test(sizes_that_no_memory_could_hold_are_refused), cmocka_unit_test(signals_have_no_content),
          cmocka_unit_test(try_never_waits), cmocka_unit_test(what_need_not_wait_does_not_suspend),
          cmocka_unit_test(an_unbuffered_send_returns_only_after_a_receiver_has_taken_the_element),
          cmocka_unit_test(receivers_are_served_first_come_first_served),
          cmocka_unit_test(senders_are_served_first_come_first_served),
          cmocka_unit_test(a_newcomer_does_not_overtake_a_waiting_sender),
          cmocka_unit_test(close_lets_receivers_drain_and_stops_senders), cmocka_unit_test(close_wakes_all_who_wait),
          cmocka_unit_test(who_is_cancelled_while_waiting_has_moved_nothing),
          cmocka_unit_test(a_hand_over_is_not_undone_by_a_cancel_which_comes_at_the_next_checkpoint),
          cmocka_unit_test(a_timeout_ends_the_waiting),
          cmocka_unit_test(a_cancel_of_who_awaits_the_waiter_is_neither_lost_nor_undoes_the_hand_over),
          cmocka_unit_test(no_element_is_lost_or_doubled_by_races_of_cancel_timeout_and_close),
          cmocka_unit_test(tasks_that_wait_at_a_channel_end_with_the_runtime),
          cmocka_unit_test(a_plain_thread_can_stand_on_either_side), cmocka_unit_test(channels_need_no_runtime),
          cmocka_unit_test(close_wakes_blocked_threads), cmocka_unit_test(tasks_of_two_runtimes_can_meet),
          cmocka_unit_test(plain_memory_can_be_handed_over),
          cmocka_unit_test(the_last_reference_frees_the_channel_whoever_holds_it))
