/* SPDX-License-Identifier: Apache-2.0 */
/* The watcher of slow tasks: its idea stands in slow.h. */
#include "runtime/slow.h"

#include "runtime/clock.h"
#include "runtime/kick.h"
#include "runtime/name.h"
#include "runtime/report.h"

#include <execinfo.h>
#include <stdlib.h>

enum { LOOKS = 4 /* in the time of the limit */, LATER = 10 /* the next report of the same step, times the last */ };

#define PAUSE_LEAST SINEW_MS(1)

typedef struct look {
    uint64_t ends;
    const sn_fiber *fiber;
    const sinew_task *task; /* NULL: no step */
    int32_t budget;
} look;

typedef struct step {
    look seen;
    sinew_time since; /* after the first look at it */
    sinew_time took;  /* from then until before the last one */
    bool slow;        /* has reached the limit, and the rest is set */
    sinew_time report_at;
    sn_task_sample who;
    sn_standing standing; /* count 0: not known */
} step;

typedef struct sn_slow {
    sn_runtime *runtime;
    sinew_time limit, pause;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool ending;             /* under the lock */
    pthread_mutex_t calling; /* held around each report */
    _Atomic uint32_t busy;
    step steps[]; /* the watcher's; one a worker */
} sn_slow;

/* What others write without atomics, being its only writers, is read as it stands. */
#define PEEK(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)

static SN_NO_ASAN look look_at(sn_worker *w)
{
    sn_counters *c = &w->counters;
    look l;
    l.ends = sn_load(&c->switches, relaxed) + sn_load(&c->in_place[0], relaxed) + sn_load(&c->in_place[1], relaxed) +
             sn_load(&c->finished[0], relaxed) + sn_load(&c->finished[1], relaxed);
    l.fiber = PEEK(w->fiber);
    l.task = PEEK(l.fiber->task);
    l.budget = PEEK(w->budget);
    return l;
}

static bool same(const look *a, const look *b)
{
    return a->ends == b->ends && a->fiber == b->fiber && a->task == b->task && a->budget == b->budget;
}

static sinew_time later(sinew_time t)
{
    return t > SINEW_FOREVER / LATER ? SINEW_FOREVER : t * LATER;
}

static void report(sn_slow *s, const step *p, bool over)
{
    const sn_task_sample *who = &p->who;
    pthread_mutex_lock(&s->calling);
    sn_report(s->runtime, &(sinew_error_report){.what = over ? "a task ran for long without suspending"
                                                             : "a task is running for long without suspending",
                                                .name = who->name,
                                                .took = p->took,
                                                .created_count = who->origin.count,
                                                .created = who->origin.frames,
                                                .stack_count = p->standing.count,
                                                .stack = p->standing.frames});
    pthread_mutex_unlock(&s->calling);
}

/* The step has been there for the limit: who is it? False: it has just ended. */
static bool identify(sn_slow *s, sn_worker *w, step *p)
{
    sn_task_sample_take(&p->who, p->seen.task);
    if (!sn_kick_where(w, &p->standing))
        p->standing.count = 0;
    look now = look_at(w);
    if (!same(&now, &p->seen))
        return false;
    p->report_at = later(s->limit);
    return true;
}

/* Returns whether the worker is in a slow step, of which there will be a report. */
static bool visit(sn_slow *s, sn_worker *w, step *p)
{
    sinew_time before = sn_clock_now();
    look now = look_at(w);
    if (!same(&now, &p->seen)) {
        if (p->slow)
            report(s, p, true);
        p->seen = now;
        p->since = sn_clock_now();
        p->slow = false;
        return false;
    }
    if (!now.task)
        return false;
    p->took = before - p->since;
    if (!p->slow)
        p->slow = p->took >= s->limit && identify(s, w, p);
    if (p->slow && p->took >= p->report_at) {
        p->report_at = later(p->took);
        report(s, p, false);
    }
    return p->slow;
}

static void visit_all(sn_slow *s)
{
    const sn_runtime *rt = s->runtime;
    bool any = false;
    sn_store(&s->busy, 1, seq_cst);            /* b1 */
    atomic_thread_fence(memory_order_seq_cst); /* the counters are read relaxed */
    for (uint32_t i = 0; i < rt->workers_count; i++)
        any |= visit(s, &rt->workers[i], &s->steps[i]); /* b2 */
    sn_store(&s->busy, any, release);                   /* b3 */
}

static void *watch(void *arg)
{
    sn_slow *s = arg;
    pthread_mutex_lock(&s->lock);
    while (!s->ending) {
        pthread_mutex_unlock(&s->lock);
        visit_all(s);
        sinew_time end = sn_deadline_after(sn_clock_now(), s->pause);
        struct timespec until = {.tv_sec = end / SINEW_S(1), .tv_nsec = end % SINEW_S(1)};
        pthread_mutex_lock(&s->lock);
        for (int r = 0; !s->ending && r == 0;)
            r = pthread_cond_timedwait(&s->wake, &s->lock, &until);
    }
    pthread_mutex_unlock(&s->lock);
    visit_all(s); /* no step is left: those that were slow are reported */
    return NULL;
}

int sn_slow_begin(sn_runtime *rt, sinew_time limit)
{
    sn_slow *s = calloc(1, sizeof *s + rt->workers_count * sizeof *s->steps);
    if (!s)
        return -ENOMEM;
    s->runtime = rt;
    s->limit = limit;
    void *frame;
    backtrace(&frame, 1); /* the first walk of a process may load a library, which a handler must not */
    s->pause = limit / LOOKS > PAUSE_LEAST ? limit / LOOKS : PAUSE_LEAST;
    pthread_condattr_t monotonic;
    int r = pthread_condattr_init(&monotonic);
    if (r != 0) {
        free(s);
        return -r;
    }
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&s->lock, NULL); /* with default attributes these cannot fail */
    pthread_mutex_init(&s->calling, NULL);
    pthread_cond_init(&s->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    sn_names_watch(true);
    rt->slow = s;
    r = sn_thread_start(&s->thread, watch, s);
    if (r != 0) {
        sn_complain("sinew_run: the thread that watches for slow tasks is refused: %s; raise the limit, or run without "
                    "debug and slow_step",
                    strerror(r));
        sn_slow_free(rt);
        return -r;
    }
    pthread_setname_np(s->thread, "sinew-slow");
    return 0;
}

void sn_slow_end(sn_runtime *rt)
{
    sn_slow *s = rt->slow;
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->ending = true;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
}

void sn_slow_free(sn_runtime *rt)
{
    sn_slow *s = rt->slow;
    if (!s)
        return;
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->calling);
    pthread_mutex_destroy(&s->lock);
    sn_names_watch(false);
    free(s);
    rt->slow = NULL;
}

void sn_slow_settle(const sn_runtime *rt)
{
    sn_slow *s = rt->slow;
    if (s) {
        pthread_mutex_lock(&s->calling);
        pthread_mutex_unlock(&s->calling);
    }
}

bool sn_slow_busy(const sn_runtime *rt)
{
    atomic_thread_fence(memory_order_seq_cst); /* partner: the one after b1 */
    return rt->slow && sn_load(&rt->slow->busy, seq_cst) != 0;
}
