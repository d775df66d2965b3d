/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a handshake fits well into a default stack, and a session that waits holds no large buffers.
 * Method: the stack below a task is given back to the kernel, which makes it zero, and after a handshake the lowest
 * byte that is not shows how far down it was used. Memory is what malloc says; the numbers are printed, and are those
 * that sinew/tls.h and io/README.md name.
 * Not seen: what other versions of OpenSSL, and other keys, need.
 */
#include <tests/support/tls.h>

#include <malloc.h>

/* --- stack -------------------------------------------------------------------------------------------------------- */

enum { LOOK_BYTES = 256 << 10, STACK_BYTES = 1 << 20 };

#if defined(__clang__) || defined(__GNUC__)
__attribute__((noinline, no_sanitize("address", "thread")))
#endif
static size_t
used_below(const char *top)
{
    const volatile char *at = top - LOOK_BYTES;
    while (at < top && *at == 0)
        at++;
    return (size_t)(top - at);
}

typedef struct shake {
    tls_side side;
    size_t used;
} shake;

static intptr_t start_and_measure(void *arg)
{
    shake *s = arg;
    CHECK_EQ(sinew_stack_trim(), 0);
    const char *top = __builtin_frame_address(0);
    tls_side_start(&s->side);
    s->used = used_below(top);
    return 0;
}

static intptr_t read_and_measure(void *arg)
{
    shake *s = arg;
    char block[100];
    CHECK_EQ(sinew_stack_trim(), 0);
    const char *top = __builtin_frame_address(0);
    CHECK_EQ(sinew_stream_read_exactly(s->side.stream, block, sizeof block), 0);
    CHECK_EQ(sinew_stream_write(s->side.stream, block, sizeof block), 0);
    CHECK_EQ(sinew_stream_flush(s->side.stream), 0);
    s->used = used_below(top);
    return 0;
}

static const sinew_spawn_options large = {.stack_bytes = STACK_BYTES};

static size_t measure(const char *name, sinew_tls_version version)
{
    sinew_stream *s[2];
    sinew_tls_context_options client = {.certificate_file = certificate("client.pem"),
                                        .key_file = certificate("client.key")};
    sinew_tls_context_options server = {
        .verify = SINEW_TLS_VERIFY_PEER, .ca_file = certificate("ca.pem"), .version_max = version};
    shake shakes[2] = {
        {.side = {.context = client_context(&client), .opt.server_name = "localhost"}},
        {.side = {.context = server_context(name, &server)}},
    };
    if (!stream_pair(s))
        return 0;
    sinew_task *tasks[2];
    for (int i = 0; i < 2; i++) {
        shakes[i].side.stream = s[i];
        tasks[i] = sinew_spawn_with(&large, start_and_measure, &shakes[i]);
    }
    CHECK_EQ(sinew_gather(tasks, 2, NULL), 0);
    CHECK_EQ(shakes[0].side.result, 0);
    CHECK_EQ(shakes[1].side.result, 0);
    printf("handshake with %s, TLS 1.%d: client %zu bytes of stack, server %zu\n", name,
           version == SINEW_TLS_1_2 ? 2 : 3, shakes[0].used, shakes[1].used);
    size_t most = shakes[0].used > shakes[1].used ? shakes[0].used : shakes[1].used;
    static const char block[100];
    CHECK_EQ(sinew_stream_write(s[0], block, sizeof block), 0);
    CHECK_EQ(sinew_stream_flush(s[0]), 0);
    CHECK_EQ(sinew_await(sinew_spawn_with(&large, read_and_measure, &shakes[1])), 0);
    printf("reading and writing: %zu bytes of stack\n", shakes[1].used);
    CHECK(shakes[1].used <= 16 << 10);
    sinew_tls_context_unref(shakes[0].side.context);
    sinew_tls_context_unref(shakes[1].side.context);
    sinew_stream_abort(s[0]);
    sinew_stream_abort(s[1]);
    close_pair(s);
    return most;
}

IN_RUNTIME_WITH(a_handshake_fits_into_half_a_default_stack, 2)
{
    static const char *const names[] = {"server", "rsa"};
    for (size_t i = 0; i < 4; i++) {
        size_t used = measure(names[i / 2], i % 2 ? SINEW_TLS_1_3 : SINEW_TLS_1_2);
        CHECK(used > 1000 && used <= SINEW_STACK_BYTES_DEFAULT / 2);
    }
    return 0;
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

static size_t allocated(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

enum { SESSIONS = 100 };

static intptr_t wait_for_more(void *arg)
{
    return sinew_stream_idle(arg);
}

static void measure_memory(sinew_tls_version version)
{
    static sinew_stream *s[SESSIONS][2];
    static sinew_task *waiting[SESSIONS][2];
    char block[2000];
    sinew_tls_context_options opt = {.version_max = version};
    sinew_tls_context *client = client_context(NULL), *server = server_context("server", &opt);
    if (!tls_pair_of(s[0], sinew_tls_context_ref(client), sinew_tls_context_ref(server)))
        return;
    close_pair(s[0]);
    size_t before = allocated();
    for (int i = 0; i < SESSIONS; i++) {
        if (!tls_pair_of(s[i], sinew_tls_context_ref(client), sinew_tls_context_ref(server)))
            return;
        for (int side = 0; side < 2; side++) { /* something has been said before they wait */
            static const char much[40000];
            CHECK_EQ(sinew_stream_write(s[i][side], much, sizeof much), 0);
            for (size_t n = 0; n < sizeof much; n += sizeof block)
                CHECK_EQ(sinew_stream_read_exactly(s[i][!side], block, sizeof block), 0);
        }
        for (int side = 0; side < 2; side++)
            waiting[i][side] = sinew_spawn(wait_for_more, s[i][side]);
    }
    sinew_sleep(SINEW_MS(20)); /* they wait now */
    size_t both = allocated() - before;
    for (int i = 0; i < SESSIONS; i++) {
        CHECK_EQ(sinew_stream_abort(s[i][0]), 0);
        CHECK_EQ(sinew_await(waiting[i][0]), 0);
        sinew_stream_unref(s[i][0]);
    }
    size_t one = allocated() - before;
    printf("TLS 1.%d, idle: client %zu bytes, server %zu\n", version == SINEW_TLS_1_2 ? 2 : 3, (both - one) / SESSIONS,
           one / SESSIONS);
    if (!slowed_down()) { /* a buffer for a record has 17 KiB; OpenSSL's client keeps one after session tickets */
        CHECK(one / SESSIONS > 4000 && one / SESSIONS < 24000);
        CHECK((both - one) / SESSIONS < (version == SINEW_TLS_1_3 ? 46000 : 29000));
    }
    for (int i = 0; i < SESSIONS; i++) {
        CHECK_EQ(sinew_stream_abort(s[i][1]), 0);
        sinew_await(waiting[i][1]);
        sinew_stream_unref(s[i][1]);
    }
    sinew_tls_context_unref(client);
    sinew_tls_context_unref(server);
}

IN_RUNTIME_WITH(a_session_that_waits_holds_no_large_buffers, 1)
{
    mallopt(M_ARENA_MAX, 1); /* or mallinfo2 does not see all */
    measure_memory(SINEW_TLS_1_3);
    measure_memory(SINEW_TLS_1_2);
    return 0;
}

TLS_MAIN(cmocka_unit_test(a_handshake_fits_into_half_a_default_stack),
         cmocka_unit_test(a_session_that_waits_holds_no_large_buffers))
