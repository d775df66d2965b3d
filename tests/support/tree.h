/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random trees of tasks, as data, and the results each node may have.
 *
 * A node says what its task does with its children: await them, gather them, put them under a timeout, and so on
 * (enum kind). tree_generate draws a tree from a seed. tree_model then walks it by plain recursion, without any task,
 * and writes into each node which results are permitted. Where nothing races there is one; where a cancel or an expiry
 * may come in between, the set has more members.
 *
 * A node is interruptible when something may cancel it: its parent is, or puts it under a timeout, cancels it, or is a
 * group in which a sibling may fail. Nodes never swallow a cancel, except for the kinds that say so below. Shielded and
 * detached nodes are not interruptible whatever is above them.
 */
#ifndef TESTS_SUPPORT_TREE_H
#define TESTS_SUPPORT_TREE_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <tests/support/random.h>

enum { CHILDREN_MAX = 6, NODES_MAX = 400 };

enum kind {
    /* leaves */
    VALUE,  /* ends at once with its value */
    FAIL,   /* ends at once with its error */
    YIELDS, /* yields `amount` times */
    NAP,    /* sleeps `amount` microseconds */
    PIPE,   /* sends its value through a pipe to a task it awaits */
    DEEP,   /* a chain of `amount` awaits, of which the last task yields */
    /* inner nodes; the result is value + the children's results, or an error */
    SEQUENCE, /* spawns and awaits one child after the other, up to the first error */
    FORK,     /* spawns all, awaits all in order; the first error in this order */
    GATHER,   /* sinew_gather: the first error in time; the other children go on unwatched */
    MAP,      /* sinew_map: waits for all, the first error in time */
    GATED,    /* one child, which first waits for a semaphore that the node posts */
    SHIELD,   /* one child, through sinew_shield */
    /* inner nodes whose result is their own value unless a child failed */
    GROUP,    /* a task group: an error cancels the siblings */
    TIMEOUT,  /* one child in a timeout scope of `amount` microseconds; an expiry is swallowed */
    WAIT_FOR, /* one child through sinew_wait_for; the same */
    /* inner nodes whose result is their own value whatever the children do */
    SETTLED,    /* sinew_gather_settled */
    WATCHED,    /* sinew_wait for at most `amount` microseconds, then gather_settled */
    CANCEL_ONE, /* one child, cancelled after `amount` yields */
    DETACHED,   /* one child that nobody waits for */
    KINDS
};

static const char *const kind_names[] = {"value",    "fail",    "yields",  "nap",        "pipe",    "deep",  "sequence",
                                         "fork",     "gather",  "map",     "gated",      "shield",  "group", "timeout",
                                         "wait_for", "settled", "watched", "cancel_one", "detached"};

/* A set of results: perhaps values (one, if exact), and errors. */
struct outcome {
    bool may_value, exact;
    intptr_t value;
    unsigned errors; /* bits as in error_bit */
};

enum { ERRORS = 4, CANCELED_BIT = 1 << ERRORS };
static const int tree_errors[ERRORS] = {EIO, EBADMSG, ENOTTY, EXDEV};

struct node {
    enum kind kind;
    int index, value, error, amount, children_n;
    bool pinned, eager, own_stack;
    struct node *children[CHILDREN_MAX];
    /* the model's */
    bool interruptible;
    struct outcome permitted;
    /* the run's */
    atomic_int spawned, started, ended;
};

struct tree {
    struct node nodes[NODES_MAX];
    int n;
    uint64_t seed;
};

static inline struct node *tree_grow(struct tree *t, uint64_t *random, int depth)
{
    struct node *n = &t->nodes[t->n];
    memset(n, 0, sizeof *n);
    n->index = t->n++;
    bool leaf = depth == 0 || t->n > NODES_MAX - 10 * CHILDREN_MAX;
    n->kind = (enum kind)(leaf ? random_below(random, SEQUENCE) : random_below(random, KINDS));
    n->value = (int)random_below(random, 1000);
    n->error = -tree_errors[random_below(random, ERRORS)];
    /* Mostly short, sometimes nothing, seldom long enough to let everyone fall asleep. */
    n->amount = (int)random_below(random, random_below(random, 8) ? 8 : 400);
    n->pinned = random_below(random, 16) == 0;
    n->eager = random_below(random, 10) == 0;
    n->own_stack = random_below(random, 40) == 0;
    /* Failures are leaves too easily drawn: most of them become values. */
    if (n->kind == FAIL && random_below(random, 3))
        n->kind = VALUE;
    if (n->kind < SEQUENCE)
        return n;
    bool one = n->kind == GATED || n->kind == SHIELD || n->kind == TIMEOUT || n->kind == WAIT_FOR ||
               n->kind == CANCEL_ONE || n->kind == DETACHED;
    n->children_n = one ? 1 : (int)random_below(random, CHILDREN_MAX + 1);
    for (int i = 0; i < n->children_n; i++)
        n->children[i] = tree_grow(t, random, depth - 1);
    /* sinew_wait refuses to wait for nothing. */
    if (n->kind == WATCHED && n->children_n == 0)
        n->kind = SETTLED;
    return n;
}

static inline unsigned error_bit(intptr_t error)
{
    if (error == -ECANCELED)
        return CANCELED_BIT;
    for (int i = 0; i < ERRORS; i++)
        if (error == -tree_errors[i])
            return 1u << i;
    return 0;
}

static inline bool outcome_permits(const struct outcome *o, intptr_t result)
{
    if (result >= 0)
        return o->may_value && (!o->exact || result == o->value);
    return (o->errors & error_bit(result)) != 0;
}

static inline struct outcome tree_model(struct node *n, bool interruptible);

/* All children, each of which must give a value for the node to have one. `ordered`: none counts behind a sure failure.
 */
static inline struct outcome model_sum(struct node *n, bool interruptible, bool ordered)
{
    struct outcome o = {true, true, n->value, 0};
    for (int i = 0; i < n->children_n; i++) {
        struct outcome c = tree_model(n->children[i], interruptible);
        if (ordered && !o.may_value)
            continue;
        o.errors |= c.errors;
        o.may_value &= c.may_value;
        o.exact &= c.exact;
        o.value += c.value;
    }
    return o;
}

static inline struct outcome model_group(struct node *n, bool interruptible)
{
    struct outcome alone = model_sum(n, false, false);
    unsigned failures = alone.errors & ~(unsigned)CANCELED_BIT;
    if (failures || interruptible)
        model_sum(n, true, false);
    return (struct outcome){alone.may_value, true, n->value, failures};
}

static inline struct outcome tree_model(struct node *n, bool interruptible)
{
    struct outcome o = {true, true, n->value, 0};
    switch (n->kind) {
    case VALUE:
    case YIELDS:
    case NAP:
    case PIPE:
    case DEEP:
    case KINDS:
        break;
    case FAIL:
        o = (struct outcome){false, true, 0, error_bit(n->error)};
        break;
    case SEQUENCE:
    case FORK:
        o = model_sum(n, interruptible, true);
        break;
    case GATHER:
    case MAP:
    case GATED:
        o = model_sum(n, interruptible, false);
        break;
    case SHIELD:
        o = model_sum(n, false, false);
        break;
    case GROUP:
        o = model_group(n, interruptible);
        break;
    case TIMEOUT:
    case WAIT_FOR:
        o.errors = model_sum(n, true, false).errors & ~(unsigned)CANCELED_BIT;
        break;
    case SETTLED:
    case WATCHED:
        model_sum(n, interruptible, false);
        break;
    case CANCEL_ONE:
        model_sum(n, true, false);
        break;
    case DETACHED:
        model_sum(n, false, false);
        break;
    }
    /* Also a node that answers with a value can be stopped before it starts. */
    if (interruptible)
        o.errors |= CANCELED_BIT;
    n->interruptible = interruptible;
    n->permitted = o;
    return o;
}

static inline struct node *tree_generate(struct tree *t, uint64_t seed)
{
    t->n = 0;
    t->seed = seed;
    struct node *root = tree_grow(t, &seed, 2 + (int)random_below(&seed, 5));
    tree_model(root, false);
    return root;
}

#endif
