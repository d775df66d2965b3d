/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: whatever producers, consumers, cancels, timeouts and shutdowns do at once, an item that was put is got exactly
 * once or dropped by an immediate shutdown, one that was not put is never got, and join and task_done agree with that.
 * Method: each run draws a kind, a limit, who takes part and how. Every item has a byte that says how far it has come;
 * each side moves it on only from where it must be; and a plain number, which
 * ThreadSanitizer watches. Where no getter is disturbed, the items of one producer reach each
 * consumer in their order. Cannot see: whether the longest waiting was served first.
 */
#include <errno.h>
#include <stdatomic.h>

#include <tests/support/stress.h>

enum { USERS_MAX = 12, ITEMS_MAX = 3000 };

/* UNBORN -> OFFERED (in put) -> REFUSED, or -> GOT; who was told 0 by put marks it ACCEPTED besides. */
enum { OFFERED = 1, GOT = 2, ACCEPTED = 4, REFUSED = 8 };

enum how { PLAIN, TRIES, IN_TIME, HOWS };

struct user {
    struct scene *scene;
    sinew_task *task;
    uint64_t random;
    int number;
    enum how how;
    int first_item, items;   /* of a producer */
    int last[USERS_MAX + 1]; /* of a consumer: the last item of each producer */
};

struct scene {
    sinew_queue *queue;
    sinew_queue_kind kind;
    int producers, consumers;
    bool cancels_getters, ordered, immediate;
    int shut_after; /* microseconds; 0: when all producers have ended */
    struct user producing[USERS_MAX], consuming[USERS_MAX], thread;
    atomic_uchar items[(USERS_MAX + 1) * ITEMS_MAX];
    int payload[(USERS_MAX + 1) * ITEMS_MAX]; /* plain: what a put hands over besides, as ThreadSanitizer sees it */
    int worked[(USERS_MAX + 1) * ITEMS_MAX];  /* the same for task_done and join */
    atomic_int began, accepted, got, producers_left;
    atomic_bool shut;
};

static struct scene scene;
static stress run_of;

/* Small numbers are urgent. Several items have the same. */
static int compare(const void *a, const void *b)
{
    int x = *(const int *)a % 5, y = *(const int *)b % 5;
    return x < y ? -1 : x > y;
}

static bool interrupted(int r)
{
    return r == -ECANCELED || r == -ETIMEDOUT;
}

/* Now and then gives way, or sleeps so that others sleep, too. */
static void dawdle(uint64_t *random)
{
    switch (random_below(random, 40)) {
    case 0:
    case 1:
    case 2:
        sinew_yield();
        break;
    case 3:
        sinew_sleep(SINEW_US(random_below(random, 60)));
        break;
    default:
        break;
    }
}

static int put_item(struct user *u, int item)
{
    sinew_queue *q = u->scene->queue;
    if (u->how == TRIES)
        return sinew_queue_try_put(q, &item);
    if (u->how == PLAIN)
        return sinew_queue_put(q, &item);
    sinew_timeout t;
    sinew_timeout_begin(&t, SINEW_US(random_below(&u->random, 50)));
    int r = sinew_queue_put(q, &item);
    sinew_timeout_end(&t);
    return r;
}

static int get_item(struct user *u, int *item)
{
    sinew_queue *q = u->scene->queue;
    if (u->how == TRIES)
        return sinew_queue_try_get(q, item);
    if (u->how == PLAIN)
        return sinew_queue_get(q, item);
    sinew_timeout t;
    sinew_timeout_begin(&t, SINEW_US(random_below(&u->random, 50)));
    int r = sinew_queue_get(q, item);
    sinew_timeout_end(&t);
    return r;
}

/* Offers each item once; what is not taken is never offered again. False: shut down. */
static bool offer(struct user *u, int item)
{
    struct scene *s = u->scene;
    s->payload[item] = ~item;
    atomic_store_explicit(&s->items[item], OFFERED, memory_order_relaxed);
    int r = put_item(u, item);
    int state = atomic_fetch_or_explicit(&s->items[item], r == 0 ? ACCEPTED : REFUSED, memory_order_relaxed);
    if (r == 0) {
        atomic_fetch_add_explicit(&s->accepted, 1, memory_order_relaxed);
        return true;
    }
    if (state & GOT)
        check_failed(__FILE__, __LINE__, "item %d was got, and put returned %d", item, r);
    CHECK(r == -EPIPE || interrupted(r) || (r == -EAGAIN && u->how == TRIES));
    if (r == -EPIPE)
        CHECK(atomic_load(&s->shut));
    return r != -EPIPE;
}

static intptr_t produce(void *arg)
{
    struct user *u = arg;
    atomic_fetch_add(&u->scene->began, 1);
    for (int i = 0; i < u->items && offer(u, u->first_item + i); i++)
        dawdle(&u->random);
    atomic_fetch_sub(&u->scene->producers_left, 1);
    return 0;
}

static void *produce_in_thread(void *arg)
{
    struct user *u = arg;
    for (int i = 0; i < u->items && offer(u, u->first_item + i); i++)
        ;
    atomic_fetch_sub(&u->scene->producers_left, 1);
    return NULL;
}

static void take_note(struct user *u, int item)
{
    struct scene *s = u->scene;
    if (!CHECK(item >= 0 && item < (USERS_MAX + 1) * ITEMS_MAX))
        return;
    int state = atomic_fetch_or_explicit(&s->items[item], GOT, memory_order_relaxed);
    if (!(state & OFFERED) || (state & (GOT | REFUSED)))
        check_failed(__FILE__, __LINE__, "consumer %d got item %d in state %d", u->number, item, state);
    int *last = &u->last[item / ITEMS_MAX];
    if (s->ordered && item <= *last)
        check_failed(__FILE__, __LINE__, "consumer %d got item %d after %d", u->number, item, *last);
    *last = item;
    CHECK_EQ(s->payload[item], ~item);
    s->worked[item] = 1;
    atomic_fetch_add_explicit(&s->got, 1, memory_order_relaxed);
}

static intptr_t consume(void *arg)
{
    struct user *u = arg;
    atomic_fetch_add(&u->scene->began, 1);
    for (;;) {
        int item = -1, r = get_item(u, &item);
        if (r == 0) {
            take_note(u, item);
            dawdle(&u->random);
            CHECK_EQ(sinew_queue_task_done(u->scene->queue), 0);
        } else if (r == -EPIPE) {
            break;
        } else {
            CHECK(interrupted(r) || (r == -EAGAIN && u->how == TRIES));
            if (r == -EAGAIN)
                sinew_yield();
        }
    }
    CHECK(atomic_load(&u->scene->shut));
    return 0;
}

static void draw(struct scene *s, uint64_t *random)
{
    memset(s, 0, sizeof *s);
    s->kind = (sinew_queue_kind)random_below(random, 3);
    s->producers = 1 + (int)random_below(random, USERS_MAX);
    s->consumers = 1 + (int)random_below(random, USERS_MAX);
    s->cancels_getters = random_below(random, 2);
    s->immediate = random_below(random, 3) == 0;
    s->shut_after = random_below(random, 3) == 0 ? 1 + (int)random_below(random, 3000) : 0;
    s->ordered = s->kind == SINEW_QUEUE_FIFO && !s->cancels_getters;
    int items = 1 + (int)random_below(random, scaled(ITEMS_MAX, ITEMS_MAX / 10));
    for (int i = 0; i <= s->producers; i++) {
        struct user *u = i < s->producers ? &s->producing[i] : &s->thread;
        *u = (struct user){.scene = s, .number = i, .random = random_next(random)};
        u->how = i < s->producers ? (enum how)random_below(random, HOWS) : (enum how)random_below(random, IN_TIME);
        u->first_item = i * ITEMS_MAX;
        u->items = items;
    }
    for (int i = 0; i < s->consumers; i++) {
        struct user *u = &s->consuming[i];
        *u = (struct user){.scene = s, .number = i, .random = random_next(random)};
        u->how = (enum how)random_below(random, HOWS);
        for (int k = 0; k <= USERS_MAX; k++)
            u->last[k] = -1;
        /* Who is undisturbed only where the order is to be seen. */
        if (u->how == IN_TIME)
            s->ordered = false;
    }
    static const size_t limits[] = {0, 1, 1, 2, 3, 10, 100};
    sinew_queue_options opt = {.kind = s->kind, .element_bytes = sizeof(int), .compare = compare};
    opt.max = limits[random_below(random, sizeof limits / sizeof limits[0])];
    s->queue = sinew_queue_new(&opt);
    CHECK(s->queue != NULL);
}

static void shut(struct scene *s)
{
    atomic_store(&s->shut, true);
    CHECK_EQ(sinew_queue_shutdown(s->queue, s->immediate), 0);
}

/* Cancels whom it likes until the producers have ended, and shuts the queue down when its time has come. */
static void disturb(struct scene *s, uint64_t *random, bool cancels)
{
    sinew_time begin = sinew_now();
    int moved = 0;
    while (atomic_load(&s->producers_left) > 0) {
        int moves = atomic_load(&s->accepted) + atomic_load(&s->got) - atomic_load(&s->producers_left);
        if (moves != moved)
            stress_beat(&run_of, "producing");
        moved = moves;
        /* Also a timer, without which those who wait for the thread alone would be taken for deadlocked. */
        sinew_sleep(SINEW_US(1 + random_below(random, 60)));
        /* Cancelled before it begins, a task would never do its part. */
        bool all_began = atomic_load(&s->began) == s->producers + s->consumers;
        for (int i = 0; cancels && all_began && i < 4; i++) {
            if (s->cancels_getters && random_below(random, 2))
                sinew_cancel(s->consuming[random_below(random, (uint64_t)s->consumers)].task);
            else
                sinew_cancel(s->producing[random_below(random, (uint64_t)s->producers)].task);
        }
        if (s->shut_after && sinew_now() - begin > SINEW_US(s->shut_after) && !atomic_load(&s->shut))
            shut(s);
    }
}

static void check_items(const struct scene *s, bool dropped)
{
    int accepted = atomic_load(&s->accepted), got = atomic_load(&s->got), lost = 0;
    for (int i = 0; i < (USERS_MAX + 1) * ITEMS_MAX; i++) {
        int state = atomic_load(&((struct scene *)(uintptr_t)s)->items[i]);
        if (state & ACCEPTED && !(state & GOT) && !dropped && lost++ < 5)
            check_failed(__FILE__, __LINE__, "item %d was put and never got", i);
    }
    CHECK(got <= accepted);
    if (!dropped)
        CHECK_EQ(got, accepted);
}

static intptr_t join_it(void *arg)
{
    struct scene *s = arg;
    int r;
    while (interrupted(r = sinew_queue_join(s->queue)))
        ;
    return r;
}

static void play(uint64_t *random)
{
    struct scene *s = &scene;
    draw(s, random);
    bool thread_too = random_below(random, 3) == 0, cancels = random_below(random, 3) > 0;
    atomic_store(&s->producers_left, s->producers + thread_too);
    pthread_t thread;
    if (thread_too)
        CHECK_EQ(pthread_create(&thread, NULL, produce_in_thread, &s->thread), 0);
    for (int i = 0; i < s->consumers; i++)
        s->consuming[i].task = sinew_spawn(consume, &s->consuming[i]);
    for (int i = 0; i < s->producers; i++)
        s->producing[i].task = sinew_spawn(produce, &s->producing[i]);
    disturb(s, random, cancels);
    stress_beat(&run_of, "draining");
    /* Now nothing new comes: what there is is worked off, and a join ends. */
    sinew_task *joiner = sinew_spawn(join_it, s);
    if (random_below(random, 2))
        sinew_cancel(joiner);
    if (!atomic_load(&s->shut) && random_below(random, 2)) {
        CHECK_EQ(sinew_queue_join(s->queue), 0);
        int worked = 0;
        for (int i = 0; i < (USERS_MAX + 1) * ITEMS_MAX; i++)
            worked += s->worked[i];
        CHECK_EQ(worked, atomic_load(&s->accepted));
    }
    shut(s);
    for (int i = 0; i < s->consumers; i++)
        sinew_await(s->consuming[i].task); /* -ECANCELED, if it was cancelled behind its last checkpoint */
    for (int i = 0; i < s->producers; i++)
        sinew_await(s->producing[i].task);
    if (thread_too)
        pthread_join(thread, NULL);
    CHECK_EQ(sinew_queue_length(s->queue), 0);
    CHECK_EQ(sinew_queue_unfinished(s->queue), 0);
    CHECK_EQ(sinew_queue_task_done(s->queue), -EINVAL);
    intptr_t joined = sinew_await(joiner);
    CHECK(joined == 0 || joined == -ECANCELED);
    check_items(s, s->immediate);
    sinew_queue_unref(s->queue);
}

static intptr_t scenes(void *arg)
{
    uint64_t random = *(uint64_t *)arg;
    for (int i = 0; i < 5 && !atomic_load(&check_failures); i++)
        play(&random);
    return 0;
}

int main(int argc, char **argv)
{
    stress_begin(&run_of, argc, argv);
    stress_start_watchdog(&run_of);
    while (stress_next(&run_of))
        CHECK_EQ(stress_run(&run_of, scenes, &run_of.seed), 0);
    return stress_end(&run_of);
}
