/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: ten million elements between eight tasks on four workers: none lost, none doubled, the order of each sender
 * kept.
 * Method: four senders, four receivers, one channel; every element has a bit of its own, and each receiver sees the
 * numbers of a sender only grow. As the scheduler places the tasks (mostly close together), and with a pair kept on
 * each worker. Buffered with the whole number, unbuffered with a tenth; both a tenth under sanitizers. Cannot see: the
 * order between elements of one sender that went to different receivers.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

enum { PARTS = 4 }; /* a sender and a receiver each */

struct flood {
    sinew_channel *channel;
    uint32_t each; /* elements of one sender */
    _Atomic uint64_t *seen;
    atomic_long received;
    atomic_int sending;
};

struct element {
    uint32_t sender, number;
};

struct sender {
    struct flood *flood;
    uint32_t index;
};

static intptr_t send_numbers(void *arg)
{
    struct sender *s = arg;
    for (uint32_t i = 0; i < s->flood->each; i++) {
        struct element e = {s->index, i};
        int r = sinew_channel_send(s->flood->channel, &e);
        if (!CHECK_EQ(r, 0))
            return r;
    }
    return 0;
}

static intptr_t receive_numbers(void *arg)
{
    struct flood *f = arg;
    struct element e;
    long received = 0;
    int64_t last[PARTS] = {-1, -1, -1, -1};
    int r;
    while ((r = sinew_channel_recv(f->channel, &e)) == 0) {
        if (!CHECK(e.sender < PARTS && e.number < f->each) || !CHECK((int64_t)e.number > last[e.sender]))
            break;
        last[e.sender] = e.number;
        uint64_t at = (uint64_t)e.sender * f->each + e.number, bit = UINT64_C(1) << at % 64;
        CHECK(!(atomic_fetch_or_explicit(&f->seen[at / 64], bit, memory_order_relaxed) & bit));
        received++;
    }
    atomic_fetch_add(&f->received, received);
    return r == -EPIPE ? 0 : -EIO;
}

/* One sender and one receiver. */
struct part {
    struct flood *flood;
    struct sender sender;
    atomic_int *arrived;
    bool spread; /* each part stays on a worker of its own */
};

static intptr_t run_part(void *arg)
{
    struct part *p = arg;
    sinew_spawn_options opt = {.pinned = p->spread};
    if (p->spread) { /* each keeps a worker until all have one */
        atomic_fetch_add(p->arrived, 1);
        while (atomic_load(p->arrived) < PARTS)
            sched_yield(); /* the thread's */
    }
    sinew_task *receiving = sinew_spawn_with(&opt, receive_numbers, p->flood);
    sinew_task *sending = sinew_spawn_with(&opt, send_numbers, &p->sender);
    intptr_t r = sinew_await(sending);
    if (atomic_fetch_sub(&p->flood->sending, 1) == 1)
        CHECK_EQ(sinew_channel_close(p->flood->channel), 0); /* the last sender has ended */
    CHECK_EQ(sinew_await(receiving), 0);
    return r;
}

struct plan {
    size_t capacity, elements;
    bool spread;
};

static intptr_t flood(void *arg)
{
    const struct plan *plan = arg;
    size_t n = plan->elements;
    struct flood f = {.channel = sinew_channel_new(sizeof(struct element), plan->capacity),
                      .each = (uint32_t)(n / PARTS),
                      .sending = PARTS};
    f.seen = calloc(n / 64 + 1, sizeof *f.seen);
    atomic_int arrived = 0;
    struct part parts[PARTS];
    sinew_task *tasks[PARTS];
    sinew_time begin = sinew_now();
    for (uint32_t i = 0; i < PARTS; i++) {
        parts[i] = (struct part){&f, {&f, i}, &arrived, plan->spread};
        tasks[i] = sinew_spawn(run_part, &parts[i]);
    }
    CHECK_EQ(sinew_gather(tasks, PARTS, NULL), 0);
    print_message("room for %zu%s: %zu elements, %.0f ns each\n", plan->capacity, plan->spread ? ", spread" : "", n,
                  (double)(sinew_now() - begin) / (double)n);
    CHECK_EQ(f.received, n);
    free(f.seen);
    sinew_channel_unref(f.channel);
    return 0;
}

static void run_flood(const char *name, struct plan plan)
{
    if (!workers_possible(4))
        skip();
    run_body(name, 4, flood, &plan);
}

static void ten_million_elements_through_a_buffer(void **state)
{
    (void)state;
    run_flood("ten_million_elements_through_a_buffer", (struct plan){128, scaled(10000000, 1000000), false});
}

static void ten_million_elements_through_a_buffer_from_all_workers_to_all(void **state)
{
    (void)state;
    run_flood("ten_million_elements_through_a_buffer_from_all_workers_to_all",
              (struct plan){128, scaled(10000000, 1000000), true});
}

static void a_million_elements_from_hand_to_hand(void **state)
{
    (void)state;
    run_flood("a_million_elements_from_hand_to_hand", (struct plan){0, scaled(1000000, 100000), false});
}

static void a_million_elements_from_hand_to_hand_between_all_workers(void **state)
{
    (void)state;
    run_flood("a_million_elements_from_hand_to_hand_between_all_workers",
              (struct plan){0, scaled(1000000, 100000), true});
}

TEST_MAIN(cmocka_unit_test(ten_million_elements_through_a_buffer),
          cmocka_unit_test(ten_million_elements_through_a_buffer_from_all_workers_to_all),
          cmocka_unit_test(a_million_elements_from_hand_to_hand),
          cmocka_unit_test(a_million_elements_from_hand_to_hand_between_all_workers))
