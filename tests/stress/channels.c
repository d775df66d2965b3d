/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: whatever senders, receivers, selects, timeouts, cancels, closes and plain threads do at one time, each element
 * that was sent is received exactly once, none that was not sent is, and a sender's elements stay in order.
 * Method: scenes of random size: channels of random room; producers that number their elements and note which were
 * sent; consumers that note which arrived and see the numbers of a producer on one channel only grow; a task that
 * cancels them at random, and one that closes channels early. At the end the two notes agree, element by element.
 * Cannot see: the order between elements of one sender that went to different receivers; who was served first.
 */
#include <errno.h>
#include <pthread.h>

#include <tests/support/stress.h>

enum { CHANNELS_MAX = 5, PRODUCERS_MAX = 12, CONSUMERS_MAX = 10, THREADS_MAX = 2, EACH_MAX = 600 };
enum { SENT = 1, RECEIVED = 2 };

struct element {
    uint32_t producer, number;
};

struct worker {
    uint64_t random;
    uint32_t index;
    atomic_int started, ended;
    _Atomic(sinew_task *) task;
    pthread_t thread;
    bool is_thread;
};

static struct scene {
    sinew_channel *channels[CHANNELS_MAX];
    unsigned n_channels, n_producers, n_consumers;
    uint32_t each;
    atomic_uchar noted[PRODUCERS_MAX + THREADS_MAX][EACH_MAX];
    struct worker producers[PRODUCERS_MAX + THREADS_MAX], consumers[CONSUMERS_MAX + THREADS_MAX];
} scene;

static stress run_of;

static unsigned any_channel(struct worker *w)
{
    return (unsigned)random_below(&w->random, scene.n_channels);
}

/* A wait may end by a request; everything else is an error. */
static void check_result(int r, const char *call)
{
    if (r != 0 && r != -EPIPE && r != -EAGAIN && r != -ETIMEDOUT && r != -ECANCELED)
        check_failed(__FILE__, __LINE__, "%s gave %d", call, r);
}

static void note(struct element e, unsigned char what)
{
    if (e.producer >= scene.n_producers || e.number >= scene.each)
        check_failed(__FILE__, __LINE__, "element %u of producer %u arrived and never was", e.number, e.producer);
    else if (atomic_fetch_or(&scene.noted[e.producer][e.number], what) & what)
        check_failed(__FILE__, __LINE__, "element %u of producer %u was %s twice", e.number, e.producer,
                     what == SENT ? "sent" : "received");
}

static int send_by_select(struct worker *w, struct element e)
{
    sinew_case cases[4];
    for (int i = 0; i < 2; i++)
        cases[i] = (sinew_case){.kind = SINEW_CASE_SEND, .channel = scene.channels[any_channel(w)], .element = &e};
    /* A task that does not end, sometimes a time that does. */
    cases[2] = (sinew_case){.kind = SINEW_CASE_TASK, .task = sinew_self()};
    cases[3] = (sinew_case){.kind = SINEW_CASE_AFTER, .duration = SINEW_US(random_below(&w->random, 400)) - 50};
    int r = sinew_select(cases, random_below(&w->random, 2) ? 4 : 3);
    CHECK(r != 2);
    return r < 0 ? r : r == 3 ? -EAGAIN : cases[r].result;
}

static void produce(struct worker *w)
{
    for (uint32_t i = 0; i < scene.each; i++) {
        struct element e = {w->index, i};
        int r;
        switch (w->is_thread ? random_below(&w->random, 2) : random_below(&w->random, 8)) {
        case 0:
            r = sinew_channel_try_send(scene.channels[any_channel(w)], &e);
            break;
        case 1:
        case 2:
        case 3:
            r = sinew_channel_send(scene.channels[any_channel(w)], &e);
            break;
        case 4: {
            sinew_timeout t;
            sinew_timeout_begin(&t, SINEW_US(random_below(&w->random, 200)));
            r = sinew_channel_send(scene.channels[any_channel(w)], &e);
            sinew_timeout_end(&t);
            break;
        }
        case 5:
            sinew_yield();
            /* fallthrough */
        default:
            r = send_by_select(w, e);
        }
        check_result(r, "send");
        if (r == 0)
            note(e, SENT);
    }
}

/* What a consumer has seen: which channels have ended, and the last number of each producer on each of them. */
struct view {
    bool over[CHANNELS_MAX];
    unsigned left;
    int64_t last[CHANNELS_MAX][PRODUCERS_MAX + THREADS_MAX];
};

static void view_result(struct view *v, unsigned channel, int r, struct element e)
{
    check_result(r, "recv");
    if (r == -EPIPE && !v->over[channel]) {
        v->over[channel] = true;
        v->left--;
    } else if (r == 0) {
        if (v->over[channel])
            check_failed(__FILE__, __LINE__, "an element after the end");
        note(e, RECEIVED);
        if (e.producer < scene.n_producers) {
            CHECK((int64_t)e.number > v->last[channel][e.producer]);
            v->last[channel][e.producer] = e.number;
        }
    }
}

static void recv_by_select(struct worker *w, struct view *v)
{
    struct element elements[CHANNELS_MAX];
    sinew_case cases[CHANNELS_MAX + 1];
    unsigned from[CHANNELS_MAX], n = 0;
    for (unsigned c = 0; c < scene.n_channels; c++)
        if (!v->over[c]) {
            from[n] = c;
            cases[n] = (sinew_case){.kind = SINEW_CASE_RECV, .channel = scene.channels[c], .element = &elements[n]};
            n++;
        }
    bool limited = random_below(&w->random, 3) == 0;
    cases[n] = (sinew_case){.kind = SINEW_CASE_AFTER, .duration = SINEW_US(random_below(&w->random, 300)) - 30};
    int r = sinew_select(cases, n + limited);
    if (r >= 0 && r < (int)n)
        view_result(v, from[r], cases[r].result, elements[r]);
    else if (r < 0)
        check_result(r, "select");
}

static void consume(struct worker *w)
{
    struct view v = {.left = scene.n_channels};
    memset(v.last, -1, sizeof v.last);
    while (v.left > 0) {
        unsigned c = any_channel(w);
        struct element e;
        sinew_timeout t;
        switch (w->is_thread ? 7 : random_below(&w->random, 7)) {
        case 0:
            view_result(&v, c, sinew_channel_try_recv(scene.channels[c], &e), e);
            sinew_yield();
            break;
        case 1:
        case 2: /* not for ever at one: producers may all wait at another */
            sinew_timeout_begin(&t, SINEW_US(random_below(&w->random, 200)));
            int r = sinew_channel_recv(scene.channels[c], &e);
            sinew_timeout_end(&t);
            view_result(&v, c, r, e);
            break;
        case 7: /* a thread has its channel, the last one, until the end */
            v.left = 1;
            c = scene.n_channels - 1;
            view_result(&v, c, sinew_channel_recv(scene.channels[c], &e), e);
            break;
        default:
            recv_by_select(w, &v);
        }
    }
}

static intptr_t work(struct worker *w)
{
    atomic_store(&w->started, 1);
    if (w >= scene.consumers && w < scene.consumers + CONSUMERS_MAX + THREADS_MAX)
        consume(w);
    else
        produce(w);
    atomic_store(&w->ended, 1);
    return 0;
}

static intptr_t work_in_task(void *arg)
{
    return work(arg);
}

static void *work_in_thread(void *arg)
{
    work(arg);
    return NULL;
}

static intptr_t cancel_at_random(void *arg)
{
    uint64_t random = (uint64_t)(uintptr_t)arg;
    while (sinew_sleep(SINEW_US(random_below(&random, 100))) == 0) {
        bool producer = random_below(&random, 2);
        struct worker *w = producer ? &scene.producers[random_below(&random, scene.n_producers)]
                                    : &scene.consumers[random_below(&random, scene.n_consumers)];
        /* One that has not started would never start. */
        sinew_task *t = atomic_load(&w->task);
        if (t && atomic_load(&w->started))
            sinew_cancel(t);
    }
    return 0;
}

static void begin(struct worker *w, uint32_t index, uint64_t *random, bool is_thread)
{
    *w = (struct worker){.index = index, .random = random_next(random), .is_thread = is_thread};
    if (!is_thread)
        atomic_store(&w->task, sinew_spawn(work_in_task, w));
    else if (pthread_create(&w->thread, NULL, work_in_thread, w) != 0)
        check_failed(__FILE__, __LINE__, "no thread");
}

/* Asleep now and then, not blocked in join: others need this worker, and the runtime is not deadlocked. */
static void wait_for_end(struct worker *workers, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        while (!atomic_load(&workers[i].ended))
            sinew_sleep(SINEW_US(100));
        stress_beat(&run_of, "ending");
    }
}

static void reap(struct worker *workers, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (workers[i].is_thread)
            pthread_join(workers[i].thread, NULL);
        else
            sinew_await(workers[i].task); /* -ECANCELED for one that was cancelled at its end */
}

static void play_scene(uint64_t *random)
{
    static const size_t rooms[] = {0, 0, 1, 2, 7, 64};
    scene.n_channels = 1 + (unsigned)random_below(random, CHANNELS_MAX);
    for (unsigned i = 0; i < scene.n_channels; i++)
        scene.channels[i] = sinew_channel_new(sizeof(struct element), rooms[random_below(random, 6)]);
    unsigned producers = 1 + (unsigned)random_below(random, PRODUCERS_MAX);
    unsigned consumers = 1 + (unsigned)random_below(random, CONSUMERS_MAX);
    bool threads = random_below(random, 3) == 0;
    scene.n_producers = producers + (threads ? (unsigned)random_below(random, THREADS_MAX + 1) : 0);
    scene.n_consumers = consumers + (threads ? (unsigned)random_below(random, THREADS_MAX + 1) : 0);
    scene.each = 1 + (uint32_t)random_below(random, scaled(EACH_MAX, EACH_MAX / 6));
    memset(scene.noted, 0, sizeof scene.noted);

    for (unsigned i = 0; i < scene.n_consumers; i++)
        begin(&scene.consumers[i], i, random, i >= consumers);
    for (unsigned i = 0; i < scene.n_producers; i++)
        begin(&scene.producers[i], i, random, i >= producers);
    sinew_task *canceller = NULL;
    if (random_below(random, 2))
        canceller = sinew_spawn(cancel_at_random, (void *)(uintptr_t)random_next(random));
    if (random_below(random, 3) == 0) {
        sinew_sleep(SINEW_US(random_below(random, 1000)));
        sinew_channel_close(scene.channels[random_below(random, scene.n_channels)]);
    }
    if (canceller && random_below(random, 2)) {
        sinew_sleep(SINEW_US(random_below(random, 3000)));
        sinew_cancel(canceller);
    }
    wait_for_end(scene.producers, scene.n_producers);
    for (unsigned i = 0; i < scene.n_channels; i++)
        sinew_channel_close(scene.channels[i]);
    wait_for_end(scene.consumers, scene.n_consumers);
    if (canceller) {
        sinew_cancel(canceller);
        sinew_await(canceller);
    }
    reap(scene.producers, scene.n_producers);
    reap(scene.consumers, scene.n_consumers);
    for (unsigned i = 0; i < scene.n_channels; i++) {
        CHECK_EQ(sinew_channel_length(scene.channels[i]), 0);
        sinew_channel_unref(scene.channels[i]);
    }
    for (unsigned p = 0; p < scene.n_producers; p++)
        for (uint32_t i = 0; i < scene.each; i++)
            if (scene.noted[p][i] != 0 && scene.noted[p][i] != (SENT | RECEIVED))
                check_failed(__FILE__, __LINE__, "element %u of producer %u was only %s", i, p,
                             scene.noted[p][i] == SENT ? "sent" : "received");
}

static intptr_t play_scenes(void *arg)
{
    uint64_t random = *(uint64_t *)arg;
    int scenes = (int)scaled(40, 8);
    for (int i = 0; i < scenes && !atomic_load(&check_failures); i++) {
        stress_beat(&run_of, "playing");
        play_scene(&random);
    }
    return 0;
}

int main(int argc, char **argv)
{
    stress_begin(&run_of, argc, argv);
    stress_start_watchdog(&run_of);
    while (stress_next(&run_of))
        CHECK_EQ(stress_run(&run_of, play_scenes, &run_of.seed), 0);
    return stress_end(&run_of);
}
