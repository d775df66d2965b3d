/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: rules A197 to A203 (servers), as docs/conformance.md lists them; the
 * number in a test's name is the rule's.
 * Method: servers on the loopback, clients that are streams or plain sockets in the same runtime.
 * Cannot see: many clients; the example servers are tested with those.
 */
#include <errno.h>
#include <sys/resource.h>

#include <tests/support/streams.h>

static int new_listener(void)
{
    int listener = sinew_listen("127.0.0.1:0", NULL);
    if (!CHECK(listener >= 0))
        abort();
    return listener;
}

static sinew_server *start(const sinew_server_options *opt, sinew_stream_handler handler, void *arg)
{
    sinew_server *s;
    if (!CHECK_EQ(sinew_server_start(new_listener(), opt, handler, arg, &s), 0))
        abort();
    return s;
}

/* A connected stream, or an error. */
static int dial(int port, sinew_stream **out)
{
    char address[64];
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    return sinew_stream_dial(address, NULL, out);
}

static sinew_stream *client(const sinew_server *s)
{
    sinew_stream *c;
    if (!CHECK_EQ(dial(sinew_server_port(s), &c), 0))
        abort();
    return c;
}

/* Is nobody there? */
static bool is_refused(const sinew_server *s)
{
    sinew_stream *c;
    int r = dial(sinew_server_port(s), &c);
    sinew_stream_unref(c);
    return CHECK_EQ(r, -ECONNREFUSED);
}

static void say(sinew_stream *s, const char *text)
{
    CHECK_EQ(sinew_stream_write(s, text, strlen(text)), 0);
}

static intptr_t echo(sinew_stream *s, void *arg)
{
    (void)arg;
    const char *line;
    ssize_t n;
    while ((n = sinew_stream_readline(s, &line)) > 0)
        sinew_stream_write(s, line, (size_t)n);
    return n;
}

static void until_open(const sinew_server *s, size_t n)
{
    while (sinew_server_connections(s) != n)
        sinew_yield();
}

static intptr_t wait_closed(void *s)
{
    return sinew_server_wait_closed(s);
}

static intptr_t serve(void *s)
{
    return sinew_server_serve(s);
}

/* A server that accepts once somebody serves it: who is answered knows that this task is in its call. */
static sinew_server *start_serving(sinew_stream_handler handler, void *arg, sinew_task **serving)
{
    const sinew_server_options opt = {.start_later = true};
    sinew_server *s = start(&opt, handler, arg);
    *serving = sinew_spawn(serve, s);
    return s;
}

/* Closes it, waits, and gives it up: its connections have ended. */
static void finish(sinew_server *s)
{
    CHECK_EQ(sinew_server_close(s), 0);
    CHECK_EQ(sinew_server_wait_closed(s), 0);
    CHECK_EQ(sinew_server_connections(s), 0);
    sinew_server_free(s);
}

/* --- A197, A198: handlers ----------------------------------------------------------------------------------------- */

/* Answers only when all the clients are here: so each has a task. */
struct meeting {
    sinew_latch all;
    sinew_task *main;
    atomic_int own_tasks;
};

static intptr_t meet(sinew_stream *s, void *arg)
{
    struct meeting *m = arg;
    const char *line;
    if (sinew_self() != m->main)
        atomic_fetch_add(&m->own_tasks, 1);
    CHECK(sinew_stream_readline(s, &line) > 0);
    sinew_latch_count_down(&m->all, 1);
    CHECK_EQ(sinew_latch_wait(&m->all), 0);
    say(s, "all here\n");
    return 0;
}

IN_RUNTIME(a197_a_server_runs_its_handler_as_a_task_for_each_connection)
{
    enum { N = 20 };
    struct meeting m = {.main = sinew_self()};
    sinew_latch_init(&m.all, N);
    sinew_server *s = start(NULL, meet, &m);
    CHECK(sinew_server_port(s) > 0);
    sinew_stream *c[N];
    for (int i = 0; i < N; i++) {
        c[i] = client(s);
        say(c[i], "I am here\n");
    }
    for (int i = 0; i < N; i++) {
        CHECK_LINE(c[i], "all here\n");
        CHECK_LINE(c[i], ""); /* and the handler's end is the connection's */
        sinew_stream_unref(c[i]);
    }
    CHECK_EQ(m.own_tasks, N);
    CHECK_EQ(sinew_server_accepted(s), N);
    finish(s);
    return 0;
}

static intptr_t serve_unix(void *arg)
{
    return sinew_serve(*(int *)arg, echo, NULL);
}

IN_RUNTIME(a197_serve_does_it_in_one_call_also_on_a_unix_socket)
{
    struct sockaddr_un address;
    socklen_t length;
    int listener = abstract_listener(10, &address, &length);
    sinew_task *t = spawn_eager(serve_unix, &listener);
    int fd = sinew_socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_EQ(sinew_connect(fd, (struct sockaddr *)&address, length), 0);
    send_text(fd, "hello\n");
    CHECK(peer_gets(fd, "hello\n"));
    close(fd);
    CHECK(sinew_cancel(t));
    CHECK_EQ(sinew_await(t), -ECANCELED);
    CHECK_EQ(fcntl(listener, F_GETFD), -1); /* it is closed */
    CHECK_EQ(sinew_serve(-1, echo, NULL), -EBADF);
    CHECK_EQ(sinew_serve(-EADDRINUSE, echo, NULL), -EADDRINUSE); /* of the sinew_listen in its place */
    CHECK_EQ(sinew_serve(0, NULL, NULL), -EINVAL);
    return 0;
}

struct reports {
    atomic_int count, error;
    char what[100];
};

static void take_report(const sinew_error_report *report, void *arg)
{
    struct reports *r = arg;
    snprintf(r->what, sizeof r->what, "%s", report->what);
    atomic_store(&r->error, (int)report->error);
    atomic_fetch_add(&r->count, 1);
}

static intptr_t do_as_told(sinew_stream *s, void *arg)
{
    (void)arg;
    const char *line;
    ssize_t n = sinew_stream_readline(s, &line);
    if (n <= 0)
        return n;
    if (*line == 'f') {
        say(s, "failing\n");
        return -EIO;
    }
    if (*line == 'c') {
        say(s, "cancelled\n");
        sinew_cancel(sinew_self());
        return sinew_yield();
    }
    say(s, "fine\n");
    return 0;
}

IN_RUNTIME(a198_a_handler_that_fails_is_reported_and_ends_its_own_connection_only)
{
    struct reports reports = {0};
    CHECK_EQ(sinew_set_error_handler(take_report, &reports), 0);
    sinew_server *s = start(NULL, do_as_told, NULL);
    sinew_stream *bystander = client(s), *c = client(s);
    say(c, "fail\n");
    CHECK_LINE(c, "failing\n"); /* what it had written goes out */
    CHECK_LINE(c, "");
    sinew_stream_unref(c);
    yield_until(&reports.count, 1);
    CHECK_EQ(reports.error, -EIO);
    CHECK(strstr(reports.what, "handler") != NULL);
    c = client(s); /* cancelled: closed and not reported */
    say(c, "cancelled\n");
    CHECK_LINE(c, "cancelled\n");
    CHECK_LINE(c, "");
    sinew_stream_unref(c);
    c = client(s); /* the server goes on */
    say(c, "well\n");
    CHECK_LINE(c, "fine\n");
    sinew_stream_unref(c);
    say(bystander, "well\n");
    CHECK_LINE(bystander, "fine\n");
    sinew_stream_unref(bystander);
    finish(s);
    CHECK_EQ(reports.count, 1);
    sinew_set_error_handler(NULL, NULL);
    return 0;
}

/* --- A199 to A201: ends ------------------------------------------------------------------------------------------- */

IN_RUNTIME(a199_closing_refuses_new_connections_at_once_and_leaves_open_ones)
{
    sinew_server *s = start(NULL, echo, NULL);
    sinew_stream *c = client(s);
    say(c, "before\n");
    CHECK_LINE(c, "before\n");
    CHECK(!sinew_server_is_closing(s));
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(sinew_server_close(s), 0);
        CHECK(is_refused(s));
        CHECK(sinew_server_is_closing(s));
    }
    say(c, "after\n");
    CHECK_LINE(c, "after\n");
    CHECK_EQ(sinew_server_begin(s), -ESHUTDOWN);
    sinew_stream_unref(c);
    finish(s);
    return 0;
}

IN_RUNTIME(a200_waiting_for_a_closed_server_waits_for_its_last_connection)
{
    sinew_server *s = start(NULL, echo, NULL);
    sinew_stream *a = client(s), *b = client(s);
    sinew_task *t = spawn_eager(wait_closed, s), *cancelled = spawn_eager(wait_closed, s);
    CHECK(!sinew_done(t)); /* not closed */
    until_open(s, 2);
    CHECK_EQ(sinew_server_close(s), 0);
    CHECK(sinew_cancel(cancelled));
    CHECK_EQ(sinew_await(cancelled), -ECANCELED);
    sinew_stream_unref(a);
    until_open(s, 1);
    for (int i = 0; i < 20; i++)
        sinew_yield();
    CHECK(!sinew_done(t)); /* closed, and one connection is left */
    say(b, "still there\n");
    CHECK_LINE(b, "still there\n");
    sinew_stream_unref(b);
    CHECK_EQ(sinew_await(t), 0);
    CHECK_EQ(sinew_server_connections(s), 0);
    finish(s);
    return 0;
}

static intptr_t wait_closed_stream(void *s)
{
    return sinew_stream_wait_closed(s);
}

/* Buffers more than the system takes, then reads until the end. */
static intptr_t write_much(sinew_stream *s, void *arg)
{
    static const char block[10000];
    for (int i = 0; i < 1000; i++)
        sinew_stream_write(s, block, sizeof block);
    atomic_fetch_add((atomic_int *)arg, 1);
    sinew_task *t = sinew_spawn(wait_closed_stream, s);
    const char *line;
    ssize_t n = sinew_stream_readline(s, &line);
    CHECK(n == 0 || n == -ECONNRESET);
    sinew_await(t);
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

IN_RUNTIME(a201_connections_can_be_closed_which_sends_what_is_buffered)
{
    atomic_int steps = 0;
    sinew_server *s = start(NULL, write_much, &steps);
    sinew_stream *c = client(s);
    yield_until(&steps, 1);
    CHECK_EQ(sinew_server_close(s), 0);
    CHECK_EQ(sinew_server_close_clients(s), 0);
    char buffer[4096];
    size_t received = 0;
    ssize_t n;
    while ((n = sinew_stream_read(c, buffer, sizeof buffer)) > 0)
        received += (size_t)n;
    CHECK_EQ(n, 0);
    CHECK_EQ(received, 10000000);
    finish(s);
    CHECK_EQ(steps, 2); /* the handler has found the end */
    sinew_stream_unref(c);
    return 0;
}

IN_RUNTIME(a201_connections_can_be_aborted_which_drops_what_is_buffered)
{
    atomic_int steps = 0;
    sinew_server *s = start(NULL, write_much, &steps);
    sinew_stream *c = client(s);
    yield_until(&steps, 1);
    CHECK_EQ(sinew_server_close(s), 0);
    CHECK_EQ(sinew_server_abort_clients(s), 0);
    finish(s); /* the client reads nothing, and that holds nothing up */
    CHECK_EQ(steps, 2);
    char buffer[4096];
    ssize_t n;
    while ((n = sinew_stream_read(c, buffer, sizeof buffer)) > 0)
        ;
    CHECK_EQ(n, -ECONNRESET);
    sinew_stream_unref(c);
    return 0;
}

/* --- draining ----------------------------------------------------------------------------------------------------- */

/* Requests of a line each: "slow" waits at a gate, "stuck" for ever. */
struct service {
    sinew_sem gate;
    atomic_int waiting, cancelled;
};

static intptr_t answer(sinew_stream *s, void *arg)
{
    struct service *v = arg;
    const char *line;
    while (sinew_stream_idle(s) > 0) {
        CHECK(sinew_stream_readline(s, &line) > 0);
        int r = 0;
        if (line[0] == 's') {
            bool stuck = line[1] == 't';
            atomic_fetch_add(&v->waiting, 1);
            r = stuck ? sinew_sleep(VERY_LONG) : sinew_sem_wait(&v->gate);
        }
        if (r < 0) {
            atomic_fetch_add(&v->cancelled, 1);
            return r;
        }
        say(s, "done\n");
    }
    return 0;
}

struct drain {
    sinew_server *server;
    sinew_time limit;
};

static intptr_t drain_task(void *arg)
{
    struct drain *d = arg;
    return sinew_server_drain(d->server, d->limit);
}

IN_RUNTIME(a201_draining_ends_idle_connections_and_lets_busy_ones_finish)
{
    struct service v = {.waiting = 0};
    sinew_sem_init(&v.gate, 0);
    sinew_server *s = start(NULL, answer, &v);
    sinew_stream *idle = client(s), *fresh = client(s), *busy = client(s);
    say(idle, "fast\n");
    CHECK_LINE(idle, "done\n");
    say(busy, "slow\n");
    CHECK_EQ(sinew_stream_flush(busy), 0);
    yield_until(&v.waiting, 1);
    until_open(s, 3);
    struct drain d = {s, SINEW_FOREVER};
    sinew_task *t = sinew_spawn(drain_task, &d);
    CHECK_LINE(idle, ""); /* it ends while the other one is at work */
    CHECK_LINE(fresh, "");
    CHECK(!sinew_done(t));
    CHECK(is_refused(s));
    sinew_sem_post(&v.gate);
    CHECK_LINE(busy, "done\n");
    CHECK_LINE(busy, "");
    CHECK_EQ(sinew_await(t), 0); /* none was cut */
    sinew_stream_unref(idle);
    sinew_stream_unref(fresh);
    sinew_stream_unref(busy);
    finish(s);
    CHECK_EQ(v.cancelled, 0);
    return 0;
}

IN_RUNTIME(a201_draining_cuts_what_has_not_finished_within_the_limit)
{
    struct service v = {.waiting = 0};
    sinew_sem_init(&v.gate, 0);
    sinew_server *s = start(NULL, answer, &v);
    sinew_stream *stuck[3];
    for (int i = 0; i < 3; i++) {
        stuck[i] = client(s);
        say(stuck[i], "stuck\n");
        CHECK_EQ(sinew_stream_flush(stuck[i]), 0);
    }
    yield_until(&v.waiting, 3);
    sinew_timeout scope; /* the caller's own: it is not the limit */
    sinew_timeout_begin(&scope, SINEW_MS(1));
    CHECK_EQ(sinew_server_drain(s, SINEW_S(100)), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&scope), -ETIMEDOUT);
    CHECK_EQ(v.cancelled, 0);
    CHECK_EQ(sinew_server_drain(s, SINEW_MS(5)), 3);
    CHECK_EQ(v.cancelled, 3);
    CHECK_EQ(sinew_server_connections(s), 0);
    CHECK_EQ(sinew_server_drain(s, 0), 0);
    for (int i = 0; i < 3; i++) {
        const char *line;
        CHECK_EQ(sinew_stream_readline(stuck[i], &line), -ECONNRESET);
        sinew_stream_unref(stuck[i]);
    }
    finish(s);
    return 0;
}

/* --- A202: serving ------------------------------------------------------------------------------------------------ */

IN_RUNTIME(a202_a_cancel_ends_serving_and_waits_for_the_connections)
{
    sinew_task *t;
    sinew_server *s = start_serving(echo, NULL, &t);
    sinew_stream *c = client(s);
    say(c, "hello\n");
    CHECK_LINE(c, "hello\n");
    CHECK(sinew_cancel(t));
    CHECK_LINE(c, ""); /* closed */
    CHECK_EQ(sinew_await(t), -ECANCELED);
    CHECK_EQ(sinew_server_connections(s), 0);
    CHECK(is_refused(s));
    CHECK_EQ(sinew_server_serve(s), -ESHUTDOWN);
    sinew_stream_unref(c);
    finish(s);
    return 0;
}

/* Does not care that its connection has ended. */
static intptr_t sleep_long(sinew_stream *s, void *arg)
{
    (void)s;
    atomic_fetch_add((atomic_int *)arg, 1);
    int r = sinew_sleep(VERY_LONG);
    atomic_fetch_add((atomic_int *)arg, 1);
    return r;
}

IN_RUNTIME(a202_a_second_cancel_cancels_the_handlers)
{
    atomic_int steps = 0;
    sinew_task *t;
    sinew_server *s = start_serving(sleep_long, &steps, &t);
    sinew_stream *c = client(s);
    yield_until(&steps, 1);
    CHECK(sinew_cancel(t));
    CHECK_LINE(c, "");
    for (int i = 0; i < 20; i++)
        sinew_yield();
    CHECK(!sinew_done(t)); /* it waits for the handler */
    CHECK(sinew_cancel(t));
    CHECK_EQ(sinew_await(t), -ECANCELED);
    CHECK_EQ(steps, 2);
    sinew_stream_unref(c);
    finish(s);
    return 0;
}

IN_RUNTIME(a202_one_task_at_a_time_serves_and_a_close_ends_it)
{
    sinew_task *t;
    sinew_server *s = start_serving(echo, NULL, &t);
    sinew_stream *c = client(s);
    say(c, "hello\n");
    CHECK_LINE(c, "hello\n");
    CHECK_EQ(sinew_server_serve(s), -EBUSY);
    CHECK_EQ(sinew_server_close(s), 0);
    for (int i = 0; i < 20; i++)
        sinew_yield();
    CHECK(!sinew_done(t)); /* a connection is left */
    sinew_stream_unref(c);
    CHECK_EQ(sinew_await(t), 0);
    finish(s);
    return 0;
}

IN_RUNTIME(a202_a_server_may_start_later)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const sinew_server_options opt = {.start_later = true};
    for (int way = 0; way < 3; way++) {
        int bound = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        CHECK_EQ(bind(bound, (struct sockaddr *)&address, sizeof address), 0);
        sinew_server *s;
        CHECK_EQ(sinew_server_start(bound, &opt, echo, NULL, &s), 0);
        CHECK(is_refused(s));
        if (way < 2) {
            sinew_task *t = way == 0 ? spawn_eager(serve, s) : NULL;
            if (way == 1)
                CHECK_EQ(sinew_server_begin(s), 0);
            sinew_stream *c;
            while (dial(sinew_server_port(s), &c) == -ECONNREFUSED)
                sinew_yield();
            say(c, "hello\n");
            CHECK_LINE(c, "hello\n");
            sinew_stream_unref(c);
            CHECK_EQ(sinew_server_begin(s), 0); /* it has begun */
            CHECK_EQ(sinew_server_close(s), 0);
            if (t)
                CHECK_EQ(sinew_await(t), 0);
        }
        finish(s); /* also one that never began */
    }
    return 0;
}

IN_RUNTIME(a202_no_more_connections_are_open_than_asked_for)
{
    const sinew_server_options opt = {.connections_max = 2};
    sinew_server *s = start(&opt, echo, NULL);
    sinew_stream *c[4];
    for (int i = 0; i < 4; i++) {
        c[i] = client(s); /* the system takes them all */
        say(c[i], "hello\n");
        CHECK_EQ(sinew_stream_flush(c[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        CHECK_LINE(c[i], "hello\n");
        CHECK(sinew_server_connections(s) <= 2);
        if (i == 1) {
            for (int j = 0; j < 50; j++)
                sinew_yield();
            CHECK_EQ(sinew_server_accepted(s), 2);
        }
        if (i >= 1)
            sinew_stream_unref(c[i - 1]);
    }
    sinew_stream_unref(c[3]);
    finish(s);
    return 0;
}

/* --- A203: shortages --------------------------------------------------------------------------------------------- */

IN_RUNTIME(a203_accepting_goes_on_a_second_after_a_shortage_of_descriptors)
{
    struct reports reports = {0};
    CHECK_EQ(sinew_set_error_handler(take_report, &reports), 0);
    const sinew_server_options opt = {.start_later = true};
    sinew_server *s = start(&opt, echo, NULL);
    sinew_stream *c = client(s); /* waits in the system's queue */
    struct rlimit before, none;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    int next = dup(0);
    none.rlim_cur = (rlim_t)next;
    close(next);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0); /* no new descriptor may be had */
    sinew_time from = sinew_now();
    CHECK_EQ(sinew_server_begin(s), 0);
    yield_until(&reports.count, 1);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    CHECK_EQ(reports.error, -EMFILE);
    CHECK(strstr(reports.what, "accepting") != NULL);
    say(c, "hello\n");
    CHECK_LINE(c, "hello\n");
    CHECK(sinew_now() - from >= SINEW_MS(999)); /* not at once: that would be a busy loop */
    CHECK_EQ(reports.count, 1);
    sinew_stream_unref(c);
    finish(s);
    sinew_set_error_handler(NULL, NULL);
    return 0;
}

IN_RUNTIME(a203_a_server_in_its_pause_can_be_closed)
{
    struct reports reports = {0};
    CHECK_EQ(sinew_set_error_handler(take_report, &reports), 0);
    const sinew_server_options opt = {.start_later = true};
    sinew_server *s = start(&opt, echo, NULL);
    sinew_stream *c = client(s);
    struct rlimit before, none;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    int next = dup(0);
    none.rlim_cur = (rlim_t)next;
    close(next);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    CHECK_EQ(sinew_server_begin(s), 0);
    yield_until(&reports.count, 1);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    finish(s);
    CHECK_EQ(reports.count, 1);
    sinew_stream_unref(c);
    sinew_set_error_handler(NULL, NULL);
    return 0;
}

IN_RUNTIME(a197_a_stream_can_be_dialled_and_a_failure_leaves_nothing_behind)
{
    sinew_server *s = start(NULL, echo, NULL);
    char text[160], address[64];
    snprintf(address, sizeof address, "localhost:%d", sinew_server_port(s)); /* ::1 is refused, 127.0.0.1 is not */
    sinew_stream *c;
    CHECK_EQ(sinew_stream_dial(address, NULL, &c), 0);
    CHECK(sinew_stream_peer(c, text, sizeof text) > 0);
    snprintf(address, sizeof address, "127.0.0.1:%d", sinew_server_port(s));
    CHECK(strcmp(text, address) == 0);
    CHECK_EQ(sinew_stream_peer(c, text, 5), -ENOSPC);
    say(c, "hello\n");
    CHECK_LINE(c, "hello\n");
    sinew_stream_unref(c);
    CHECK_EQ(sinew_server_close(s), 0);
    CHECK_EQ(sinew_server_wait_closed(s), 0);
    CHECK_EQ(sinew_stream_dial(address, NULL, &c), -ECONNREFUSED);
    CHECK(c == NULL);
    const sinew_stream_options bad = {.write_high = 1, .write_low = 2};
    CHECK_EQ(sinew_stream_dial(address, &bad, &c), -EINVAL);
    sinew_server_free(s);
    return 0;
}

TEST_MAIN(cmocka_unit_test_that_closes(a197_a_server_runs_its_handler_as_a_task_for_each_connection),
          cmocka_unit_test_that_closes(a197_serve_does_it_in_one_call_also_on_a_unix_socket),
          cmocka_unit_test_that_closes(a198_a_handler_that_fails_is_reported_and_ends_its_own_connection_only),
          cmocka_unit_test_that_closes(a199_closing_refuses_new_connections_at_once_and_leaves_open_ones),
          cmocka_unit_test_that_closes(a200_waiting_for_a_closed_server_waits_for_its_last_connection),
          cmocka_unit_test_that_closes(a201_connections_can_be_closed_which_sends_what_is_buffered),
          cmocka_unit_test_that_closes(a201_connections_can_be_aborted_which_drops_what_is_buffered),
          cmocka_unit_test_that_closes(a201_draining_ends_idle_connections_and_lets_busy_ones_finish),
          cmocka_unit_test_that_closes(a201_draining_cuts_what_has_not_finished_within_the_limit),
          cmocka_unit_test_that_closes(a202_a_cancel_ends_serving_and_waits_for_the_connections),
          cmocka_unit_test_that_closes(a202_a_second_cancel_cancels_the_handlers),
          cmocka_unit_test_that_closes(a202_one_task_at_a_time_serves_and_a_close_ends_it),
          cmocka_unit_test_that_closes(a202_a_server_may_start_later),
          cmocka_unit_test_that_closes(a202_no_more_connections_are_open_than_asked_for),
          cmocka_unit_test_that_closes(a203_accepting_goes_on_a_second_after_a_shortage_of_descriptors),
          cmocka_unit_test_that_closes(a203_a_server_in_its_pause_can_be_closed),
          cmocka_unit_test_that_closes(a197_a_stream_can_be_dialled_and_a_failure_leaves_nothing_behind))
