/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: of its cases select does exactly one, the first that can be done, any of those that can be done at once; it
 * loses nothing to a cancel, leaves nothing behind, and does not block others, in whatever order they name channels.
 * Method: each kind of case alone and mixed; pinned tasks where a moment is claimed; crossing selects in great number.
 * Cannot see: whether the choice at entry is evenly distributed beyond a rough count.
 */
#include <errno.h>
#include <stdlib.h>

#include <tests/support/random.h>
#include <tests/support/run.h>
#include <tests/support/tasks.h>

static sinew_case send_case(sinew_channel *c, void *element)
{
    return (sinew_case){.kind = SINEW_CASE_SEND, .channel = c, .element = element, .result = 1};
}

static sinew_case recv_case(sinew_channel *c, void *element)
{
    return (sinew_case){.kind = SINEW_CASE_RECV, .channel = c, .element = element, .result = 1};
}

static sinew_case task_case(sinew_task *t)
{
    return (sinew_case){.kind = SINEW_CASE_TASK, .task = t, .result = 1};
}

static sinew_case after_case(sinew_time duration)
{
    return (sinew_case){.kind = SINEW_CASE_AFTER, .duration = duration, .result = 1};
}

static sinew_channel *int_channel(size_t capacity)
{
    return sinew_channel_new(sizeof(int), capacity);
}

IN_RUNTIME(wrong_arguments_give_einval_and_do_nothing)
{
    sinew_channel *c = int_channel(1);
    int n = 1;
    sinew_case good = send_case(c, &n);
    CHECK_EQ(sinew_select(NULL, 1), -EINVAL);
    CHECK_EQ(sinew_select(&good, 0), -EINVAL);
    CHECK_EQ(sinew_select(&good, SINEW_SELECT_CASES_MAX + 1), -EINVAL);
    sinew_case wrong[] = {send_case(NULL, &n), recv_case(NULL, &n), send_case(c, NULL),
                          recv_case(c, NULL),  task_case(NULL),     {.kind = (sinew_case_kind)17}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        sinew_case cases[2] = {good, wrong[i]};
        CHECK_EQ(sinew_select(cases, 2), -EINVAL);
    }
    CHECK_EQ(sinew_channel_length(c), 0);
    CHECK_EQ(sinew_select(&good, 1), 0);
    sinew_channel_unref(c);
    return 0;
}

IN_RUNTIME(a_time_of_zero_or_less_is_chosen_only_if_nothing_else_is_ready)
{
    sinew_channel *c = int_channel(1);
    int n = 1;
    for (int i = 0; i < 50; i++) {
        sinew_case cases[] = {after_case(SINEW_S(100)), after_case(-5), after_case(0), recv_case(c, &n)};
        CHECK_EQ(sinew_select(cases, 4), 1);
        CHECK_EQ(cases[1].result, 0);
        CHECK_EQ(cases[3].result, 1);
        n = i;
        CHECK_EQ(sinew_channel_send(c, &n), 0);
        n = -1;
        CHECK_EQ(sinew_select(cases, 4), 3);
        CHECK_EQ(cases[3].result, 0);
        CHECK_EQ(n, i);
    }
    sinew_channel_unref(c);
    return 0;
}

IN_RUNTIME(each_of_several_ready_cases_is_chosen_now_and_then_and_only_that_one_happens)
{
    enum { CASES = 6, ROUNDS = 1200 };
    sinew_channel *full = int_channel(1), *empty = int_channel(1), *closed = int_channel(1), *other = int_channel(1);
    sinew_task *ended = sinew_spawn(return_arg, NULL);
    yield_until_done(ended);
    sinew_channel_close(closed);
    int n = 3, got, chosen[CASES] = {0};
    CHECK_EQ(sinew_channel_send(full, &n), 0);
    for (int i = 0; i < ROUNDS; i++) {
        sinew_case cases[CASES] = {recv_case(full, &got),   send_case(empty, &n), task_case(ended),
                                   recv_case(closed, &got), recv_case(other, &n), after_case(0)};
        int r = sinew_select(cases, CASES);
        if (!CHECK(r >= 0 && r < 4))
            break;
        chosen[r]++;
        CHECK_EQ(cases[r].result, r == 3 ? -EPIPE : 0);
        CHECK_EQ(sinew_channel_length(full), r != 0);
        CHECK_EQ(sinew_channel_length(empty), r == 1);
        if (r == 0)
            CHECK_EQ(sinew_channel_send(full, &n), 0);
        if (r == 1)
            CHECK_EQ(sinew_channel_recv(empty, &got), 0);
    }
    /* 300 each on average; fewer than 150 has a probability below 1e-20. */
    for (int i = 0; i < 4; i++)
        CHECK(chosen[i] >= 150);
    CHECK_EQ(sinew_await(ended), 0);
    sinew_channel_unref(full);
    sinew_channel_unref(empty);
    sinew_channel_unref(closed);
    sinew_channel_unref(other);
    return 0;
}

/* A select in a task of its own. */
struct selector {
    sinew_case *cases;
    size_t n;
    atomic_int started;
    int result, next_checkpoint;
};

static intptr_t select_in_task(void *arg)
{
    struct selector *s = arg;
    atomic_store(&s->started, 1);
    s->result = sinew_select(s->cases, s->n);
    s->next_checkpoint = sinew_yield();
    return 0;
}

/* Selects with four kinds of cases, and makes the wanted one happen once the select waits. */
static void check_waking(int wanted, bool close)
{
    sinew_channel *out = int_channel(0), *in = int_channel(2);
    gate g;
    gate_init(&g, 9);
    sinew_task *held = sinew_spawn(gate_pass, &g);
    int sent = 11, got = -1, n;
    sinew_case cases[] = {send_case(out, &sent), recv_case(in, &got), task_case(held),
                          after_case(wanted == 3 ? SINEW_MS(2) : SINEW_FOREVER), after_case(SINEW_S(1000))};
    struct selector s = {.cases = cases, .n = 5};
    sinew_time begin = sinew_now();
    sinew_task *t = sinew_spawn(select_in_task, &s);
    yield_until(&s.started, 1);
    for (int i = 0; i < 10; i++)
        sinew_yield();
    if (close)
        CHECK_EQ(sinew_channel_close(wanted == 0 ? out : in), 0);
    else if (wanted == 0)
        CHECK_EQ(sinew_channel_recv(out, &n), 0);
    else if (wanted == 1)
        CHECK_EQ(sinew_channel_send(in, &(int){12}), 0);
    else if (wanted == 2)
        gate_open(&g, 1);
    CHECK_EQ(sinew_await(t), 0);
    CHECK_EQ(s.result, wanted);
    CHECK_EQ(s.next_checkpoint, 0);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(cases[i].result, i != wanted ? 1 : close ? -EPIPE : 0);
    if (wanted == 0 && !close)
        CHECK_EQ(n, 11);
    CHECK_EQ(got, wanted == 1 && !close ? 12 : -1);
    if (wanted == 3)
        CHECK(sinew_now() - begin >= SINEW_MS(2));
    /* Nothing is left behind: no sender, no receiver, and the task can be awaited. */
    if (!close) {
        CHECK_EQ(sinew_channel_try_recv(out, &n), -EAGAIN);
        CHECK_EQ(sinew_channel_send(in, &n), 0);
        CHECK_EQ(sinew_channel_length(in), 1);
    }
    gate_open(&g, 1);
    CHECK_EQ(sinew_await(held), 9);
    sinew_channel_unref(out);
    sinew_channel_unref(in);
}

IN_RUNTIME(the_first_case_that_can_be_done_wakes_a_waiting_select)
{
    for (int wanted = 0; wanted < 4; wanted++)
        check_waking(wanted, false);
    check_waking(0, true);
    check_waking(1, true);
    return 0;
}

IN_RUNTIME(a_task_case_runs_a_task_that_has_not_started_and_uses_nothing_up)
{
    sinew_task *t = sinew_spawn(return_arg, (void *)5);
    sinew_case cases[] = {task_case(t), task_case(t), after_case(SINEW_S(1000))};
    int r = sinew_select(cases, 3);
    CHECK(r == 0 || r == 1);
    CHECK(sinew_done(t));
    CHECK_EQ(sinew_await(t), 5);
    return 0;
}

IN_RUNTIME(the_shortest_time_counts)
{
    sinew_time begin = sinew_now();
    sinew_case cases[] = {after_case(SINEW_FOREVER), after_case(SINEW_S(1000)), after_case(SINEW_MS(3)),
                          after_case(SINEW_S(500))};
    CHECK_EQ(sinew_select(cases, 4), 2);
    CHECK(sinew_now() - begin >= SINEW_MS(3));
    return 0;
}

IN_RUNTIME(one_channel_in_both_directions_does_not_meet_itself_but_others)
{
    sinew_channel *c = int_channel(0);
    int out[2] = {1, 2}, in[2] = {0, 0}, n = 0;
    sinew_case alone[] = {send_case(c, &out[0]), recv_case(c, &in[0]), send_case(c, &out[0]), recv_case(c, &in[0]),
                          after_case(0)};
    CHECK_EQ(sinew_select(alone, 5), 4);
    alone[4].duration = SINEW_MS(1);
    CHECK_EQ(sinew_select(alone, 5), 4);
    CHECK_EQ(in[0], 0);
    /* Two of the kind meet each other: one sends, one receives. */
    sinew_case cases[2][2];
    struct selector s[2];
    sinew_task *tasks[2];
    for (int i = 0; i < 2; i++) {
        cases[i][0] = send_case(c, &out[i]);
        cases[i][1] = recv_case(c, &in[i]);
        s[i] = (struct selector){.cases = cases[i], .n = 2};
        tasks[i] = sinew_spawn(select_in_task, &s[i]);
    }
    CHECK_EQ(sinew_gather(tasks, 2, NULL), 0);
    CHECK_EQ(s[0].result + s[1].result, 1);
    int receiver = s[1].result == 1;
    CHECK_EQ(in[receiver], out[!receiver]);
    CHECK_EQ(in[!receiver], 0);
    CHECK_EQ(sinew_channel_try_recv(c, &n), -EAGAIN);
    CHECK_EQ(sinew_channel_try_send(c, &n), -EAGAIN);
    sinew_channel_unref(c);
    return 0;
}

IN_RUNTIME_PINNED(a_select_waits_in_line_with_others)
{
    sinew_channel *c = int_channel(0), *quiet = int_channel(0);
    int got[3] = {0, 0, 0}, ignored;
    sinew_case cases[3][2];
    struct selector s[3];
    sinew_task *tasks[3];
    for (int i = 0; i < 3; i++) {
        cases[i][0] = recv_case(c, &got[i]);
        cases[i][1] = recv_case(quiet, &ignored);
        /* The one in the middle is a plain receive, as select sees it. */
        s[i] = (struct selector){.cases = cases[i], .n = i == 1 ? 1 : 2};
        tasks[i] = spawn_pinned(select_in_task, &s[i]);
    }
    CHECK_EQ(sinew_yield(), 0);
    for (int i = 1; i <= 3; i++)
        CHECK_EQ(sinew_channel_try_send(c, &i), 0);
    CHECK_EQ(sinew_gather(tasks, 3, NULL), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(got[i], i + 1);
    sinew_channel_unref(c);
    sinew_channel_unref(quiet);
    return 0;
}

IN_RUNTIME_PINNED(a_case_that_lost_its_choice_is_passed_over)
{
    sinew_channel *a = int_channel(0), *b = int_channel(0);
    int got[2] = {0, 0}, n;
    sinew_case cases[2] = {recv_case(a, &got[0]), recv_case(b, &got[1])};
    struct selector s = {.cases = cases, .n = 2};
    sinew_task *t = spawn_pinned(select_in_task, &s);
    CHECK_EQ(sinew_yield(), 0);
    n = 1;
    CHECK_EQ(sinew_channel_try_send(a, &n), 0);
    /* It has not run since, so its receive still hangs in b. */
    n = 2;
    CHECK_EQ(sinew_channel_try_send(b, &n), -EAGAIN);
    CHECK_EQ(sinew_channel_close(b), 0);
    CHECK_EQ(sinew_await(t), 0);
    CHECK_EQ(s.result, 0);
    CHECK_EQ(got[0], 1);
    CHECK_EQ(got[1], 0);
    sinew_channel_unref(a);
    sinew_channel_unref(b);
    return 0;
}

IN_RUNTIME(a_cancelled_select_has_done_nothing_and_leaves_nothing_behind)
{
    sinew_channel *out = int_channel(0), *in = int_channel(0);
    gate g;
    gate_init(&g, 3);
    sinew_task *held = sinew_spawn(gate_pass, &g);
    int n = 7, got = -1;
    sinew_case cases[] = {send_case(out, &n), recv_case(in, &got), task_case(held), after_case(SINEW_S(1000))};
    struct selector s = {.cases = cases, .n = 4};
    sinew_task *t = sinew_spawn(select_in_task, &s);
    yield_until(&s.started, 1);
    for (int i = 0; i < 10; i++)
        sinew_yield();
    CHECK(sinew_cancel(t));
    CHECK_EQ(sinew_await(t), 0);
    CHECK_EQ(s.result, -ECANCELED);
    CHECK_EQ(s.next_checkpoint, 0);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(cases[i].result, 1);
    CHECK_EQ(sinew_channel_try_recv(out, &n), -EAGAIN);
    CHECK_EQ(sinew_channel_try_send(in, &n), -EAGAIN);
    CHECK_EQ(got, -1);

    sinew_timeout scope;
    sinew_timeout_begin(&scope, SINEW_MS(1));
    CHECK_EQ(sinew_select(cases, 4), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&scope), -ETIMEDOUT);
    CHECK_EQ(sinew_channel_try_recv(out, &n), -EAGAIN);
    gate_open(&g, 1);
    CHECK_EQ(sinew_await(held), 3);
    sinew_channel_unref(out);
    sinew_channel_unref(in);
    return 0;
}

IN_RUNTIME_PINNED(what_has_happened_is_not_undone_by_a_cancel_which_comes_at_the_next_checkpoint)
{
    for (int way = 0; way < 4; way++) {
        sinew_channel *out = int_channel(0), *in = int_channel(0);
        int n = 5, got = -1;
        sinew_case cases[] = {send_case(out, &n), recv_case(in, &got)};
        struct selector s = {.cases = cases, .n = 2};
        sinew_task *t = spawn_pinned(select_in_task, &s);
        CHECK_EQ(sinew_yield(), 0);
        if (way < 2)
            CHECK(sinew_cancel(t));
        int other = 6;
        CHECK_EQ(way % 2 ? sinew_channel_try_send(in, &other) : sinew_channel_try_recv(out, &other), 0);
        if (way >= 2)
            CHECK(sinew_cancel(t));
        CHECK_EQ(sinew_await(t), 0);
        CHECK_EQ(s.result, way % 2);
        CHECK_EQ(way % 2 ? got : other, way % 2 ? 6 : 5);
        CHECK_EQ(s.next_checkpoint, -ECANCELED);
        sinew_channel_unref(out);
        sinew_channel_unref(in);
    }
    return 0;
}

IN_RUNTIME(many_cases_work_like_few)
{
    enum { CHANNELS = 300 };
    static sinew_channel *channels[CHANNELS];
    static sinew_case cases[2 * CHANNELS];
    uint64_t random = 5;
    int got = -1;
    for (int i = 0; i < CHANNELS; i++)
        channels[i] = int_channel((size_t)i % 2);
    for (int i = 0; i < CHANNELS; i++) /* each twice, in different orders */
        cases[CHANNELS + i] = cases[i] = recv_case(channels[i * 7 % CHANNELS], &got);
    for (int round = 0; round < 100; round++) {
        struct selector s = {.cases = cases, .n = 2 * CHANNELS};
        sinew_task *t = sinew_spawn(select_in_task, &s);
        if (round % 2)
            sinew_yield();
        int which = (int)random_below(&random, CHANNELS);
        CHECK_EQ(sinew_channel_send(channels[which], &round), 0);
        CHECK_EQ(sinew_await(t), 0);
        CHECK_EQ(s.result % CHANNELS * 7 % CHANNELS, which);
        CHECK_EQ(got, round);
    }
    for (int i = 0; i < CHANNELS; i++)
        sinew_channel_unref(channels[i]);
    return 0;
}

/* Selects that name the same channels in different orders, each in both directions: they meet each other and nobody
 * else. Every element that was sent has been received. */
enum { CROSSING = 8, WIRES = 4 };

struct crossing {
    sinew_channel *wires[WIRES];
    int rounds;
    atomic_long sent, received, sent_sum, received_sum;
    atomic_int left;
};

struct crosser {
    struct crossing *crossing;
    uint64_t random;
};

static intptr_t cross(void *arg)
{
    struct crosser *me = arg;
    struct crossing *x = me->crossing;
    for (int i = 0; i < x->rounds; i++) {
        sinew_case cases[2 * WIRES + 1];
        int in[WIRES], out[WIRES];
        unsigned turn = (unsigned)random_below(&me->random, WIRES);
        bool backwards = random_below(&me->random, 2);
        for (unsigned k = 0; k < WIRES; k++) {
            sinew_channel *c = x->wires[(turn + (backwards ? WIRES - k : k)) % WIRES];
            out[k] = (int)random_below(&me->random, 1000);
            in[k] = -1;
            cases[2 * k] = send_case(c, &out[k]);
            cases[2 * k + 1] = recv_case(c, &in[k]);
        }
        cases[2 * WIRES] = after_case(SINEW_US(random_below(&me->random, 300)));
        int r = sinew_select(cases, 2 * WIRES + 1);
        if (!CHECK(r >= 0))
            break;
        if (r < 2 * WIRES) {
            CHECK_EQ(cases[r].result, 0);
            atomic_fetch_add(r % 2 ? &x->received : &x->sent, 1);
            atomic_fetch_add(r % 2 ? &x->received_sum : &x->sent_sum, r % 2 ? in[r / 2] : out[r / 2]);
        }
        for (int k = 0; k < WIRES; k++)
            CHECK((in[k] == -1) != (r == 2 * k + 1));
    }
    atomic_fetch_sub(&x->left, 1);
    return 0;
}

static intptr_t cancel_at_random(void *arg)
{
    sinew_task **tasks = arg;
    uint64_t random = 11;
    while (sinew_sleep(SINEW_US(50)) == 0)
        sinew_cancel(tasks[random_below(&random, CROSSING)]);
    return 0;
}

IN_RUNTIME(crossing_selects_meet_each_other_and_never_block)
{
    struct crossing x = {.rounds = (int)scaled(2000, 150)};
    struct crosser crossers[CROSSING];
    sinew_task *tasks[CROSSING];
    uint64_t random = random_seed();
    for (int i = 0; i < WIRES; i++)
        x.wires[i] = int_channel(0);
    for (int i = 0; i < CROSSING; i++) {
        crossers[i] = (struct crosser){&x, random_next(&random)};
        tasks[i] = sinew_spawn(cross, &crossers[i]);
    }
    CHECK_EQ(sinew_gather(tasks, CROSSING, NULL), 0);
    CHECK_EQ(x.sent, x.received);
    CHECK_EQ(x.sent_sum, x.received_sum);
    CHECK(x.sent > 0);
    for (int i = 0; i < WIRES; i++)
        sinew_channel_unref(x.wires[i]);
    return 0;
}

/* The same elements, with cancels: the ones who are cancelled give up, and the count still agrees. */
static intptr_t cross_until_cancelled(void *arg)
{
    struct crosser *me = arg;
    struct crossing *x = me->crossing;
    for (int r = 0; r != -ECANCELED;) {
        int in = -1, out = (int)random_below(&me->random, 1000);
        sinew_channel *a = x->wires[random_below(&me->random, WIRES)], *b = x->wires[random_below(&me->random, WIRES)];
        sinew_case cases[] = {send_case(a, &out), recv_case(b, &in), after_case(SINEW_US(200))};
        r = sinew_select(cases, 3);
        if (r == 0)
            atomic_fetch_add(&x->sent_sum, out + 1);
        else if (r == 1)
            atomic_fetch_add(&x->received_sum, in + 1);
    }
    return 0;
}

IN_RUNTIME(nothing_is_lost_or_doubled_by_races_of_selects_and_cancels)
{
    int rounds = (int)scaled(150, 15);
    uint64_t random = random_seed();
    for (int round = 0; round < rounds && !check_failures; round++) {
        struct crossing x = {.rounds = 0};
        struct crosser crossers[CROSSING];
        sinew_task *tasks[CROSSING];
        for (int i = 0; i < WIRES; i++)
            x.wires[i] = int_channel((size_t)i / 2);
        for (int i = 0; i < CROSSING; i++) {
            crossers[i] = (struct crosser){&x, random_next(&random)};
            tasks[i] = sinew_spawn(cross_until_cancelled, &crossers[i]);
        }
        sinew_task *canceller = sinew_spawn(cancel_at_random, tasks);
        for (int i = 0; i < CROSSING; i++)
            sinew_shield(sinew_ref(tasks[i])); /* -ECANCELED for one that was cancelled again at its end */
        sinew_cancel(canceller);
        sinew_await(canceller);
        for (int i = 0; i < CROSSING; i++)
            sinew_detach(tasks[i]);
        int left;
        for (int i = 0; i < WIRES; i++) {
            while (sinew_channel_try_recv(x.wires[i], &left) == 0)
                x.received_sum += left + 1;
            sinew_channel_unref(x.wires[i]);
        }
        CHECK_EQ(x.sent_sum, x.received_sum);
    }
    return 0;
}

TEST_MAIN(cmocka_unit_test(wrong_arguments_give_einval_and_do_nothing),
          cmocka_unit_test(a_time_of_zero_or_less_is_chosen_only_if_nothing_else_is_ready),
          cmocka_unit_test(each_of_several_ready_cases_is_chosen_now_and_then_and_only_that_one_happens),
          cmocka_unit_test(the_first_case_that_can_be_done_wakes_a_waiting_select),
          cmocka_unit_test(a_task_case_runs_a_task_that_has_not_started_and_uses_nothing_up),
          cmocka_unit_test(the_shortest_time_counts),
          cmocka_unit_test(one_channel_in_both_directions_does_not_meet_itself_but_others),
          cmocka_unit_test(a_select_waits_in_line_with_others),
          cmocka_unit_test(a_case_that_lost_its_choice_is_passed_over),
          cmocka_unit_test(a_cancelled_select_has_done_nothing_and_leaves_nothing_behind),
          cmocka_unit_test(what_has_happened_is_not_undone_by_a_cancel_which_comes_at_the_next_checkpoint),
          cmocka_unit_test(many_cases_work_like_few),
          cmocka_unit_test(crossing_selects_meet_each_other_and_never_block),
          cmocka_unit_test(nothing_is_lost_or_doubled_by_races_of_selects_and_cancels))
