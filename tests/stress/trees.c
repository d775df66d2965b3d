/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: whatever tasks do with each other, each node of the tree ends with a result that the sequential model permits,
 * no task is lost or run twice, and nothing is left behind.
 * Method: random trees (support/tree.h) run as tasks, several at once, on 1 to 8 workers. Each node checks what its
 * children gave, itself, its errno and its identity. After each batch every task spawned has been counted out; after
 * each run descriptors, threads and heap are as they were. Cannot see: order and time, and which of the permitted
 * results a race should have had.
 */
#include <malloc.h>
#include <stdatomic.h>

#include <tests/support/process.h>
#include <tests/support/stress.h>
#include <tests/support/tasks.h>
#include <tests/support/tree.h>

enum { TREES_MAX = 6, PIPES_MAX = 200 };

static struct tree trees[TREES_MAX];
static atomic_int pipes;
static atomic_long nodes_run;
static stress run_of;

static intptr_t run_node(void *arg);

static const struct tree *tree_of(const struct node *n)
{
    for (int i = 0; i < TREES_MAX; i++)
        if (n >= trees[i].nodes && n < trees[i].nodes + NODES_MAX)
            return &trees[i];
    return NULL;
}

static void complain(const struct node *n, const char *what, intptr_t result)
{
    const struct outcome *o = &n->permitted;
    check_failed(__FILE__, __LINE__,
                 "tree %llx, node %d (%s, value %d, %d children%s): %s %jd; permitted: %s%s %jd, errors %x",
                 (unsigned long long)tree_of(n)->seed, n->index, kind_names[n->kind], n->value, n->children_n,
                 n->interruptible ? ", interruptible" : "", what, (intmax_t)result, o->may_value ? "value" : "no value",
                 o->exact ? "" : " about", (intmax_t)o->value, o->errors);
}

static void check_result(const struct node *n, const char *what, intptr_t result)
{
    if (!outcome_permits(&n->permitted, result))
        complain(n, what, result);
}

static sinew_task *spawn_node(struct node *n)
{
    sinew_spawn_options opt = {.pinned = n->pinned, .eager = n->eager, .stack_bytes = n->own_stack ? 32768u : 0};
    if (SN_ASAN || SN_TSAN)
        opt.stack_bytes *= 4;
    atomic_store(&n->spawned, 1);
    sinew_task *t =
        opt.pinned || opt.eager || opt.stack_bytes ? sinew_spawn_with(&opt, run_node, n) : sinew_spawn(run_node, n);
    if (!t)
        complain(n, "spawn refused", 0);
    return t;
}

static void spawn_children(struct node *n, sinew_task **tasks)
{
    for (int i = 0; i < n->children_n; i++)
        tasks[i] = spawn_node(n->children[i]);
}

/* --- leaves ----------------------------------------------------------------------------------------------------- */

static intptr_t yield_times(int times)
{
    for (int i = 0; i < times; i++) {
        int r = sinew_yield();
        if (r < 0)
            return r;
    }
    return 0;
}

/* Descriptors closed by sinew_close are closed unseen by ThreadSanitizer, which then takes the next owner of the number
 * for a rival of the last one. */
static int close_pipe_end(int fd)
{
    return SN_TSAN ? close(fd) : sinew_close(fd);
}

struct through_pipe {
    int fds[2];
};

static intptr_t read_value(void *arg)
{
    struct through_pipe *p = arg;
    int value = -1;
    ssize_t n = sinew_read(p->fds[0], &value, sizeof value);
    return n == sizeof value ? value : n < 0 ? n : -EPIPE;
}

static intptr_t run_pipe(struct node *n)
{
    struct through_pipe p;
    if (atomic_fetch_add(&pipes, 1) >= PIPES_MAX || pipe(p.fds) != 0) {
        atomic_fetch_sub(&pipes, 1);
        intptr_t r = yield_times(n->amount);
        return r < 0 ? r : n->value;
    }
    sinew_task *reader = sinew_spawn(read_value, &p);
    intptr_t early = yield_times(n->amount % 4);
    ssize_t written = early < 0 ? early : sinew_write(p.fds[1], &n->value, sizeof n->value);
    /* Without the value the reader sees the end of the pipe. */
    CHECK_EQ(close_pipe_end(p.fds[1]), 0);
    intptr_t got = sinew_await(reader);
    CHECK_EQ(close_pipe_end(p.fds[0]), 0);
    atomic_fetch_sub(&pipes, 1);
    if (written < 0)
        return written;
    return got;
}

static intptr_t go_deeper(void *arg)
{
    intptr_t left = (intptr_t)arg;
    return left == 0 ? yield_times(2) : sinew_await(sinew_spawn(go_deeper, (void *)(left - 1)));
}

/* --- inner nodes ------------------------------------------------------------------------------------------------ */

static intptr_t run_sequence(struct node *n)
{
    intptr_t sum = n->value;
    for (int i = 0; i < n->children_n; i++) {
        intptr_t r = sinew_await(spawn_node(n->children[i]));
        check_result(n->children[i], "await gave", r);
        if (r < 0)
            return r;
        sum += r;
    }
    return sum;
}

static intptr_t run_fork(struct node *n)
{
    sinew_task *tasks[CHILDREN_MAX];
    intptr_t sum = n->value, error = 0;
    spawn_children(n, tasks);
    for (int i = 0; i < n->children_n; i++) {
        intptr_t r = sinew_await(tasks[i]);
        check_result(n->children[i], "await gave", r);
        if (r < 0 && error == 0)
            error = r;
        sum += r;
    }
    return error < 0 ? error : sum;
}

static intptr_t sum_results(struct node *n, int r, const intptr_t *results, bool all_ended)
{
    intptr_t sum = n->value;
    for (int i = 0; i < n->children_n; i++) {
        if (results[i] == -EINPROGRESS && r < 0 && !all_ended)
            continue;
        check_result(n->children[i], "its result is", results[i]);
        sum += results[i];
    }
    return r < 0 ? r : sum;
}

static intptr_t run_gather(struct node *n)
{
    sinew_task *tasks[CHILDREN_MAX];
    intptr_t results[CHILDREN_MAX];
    spawn_children(n, tasks);
    int r = sinew_gather(tasks, (size_t)n->children_n, results);
    return sum_results(n, r, results, false);
}

static intptr_t run_child_of_map(void *arg)
{
    return run_node(*(struct node **)arg);
}

static intptr_t run_map(struct node *n)
{
    intptr_t results[CHILDREN_MAX];
    for (int i = 0; i < n->children_n; i++) {
        atomic_store(&n->children[i]->spawned, 1);
        results[i] = -EINPROGRESS; /* stays when the map is cancelled before it begins */
    }
    int r = sinew_map(run_child_of_map, n->children, sizeof n->children[0], (size_t)n->children_n, results);
    return sum_results(n, r, results, false);
}

static intptr_t run_settled(struct node *n)
{
    sinew_task *tasks[CHILDREN_MAX];
    intptr_t results[CHILDREN_MAX];
    spawn_children(n, tasks);
    int r = sinew_gather_settled(tasks, (size_t)n->children_n, results);
    sum_results(n, r, results, true);
    return r < 0 ? r : n->value;
}

static intptr_t run_watched(struct node *n)
{
    sinew_task *tasks[CHILDREN_MAX];
    intptr_t results[CHILDREN_MAX];
    bool done[CHILDREN_MAX];
    spawn_children(n, tasks);
    sinew_wait_mode mode = (sinew_wait_mode)(n->value % 3);
    int ended = sinew_wait(tasks, (size_t)n->children_n, mode, SINEW_US(n->amount), done), said = 0;
    for (int i = 0; i < n->children_n && ended >= 0; i++) {
        said += done[i];
        if (done[i] && !sinew_done(tasks[i]))
            complain(n, "wait called an unfinished child done", i);
    }
    if (ended >= 0 && said != ended)
        complain(n, "wait counted wrong", ended);
    int r = sinew_gather_settled(tasks, (size_t)n->children_n, results);
    sum_results(n, r, results, true);
    return ended < 0 ? ended : r < 0 ? r : n->value;
}

static intptr_t run_group(struct node *n)
{
    sinew_group group;
    sinew_group_init(&group);
    for (int i = 0; i < n->children_n; i++) {
        int r = sinew_group_spawn(&group, run_node, n->children[i]);
        if (r == 0)
            atomic_store(&n->children[i]->spawned, 1);
        else if (r != -ECANCELED || !n->children[i]->interruptible)
            complain(n, "group_spawn gave", r);
    }
    int r = sinew_group_wait(&group);
    for (int i = 0; i < n->children_n; i++)
        if (atomic_load(&n->children[i]->started) != atomic_load(&n->children[i]->ended))
            complain(n->children[i], "group_wait returned before its end, started", n->children[i]->started);
    return r < 0 ? r : n->value;
}

struct gated {
    sinew_sem sem;
    struct node *node;
};

static intptr_t run_behind_gate(void *arg)
{
    struct gated *g = arg;
    int r = sinew_sem_wait(&g->sem);
    return r < 0 ? r : run_node(g->node);
}

static intptr_t run_gated(struct node *n)
{
    struct gated g = {.node = n->children[0]};
    sinew_sem_init(&g.sem, 0);
    sinew_task *t = sinew_spawn(run_behind_gate, &g);
    yield_times(n->amount % 4);
    sinew_sem_post(&g.sem);
    intptr_t r = sinew_await(t);
    check_result(n->children[0], "await gave", r);
    return r < 0 ? r : r + n->value;
}

static intptr_t run_shield(struct node *n)
{
    sinew_task *t = spawn_node(n->children[0]);
    sinew_task *kept = sinew_ref(t);
    intptr_t r = sinew_shield(t);
    if (r != -ECANCELED || !n->interruptible)
        check_result(n->children[0], "shield gave", r);
    sinew_detach(kept);
    return r < 0 ? r : r + n->value;
}

/* What came back from a child under a limit. */
static intptr_t after_limit(struct node *n, intptr_t r)
{
    if (r == -ETIMEDOUT)
        return n->value;
    check_result(n->children[0], "under a limit it gave", r);
    /* A cancel that was the limit's shows as -ETIMEDOUT. */
    if (r == -ECANCELED && !n->interruptible)
        complain(n, "a limit showed as", r);
    return r < 0 ? r : n->value;
}

static intptr_t run_timeout(struct node *n)
{
    sinew_timeout scope;
    sinew_timeout_begin(&scope, SINEW_US(n->amount));
    intptr_t r = sinew_await(spawn_node(n->children[0]));
    int end = sinew_timeout_end(&scope);
    if (end != 0 && end != -ETIMEDOUT)
        complain(n, "timeout_end gave", end);
    /* A cancel that came before the expiry and was used up by the child's answer hides it, as it is still counted. */
    if (r == -ETIMEDOUT && end != -ETIMEDOUT && sinew_cancelling() == 0)
        complain(n, "an expiry was not this scope's", end);
    return after_limit(n, r);
}

static intptr_t run_cancel_one(struct node *n)
{
    sinew_task *t = spawn_node(n->children[0]);
    for (int i = 0; i < n->amount; i++)
        sinew_yield();
    bool took = sinew_cancel(t);
    intptr_t r = sinew_await(t);
    check_result(n->children[0], "cancelled, it gave", r);
    if (!took && r == -ECANCELED && !n->interruptible)
        complain(n->children[0], "ended cancelled, though the cancel came late:", r);
    return n->value;
}

static intptr_t run_kind(struct node *n)
{
    intptr_t r = 0;
    switch (n->kind) {
    case VALUE:
        return n->value;
    case FAIL:
        return n->error;
    case YIELDS:
        r = yield_times(n->amount);
        return r < 0 ? r : n->value;
    case NAP:
        r = sinew_sleep(SINEW_US(n->amount));
        return r < 0 ? r : n->value;
    case PIPE:
        return run_pipe(n);
    case DEEP:
        r = go_deeper((void *)(intptr_t)n->amount);
        return r < 0 ? r : n->value;
    case SEQUENCE:
        return run_sequence(n);
    case FORK:
        return run_fork(n);
    case GATHER:
        return run_gather(n);
    case MAP:
        return run_map(n);
    case GATED:
        return run_gated(n);
    case SHIELD:
        return run_shield(n);
    case GROUP:
        return run_group(n);
    case TIMEOUT:
        return run_timeout(n);
    case WAIT_FOR:
        return after_limit(n, sinew_wait_for(spawn_node(n->children[0]), SINEW_US(n->amount)));
    case SETTLED:
        return run_settled(n);
    case WATCHED:
        return run_watched(n);
    case CANCEL_ONE:
        return run_cancel_one(n);
    case DETACHED:
        sinew_detach(spawn_node(n->children[0]));
        return n->value;
    case KINDS:
        break;
    }
    return -ENOSYS;
}

static intptr_t run_node(void *arg)
{
    struct node *n = arg;
    if (atomic_fetch_add(&n->started, 1) != 0)
        complain(n, "started again", 0);
    sinew_task *self = sinew_self();
    errno_set(n->index + 1);
    intptr_t r = run_kind(n);
    /* Calls of the C library may have set errno; those kinds are not checked. */
    if (errno_value() != n->index + 1 && n->kind != PIPE)
        complain(n, "errno became", errno_value());
    if (sinew_self() != self)
        complain(n, "became another task", 0);
    check_result(n, "its body returned", r);
    atomic_fetch_add(&n->ended, 1);
    atomic_fetch_add(&nodes_run, 1);
    return r;
}

/* --- runs ------------------------------------------------------------------------------------------------------- */

static uint64_t tasks_alive(void)
{
    sinew_stats s;
    CHECK_EQ(sinew_get_stats(&s), 0);
    return s.tasks_spawned - s.tasks_finished;
}

static void check_nodes(const struct tree *t)
{
    for (int i = 0; i < t->n; i++) {
        const struct node *n = &t->nodes[i];
        int spawned = atomic_load(&n->spawned), started = atomic_load(&n->started), ended = atomic_load(&n->ended);
        if (started != ended || started > 1)
            complain(n, "at the end, starts less ends is", started - ended);
        if (spawned && !n->interruptible && started != 1)
            complain(n, "was spawned, but its starts are", started);
    }
}

static void run_batch(uint64_t *random, uint64_t alive)
{
    sinew_task *tasks[TREES_MAX];
    struct node *roots[TREES_MAX];
    intptr_t results[TREES_MAX];
    int n = 1 + (int)random_below(random, TREES_MAX);
    for (int i = 0; i < n; i++)
        roots[i] = tree_generate(&trees[i], random_next(random));
    for (int i = 0; i < n; i++)
        tasks[i] = spawn_node(roots[i]);
    CHECK_EQ(sinew_gather_settled(tasks, (size_t)n, results), 0);
    for (int i = 0; i < n; i++)
        check_result(roots[i], "the root gave", results[i]);
    /* Children that a failed gather or a shield left behind run on; their trees must last so long. */
    stress_beat(&run_of, "every task is counted out");
    while (tasks_alive() != alive)
        sinew_sleep(SINEW_US(50));
    for (int i = 0; i < n; i++)
        check_nodes(&trees[i]);
}

static intptr_t run_trees(void *arg)
{
    uint64_t random = *(uint64_t *)arg, alive = tasks_alive();
    int batches = (int)scaled(30, 5);
    for (int i = 0; i < batches && !atomic_load(&check_failures); i++) {
        stress_beat(&run_of, "trees run");
        run_batch(&random, alive);
    }
    return 0;
}

int main(int argc, char **argv)
{
    /* One heap, so that it can be counted. */
    mallopt(M_ARENA_MAX, 1);
    stress_begin(&run_of, argc, argv);
    stress_start_watchdog(&run_of);
    size_t heap = 0;
    int descriptors = 0, threads = count_threads_before();
    while (stress_next(&run_of)) {
        CHECK_EQ(stress_run(&run_of, run_trees, &run_of.seed), 0);
        CHECK_EQ(pipes, 0);
        size_t now = mallinfo2().uordblks;
        /* The first run fills what the C library keeps for itself. */
        if (run_of.runs == 1) {
            heap = now;
            descriptors = count_descriptors();
        }
        CHECK_EQ(count_descriptors(), descriptors);
        CHECK_EQ(count_threads_settled(threads), threads);
        if (now > heap + ((size_t)256 << 10))
            check_failed(__FILE__, __LINE__, "the heap grew from %zu to %zu bytes", heap, now);
    }
    printf("%ld nodes\n", (long)nodes_run);
    return stress_end(&run_of);
}
