/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: however bursts of tasks are stolen, each task starts exactly once, none is lost, and every result reaches the
 * one who awaits it. Method: one task spawns bursts of random size and kind (plain, yielding, blocking on a semaphore,
 * sleeping, spawning more) and collects them in a random way: gather, await in either direction, detach and count, or
 * spinning, so that the other workers must take all of them. A counter for each task says how often it started; the sum
 * of all results is known. Some bursts are cancelled meanwhile: then each task started at most once, and its result
 * says whether it did. Cannot see: from whom a task was stolen, nor how evenly.
 */
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>

#include <tests/support/stress.h>

enum { BURST_MAX = 4096 };

enum work { PLAIN, YIELDS, BLOCKS, SLEEPS, SPAWNS, WORKS };
enum collect { GATHER, FORWARD, BACKWARD, DETACH, SPIN, CANCEL, COLLECTS };
static const char *const collect_names[] = {"gather", "await forward", "await backward", "detach", "spin", "cancel"};

struct burst;

struct item {
    struct burst *burst;
    atomic_uchar started, ended;
    unsigned char work;
    unsigned short yields;
    int value;
};

struct burst {
    struct item items[BURST_MAX];
    sinew_task *tasks[BURST_MAX];
    intptr_t results[BURST_MAX];
    sinew_sem gate;
    atomic_int blocked, ended;
    int n;
};

static struct burst burst;
static stress run_of;

static intptr_t add(void *arg)
{
    return (intptr_t)arg + 1;
}

static intptr_t work_item(struct item *item)
{
    int r = 0;
    switch (item->work) {
    case PLAIN:
        break;
    case YIELDS:
        for (int i = 0; i < item->yields && r == 0; i++)
            r = sinew_yield();
        break;
    case BLOCKS:
        atomic_fetch_add(&item->burst->blocked, 1);
        r = sinew_sem_wait(&item->burst->gate);
        break;
    case SLEEPS:
        r = sinew_sleep(SINEW_US(item->yields));
        break;
    case SPAWNS: {
        intptr_t inner = sinew_await(sinew_spawn(add, (void *)(intptr_t)item->value));
        if (inner != item->value + 1)
            r = inner < 0 ? (int)inner : -EIO;
        break;
    }
    }
    return r < 0 ? r : item->value;
}

static intptr_t do_item(void *arg)
{
    struct item *item = arg;
    if (atomic_fetch_add(&item->started, 1) != 0)
        check_failed(__FILE__, __LINE__, "item %td started twice", item - burst.items);
    intptr_t r = work_item(item);
    atomic_fetch_add(&item->ended, 1);
    atomic_fetch_add(&item->burst->ended, 1);
    return r;
}

/* Blocked items are let through by this one, so that whoever collects may wait in any order. */
static intptr_t open_gate(void *arg)
{
    struct burst *b = arg;
    for (int i = 0; i < b->n; i++)
        sinew_sem_post(&b->gate);
    return 0;
}

static long make_burst(uint64_t *random)
{
    struct burst *b = &burst;
    long sum = 0;
    uint64_t size = random_below(random, 12);
    b->n = 1 + (int)random_below(random, (uint64_t)1 << size);
    sinew_sem_init(&b->gate, 0);
    atomic_store(&b->blocked, 0);
    atomic_store(&b->ended, 0);
    /* Mostly one kind a burst, now and then mixed. */
    unsigned kind = (unsigned)random_below(random, WORKS + 1);
    for (int i = 0; i < b->n; i++) {
        struct item *item = &b->items[i];
        unsigned work = kind < WORKS ? kind : (unsigned)random_below(random, WORKS);
        *item = (struct item){.burst = b, .work = (unsigned char)work};
        item->yields = (unsigned short)random_below(random, 20);
        item->value = (int)random_below(random, 1000000);
        sum += item->value;
    }
    for (int i = 0; i < b->n; i++) {
        b->tasks[i] = sinew_spawn(do_item, &b->items[i]);
        if (!b->tasks[i])
            check_failed(__FILE__, __LINE__, "spawn refused");
    }
    return sum;
}

static long collect_results(enum collect how, uint64_t *random)
{
    struct burst *b = &burst;
    long sum = 0;
    switch (how) {
    case GATHER:
        CHECK_EQ(sinew_gather(b->tasks, (size_t)b->n, b->results), 0);
        break;
    case FORWARD:
        for (int i = 0; i < b->n; i++)
            b->results[i] = sinew_await(b->tasks[i]);
        break;
    case BACKWARD:
        for (int i = b->n - 1; i >= 0; i--)
            b->results[i] = sinew_await(b->tasks[i]);
        break;
    case DETACH:
    case SPIN:
        for (int i = 0; i < b->n; i++)
            b->results[i] = b->items[i].value;
        for (int i = 0; i < b->n && how == DETACH; i++)
            sinew_detach(b->tasks[i]);
        while (atomic_load(&b->ended) < b->n) {
            if (how == SPIN && sinew_workers() > 1)
                sched_yield(); /* the thread's: this worker stays taken */
            else
                sinew_yield();
        }
        for (int i = 0; i < b->n && how == SPIN; i++)
            CHECK_EQ(sinew_await(b->tasks[i]), b->items[i].value);
        break;
    case CANCEL:
        for (int i = 0; i < b->n; i++)
            if (random_below(random, 2))
                sinew_cancel(b->tasks[i]);
        CHECK_EQ(sinew_gather_settled(b->tasks, (size_t)b->n, b->results), 0);
        break;
    case COLLECTS:
        break;
    }
    for (int i = 0; i < b->n; i++)
        sum += b->results[i];
    return sum;
}

static void check_burst(enum collect how, long expected, long sum)
{
    struct burst *b = &burst;
    for (int i = 0; i < b->n; i++) {
        struct item *item = &b->items[i];
        int started = atomic_load(&item->started), ended = atomic_load(&item->ended);
        bool value = b->results[i] == item->value;
        bool good =
            started == ended && (how == CANCEL ? started <= 1 && (value ? started == 1 : b->results[i] == -ECANCELED)
                                               : started == 1 && value);
        if (!good)
            check_failed(__FILE__, __LINE__, "item %d of %d, work %d, %s: started %d, ended %d, result %jd, value %d",
                         i, b->n, item->work, collect_names[how], started, ended, (intmax_t)b->results[i], item->value);
    }
    if (how != CANCEL)
        CHECK_EQ(sum, expected);
}

static intptr_t spawn_bursts(void *arg)
{
    uint64_t random = *(uint64_t *)arg;
    int bursts = (int)scaled(60, 10);
    for (int i = 0; i < bursts && !atomic_load(&check_failures); i++) {
        enum collect how = (enum collect)random_below(&random, COLLECTS);
        stress_beat(&run_of, collect_names[how]);
        /* Sometimes the others are asleep when the burst begins, sometimes still looking. */
        if (random_below(&random, 4) == 0)
            sinew_sleep(SINEW_US(random_below(&random, 200)));
        long expected = make_burst(&random);
        sinew_task *opener = sinew_spawn(open_gate, &burst);
        long sum = collect_results(how, &random);
        CHECK_EQ(sinew_await(opener), 0);
        check_burst(how, expected, sum);
    }
    sinew_stats stats;
    CHECK_EQ(sinew_get_stats(&stats), 0);
    return (intptr_t)(stats.tasks_stolen >> 1);
}

int main(int argc, char **argv)
{
    stress_begin(&run_of, argc, argv);
    stress_start_watchdog(&run_of);
    long stolen = 0;
    while (stress_next(&run_of)) {
        intptr_t r = stress_run(&run_of, spawn_bursts, &run_of.seed);
        CHECK(r >= 0);
        stolen += 2 * r;
    }
    printf("about %ld tasks stolen\n", stolen);
    return stress_end(&run_of);
}
