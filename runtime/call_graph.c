/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Call graphs, taken while all others go on.
 *
 * Who awaits a task is read from its list of waiters with the lock of that list held: until it is given back, none of
 * those who wait can leave their call, so who made each is still there, and gets a reference. The owner of a group is
 * read under the same lock: a child tells its group of its end after it has taken that lock for the last time.
 *
 * Where a task stands is read from its fiber, which must not run meanwhile. A parked one is taken as if it were woken
 * and not queued, and parked again afterwards by the same step that ends every park (fiber.h):
 *
 *   who looks                                who wakes
 *   h1 wakes: PARKED cleared        (RMW)    u1 wakes + 1, PARKED cleared        (RMW)
 *   h2 looks at the fiber                    u2 PARKED was set? queue it
 *   h3 wakes: h1's count -> with PARKED (RMW)
 *      failed? queue it
 *
 *   impossible: a wake is lost, or the fiber runs between h1 and h3. One word: a wake after h1 finds no PARKED and
 * leaves the queueing to h3, which fails because of it.
 *
 * No runtime takes everything to be quiet meanwhile: a task looks, or a thread that it knows nothing of. A runtime
 * whose tasks are looked at is kept by `guests`, as in join.c: whoever has it from a future may belong to another one.
 */
#include "runtime/inspect.h"
#include "runtime/name.h"
#include "runtime/unwind.h"

#include <sinew/inspect.h>
#include <sinew/task.h>

#include <execinfo.h>
#include <stdlib.h>

enum { FRAMES_MOST = 256, SHOWN_DEEP = 1000 };

typedef struct awaiter {
    sinew_task *task; /* kept */
    const char *call;
} awaiter;

typedef struct node {
    sinew_call_graph graph;
    struct capture *capture;
    sinew_task *task;  /* kept while the capture is made */
    bool shown, open;  /* by format: printed; printed, and what it is awaited by not yet */
    struct node *next; /* with the same hash */
} node;

typedef struct capture {
    node **nodes; /* the first is what was asked for */
    size_t count, capacity;
    node **buckets; /* a power of two, by task */
    size_t buckets_count;
    awaiter *found; /* of the task that is looked at */
    size_t found_count, found_capacity;
    uintptr_t own_low; /* the caller's own frames begin above that */
    size_t depth;
    int limit;
    bool no_memory;
} capture;

/* --- references ------------------------------------------------------------------------------------------------- */

/* The task cannot end meanwhile, or the caller has a reference; so its runtime cannot end before this either, and
 * relaxed will do (g1 in worker.h). Also for tasks of the caller's own runtime: who gives back need not know. */
static sinew_task *keep_task(sinew_task *t)
{
    sn_runtime *rt = sn_task_runtime(t);
    if (rt)
        sn_add(&rt->guests, 1, relaxed);
    sn_add(&t->references, 1, relaxed);
    return t;
}

static void drop_task(sinew_task *t)
{
    sn_runtime *rt = sn_task_runtime(t);
    sn_task_unref(t);
    if (rt)
        sn_sub(&rt->guests, 1, release); /* the runtime may be gone after this; partner: see_guests_off */
}

/* --- nodes ------------------------------------------------------------------------------------------------------ */

static bool grow(void **array, size_t item_bytes, size_t wanted, size_t *capacity)
{
    if (wanted <= *capacity)
        return true;
    size_t bigger = wanted < 8 ? 8 : 2 * wanted;
    void *moved = reallocarray(*array, bigger, item_bytes);
    if (!moved)
        return false;
    *array = moved;
    *capacity = bigger;
    return true;
}

static node **bucket_of(const capture *c, const sinew_task *t)
{
    uint64_t hash = ((uintptr_t)t / SN_CACHE_LINE) * UINT64_C(0x9e3779b97f4a7c15);
    return &c->buckets[(hash >> 32) & (c->buckets_count - 1)];
}

static bool rehash(capture *c)
{
    size_t wanted = c->buckets_count ? 2 * c->buckets_count : 64;
    node **buckets = calloc(wanted, sizeof *buckets);
    if (!buckets)
        return false;
    free(c->buckets);
    c->buckets = buckets;
    c->buckets_count = wanted;
    for (size_t i = 0; i < c->count; i++) {
        node **bucket = bucket_of(c, c->nodes[i]->task);
        c->nodes[i]->next = *bucket;
        *bucket = c->nodes[i];
    }
    return true;
}

/* The node of a task that was kept; uses that up. NULL: no memory. */
static node *node_of(capture *c, sinew_task *t)
{
    if (c->count == c->buckets_count && !rehash(c))
        goto refused;
    node **bucket = bucket_of(c, t);
    for (node *n = *bucket; n; n = n->next)
        if (n->task == t) {
            drop_task(t);
            return n;
        }
    if (!grow((void **)&c->nodes, sizeof *c->nodes, c->count + 1, &c->capacity))
        goto refused;
    node *n = calloc(1, sizeof *n);
    char *name = n ? strdup(sn_task_name(t)) : NULL;
    if (!name) {
        free(n);
        goto refused;
    }
    *n = (node){.graph = {.id = t, .name = name, .future = t->flags & SN_TASK_FUTURE}, .capture = c, .task = t};
    n->next = *bucket;
    *bucket = n;
    c->nodes[c->count++] = n;
    return n;
refused:
    drop_task(t);
    c->no_memory = true;
    return NULL;
}

/* --- who awaits it ---------------------------------------------------------------------------------------------- */

static sinew_task *awaiter_of(const sn_wait_kind *kind, const void *waiter)
{
    const char *record = waiter;
    if (kind->record >= 0)
        record = *(const char *const *)(const void *)(record + kind->record);
    const void *at = record + kind->awaiter;
    return kind->awaiter_is == SN_AWAITER_TASK ? *(sinew_task *const *)at : (*(const sn_fiber *const *)at)->task;
}

/* Notes one of them, and keeps it. Who waits cannot go on meanwhile. */
static void found(capture *c, sinew_task *t, const char *call)
{
    if (t && (t->flags & SN_TASK_HELPER)) /* of a map: as if the element ran on who maps */
        t = awaiter_of(&sn_kind_map, t->arg);
    if (!t)
        return;
    for (size_t i = 0; i < c->found_count && i < 2; i++) /* a child of a group in place is found twice */
        if (c->found[i].task == t && call == c->found[i].call)
            return;
    c->found[c->found_count++] = (awaiter){keep_task(t), call};
}

static const sn_wait_kind *kind_of_waiter(const sn_waiter *w)
{
    const sn_wait_kind *const *kind = sn_wait_kinds;
    while (*kind && (*kind)->fire != w->fire)
        kind++;
    return *kind;
}

static const char *call_of_frame(const sn_frame *frame)
{
    const sn_wait_kind *const *kind = sn_wait_kinds;
    while (*kind && (*kind)->poll != frame->poll)
        kind++;
    return *kind ? (*kind)->call : "";
}

/* NULL: none; who spawned an eager task does not wait for it. */
static const char *call_of_side_call(const sn_fiber *f)
{
    if (!f->side_caller || f->slice || !f->entry)
        return NULL;
    const sn_wait_kind *const *kind = sn_wait_kinds;
    while (*kind && (*kind)->entry != f->entry)
        kind++;
    return *kind ? (*kind)->call : NULL;
}

/* Room for the caller's list and `more`; with the lock held nothing can be allocated. */
static bool find_waiters(capture *c, sinew_task *t)
{
    for (;;) {
        uintptr_t v = sn_task_lock_waiters(t);
        if (v == SN_WAITERS_DONE)
            return false;
        size_t count = c->found_count + 1;
        for (const sn_waiter *w = (const sn_waiter *)v; w; w = w->next)
            count++;
        bool room = count <= c->found_capacity;
        if (room) {
            size_t from = c->found_count;
            for (const sn_waiter *w = (const sn_waiter *)v; w; w = w->next) {
                const sn_wait_kind *kind = kind_of_waiter(w);
                if (kind)
                    found(c, awaiter_of(kind, w), kind->call);
            }
            for (size_t i = from, j = c->found_count; i + 1 < j; i++) { /* the list is newest first */
                awaiter swapped = c->found[i];
                c->found[i] = c->found[--j];
                c->found[j] = swapped;
            }
            if (t->flags & SN_TASK_GROUP)
                found(c, awaiter_of(&sn_kind_group, t->ext->group), sn_kind_group.call);
        }
        sn_task_unlock_waiters(t, v);
        if (room)
            return true;
        if (!grow((void **)&c->found, sizeof *c->found, count, &c->found_capacity)) {
            c->no_memory = true;
            return true;
        }
    }
}

/* --- where it stands -------------------------------------------------------------------------------------------- */

/* How the fiber came to stand still. */
typedef enum hold { RUNS_ELSEWHERE, IS_OURS, WAITS_FOR_OURS, HELD } hold;

static hold hold_fiber(sn_fiber *f, uint32_t *seen)
{
    sn_worker *w = sn_worker_self();
    if (w && w->fiber == f)
        return IS_OURS;
    for (const sn_fiber *side = w ? w->fiber : NULL; side && side->side_caller && !side->slice;
         side = side->side_caller)
        if (side->side_caller == f)
            return WAITS_FOR_OURS;
    uint32_t wakes = sn_load(&f->wakes, acquire);
    while (wakes & SN_FIBER_PARKED)
        if (sn_cas(&f->wakes, &wakes, wakes & ~SN_FIBER_PARKED, acquire)) { /* h1 */
            *seen = wakes & ~SN_FIBER_PARKED;
            return HELD;
        }
    return RUNS_ELSEWHERE;
}

static void let_go(sn_fiber *f, uint32_t seen)
{
    if (!sn_cas(&f->wakes, &seen, seen | SN_FIBER_PARKED, acq_rel)) /* h3 */
        sn_ready(f);
}

typedef struct frames {
    void **at;
    size_t count, skip, most;
    size_t last; /* keep that many outermost ones; 0: the innermost `most` */
} frames;

static bool keep(void *address, void *arg)
{
    frames *f = arg;
    if (f->skip) {
        f->skip--;
        return true;
    }
    if (f->last && f->count == f->last) {
        memmove(f->at, f->at + 1, (f->count - 1) * sizeof *f->at);
        f->count--;
    }
    f->at[f->count++] = address;
    return f->last || f->count < f->most;
}

static void take_frames(capture *c, node *n, const sn_fiber *fiber, bool running, bool caller, sn_stack_part part)
{
    void *at[FRAMES_MOST];
    size_t most = (size_t)(c->limit < 0 ? -(int64_t)c->limit : c->limit);
    if (most > FRAMES_MOST)
        most = FRAMES_MOST;
    frames f = {.at = at, .most = most, .last = c->limit < 0 ? most : 0, .skip = caller ? c->depth : 0};
    if (most == 0)
        return;
    if (running && part.low < c->own_low)
        part.low = c->own_low;
    sn_unwind(fiber, running, part, keep, &f);
    if (f.count == 0)
        return;
    void **kept = malloc(f.count * sizeof *kept);
    if (!kept) {
        c->no_memory = true;
        return;
    }
    memcpy(kept, at, f.count * sizeof *kept);
    n->graph.frames = kept;
    n->graph.frame_count = f.count;
}

/* The fiber stands still. False: the task is not on it. */
static bool look_at(capture *c, node *n, const sn_fiber *f, hold how)
{
    bool running = how == IS_OURS, innermost = n->task == f->task;
    sn_stack_part part = {0, UINTPTR_MAX};
    const sn_frame *outer = f->frame;
    if (!innermost) {
        while (outer && outer->task != n->task)
            outer = outer->outer;
        if (!outer)
            return false;
        part.low = sn_frame_address(outer);
        outer = outer->outer;
    }
    if (outer) {
        part.high = sn_frame_address(outer);
        found(c, outer->task, call_of_frame(outer));
    } else if (call_of_side_call(f)) {
        found(c, f->side_caller->task, call_of_side_call(f));
    }
    n->graph.state = running && innermost ? SINEW_TASK_RUNNING : SINEW_TASK_WAITING;
    take_frames(c, n, f, running, running && innermost, part);
    return true;
}

static void expand(capture *c, node *n)
{
    sinew_task *t = n->task;
    c->found_count = 0;
    if (!grow((void **)&c->found, sizeof *c->found, 8, &c->found_capacity)) {
        c->no_memory = true;
        return;
    }
    n->graph.state = t->flags & SN_TASK_FUTURE ? SINEW_TASK_WAITING : SINEW_TASK_READY;
    sn_fiber *f = sn_load(&t->fiber, acquire);
    uint32_t seen = 0;
    hold how = f && !sn_task_done(t) ? hold_fiber(f, &seen) : RUNS_ELSEWHERE;
    if (how != RUNS_ELSEWHERE)
        look_at(c, n, f, how);
    if (how == HELD)
        let_go(f, seen);
    if (!find_waiters(c, t))
        n->graph.state = SINEW_TASK_DONE;
    if (c->found_count == 0)
        return;
    sinew_awaiter *awaiters = malloc(c->found_count * sizeof *awaiters);
    if (!awaiters)
        c->no_memory = true;
    size_t count = 0;
    for (size_t i = 0; i < c->found_count; i++) {
        const node *from = node_of(c, c->found[i].task);
        if (awaiters && from)
            awaiters[count++] = (sinew_awaiter){&from->graph, c->found[i].call};
    }
    n->graph.awaited_by = awaiters;
    n->graph.awaiter_count = count;
}

static void free_capture(capture *c)
{
    for (size_t i = 0; i < c->count; i++) {
        node *n = c->nodes[i];
        if (n->task)
            drop_task(n->task);
        free((void *)(uintptr_t)n->graph.name);
        free((void *)(uintptr_t)n->graph.frames);
        free((void *)(uintptr_t)n->graph.awaited_by);
        free(n);
    }
    free(c->nodes);
    free(c->buckets);
    free(c->found);
    free(c);
}

/* The caller has a reference to the task. NULL: no memory. */
static capture *take(sinew_task *t, uintptr_t own_low, size_t depth, int limit)
{
    capture *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->own_low = own_low;
    c->depth = depth;
    c->limit = limit;
    node_of(c, keep_task(t));
    for (size_t i = 0; i < c->count && !c->no_memory; i++)
        expand(c, c->nodes[i]);
    for (size_t i = 0; i < c->count; i++) {
        drop_task(c->nodes[i]->task);
        c->nodes[i]->task = NULL;
    }
    if (c->no_memory) {
        free_capture(c);
        return NULL;
    }
    return c;
}

/* What the public calls have in common: 0 and the capture, or NULL where there is no task. */
static int take_for(sinew_task *t, uintptr_t own_low, size_t depth, int limit, capture **out)
{
    *out = NULL;
    if (!t) {
        sn_worker *w = sn_worker_self();
        if (!w)
            return -EPERM;
        t = w->fiber->task;
        if (!t)
            return 0;
    } else {
        sn_task_check_handle("sinew_capture_call_graph", t, false);
    }
    *out = take(t, own_low, depth, limit);
    return *out ? 0 : -ENOMEM;
}

/* The stack pointer after the return of the function that asks. */
#define ABOVE_THIS_CALL() ((uintptr_t)__builtin_frame_address(0) + 2 * sizeof(void *))

SN_NOINLINE int sinew_capture_call_graph(sinew_task *task, size_t depth, int limit, sinew_call_graph **out)
{
    if (!out)
        return -EINVAL;
    capture *c;
    int r = take_for(task, ABOVE_THIS_CALL(), depth, limit, &c);
    *out = c ? &c->nodes[0]->graph : NULL;
    return r;
}

void sinew_free_call_graph(sinew_call_graph *graph)
{
    if (graph)
        free_capture(SN_CONTAINER(graph, node, graph)->capture);
}

/* --- as text ---------------------------------------------------------------------------------------------------- */

static const char *const state_names[] = {
    [SINEW_TASK_READY] = "ready",
    [SINEW_TASK_RUNNING] = "running",
    [SINEW_TASK_WAITING] = "waiting",
    [SINEW_TASK_DONE] = "done",
};

static void indent(FILE *out, size_t deep)
{
    for (size_t i = 0; i < deep; i++)
        fputs("    ", out);
}

static void show(FILE *out, const node *n, const char *call, size_t deep)
{
    const sinew_call_graph *g = &n->graph;
    indent(out, deep);
    fprintf(out, "* %s \"%s\" (%p), %s%s%s", g->future ? "Future" : "Task", g->name, g->id, state_names[g->state],
            call ? " in " : "", call ? call : "");
    fprintf(out, "%s\n", n->open ? ": a circle, see above" : n->shown ? ": see above" : "");
    if (n->shown)
        return;
    char **names = g->frame_count ? backtrace_symbols(g->frames, (int)g->frame_count) : NULL;
    if (g->frame_count) {
        indent(out, deep);
        fputs("  + Call stack:\n", out);
    }
    for (size_t i = 0; i < g->frame_count; i++) {
        indent(out, deep);
        if (names)
            fprintf(out, "  |   %s\n", names[i]);
        else
            fprintf(out, "  |   [%p]\n", g->frames[i]);
    }
    free(names);
    if (g->awaiter_count) {
        indent(out, deep);
        fputs("  + Awaited by:\n", out);
    }
}

typedef struct level {
    node *node;
    size_t next; /* of its awaiters */
} level;

/* Not by recursion: the caller's stack is a task's. False: no memory. */
static bool show_all(FILE *out, node *root)
{
    level *levels = malloc(SHOWN_DEEP * sizeof *levels);
    if (!levels)
        return false;
    size_t deep = 0;
    show(out, root, NULL, 0);
    root->shown = root->open = true;
    levels[deep++] = (level){root, 0};
    while (deep) {
        level *l = &levels[deep - 1];
        if (l->next == l->node->graph.awaiter_count) {
            l->node->open = false;
            deep--;
            continue;
        }
        const sinew_awaiter *a = &l->node->graph.awaited_by[l->next++];
        if (deep == SHOWN_DEEP) {
            indent(out, deep);
            fputs("* ... and so on\n", out);
            continue;
        }
        node *n = SN_CONTAINER(a->graph, node, graph);
        show(out, n, a->call, deep);
        if (!n->shown) {
            n->shown = n->open = true;
            levels[deep++] = (level){n, 0};
        }
    }
    free(levels);
    return true;
}

static int format(capture *c, char **text)
{
    size_t bytes;
    FILE *out = open_memstream(text, &bytes);
    if (!out)
        return -ENOMEM;
    bool whole = c ? show_all(out, c->nodes[0]) : true;
    whole = !ferror(out) && whole;
    whole = fclose(out) == 0 && whole;
    if (!whole) {
        free(*text);
        *text = NULL;
    }
    return whole ? 0 : -ENOMEM;
}

static int text_of(sinew_task *t, uintptr_t own_low, size_t depth, int limit, char **text)
{
    *text = NULL;
    capture *c;
    int r = take_for(t, own_low, depth, limit, &c);
    if (r != 0)
        return r;
    r = format(c, text);
    if (c)
        free_capture(c);
    return r;
}

SN_NOINLINE char *sinew_format_call_graph(sinew_task *task, size_t depth, int limit)
{
    char *text;
    text_of(task, ABOVE_THIS_CALL(), depth, limit, &text);
    return text;
}

SN_NOINLINE int sinew_print_call_graph(FILE *file, sinew_task *task, size_t depth, int limit)
{
    char *text;
    int r = text_of(task, ABOVE_THIS_CALL(), depth, limit, &text);
    if (r != 0)
        return r;
    FILE *out = file ? file : stderr;
    r = fputs(text, out) < 0 || fflush(out) != 0 ? -EIO : 0;
    free(text);
    return r;
}
