/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: no wake-up is lost. Whatever makes a task ready while workers go to sleep, one of them gets up for it.
 * Method: rounds. In each, the workers are given a random time to become idle, and then one event must reach a waiting
 * task: a spawn, a posted permit, a cancel, an expired sleep, a finished read; from a task that keeps its worker busy
 * until the answer (so that another worker must wake up), from a task that suspends (so that all sleep), or from a
 * plain thread. A watchdog names the seed and the kind of event when a round does not end. Cannot see: a wake-up that
 * comes late but comes; and lost ones that another event repairs before the watchdog looks.
 */
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>

#include <tests/support/stress.h>

enum event {
    SPAWN_AND_SPIN,
    POST_AND_SPIN,
    CANCEL_AND_SPIN,
    SLEEP_AND_SPIN,
    ALL_WORKERS_AT_ONCE,
    SPAWN_AND_WAIT,
    POST_AND_WAIT,
    THREAD_WRITES,
    THREAD_CANCELS,
    SLEEP_AND_WAIT,
    EVENTS
};

static const char *const event_names[] = {
    "spawn, then spin",
    "post, then spin",
    "cancel, then spin",
    "a sleep beside a spinning task",
    "as many tasks as workers that must all run at once",
    "spawn, then wait",
    "post, then wait",
    "a plain thread writes",
    "a plain thread cancels",
    "a sleep with nothing else",
};

static stress run_of;

/* One task that waits for the event, and what the round needs to reach it. */
static struct {
    sinew_sem go, answered;
    atomic_int waiting, answers;
    int wanted;
    sinew_time nap;
    int pipe[2];
    /* For the plain thread. */
    sinew_task *_Atomic target;
    atomic_int asked, thread_delay;
} scene;

/* True: the events whose answer comes while the asking task keeps its worker. They need another one. */
static bool needs_two(enum event e)
{
    return e <= ALL_WORKERS_AT_ONCE;
}

static void spin(uint64_t times)
{
    for (volatile uint64_t i = times; i > 0; i = i - 1)
        ;
}

static intptr_t answer(void *arg)
{
    (void)arg;
    atomic_fetch_add(&scene.answers, 1);
    sinew_sem_post(&scene.answered);
    return 0;
}

static intptr_t answer_and_stay(void *arg)
{
    (void)arg;
    atomic_fetch_add(&scene.answers, 1);
    while (atomic_load(&scene.answers) < scene.wanted)
        sched_yield(); /* the thread's: each of these keeps a worker */
    return 0;
}

static intptr_t wait_for_permit(void *arg)
{
    atomic_fetch_add(&scene.waiting, 1);
    CHECK_EQ(sinew_sem_wait(&scene.go), 0);
    return answer(arg);
}

static intptr_t wait_for_cancel(void *arg)
{
    atomic_fetch_add(&scene.waiting, 1);
    CHECK_EQ(sinew_sleep(SINEW_S(3600)), -ECANCELED);
    return answer(arg);
}

static intptr_t wait_for_time(void *arg)
{
    atomic_fetch_add(&scene.waiting, 1);
    CHECK_EQ(sinew_sleep(scene.nap), 0);
    return answer(arg);
}

static intptr_t wait_for_byte(void *arg)
{
    char c;
    atomic_fetch_add(&scene.waiting, 1);
    CHECK_EQ(sinew_read(scene.pipe[0], &c, 1), 1);
    return answer(arg);
}

/* Keeps the looks for a deadlock away: they would wake a worker that has missed something. */
static intptr_t wait_to_the_end(void *arg)
{
    (void)arg;
    return sinew_sleep(SINEW_S(3600));
}

enum request { WRITE = 1, CANCEL, QUIT };

static void *plain_thread(void *arg)
{
    (void)arg;
    for (;;) {
        int asked;
        while ((asked = atomic_exchange(&scene.asked, 0)) == 0)
            usleep(20);
        spin((uint64_t)atomic_load(&scene.thread_delay));
        if (asked == QUIT)
            return NULL;
        if (asked == WRITE && write(scene.pipe[1], "x", 1) != 1)
            check_failed(__FILE__, __LINE__, "write failed");
        if (asked == CANCEL) {
            sinew_task *t = atomic_load(&scene.target);
            sinew_cancel(t);
            sinew_detach(t);
        }
    }
}

static void spin_for_answers(int n)
{
    while (atomic_load(&scene.answers) < n)
        sched_yield();
}

/* Lets the others become idle, and this worker look around, for a random while. */
static void settle(uint64_t *random)
{
    switch (random_below(random, 4)) {
    case 0:
        break;
    case 1:
        for (uint64_t i = random_below(random, 20); i > 0; i--)
            sinew_yield();
        break;
    case 2:
        spin(random_below(random, 60000));
        break;
    default:
        CHECK_EQ(sinew_sleep(SINEW_US(random_below(random, 150))), 0);
    }
}

static void reset_scene(void)
{
    sinew_sem_init(&scene.go, 0);
    sinew_sem_init(&scene.answered, 0);
    atomic_store(&scene.waiting, 0);
    atomic_store(&scene.answers, 0);
}

/* Spawns the waiting task and sees to it that it waits. */
static sinew_task *begin_waiting(sinew_fn fn)
{
    sinew_task *t = sinew_spawn(fn, NULL);
    while (atomic_load(&scene.waiting) == 0)
        sinew_yield();
    return t;
}

static void play_at_once(void)
{
    sinew_task *tasks[64];
    unsigned n = sinew_workers() - 1;
    if (n > 64)
        n = 64;
    scene.wanted = (int)n;
    for (unsigned i = 0; i < n; i++)
        tasks[i] = sinew_spawn(answer_and_stay, NULL);
    spin_for_answers((int)n);
    CHECK_EQ(sinew_gather(tasks, n, NULL), 0);
}

static void play(enum event e, uint64_t *random)
{
    sinew_task *t = NULL;
    reset_scene();
    scene.nap = SINEW_US(random_below(random, 200));
    atomic_store(&scene.thread_delay, (int)random_below(random, 30000));
    switch (e) {
    case SPAWN_AND_SPIN:
    case SPAWN_AND_WAIT:
        settle(random);
        t = sinew_spawn(answer, NULL);
        break;
    case POST_AND_SPIN:
    case POST_AND_WAIT:
        t = begin_waiting(wait_for_permit);
        settle(random);
        sinew_sem_post(&scene.go);
        break;
    case CANCEL_AND_SPIN:
        t = begin_waiting(wait_for_cancel);
        settle(random);
        sinew_cancel(t);
        break;
    case SLEEP_AND_SPIN:
    case SLEEP_AND_WAIT:
        t = begin_waiting(wait_for_time);
        break;
    case ALL_WORKERS_AT_ONCE:
        settle(random);
        play_at_once();
        return;
    case THREAD_WRITES:
        t = begin_waiting(wait_for_byte);
        atomic_store(&scene.asked, WRITE);
        break;
    case THREAD_CANCELS:
        t = begin_waiting(wait_for_cancel);
        atomic_store(&scene.target, sinew_ref(t));
        atomic_store(&scene.asked, CANCEL);
        break;
    case EVENTS:
        return;
    }
    if (needs_two(e))
        spin_for_answers(1);
    else
        CHECK_EQ(sinew_sem_wait(&scene.answered), 0);
    sinew_await(t);
}

static intptr_t hunt(void *arg)
{
    uint64_t random = *(uint64_t *)arg;
    int rounds = (int)scaled(1000, 100);
    pthread_t thread;
    if (!CHECK(pipe(scene.pipe) == 0 && pthread_create(&thread, NULL, plain_thread, NULL) == 0))
        return 1;
    sinew_task *sleeper = sinew_spawn(wait_to_the_end, NULL);
    for (int i = 0; i < rounds && !atomic_load(&check_failures); i++) {
        enum event e = (enum event)random_below(&random, EVENTS);
        if (needs_two(e) && sinew_workers() == 1)
            continue;
        stress_beat(&run_of, event_names[e]);
        play(e, &random);
    }
    atomic_store(&scene.asked, QUIT);
    sinew_cancel(sleeper);
    CHECK_EQ(sinew_await(sleeper), -ECANCELED);
    pthread_join(thread, NULL);
    close(scene.pipe[0]);
    close(scene.pipe[1]);
    return 0;
}

int main(int argc, char **argv)
{
    stress_begin(&run_of, argc, argv);
    stress_start_watchdog(&run_of);
    while (stress_next(&run_of))
        CHECK_EQ(stress_run(&run_of, hunt, &run_of.seed), 0);
    return stress_end(&run_of);
}
