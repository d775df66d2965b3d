/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the ring and the heap of a queue give items in their order, take one out of the middle, and take one back into
 * its place, at every fill, wrap and size of the block.
 * Method: random operations beside a plain sorted array.
 * Cannot see: whether the queue calls them rightly.
 */
#include "runtime/items.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include <tests/support/random.h>

enum { ITEMS_MAX = 200, OPERATIONS = 20000 };

struct item {
    int priority;
    uint64_t order;
};

static int compare(const void *a, const void *b)
{
    int x = ((const struct item *)a)->priority, y = ((const struct item *)b)->priority;
    return x < y ? -1 : x > y;
}

struct model {
    sinew_queue_kind kind;
    struct item in[ITEMS_MAX], out[ITEMS_MAX]; /* out: taken, and may come back */
    size_t in_n, out_n;
};

static size_t next_of(const struct model *m)
{
    size_t best = 0;
    for (size_t i = 1; i < m->in_n; i++) {
        const struct item *a = &m->in[i], *b = &m->in[best];
        bool smaller = m->kind == SINEW_QUEUE_PRIORITY && a->priority != b->priority;
        if (smaller                       ? a->priority < b->priority
            : m->kind == SINEW_QUEUE_LIFO ? a->order > b->order
                                          : a->order < b->order)
            best = i;
    }
    return best;
}

static struct item take_from(struct item *items, size_t *n, size_t i)
{
    struct item item = items[i];
    items[i] = items[--*n];
    return item;
}

static void make_room(sn_items *items, uint64_t *random)
{
    if (items->count < items->capacity)
        return;
    size_t capacity = items->capacity + 1 + random_below(random, 9);
    void *block = sn_items_block(items, capacity);
    assert_non_null(block);
    free(sn_items_move(items, block, capacity));
}

static void add(sn_items *items, struct model *m, struct item item, uint64_t *random)
{
    make_room(items, random);
    sn_items_add(items, &item, item.order);
    m->in[m->in_n++] = item;
}

static void run(sinew_queue_kind kind, uint64_t *random)
{
    static struct model m;
    m = (struct model){.kind = kind};
    sn_items items = {.kind = kind, .bytes = sizeof(struct item)};
    if (kind == SINEW_QUEUE_PRIORITY)
        items.compare = compare;
    uint64_t order = 0;
    size_t limit = 1;
    for (int i = 0; i < OPERATIONS; i++) {
        if (i % 100 == 0)
            limit = 1 + random_below(random, ITEMS_MAX);
        uint64_t what = random_below(random, 16);
        if (what < 6 && m.in_n < limit) {
            add(&items, &m, (struct item){(int)random_below(random, 10), order}, random);
            order++;
        } else if (what < 12 && m.in_n > 0) {
            struct item expected = take_from(m.in, &m.in_n, next_of(&m)), got;
            sn_items_take(&items, &got);
            assert_int_equal(got.order, expected.order);
            assert_int_equal(got.priority, expected.priority);
            if (m.out_n == ITEMS_MAX)
                m.out_n = 0;
            m.out[m.out_n++] = got;
        } else if (what < 14 && m.in_n < limit && m.out_n > 0) {
            add(&items, &m, take_from(m.out, &m.out_n, random_below(random, m.out_n)), random);
        } else if (what == 14 && m.in_n > 0) {
            struct item gone = take_from(m.in, &m.in_n, random_below(random, m.in_n));
            assert_true(sn_items_remove(&items, gone.order));
            assert_false(sn_items_remove(&items, gone.order));
        } else if (what == 15 && m.out_n > 0) {
            assert_false(sn_items_remove(&items, m.out[random_below(random, m.out_n)].order));
        }
        assert_int_equal(items.count, m.in_n);
    }
    free(items.elements);
}

static void they_do_what_a_sorted_array_does(void **state)
{
    (void)state;
    uint64_t random = random_seed();
    for (int round = 0; round < 5; round++) {
        run(SINEW_QUEUE_FIFO, &random);
        run(SINEW_QUEUE_LIFO, &random);
        run(SINEW_QUEUE_PRIORITY, &random);
    }
}

static void a_block_too_large_to_be_counted_is_refused(void **state)
{
    (void)state;
    sn_items items = {.bytes = 16};
    assert_null(sn_items_block(&items, SIZE_MAX / 16));
    items.bytes = SIZE_MAX / 4;
    assert_null(sn_items_block(&items, 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(they_do_what_a_sorted_array_does),
                                       cmocka_unit_test(a_block_too_large_to_be_counted_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
