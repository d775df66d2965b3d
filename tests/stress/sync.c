/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: under cancels at any moment no lock is lost or given twice, no permit, notification or turn disappears, nobody
 * is forgotten, and nothing is touched after its last user has left.
 * Method: rounds. In each, some tasks use one object in a random way while the main task cancels some of them at
 * random; then the object must be as if nobody had been cancelled. What they do is counted. The object lies in the heap
 * and is freed by the last task that leaves it, for AddressSanitizer. A watchdog names the seed and the kind when a
 * round does not end. Cannot see: who is served out of turn.
 */
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>

#include <tests/support/stress.h>
#include <tests/support/tasks.h>

enum kind { SEM, MUTEX, RWLOCK, COND, EVENT, BARRIER, ONCE, LATCH, KINDS };

static const char *const names[KINDS] = {"sem", "mutex", "rwlock", "cond", "event", "barrier", "once", "latch"};

enum { USERS_MOST = 12, PERMITS = 3, PARTIES = 3 };

static stress run_of;

struct scene {
    enum kind kind;
    union {
        sinew_sem sem;
        sinew_mutex mutex;
        sinew_rwlock rwlock;
        sinew_event event;
        sinew_barrier barrier;
        sinew_once once;
        sinew_latch latch;
    } object;
    sinew_cond cond; /* of object.mutex */
    atomic_int begun, waiting, inside, writers, users;
    atomic_int taken, cancelled, failed, numbers[PARTIES];
    atomic_bool stop;
    long plain, items; /* guarded by the object */
    int times;
};

struct user {
    struct scene *scene;
    uint64_t random;
};

static void dawdle(uint64_t *random)
{
    uint64_t r = random_below(random, 8);
    if (r == 0)
        sched_yield(); /* the thread's */
    else if (r < 3)
        for (volatile uint64_t i = random_below(random, 300); i > 0; i = i - 1)
            ;
    else if (r < 5)
        sinew_yield(); /* its code, if it is cancelled, does not matter */
}

/* Was the wait ended by a cancel? Then it must have been that. */
static bool was_cancelled(struct scene *s, int r)
{
    if (r == 0)
        return false;
    CHECK_EQ(r, -ECANCELED);
    atomic_fetch_add(&s->cancelled, 1);
    return true;
}

static void use_sem(struct scene *s, uint64_t *random)
{
    for (int i = 0; i < s->times; i++) {
        if (was_cancelled(s, sinew_sem_wait(&s->object.sem)))
            continue;
        CHECK(atomic_fetch_add(&s->inside, 1) < PERMITS);
        dawdle(random);
        atomic_fetch_sub(&s->inside, 1);
        CHECK_EQ(sinew_sem_post(&s->object.sem), 0);
    }
}

static void use_mutex(struct scene *s, uint64_t *random)
{
    for (int i = 0; i < s->times; i++) {
        if (was_cancelled(s, sinew_mutex_lock(&s->object.mutex)))
            continue;
        long before = s->plain;
        CHECK_EQ(atomic_fetch_add(&s->inside, 1), 0);
        dawdle(random);
        atomic_fetch_sub(&s->inside, 1);
        s->plain = before + 1;
        atomic_fetch_add(&s->taken, 1);
        CHECK_EQ(sinew_mutex_unlock(&s->object.mutex), 0);
    }
}

static void use_rwlock(struct scene *s, uint64_t *random)
{
    sinew_rwlock *l = &s->object.rwlock;
    for (int i = 0; i < s->times; i++) {
        bool write = random_below(random, 3) == 0;
        if (was_cancelled(s, write ? sinew_rwlock_write_lock(l) : sinew_rwlock_read_lock(l)))
            continue;
        long before = s->plain;
        if (write) {
            CHECK_EQ(atomic_fetch_add(&s->writers, 1), 0);
            CHECK_EQ(atomic_load(&s->inside), 0);
        } else {
            atomic_fetch_add(&s->inside, 1);
            CHECK_EQ(atomic_load(&s->writers), 0);
        }
        dawdle(random);
        CHECK_EQ(s->plain, before);
        if (write) {
            s->plain = before + 1;
            atomic_fetch_add(&s->taken, 1);
            atomic_fetch_sub(&s->writers, 1);
            CHECK_EQ(sinew_rwlock_write_unlock(l), 0);
        } else {
            atomic_fetch_sub(&s->inside, 1);
            CHECK_EQ(sinew_rwlock_read_unlock(l), 0);
        }
    }
}

/* Takes one item, or leaves when cancelled: a notification that it took along would be missed. */
static void use_cond(struct scene *s, uint64_t *random)
{
    if (was_cancelled(s, sinew_mutex_lock(&s->object.mutex)))
        return;
    int r = 0;
    atomic_fetch_add(&s->waiting, 1);
    while (r == 0 && s->items == 0)
        r = sinew_cond_wait(&s->cond, &s->object.mutex);
    CHECK_EQ(atomic_fetch_add(&s->inside, 1), 0);
    dawdle(random);
    atomic_fetch_sub(&s->inside, 1);
    if (r == 0) {
        s->items--;
        atomic_fetch_add(&s->taken, 1);
    }
    CHECK_EQ(sinew_mutex_unlock(&s->object.mutex), 0);
    was_cancelled(s, r);
}

/* As many items as will surely find a taker, each with one notification. */
static void conduct_cond(struct scene *s, int n, uint64_t *random)
{
    for (int i = 0; i < n; i++) {
        CHECK_EQ(sinew_mutex_lock(&s->object.mutex), 0);
        s->items++;
        CHECK_EQ(sinew_cond_notify(&s->cond, 1), 0);
        dawdle(random);
        CHECK_EQ(sinew_mutex_unlock(&s->object.mutex), 0);
        dawdle(random);
    }
}

static void use_event(struct scene *s, uint64_t *random)
{
    for (int i = 0; i < s->times; i++) {
        if (!was_cancelled(s, sinew_event_wait(&s->object.event)))
            atomic_fetch_add(&s->taken, 1);
        dawdle(random);
        if (random_below(random, 4) == 0)
            CHECK_EQ(sinew_event_clear(&s->object.event), 0);
        if (random_below(random, 4) == 0)
            CHECK_EQ(sinew_event_set(&s->object.event), 0);
    }
}

static void use_barrier(struct scene *s, uint64_t *random)
{
    while (!atomic_load(&s->stop)) {
        int r = sinew_barrier_wait(&s->object.barrier);
        if (r >= 0 && CHECK(r < PARTIES))
            atomic_fetch_add(&s->numbers[r], 1);
        else if (r != -ECONNABORTED)
            was_cancelled(s, r);
        dawdle(random);
    }
}

static intptr_t initialise(void *arg)
{
    struct scene *s = arg;
    CHECK_EQ(atomic_fetch_add(&s->inside, 1), 0);
    s->plain++;
    int r = sinew_yield();
    atomic_fetch_sub(&s->inside, 1);
    if (r < 0)
        return r;
    if (atomic_fetch_sub(&s->failed, 1) > 0)
        return -EIO;
    atomic_fetch_add(&s->taken, 1);
    return 77;
}

static void use_once(struct scene *s, uint64_t *random)
{
    intptr_t r;
    do {
        r = sinew_once_run(&s->object.once, initialise, s);
        CHECK(r == 77 || r == -EIO || r == -ECANCELED);
        dawdle(random);
    } while (r != 77);
    CHECK_EQ(atomic_load(&s->taken), 1);
    long seen = s->plain;
    dawdle(random);
    CHECK_EQ(s->plain, seen);
}

static void use_latch(struct scene *s, uint64_t *random)
{
    dawdle(random);
    dawdle(random);
    atomic_fetch_add(&s->taken, 1);
    CHECK_EQ(sinew_latch_count_down(&s->object.latch, 1), 0);
    if (!was_cancelled(s, sinew_latch_wait(&s->object.latch)))
        CHECK_EQ(atomic_load(&s->taken), s->times);
}

static void (*const uses[KINDS])(struct scene *s, uint64_t *random) = {
    use_sem, use_mutex, use_rwlock, use_cond, use_event, use_barrier, use_once, use_latch,
};

/* Everybody has left: what must be true of the object. */
static void check_end(struct scene *s)
{
    switch (s->kind) {
    case SEM:
        for (int i = 0; i < PERMITS; i++)
            CHECK_EQ(sinew_sem_trywait(&s->object.sem), 0);
        CHECK_EQ(sinew_sem_trywait(&s->object.sem), -EAGAIN);
        break;
    case MUTEX:
    case COND:
        CHECK(!sinew_mutex_locked(&s->object.mutex));
        CHECK(s->kind == COND || s->plain == s->taken);
        break;
    case RWLOCK:
        CHECK_EQ(sinew_rwlock_try_write_lock(&s->object.rwlock), 0);
        CHECK_EQ(s->plain, s->taken);
        break;
    case BARRIER: {
        /* The last to come cannot lose its number to a cancel; each of the others may. */
        int rounds = s->numbers[PARTIES - 1], lost = 0;
        for (int i = 0; i < PARTIES; i++) {
            CHECK(s->numbers[i] <= rounds);
            lost += rounds - s->numbers[i];
        }
        CHECK(lost <= s->cancelled);
        break;
    }
    case ONCE:
        CHECK_EQ(s->taken, 1);
        break;
    case LATCH:
        CHECK_EQ(sinew_latch_try_wait(&s->object.latch), 0);
        break;
    case EVENT:
    case KINDS:
        break;
    }
}

static void leave(struct scene *s)
{
    if (atomic_fetch_sub(&s->users, 1) == 1) {
        check_end(s);
        free(s);
    }
}

static intptr_t use(void *arg)
{
    struct user *u = arg;
    struct scene *s = u->scene;
    atomic_fetch_add(&s->begun, 1);
    uses[s->kind](s, &u->random);
    leave(s);
    return 0;
}

static struct scene *make_scene(enum kind kind, int users, uint64_t *random)
{
    struct scene *s = calloc(1, sizeof *s);
    s->kind = kind;
    s->times = 1 + (int)random_below(random, 20);
    atomic_store(&s->users, users + 1); /* the main task is one */
    switch (kind) {
    case SEM:
        CHECK_EQ(sinew_sem_init_bounded(&s->object.sem, PERMITS), 0);
        break;
    case MUTEX:
    case COND:
        sinew_mutex_init(&s->object.mutex);
        CHECK_EQ(sinew_cond_init(&s->cond, &s->object.mutex), 0);
        break;
    case RWLOCK:
        sinew_rwlock_init(&s->object.rwlock);
        break;
    case EVENT:
        sinew_event_init(&s->object.event);
        break;
    case BARRIER:
        CHECK_EQ(sinew_barrier_init(&s->object.barrier, PARTIES), 0);
        break;
    case ONCE:
        s->object.once = (sinew_once)SINEW_ONCE_INIT;
        atomic_store(&s->failed, (int)random_below(random, 3));
        break;
    case LATCH:
        s->times = users;
        sinew_latch_init(&s->object.latch, (unsigned)users);
        break;
    case KINDS:
        break;
    }
    return s;
}

/* Cancels `n` times, any of them again if `repeat`. */
static void cancel_some(sinew_task **tasks, int users, int n, bool repeat, uint64_t *random)
{
    for (int i = 0; i < n; i++) {
        dawdle(random);
        sinew_cancel(tasks[repeat ? (int)random_below(random, (uint64_t)users) : i]);
    }
}

static void play(enum kind kind, uint64_t *random)
{
    int n = PARTIES + (int)random_below(random, USERS_MOST - PARTIES + 1);
    struct scene *s = make_scene(kind, n, random);
    struct user users[USERS_MOST];
    sinew_task *tasks[USERS_MOST];
    for (int i = 0; i < n; i++) {
        users[i] = (struct user){s, random_next(random)};
        tasks[i] = sinew_spawn(use, &users[i]);
    }
    while (atomic_load(&s->begun) < n) /* a cancel before that would end a task that the others count on */
        sinew_yield();
    int cancels = (int)random_below(random, (uint64_t)n);
    if (kind == COND) {
        while (atomic_load(&s->waiting) < n)
            sinew_yield();
        int first = cancels / 2;
        conduct_cond(s, (n - cancels) / 2, random);
        cancel_some(tasks, n, first, false, random);
        conduct_cond(s, n - cancels - (n - cancels) / 2, random);
        cancel_some(tasks + first, n, cancels - first, false, random);
        while (atomic_load(&s->taken) < n - cancels)
            sinew_yield();
        conduct_cond(s, cancels, random); /* whoever had taken an item before it was cancelled left another one here */
    } else {
        cancel_some(tasks, n, cancels, true, random);
    }
    if (kind == BARRIER) {
        atomic_store(&s->stop, true);
        CHECK_EQ(sinew_barrier_abort(&s->object.barrier), 0);
    }
    while (kind == EVENT && atomic_load(&s->users) > 1) {
        CHECK_EQ(sinew_event_set(&s->object.event), 0);
        sinew_yield();
    }
    leave(s);
    CHECK_EQ(sinew_gather_settled(tasks, (size_t)n, NULL), 0);
}

static intptr_t hunt(void *arg)
{
    uint64_t random = *(uint64_t *)arg;
    int rounds = (int)scaled(1000, 100);
    for (int i = 0; i < rounds && !atomic_load(&check_failures); i++) {
        enum kind kind = (enum kind)random_below(&random, KINDS);
        stress_beat(&run_of, names[kind]);
        play(kind, &random);
    }
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
