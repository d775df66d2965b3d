/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the rules of call graphs, A227 to A229 (conformance/rules.tsv), one test or more for each.
 * Method: tasks at gates, waited for in each way there is; a graph is taken again and again until the one that waits
 * is seen to do so. Frames are compared with the functions that were called, by the unwinder's tables.
 * Cannot see: the text of addresses, which is backtrace_symbols's.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <unwind.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

#if defined(__x86_64__)
#define FRAMES_OF_SUSPENDED true
#else
#define FRAMES_OF_SUSPENDED false
#endif

/* --- support ------------------------------------------------------------------------------------------------------ */

__attribute__((noinline)) static sinew_call_graph *capture(sinew_task *task)
{
    sinew_call_graph *g = NULL;
    CHECK_EQ(sinew_capture_call_graph(task, 0, SINEW_ALL_FRAMES, &g), 0);
    CHECK(g != NULL);
    return g;
}

/* Is it awaited by that many? */
static bool has_awaiters(sinew_task *task, size_t n)
{
    sinew_call_graph *g = capture(task);
    bool has = g->awaiter_count == n;
    sinew_free_call_graph(g);
    return has;
}

static bool is_waiting(sinew_task *task)
{
    sinew_call_graph *g = capture(task);
    bool waits = g->state == SINEW_TASK_WAITING;
    sinew_free_call_graph(g);
    return waits;
}

static void yield_until_awaited_by(sinew_task *task, size_t n)
{
    while (!has_awaiters(task, n))
        sinew_yield();
}

static void yield_until_waiting(sinew_task *task)
{
    while (!is_waiting(task))
        sinew_yield();
}

/* Where among the frames is one of that function? -1: nowhere. */
static int frame_of(const sinew_call_graph *g, const void *function)
{
    for (size_t i = 0; i < g->frame_count; i++)
        if (_Unwind_FindEnclosingFunction(g->frames[i]) == function)
            return (int)i;
    return -1;
}

static int frames_of(const sinew_call_graph *g, const void *function)
{
    int n = 0;
    for (size_t i = 0; i < g->frame_count; i++)
        n += _Unwind_FindEnclosingFunction(g->frames[i]) == function;
    return n;
}

#define FUNCTION(fn) ((const void *)(uintptr_t)(fn))

/* The call is none in place of the caller's return. */
#define NOT_LAST() __asm__ volatile("" ::: "memory")

/* --- A227: who awaits whom ---------------------------------------------------------------------------------------- */

typedef struct waiting {
    sinew_task *task; /* to wait for */
    intptr_t (*wait)(sinew_task *task);
    const char *call;
    bool passes_on; /* a cancel of who waits is one of the task */
} waiting;

static intptr_t by_await(sinew_task *t)
{
    return sinew_await(sinew_ref(t));
}

static intptr_t by_shield(sinew_task *t)
{
    return sinew_shield(sinew_ref(t));
}

static intptr_t by_wait_for(sinew_task *t)
{
    return sinew_wait_for(sinew_ref(t), VERY_LONG);
}

static intptr_t by_wait(sinew_task *t)
{
    return sinew_wait(&t, 1, SINEW_ALL_COMPLETED, SINEW_FOREVER, NULL);
}

static intptr_t by_gather(sinew_task *t)
{
    sinew_task *tasks[] = {sinew_ref(t)};
    return sinew_gather(tasks, 1, NULL);
}

static intptr_t by_gather_settled(sinew_task *t)
{
    sinew_task *tasks[] = {sinew_ref(t)};
    return sinew_gather_settled(tasks, 1, NULL);
}

static intptr_t by_select(sinew_task *t)
{
    sinew_case c = {.kind = SINEW_CASE_TASK, .task = t};
    return sinew_select(&c, 1);
}

static intptr_t by_as_completed(sinew_task *t)
{
    sinew_as_completed it;
    CHECK_EQ(sinew_as_completed_begin(&it, &t, 1, SINEW_FOREVER), 0);
    intptr_t r = sinew_as_completed_next(&it);
    sinew_as_completed_end(&it);
    return r;
}

static waiting ways[] = {
    {.wait = by_await, .call = "sinew_await", .passes_on = true},
    {.wait = by_wait_for, .call = "sinew_await", .passes_on = true},
    {.wait = by_shield, .call = "sinew_await"},
    {.wait = by_wait, .call = "sinew_wait"},
    {.wait = by_gather, .call = "sinew_gather", .passes_on = true},
    {.wait = by_gather_settled, .call = "sinew_gather", .passes_on = true},
    {.wait = by_select, .call = "sinew_select"},
    {.wait = by_as_completed, .call = "sinew_as_completed"},
};
enum { WAYS = sizeof ways / sizeof ways[0] };

static intptr_t wait_in_a_way(void *arg)
{
    waiting *w = arg;
    return w->wait(w->task);
}

IN_RUNTIME(a227_every_call_that_waits_for_a_task_is_known)
{
    for (int i = 0; i < WAYS; i++) {
        gate g;
        gate_init(&g, 7);
        sinew_task *inner = spawn_named("inner", gate_pass, &g);
        yield_until(&g.reached, 1);
        waiting w = ways[i];
        w.task = inner;
        sinew_task *outer = spawn_named("outer", wait_in_a_way, &w);
        yield_until_awaited_by(inner, 1);
        sinew_call_graph *graph = capture(inner);
        CHECK_EQ(graph->awaiter_count, 1);
        CHECK(strcmp(graph->name, "inner") == 0 && !graph->future);
        CHECK(graph->awaited_by[0].graph->id == outer);
        CHECK(strcmp(graph->awaited_by[0].graph->name, "outer") == 0);
        if (strcmp(graph->awaited_by[0].call, w.call) != 0)
            fprintf(stderr, "way %d: %s instead of %s\n", i, graph->awaited_by[0].call, w.call);
        CHECK(strcmp(graph->awaited_by[0].call, w.call) == 0);
        CHECK_EQ(graph->awaited_by[0].graph->awaiter_count, 0);
        sinew_free_call_graph(graph);
        gate_open(&g, 1);
        CHECK(sinew_await(outer) >= 0);
        graph = capture(inner);
        CHECK_EQ(graph->state, SINEW_TASK_DONE);
        CHECK_EQ(graph->awaiter_count, 0);
        CHECK_EQ(graph->frame_count, 0);
        sinew_free_call_graph(graph);
        CHECK_EQ(sinew_await(inner), 7);
    }
    return 0;
}

IN_RUNTIME(a227_who_stops_waiting_is_forgotten)
{
    for (int i = 0; i < WAYS; i++) {
        if (ways[i].passes_on)
            continue;
        gate g;
        gate_init(&g, 7);
        sinew_task *inner = sinew_spawn(gate_pass, &g);
        waiting w = ways[i];
        w.task = inner;
        sinew_task *outer = sinew_spawn(wait_in_a_way, &w);
        yield_until_awaited_by(inner, 1);
        CHECK(sinew_cancel(outer));
        CHECK_EQ(sinew_await(outer), -ECANCELED);
        CHECK(has_awaiters(inner, 0));
        gate_open(&g, 1);
        CHECK_EQ(sinew_await(inner), 7);
    }
    return 0;
}

static intptr_t group_owner(void *arg)
{
    sinew_group g;
    sinew_group_init(&g);
    CHECK_EQ(sinew_group_spawn(&g, wait_in_a_way, arg), 0);
    return sinew_group_wait(&g);
}

/* The child is found through a task that it waits for. */
IN_RUNTIME(a227_the_owner_of_a_group_awaits_its_children)
{
    gate g;
    gate_init(&g, 7);
    sinew_task *inner = sinew_spawn(gate_pass, &g);
    waiting child = {.task = inner, .wait = by_await};
    sinew_task *owner = spawn_named("owner", group_owner, &child);
    yield_until_awaited_by(inner, 1);
    for (;;) {
        sinew_call_graph *graph = capture(inner);
        const sinew_call_graph *of_child = graph->awaited_by[0].graph;
        bool seen = of_child->awaiter_count == 1;
        if (seen) {
            CHECK(of_child->awaited_by[0].graph->id == owner);
            CHECK(strcmp(of_child->awaited_by[0].call, "sinew_group") == 0);
        }
        sinew_free_call_graph(graph);
        if (seen)
            break;
        sinew_yield();
    }
    gate_open(&g, 1);
    CHECK_EQ(sinew_await(owner), 0);
    CHECK_EQ(sinew_await(inner), 7);
    return 0;
}

static intptr_t map_owner(void *arg)
{
    return sinew_map(wait_in_a_way, arg, sizeof(waiting), 3, NULL);
}

IN_RUNTIME(a227_who_maps_awaits_the_elements)
{
    gate g;
    gate_init(&g, 7);
    sinew_task *inner = sinew_spawn(gate_pass, &g);
    waiting elements[3];
    for (int i = 0; i < 3; i++)
        elements[i] = (waiting){.task = inner, .wait = by_await};
    sinew_task *owner = spawn_named("owner", map_owner, elements);
    yield_until_awaited_by(inner, 3);
    for (bool seen = false; !seen; sinew_yield()) {
        sinew_call_graph *graph = capture(inner);
        seen = true;
        for (size_t i = 0; i < 3; i++) {
            const sinew_call_graph *element = graph->awaited_by[i].graph;
            if (element->awaiter_count == 0) {
                seen = false;
                continue;
            }
            CHECK_EQ(element->awaiter_count, 1);
            CHECK(element->awaited_by[0].graph->id == owner);
            CHECK(strcmp(element->awaited_by[0].call, "sinew_map") == 0);
        }
        sinew_free_call_graph(graph);
    }
    gate_open(&g, 1);
    CHECK_EQ(sinew_await(owner), 0);
    CHECK_EQ(sinew_await(inner), 7);
    return 0;
}

IN_RUNTIME(a227_several_are_known_in_the_order_in_which_they_came)
{
    enum { WAITERS = 100 };
    gate g;
    gate_init(&g, 7);
    sinew_task *inner = sinew_spawn(gate_pass, &g), *outer[WAITERS];
    waiting w[WAITERS];
    for (int i = 0; i < WAITERS; i++) {
        w[i] = ways[i % WAYS];
        w[i].task = inner;
        outer[i] = sinew_spawn(wait_in_a_way, &w[i]);
        yield_until_awaited_by(inner, (size_t)i + 1);
    }
    sinew_call_graph *graph = capture(inner);
    CHECK_EQ(graph->awaiter_count, WAITERS);
    for (size_t i = 0; i < graph->awaiter_count; i++)
        CHECK(graph->awaited_by[i].graph->id == outer[i]);
    sinew_free_call_graph(graph);
    gate_open(&g, 1);
    for (int i = 0; i < WAITERS; i++)
        CHECK(sinew_await(outer[i]) >= 0);
    CHECK_EQ(sinew_await(inner), 7);
    return 0;
}

static intptr_t await_future(void *arg)
{
    return sinew_future_await(arg);
}

IN_RUNTIME(a227_a_future_knows_who_awaits_it)
{
    sinew_future *future = sinew_future_new();
    sinew_task *handle = sinew_future_task(future), *outer[2];
    for (size_t i = 0; i < 2; i++) {
        outer[i] = sinew_spawn(await_future, future);
        yield_until_awaited_by(handle, i + 1);
    }
    sinew_call_graph *graph = capture(handle);
    CHECK(graph->future);
    CHECK_EQ(graph->state, SINEW_TASK_WAITING);
    CHECK_EQ(graph->frame_count, 0);
    CHECK(graph->awaited_by[0].graph->id == outer[0] && graph->awaited_by[1].graph->id == outer[1]);
    sinew_free_call_graph(graph);
    CHECK_EQ(sinew_future_set(future, 5), 0);
    CHECK(has_awaiters(handle, 0));
    CHECK_EQ(sinew_await(outer[0]), 5);
    CHECK_EQ(sinew_await(outer[1]), 5);
    sinew_detach(handle);
    sinew_future_unref(future);
    return 0;
}

/* --- A228: taking the graph --------------------------------------------------------------------------------------- */

typedef struct chain {
    int length, left;
    sinew_sem *stop; /* the innermost waits there; NULL: it takes its own graph */
    atomic_int reached;
} chain;

static intptr_t link_of_chain(void *arg);

/* All links, then main, and each of them stands still. (Who awaits a task that was stolen may not be there yet.) */
static bool is_whole(const sinew_call_graph *g)
{
    while (strcmp(g->name, "link") == 0) {
        if (g->awaiter_count == 0 || g->state == SINEW_TASK_READY)
            return false;
        CHECK_EQ(g->awaiter_count, 1);
        CHECK(strcmp(g->awaited_by[0].call, "sinew_await") == 0);
        g = g->awaited_by[0].graph;
    }
    return g->state != SINEW_TASK_READY;
}

static sinew_call_graph *capture_whole(sinew_task *task)
{
    for (;;) {
        sinew_call_graph *g = capture(task);
        if (is_whole(g))
            return g;
        sinew_free_call_graph(g);
        sinew_yield();
    }
}

__attribute__((noinline)) static intptr_t innermost(chain *c)
{
    intptr_t r = 0;
    if (c->stop) {
        atomic_store(&c->reached, 1);
        r = sinew_sem_wait(c->stop);
    } else {
        sinew_call_graph *graph = capture_whole(NULL), *same = capture_whole(sinew_self());
        int links = 0;
        const sinew_call_graph *g = graph, *s = same;
        for (; g->awaiter_count; g = g->awaited_by[0].graph, s = s->awaited_by[0].graph, links++) {
            CHECK(g->id == s->id);
            CHECK_EQ(g->state, links ? SINEW_TASK_WAITING : SINEW_TASK_RUNNING);
            CHECK_EQ(s->frame_count, g->frame_count);
            if (links && !FRAMES_OF_SUSPENDED && g->frame_count == 0)
                continue;
            CHECK_EQ(frames_of(g, FUNCTION(link_of_chain)), 1);
            CHECK_EQ(frames_of(g, FUNCTION(innermost)), links == 0);
        }
        CHECK_EQ(links, c->length);
        CHECK_EQ(frame_of(g, FUNCTION(link_of_chain)), -1);
        sinew_free_call_graph(graph);
        sinew_free_call_graph(same);
    }
    NOT_LAST();
    return r;
}

__attribute__((noinline)) static intptr_t link_of_chain(void *arg)
{
    chain *c = arg;
    intptr_t r;
    if (--c->left > 0)
        r = sinew_await(spawn_named("link", link_of_chain, c));
    else
        r = innermost(c);
    NOT_LAST();
    return r;
}

IN_RUNTIME(a228_a_task_takes_its_own_graph_through_all_who_await_it)
{
    for (int length = 1; length <= 20; length++) {
        chain c = {.length = length, .left = length};
        CHECK_EQ(sinew_await(spawn_named("link", link_of_chain, &c)), 0);
    }
    return 0;
}

IN_RUNTIME_WITH(a228_one_worker_nests_the_awaited_in_place_and_tells_their_frames_apart, 1)
{
    chain c = {.length = 10, .left = 10};
    CHECK_EQ(sinew_await(spawn_named("link", link_of_chain, &c)), 0);
    return 0;
}

/* The chain is suspended as a whole, or link by link. */
IN_RUNTIME(a228_suspended_tasks_show_where_they_stand)
{
    enum { LENGTH = 10 };
    sinew_sem stop;
    sinew_sem_init(&stop, 0);
    chain c = {.length = LENGTH, .left = LENGTH, .stop = &stop};
    sinew_task *first = spawn_named("link", link_of_chain, &c);
    yield_until(&c.reached, 1);
    yield_until_waiting(first);
    sinew_call_graph *g = capture(first);
    CHECK_EQ(g->awaiter_count, 0);
    if (FRAMES_OF_SUSPENDED) {
        CHECK(frame_of(g, FUNCTION(link_of_chain)) >= 0);
        CHECK_EQ(frame_of(g, FUNCTION(innermost)), -1);
        CHECK_EQ(frame_of(g, FUNCTION(gate_pass)), -1);
    }
    sinew_free_call_graph(g);
    sinew_sem_post(&stop);
    CHECK_EQ(sinew_await(first), 0);
    return 0;
}

__attribute__((noinline)) static intptr_t deep(sinew_sem *s, int calls)
{
    intptr_t r = calls > 1 ? deep(s, calls - 1) : sinew_sem_wait(s);
    NOT_LAST();
    return r + 1;
}

__attribute__((noinline)) static intptr_t wait_deep(void *arg)
{
    intptr_t r = deep(arg, 5);
    NOT_LAST();
    return r;
}

IN_RUNTIME(a228_the_frames_are_the_calls_innermost_first)
{
    if (!FRAMES_OF_SUSPENDED)
        return 0;
    sinew_sem s;
    sinew_sem_init(&s, 0);
    sinew_task *t = sinew_spawn(wait_deep, &s);
    yield_until_waiting(t);
    sinew_call_graph *g = capture(t);
    int first = frame_of(g, FUNCTION(deep)), last = frame_of(g, FUNCTION(wait_deep));
    CHECK(first > 0);
    CHECK_EQ(last, first + 5);
    CHECK_EQ(g->frame_count, (size_t)last + 1); /* nothing of the runtime is below a task's function */
    sinew_free_call_graph(g);
    sinew_sem_post(&s);
    CHECK_EQ(sinew_await(t), 5);
    return 0;
}

IN_RUNTIME(a228_depth_and_limit_choose_frames)
{
    sinew_call_graph *all = capture(NULL), *g = NULL;
    CHECK(all->frame_count >= 2);
    CHECK_EQ(frame_of(all, FUNCTION(capture)), 0);
    CHECK_EQ(sinew_capture_call_graph(NULL, 0, 0, &g), 0);
    CHECK_EQ(g->frame_count, 0);
    CHECK_EQ(g->state, SINEW_TASK_RUNNING);
    sinew_free_call_graph(g);
    CHECK_EQ(sinew_capture_call_graph(NULL, 0, 1, &g), 0);
    CHECK_EQ(g->frame_count, 1);
    CHECK(_Unwind_FindEnclosingFunction(g->frames[0]) == _Unwind_FindEnclosingFunction(all->frames[1]));
    sinew_free_call_graph(g);
    CHECK_EQ(sinew_capture_call_graph(NULL, 0, -1, &g), 0);
    CHECK_EQ(g->frame_count, 1);
    CHECK(_Unwind_FindEnclosingFunction(g->frames[0]) ==
          _Unwind_FindEnclosingFunction(all->frames[all->frame_count - 1]));
    sinew_free_call_graph(g);
    CHECK_EQ(sinew_capture_call_graph(NULL, all->frame_count, SINEW_ALL_FRAMES, &g), 0);
    CHECK_EQ(g->frame_count, 0);
    sinew_free_call_graph(g);
    sinew_free_call_graph(all);
    sinew_free_call_graph(NULL);
    return 0;
}

typedef struct circle {
    sinew_task *first, *second;
    sinew_sem closed;
} circle;

static intptr_t first_of_circle(void *arg)
{
    circle *c = arg;
    CHECK_EQ(sinew_sem_wait(&c->closed), 0);
    return sinew_shield(sinew_ref(c->second));
}

static intptr_t second_of_circle(void *arg)
{
    circle *c = arg;
    return sinew_shield(sinew_ref(c->first));
}

static sinew_task *make_circle(circle *c)
{
    sinew_sem_init(&c->closed, 0);
    c->first = sinew_spawn(first_of_circle, c);
    c->second = sinew_spawn(second_of_circle, c);
    sinew_sem_post(&c->closed);
    yield_until_awaited_by(c->first, 1);
    yield_until_awaited_by(c->second, 1);
    return c->first;
}

static void break_circle(circle *c)
{
    CHECK(sinew_cancel(c->first));
    CHECK_EQ(sinew_await(c->first), -ECANCELED);
    CHECK_EQ(sinew_await(c->second), -ECANCELED);
}

IN_RUNTIME(a228_a_circle_of_waits_is_in_the_graph_once)
{
    circle c;
    sinew_call_graph *g = capture(make_circle(&c));
    CHECK(g->awaited_by[0].graph->id == c.second);
    CHECK(g->awaited_by[0].graph->awaited_by[0].graph == g);
    sinew_free_call_graph(g);
    break_circle(&c);
    return 0;
}

static void *look_from_outside(void *arg)
{
    sinew_call_graph *g = (void *)arg;
    CHECK_EQ(sinew_capture_call_graph(NULL, 0, SINEW_ALL_FRAMES, &g), -EPERM);
    CHECK(g == NULL);
    CHECK_EQ(sinew_print_call_graph(stderr, NULL, 0, SINEW_ALL_FRAMES), -EPERM);
    CHECK(sinew_format_call_graph(NULL, 0, SINEW_ALL_FRAMES) == NULL);
    yield_until_waiting(arg);
    g = capture(arg);
    CHECK_EQ(frame_of(g, FUNCTION(wait_deep)) >= 0, FRAMES_OF_SUSPENDED);
    sinew_free_call_graph(g);
    return NULL;
}

IN_RUNTIME(a228_a_plain_thread_may_look_at_tasks_and_has_no_graph_itself)
{
    sinew_sem s;
    sinew_sem_init(&s, 0);
    sinew_task *t = sinew_spawn(wait_deep, &s);
    yield_until_waiting(t);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, look_from_outside, t), 0);
    pthread_join(thread, NULL);
    CHECK_EQ(sinew_capture_call_graph(t, 0, 0, NULL), -EINVAL);
    sinew_sem_post(&s);
    CHECK_EQ(sinew_await(t), 5);
    return 0;
}

/* Tasks that wait and are woken all the time while two others look at them: none loses a wake. */
typedef struct player {
    sinew_channel *in, *out;
    int rounds;
    sinew_task *other; /* set before it is looked at */
} player;

static intptr_t play(void *arg)
{
    player *p = arg;
    for (int i = 0; i < p->rounds; i++) {
        int ball = i;
        CHECK_EQ(sinew_channel_send(p->out, &ball), 0);
        CHECK_EQ(sinew_channel_recv(p->in, &ball), 0);
        CHECK_EQ(ball, i);
        if (i % 16 == 0) /* in place, or not */
            CHECK_EQ(sinew_await(sinew_spawn(return_arg, NULL)), 0);
    }
    return p->rounds;
}

typedef struct looker {
    sinew_task **tasks;
    int n;
    atomic_int stop;
} looker;

static intptr_t look_at_all(void *arg)
{
    looker *l = arg;
    int looked = 0;
    while (!atomic_load(&l->stop)) {
        for (int i = 0; i < l->n; i++)
            sinew_free_call_graph(capture(l->tasks[i]));
        looked++;
        if (sinew_self())
            sinew_yield();
    }
    return looked;
}

static void *look_at_all_from_outside(void *arg)
{
    look_at_all(arg);
    return NULL;
}

IN_RUNTIME(a228_tasks_that_are_looked_at_lose_no_wake)
{
    enum { PLAYERS = 8 };
    sinew_channel *channels[PLAYERS];
    sinew_task *tasks[PLAYERS];
    player players[PLAYERS];
    for (int i = 0; i < PLAYERS; i++)
        channels[i] = sinew_channel_new(sizeof(int), 1);
    for (int i = 0; i < PLAYERS; i++) {
        players[i] = (player){.in = channels[i], .out = channels[i ^ 1], .rounds = (int)scaled(4000, 1000)};
        tasks[i] = sinew_spawn(play, &players[i]);
    }
    looker l = {.tasks = tasks, .n = PLAYERS};
    sinew_task *inside = sinew_spawn(look_at_all, &l);
    pthread_t outside;
    CHECK_EQ(pthread_create(&outside, NULL, look_at_all_from_outside, &l), 0);
    for (int i = 0; i < PLAYERS; i++)
        CHECK_EQ(sinew_shield(sinew_ref(tasks[i])), players[i].rounds);
    atomic_store(&l.stop, 1);
    pthread_join(outside, NULL);
    CHECK(sinew_await(inside) >= 0);
    for (int i = 0; i < PLAYERS; i++) {
        sinew_detach(tasks[i]);
        sinew_channel_unref(channels[i]);
    }
    return 0;
}

/* --- A229: as text ------------------------------------------------------------------------------------------------ */

static int count_of(const char *text, const char *what)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
        n++;
    return n;
}

IN_RUNTIME(a229_the_text_has_each_task_its_calls_and_who_awaits_it)
{
    gate g;
    gate_init(&g, 7);
    sinew_task *inner = spawn_named("inner", gate_pass, &g);
    yield_until(&g.reached, 1);
    waiting w = {.task = inner, .wait = by_gather}, v = {.wait = by_wait};
    sinew_task *middle = spawn_named("middle", wait_in_a_way, &w);
    yield_until_awaited_by(inner, 1);
    v.task = middle;
    sinew_task *outer = spawn_named("outer", wait_in_a_way, &v);
    yield_until_awaited_by(middle, 1);
    yield_until_waiting(outer);
    yield_until_waiting(middle);
    yield_until_waiting(inner);

    char *text = sinew_format_call_graph(inner, 0, SINEW_ALL_FRAMES);
    CHECK(text != NULL);
    CHECK_EQ(count_of(text, "* Task \"inner\" ("), 1);
    CHECK_EQ(count_of(text, "    * Task \"middle\" ("), 1);
    CHECK_EQ(count_of(text, "        * Task \"outer\" ("), 1);
    CHECK_EQ(count_of(text, "waiting in sinew_gather\n"), 1);
    CHECK_EQ(count_of(text, "waiting in sinew_wait\n"), 1);
    CHECK_EQ(count_of(text, "+ Awaited by:\n"), 2);
    CHECK_EQ(count_of(text, "+ Call stack:\n"), FRAMES_OF_SUSPENDED ? 3 : 0);
    free(text);
    text = sinew_format_call_graph(inner, 0, 0);
    CHECK_EQ(count_of(text, "+ Call stack:\n"), 0);
    CHECK_EQ(count_of(text, "* Task "), 3);
    free(text);
    text = sinew_format_call_graph(inner, 0, 1);
    CHECK_EQ(count_of(text, "  |   "), FRAMES_OF_SUSPENDED ? 3 : 0);
    free(text);

    gate_open(&g, 1);
    CHECK_EQ(sinew_await(outer), 1);
    CHECK_EQ(sinew_await(middle), 0);
    CHECK_EQ(sinew_await(inner), 7);
    return 0;
}

IN_RUNTIME(a229_a_circle_is_shown_once_and_said_to_be_one)
{
    circle c;
    char *text = sinew_format_call_graph(make_circle(&c), 0, 0);
    CHECK_EQ(count_of(text, "* Task "), 3);
    CHECK_EQ(count_of(text, ": a circle, see above\n"), 1);
    free(text);
    break_circle(&c);
    return 0;
}

IN_RUNTIME(a229_printing_writes_the_same_text)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    CHECK_EQ(sinew_print_call_graph(file, NULL, 0, 0), 0);
    fclose(file);
    char *formatted = sinew_format_call_graph(NULL, 0, 0);
    CHECK(strcmp(text, formatted) == 0);
    CHECK_EQ(count_of(text, ", running\n"), 1);
    free(text);
    free(formatted);
    file = fopen("/dev/full", "w");
    if (file) {
        CHECK_EQ(sinew_print_call_graph(file, NULL, 0, 0), -EIO);
        fclose(file);
    }
    return 0;
}

TEST_MAIN(cmocka_unit_test(a227_every_call_that_waits_for_a_task_is_known),
          cmocka_unit_test(a227_who_stops_waiting_is_forgotten),
          cmocka_unit_test(a227_the_owner_of_a_group_awaits_its_children),
          cmocka_unit_test(a227_who_maps_awaits_the_elements),
          cmocka_unit_test(a227_several_are_known_in_the_order_in_which_they_came),
          cmocka_unit_test(a227_a_future_knows_who_awaits_it),
          cmocka_unit_test(a228_a_task_takes_its_own_graph_through_all_who_await_it),
          cmocka_unit_test(a228_one_worker_nests_the_awaited_in_place_and_tells_their_frames_apart),
          cmocka_unit_test(a228_suspended_tasks_show_where_they_stand),
          cmocka_unit_test(a228_the_frames_are_the_calls_innermost_first),
          cmocka_unit_test(a228_depth_and_limit_choose_frames),
          cmocka_unit_test(a228_a_circle_of_waits_is_in_the_graph_once),
          cmocka_unit_test(a228_a_plain_thread_may_look_at_tasks_and_has_no_graph_itself),
          cmocka_unit_test(a228_tasks_that_are_looked_at_lose_no_wake),
          cmocka_unit_test(a229_the_text_has_each_task_its_calls_and_who_awaits_it),
          cmocka_unit_test(a229_a_circle_is_shown_once_and_said_to_be_one),
          cmocka_unit_test(a229_printing_writes_the_same_text))
