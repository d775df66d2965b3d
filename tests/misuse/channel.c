/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: dropping a channel's last reference while somebody waits at it stops with a message, in every build.
 * Method: forked children in which a task sends, receives, or selects.
 * Cannot see: a channel used after its last reference when nobody was waiting; AddressSanitizer does.
 */
#include <errno.h>

#include <tests/support/child.h>
#include <tests/support/run.h>
#include <tests/support/tasks.h>

enum way { RECEIVING, SENDING, SELECTING };

struct waiting {
    enum way way;
    sinew_channel *channel;
};

static intptr_t wait_at_it(void *arg)
{
    struct waiting *w = arg;
    char c = 'a';
    if (w->way == RECEIVING)
        return sinew_channel_recv(w->channel, &c);
    if (w->way == SENDING)
        return sinew_channel_send(w->channel, &c);
    sinew_case cases[2] = {{.kind = SINEW_CASE_RECV, .channel = w->channel, .element = &c},
                           {.kind = SINEW_CASE_AFTER, .duration = VERY_LONG}};
    return sinew_select(cases, 2);
}

static intptr_t drop_it(void *arg)
{
    struct waiting w = {*(enum way *)arg, sinew_channel_new(1, 0)};
    sinew_task *t = spawn_pinned(wait_at_it, &w);
    sinew_yield(); /* with one worker: now it waits */
    sinew_channel_unref(w.channel);
    return sinew_await(t);
}

static int run_misuse(void *arg)
{
    run_workers(1, drop_it, arg);
    return 0;
}

static void the_last_reference_dropped_under_a_waiter_stops_with_a_message(void **state)
{
    (void)state;
    for (enum way way = RECEIVING; way <= SELECTING; way++) {
        child_end end;
        assert_true(run_child(run_misuse, &way, &end));
        if (end.signal != SIGABRT || !strstr(end.err, "sinew_channel_unref"))
            child_fail("dropped while somebody waits", &end);
    }
}

TEST_MAIN(cmocka_unit_test(the_last_reference_dropped_under_a_waiter_stops_with_a_message))
