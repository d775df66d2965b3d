/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The task workloads without a task runtime: what C gives by itself, as a floor for some and a contrast for others.
 *
 * - fib, skynet: the plain recursion of bench/plain.c, where every call is made; nqueens: likewise; flat: a loop of
 *   calls that stores their results.
 * - yield: bare jump_fcontext switches around a ring of contexts. Nothing chooses who is next, so it is the least that
 *   a switch of stacks costs.
 * - pingpong, mpmc, mutex, wakeup, cancel: threads and pthread locks, a thread for each task. mutex_held gives the
 *   processor away with the lock held (sched_yield), as the tasks do; a pthread mutex promises no order.
 * - sleepers, timers, timeout, fire: a binary heap of deadlines that knows where each timer is, and callbacks.
 * - startstop: as many threads as workers, started and joined.
 */
#include "../../plain.h"
#include "measure.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

static job j;

/* --- recursion and loops ---------------------------------------------------------------------------------------- */

static bool pass_fib(void *arg)
{
    (void)arg;
    return plain_fib(j.size) == fib_value(j.size);
}

static bool pass_skynet(void *arg)
{
    (void)arg;
    return plain_skynet(0, j.size) == (intptr_t)j.size * (j.size - 1) / 2;
}

static bool pass_queens(void *solutions)
{
    return count_queens((int)j.size).solutions == *(long *)solutions;
}

static bool pass_flat(void *arg)
{
    (void)arg;
    size_t n = (size_t)j.size;
    char *arguments = NULL;
    intptr_t *results = allocate(n, sizeof *results), sum = 0;
    plain_map(arguments, 1, n, results);
    for (size_t i = 0; i < n; i++)
        sum += results[i];
    free(results);
    return sum == (intptr_t)n * ((intptr_t)n - 1) / 2;
}

/* --- a ring of contexts ------------------------------------------------------------------------------------------ */

typedef struct transfer {
    void *context, *data;
} transfer;

void *make_fcontext(void *stack_top, size_t bytes, void (*entry)(transfer));
transfer jump_fcontext(void *context, void *data);

/* Each member stores, for the one before it, where that one stopped, and jumps to the next; member 0 is the thread. */
typedef struct member {
    void *context;
    struct member *before, *after;
} member;

enum { yields = 400000, stack_bytes = 16 << 10 };

static void jump_to_next(member *self)
{
    self->before->context = jump_fcontext(self->after->context, self->after).context;
}

static void live(transfer from)
{
    member *self = from.data;
    self->before->context = from.context;
    for (;;)
        jump_to_next(self);
}

static member *make_ring(size_t n)
{
    char *stacks =
        mmap(NULL, n * stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stacks == MAP_FAILED)
        die("mmap");
    member *ring = allocate(n, sizeof *ring);
    for (size_t i = 0; i < n; i++) {
        /* Tops a power of two apart would all fall on the same few cache lines' places. */
        size_t shift = i * 320 % 4096;
        ring[i].context = make_fcontext(stacks + (i + 1) * stack_bytes - shift, stack_bytes - shift, live);
        ring[i].before = &ring[(i + n - 1) % n];
        ring[i].after = &ring[(i + 1) % n];
    }
    return ring;
}

static bool pass_yield(void *ring)
{
    for (long left = yields / j.size; left > 0; left--)
        jump_to_next(ring);
    return true;
}

/* --- threads ----------------------------------------------------------------------------------------------------- */

static void start(pthread_t *thread, void *(*body)(void *), void *arg)
{
    if (pthread_create(thread, NULL, body, arg) != 0)
        die("pthread_create");
}

/* Runs so many threads of each body and joins all; true if all returned NULL. */
static bool run_all(size_t n, void *(*first)(void *), void *(*second)(void *), void *arg)
{
    pthread_t threads[64];
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        start(&threads[count++], first, arg);
    for (size_t i = 0; second != NULL && i < n; i++)
        start(&threads[count++], second, arg);
    bool right = true;
    while (count > 0) {
        void *result;
        right &= pthread_join(threads[--count], &result) == 0 && result == NULL;
    }
    return right;
}

/* A queue with room for `capacity` elements, of a mutex and two conditions. */
enum { room = 64 };

typedef struct queue {
    pthread_mutex_t lock;
    pthread_cond_t not_empty, not_full;
    size_t capacity, head, length;
    bool closed;
    long elements[room];
} queue;

static void open_queue(queue *q, size_t capacity)
{
    memset(q, 0, sizeof *q);
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->not_empty, NULL);
    pthread_cond_init(&q->not_full, NULL);
    q->capacity = capacity;
}

static void put(queue *q, long element)
{
    pthread_mutex_lock(&q->lock);
    while (q->length == q->capacity)
        pthread_cond_wait(&q->not_full, &q->lock);
    q->elements[(q->head + q->length++) % room] = element;
    pthread_mutex_unlock(&q->lock);
    pthread_cond_signal(&q->not_empty);
}

/* False: closed and empty. */
static bool take(queue *q, long *element)
{
    pthread_mutex_lock(&q->lock);
    while (q->length == 0 && !q->closed)
        pthread_cond_wait(&q->not_empty, &q->lock);
    bool any = q->length > 0;
    if (any) {
        *element = q->elements[q->head];
        q->head = (q->head + 1) % room;
        q->length--;
    }
    pthread_mutex_unlock(&q->lock);
    pthread_cond_signal(&q->not_full);
    return any;
}

static void close_queue(queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_mutex_unlock(&q->lock);
    pthread_cond_broadcast(&q->not_empty);
}

static queue wires[2];

static void *serve(void *arg)
{
    for (long i = 0, back = -1; i < j.size; i++) {
        put(&wires[0], i);
        if (!take(&wires[1], &back) || back != i)
            return wires;
    }
    return arg;
}

static void *give_back(void *arg)
{
    for (long i = 0, ball; i < j.size; i++) {
        take(&wires[0], &ball);
        put(&wires[1], ball);
    }
    return arg;
}

static bool pass_pingpong(void *arg)
{
    open_queue(&wires[0], 1);
    open_queue(&wires[1], 1);
    return run_all(1, serve, give_back, arg);
}

enum { producers = 4 };

static int producing;
static long received;

static void *produce(void *arg)
{
    for (long i = 0; i < j.size / producers; i++)
        put(&wires[0], i);
    if (__atomic_sub_fetch(&producing, 1, __ATOMIC_ACQ_REL) == 0)
        close_queue(&wires[0]);
    return arg;
}

static void *consume(void *arg)
{
    long sum = 0;
    for (long got; take(&wires[0], &got);)
        sum += got;
    __atomic_add_fetch(&received, sum, __ATOMIC_RELAXED);
    return arg;
}

static bool pass_mpmc(void *arg)
{
    long each = j.size / producers;
    open_queue(&wires[0], room);
    producing = producers;
    received = 0;
    return run_all(producers, produce, consume, arg) && received == producers * (each * (each - 1) / 2);
}

enum { lockers = 8 };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static bool yielding;
static long counter;

static void *lock_often(void *arg)
{
    for (long i = 0; i < j.size / lockers; i++) {
        pthread_mutex_lock(&mutex);
        counter++;
        if (yielding)
            sched_yield();
        pthread_mutex_unlock(&mutex);
    }
    return arg;
}

static bool pass_mutex(void *arg)
{
    counter = 0;
    return run_all(lockers, lock_often, NULL, arg) && counter == j.size / lockers * lockers;
}

static void *sleep_long(void *arg)
{
    nanosleep(&(struct timespec){.tv_sec = 3600}, NULL);
    return arg;
}

static bool pass_cancel(void *arg)
{
    pthread_t *threads = arg;
    bool right = true;
    begin_setup();
    for (long i = 0; i < j.size; i++)
        start(&threads[i], sleep_long, NULL);
    end_setup();
    for (long i = 0; i < j.size; i++) {
        void *result;
        pthread_cancel(threads[i]);
        right &= pthread_join(threads[i], &result) == 0 && result == PTHREAD_CANCELED;
    }
    return right;
}

static void *return_at_once(void *arg)
{
    return arg;
}

static bool pass_startstop(void *arg)
{
    bool right = true;
    for (long i = 0; i < j.size; i++)
        right &= run_all(j.workers, return_at_once, NULL, arg);
    return right;
}

/* --- waking a thread --------------------------------------------------------------------------------------------- */

static int64_t *sent_ns;

static void *send_letters(void *arg)
{
    for (long i = 0; i < j.size; i++) {
        nanosleep(&(struct timespec){.tv_nsec = wakeup_pause_ns}, NULL);
        sent_ns[i] = now_ns();
        put(&wires[0], i);
    }
    return arg;
}

static void wakeup(void)
{
    int64_t *latencies = allocate((size_t)j.size, sizeof *latencies);
    sent_ns = allocate((size_t)j.size, sizeof *sent_ns);
    open_queue(&wires[0], room);
    pthread_t thread;
    start(&thread, send_letters, NULL);
    for (long i = 0, got = -1; i < j.size; i++) {
        if (!take(&wires[0], &got) || got != i)
            wrong(&j, "wrong letter");
        latencies[i] = now_ns() - sent_ns[i];
    }
    pthread_join(thread, NULL);
    print_latencies(&j, (size_t)j.size, latencies);
    free(sent_ns);
    free(latencies);
}

/* --- timers ------------------------------------------------------------------------------------------------------ */

typedef struct timer {
    int64_t deadline_ns;
    void (*fire)(struct timer *);
    size_t index; /* in the heap */
} timer;

typedef struct heap {
    struct {
        int64_t deadline_ns;
        timer *timer;
    } * entries;
    size_t length;
} heap;

static heap timers;

static void settle(size_t at, int64_t deadline_ns, timer *t)
{
    timers.entries[at].deadline_ns = deadline_ns;
    timers.entries[at].timer = t;
    t->index = at;
}

static void move(size_t to, size_t from)
{
    settle(to, timers.entries[from].deadline_ns, timers.entries[from].timer);
}

/* Places t in the hole at `at`, upwards or downwards from there. */
static void place(size_t at, timer *t)
{
    for (; at > 0 && timers.entries[(at - 1) / 2].deadline_ns > t->deadline_ns; at = (at - 1) / 2)
        move(at, (at - 1) / 2);
    for (size_t child; (child = 2 * at + 1) < timers.length; at = child) {
        if (child + 1 < timers.length && timers.entries[child + 1].deadline_ns < timers.entries[child].deadline_ns)
            child++;
        if (timers.entries[child].deadline_ns >= t->deadline_ns)
            break;
        move(at, child);
    }
    settle(at, t->deadline_ns, t);
}

static void arm(timer *t, int64_t duration_ns)
{
    t->deadline_ns = now_ns() + duration_ns;
    place(timers.length++, t);
}

static void disarm(timer *t)
{
    size_t hole = t->index;
    timer *last = timers.entries[--timers.length].timer;
    if (last != t)
        place(hole, last);
}

static long fired;

static void count_fire(timer *t)
{
    (void)t;
    fired++;
}

static void run_timers(void)
{
    while (timers.length > 0) {
        for (int64_t now = now_ns(); timers.length > 0 && timers.entries[0].deadline_ns <= now;) {
            timer *t = timers.entries[0].timer;
            disarm(t);
            t->fire(t);
        }
        if (timers.length == 0)
            break;
        int64_t until = timers.entries[0].deadline_ns;
        struct timespec instant = {.tv_sec = until / 1000000000, .tv_nsec = until % 1000000000};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &instant, NULL);
    }
}

static timer *new_timers(void)
{
    timer *all = allocate((size_t)j.size, sizeof *all);
    timers.entries = allocate((size_t)j.size, sizeof *timers.entries);
    for (long i = 0; i < j.size; i++)
        all[i].fire = count_fire;
    return all;
}

static void sleepers(void)
{
    once o = begin_once();
    timer *all = new_timers();
    for (long i = 0; i < j.size; i++)
        arm(&all[i], 1000000000);
    run_timers();
    if (fired != j.size)
        wrong(&j, "a timer was lost");
    print_once(&j, &o, read_memory(), (double)j.size);
}

static bool pass_timers(void *arg)
{
    timer *all = arg;
    for (long i = 0; i < j.size; i++)
        arm(&all[i], timer_duration_ns((uint64_t)i));
    for (long i = j.size; i-- > 0;)
        disarm(&all[i]);
    return timers.length == 0;
}

static bool pass_timeout(void *arg)
{
    timer *one = arg;
    for (long i = 0; i < j.size; i++) {
        arm(one, 10000000000);
        disarm(one);
    }
    return timers.length == 0;
}

static void fire(void)
{
    timer *all = new_timers();
    int64_t at = now_ns() + j.size * 2000 + 100000000;
    for (long i = 0; i < j.size; i++)
        arm(&all[i], at - now_ns());
    if (now_ns() >= at)
        wrong(&j, "inserting took too long");
    int64_t cpu = cpu_ns();
    run_timers();
    int64_t wall = now_ns() - at;
    cpu = cpu_ns() - cpu;
    if (fired != j.size)
        wrong(&j, "a timer was lost");
    print_values(&j, 2, (value[]){{"ns", (double)wall / (double)j.size}, {"cpu_ns", (double)cpu / (double)j.size}});
}

/* --- */

static bool is(const char *workload)
{
    return strcmp(j.workload, workload) == 0;
}

int main(int argc, char **argv)
{
    j = read_job(argc, argv);
    double size = (double)j.size;
    if (is("fib")) {
        measure(&j, fib_calls(j.size), pass_fib, NULL);
    } else if (is("skynet")) {
        measure(&j, skynet_nodes(j.size), pass_skynet, NULL);
    } else if (is("nqueens")) {
        queens q = count_queens((int)j.size);
        measure(&j, (double)q.nodes, pass_queens, &q.solutions);
    } else if (is("flat")) {
        measure(&j, size, pass_flat, NULL);
    } else if (is("yield") && j.size > 1) {
        measure(&j, (double)(yields / j.size * j.size), pass_yield, make_ring((size_t)j.size));
    } else if (is("pingpong")) {
        measure(&j, size, pass_pingpong, NULL);
    } else if (is("mpmc")) {
        measure(&j, size, pass_mpmc, NULL);
    } else if (is("mutex") || is("mutex_held")) {
        yielding = is("mutex_held");
        measure(&j, size, pass_mutex, NULL);
    } else if (is("sleepers")) {
        sleepers();
    } else if (is("timers")) {
        measure(&j, size, pass_timers, new_timers());
    } else if (is("timeout")) {
        measure(&j, size, pass_timeout, new_timers());
    } else if (is("fire")) {
        fire();
    } else if (is("cancel")) {
        measure(&j, size, pass_cancel, allocate((size_t)j.size, sizeof(pthread_t)));
    } else if (is("wakeup")) {
        wakeup();
    } else if (is("startstop")) {
        measure(&j, size, pass_startstop, NULL);
    } else if (!is("empty")) {
        unknown_workload(&j);
    }
    return 0;
}
