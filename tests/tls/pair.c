/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a stream over TLS behaves as streams do: data, ends, half-closes, backpressure, both sides at once.
 * Method: both ends in this program. What a foreign implementation says of it is in peers.c, what goes wrong in
 * refusals.c and hazards.c.
 */
#include <tests/support/tls.h>

IN_RUNTIME(what_is_written_is_read_on_the_other_side)
{
    sinew_stream *s[2];
    const char *line;
    if (!tls_pair(s))
        return 0;
    CHECK_EQ(sinew_stream_write(s[0], "hello\n", 6), 0);
    CHECK_EQ(sinew_stream_flush(s[0]), 0);
    CHECK_EQ(sinew_stream_readline(s[1], &line), 6);
    CHECK(memcmp(line, "hello\n", 6) == 0);
    CHECK_EQ(sinew_stream_write(s[1], "you, too\n", 9), 0);
    CHECK_EQ(sinew_stream_flush(s[1]), 0);
    CHECK_EQ(sinew_stream_readline(s[0], &line), 9);
    close_pair(s);
    return 0;
}

/* --- large transfers ---------------------------------------------------------------------------------------------- */

typedef struct transfer {
    sinew_stream *stream;
    size_t bytes;
    uint64_t seed;
    uint64_t sum; /* FNV-1a of what went through */
} transfer;

static uint64_t summed(uint64_t sum, const void *data, size_t n)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < n; i++)
        sum = (sum ^ bytes[i]) * UINT64_C(0x100000001b3);
    return sum;
}

/* Writes in stretches of any length, some of them longer than a record. */
static intptr_t pour(void *arg)
{
    transfer *x = arg;
    uint64_t random = x->seed;
    char *block = malloc(40000);
    for (size_t i = 0; i < 40000; i++)
        block[i] = (char)(i * 31 + x->seed);
    for (size_t left = x->bytes; left > 0;) {
        random = random * UINT64_C(6364136223846793005) + 1;
        size_t n = (random >> 33) % 8 == 0 ? (random >> 40) % 40000 : (random >> 40) % 300;
        n = n < left ? n : left;
        block[n / 2] ^= (char)random;
        x->sum = summed(x->sum, block, n);
        if (!CHECK_EQ(sinew_stream_write(x->stream, block, n), 0) || !CHECK_EQ(sinew_stream_drain(x->stream), 0))
            break;
        left -= n;
    }
    free(block);
    CHECK_EQ(sinew_stream_write_eof(x->stream), 0);
    return 0;
}

static intptr_t drink(void *arg)
{
    transfer *x = arg;
    uint64_t random = x->seed + 1;
    char *block = malloc(40000);
    for (;;) {
        random = random * UINT64_C(6364136223846793005) + 1;
        ssize_t n = sinew_stream_read(x->stream, block, 1 + (random >> 40) % 39999);
        if (n <= 0) {
            CHECK_EQ(n, 0);
            break;
        }
        x->sum = summed(x->sum, block, (size_t)n);
        x->bytes += (size_t)n;
    }
    free(block);
    return 0;
}

static void transfer_both_ways(sinew_stream *s[2], size_t bytes)
{
    transfer x[4] = {{s[0], bytes, 1, 0}, {s[1], 0, 2, 0}, {s[1], bytes, 3, 0}, {s[0], 0, 4, 0}};
    sinew_task *tasks[] = {sinew_spawn(pour, &x[0]), sinew_spawn(drink, &x[1]), sinew_spawn(pour, &x[2]),
                           sinew_spawn(drink, &x[3])};
    CHECK_EQ(sinew_gather(tasks, 4, NULL), 0);
    CHECK_EQ(x[1].bytes, bytes);
    CHECK_EQ(x[3].bytes, bytes);
    CHECK(x[0].sum == x[1].sum);
    CHECK(x[2].sum == x[3].sum);
}

static void transfer_with_version(sinew_tls_version version, const char *name)
{
    sinew_stream *s[2];
    sinew_tls_info info;
    sinew_tls_context_options opt = {.version_max = version};
    if (!tls_pair_of(s, client_context(NULL), server_context("rsa", &opt)))
        return;
    CHECK_EQ(sinew_tls_get_info(s[0], &info), 0);
    CHECK_TEXT(info.version, name);
    transfer_both_ways(s, scaled(6000000, 400000));
    close_pair(s);
}

IN_RUNTIME(megabytes_go_both_ways_at_once_in_tls_1_3)
{
    transfer_with_version(SINEW_TLS_1_3, "TLSv1.3");
    return 0;
}

IN_RUNTIME(megabytes_go_both_ways_at_once_in_tls_1_2)
{
    transfer_with_version(SINEW_TLS_1_2, "TLSv1.2");
    return 0;
}

/* A file goes through the buffer of the stream, not past the session. */
IN_RUNTIME(a_file_is_sent_encrypted)
{
    sinew_stream *s[2];
    FILE *file = tmpfile();
    for (int i = 0; i < 50000; i++)
        fprintf(file, "%d\n", i);
    fflush(file);
    long bytes = ftell(file);
    if (!tls_pair(s))
        return 0;
    transfer x = {.stream = s[1], .seed = 5};
    sinew_task *reader = sinew_spawn(drink, &x);
    CHECK_EQ(sinew_stream_sendfile(s[0], fileno(file), 0, (size_t)bytes), bytes);
    CHECK_EQ(sinew_stream_write_eof(s[0]), 0);
    CHECK_EQ(sinew_await(reader), 0);
    CHECK_EQ((long)x.bytes, bytes);
    fclose(file);
    close_pair(s);
    return 0;
}

/* --- ends --------------------------------------------------------------------------------------------------------- */

static intptr_t answer_what_came(void *arg)
{
    sinew_stream *s = arg;
    char *all;
    ssize_t n = sinew_stream_read_all(s, &all, 0);
    CHECK_EQ(n, 8);
    CHECK_EQ(sinew_stream_printf(s, "%d bytes: %s", (int)n, all ? all : ""), 0);
    free(all);
    sinew_stream_close(s);
    return sinew_stream_wait_closed(s);
}

IN_RUNTIME(one_direction_ends_and_the_other_goes_on)
{
    sinew_stream *s[2];
    char *answer;
    if (!tls_pair(s))
        return 0;
    sinew_task *other = sinew_spawn(answer_what_came, s[1]);
    CHECK_EQ(sinew_stream_write(s[0], "question", 8), 0);
    CHECK_EQ(sinew_stream_write_eof(s[0]), 0);
    CHECK_EQ(sinew_stream_write(s[0], "!", 1), -EPIPE);
    CHECK_EQ(sinew_stream_read_all(s[0], &answer, 0), 17);
    if (answer)
        CHECK_TEXT(answer, "8 bytes: question");
    free(answer);
    sinew_stream_close(s[0]);
    CHECK_EQ(sinew_stream_wait_closed(s[0]), 0);
    CHECK_EQ(sinew_await(other), 0);
    close_pair(s);
    return 0;
}

static intptr_t read_to_the_end_and_close(void *arg)
{
    sinew_stream *s = arg;
    char *all;
    ssize_t n = sinew_stream_read_all(s, &all, 0);
    free(all);
    sinew_stream_close(s);
    return n;
}

IN_RUNTIME(a_close_sends_everything_and_then_the_end)
{
    sinew_stream *s[2];
    static const char block[100000];
    if (!tls_pair(s))
        return 0;
    sinew_task *other = sinew_spawn(read_to_the_end_and_close, s[1]);
    CHECK_EQ(sinew_stream_write(s[0], block, sizeof block), 0);
    CHECK_EQ(sinew_stream_close(s[0]), 0);
    CHECK_EQ(sinew_stream_wait_closed(s[0]), 0);
    CHECK_EQ(sinew_await(other), sizeof block);
    CHECK_EQ(sinew_tls_error(s[1], NULL, 0), 0);
    close_pair(s);
    return 0;
}

/* The client never reads, so the server's session tickets lie unread in its socket when it closes. */
IN_RUNTIME(what_a_client_writes_that_never_reads_arrives)
{
    sinew_stream *s[2];
    static const char block[300000];
    if (!tls_pair(s))
        return 0;
    sinew_task *other = sinew_spawn(read_to_the_end_and_close, s[1]);
    CHECK_EQ(sinew_stream_write(s[0], block, sizeof block), 0);
    sinew_stream_unref(s[0]);
    CHECK_EQ(sinew_await(other), sizeof block);
    sinew_stream_unref(s[1]);
    return 0;
}

static intptr_t wait_for_more(void *arg)
{
    const char *data;
    return sinew_stream_peek(arg, &data);
}

IN_RUNTIME(closing_ends_a_read_that_waits)
{
    sinew_stream *s[2];
    if (!tls_pair(s))
        return 0;
    sinew_task *reader = sinew_spawn(wait_for_more, s[0]);
    sinew_sleep(SINEW_MS(2));
    CHECK_EQ(sinew_stream_close(s[0]), 0);
    CHECK_EQ(sinew_await(reader), 0);
    CHECK_EQ(sinew_stream_wait_closed(s[0]), 0);
    close_pair(s);
    return 0;
}

static intptr_t drop(void *stream)
{
    sinew_stream_unref(stream);
    return 0;
}

IN_RUNTIME(the_last_reference_may_go_in_a_thread_that_runs_no_tasks)
{
    sinew_stream *s[2];
    char block[100];
    if (!tls_pair(s))
        return 0;
    memset(block, 'x', sizeof block);
    CHECK_EQ(sinew_stream_write(s[1], block, sizeof block), 0);
    CHECK_EQ(sinew_stream_flush(s[1]), 0);
    CHECK_EQ(sinew_stream_read(s[0], block, 1), 1); /* the rest is buffered */
    CHECK_EQ(sinew_blocking_wait(drop, s[0]), 0);
    CHECK_EQ(sinew_stream_read(s[1], block, 1), 0); /* it has said goodbye */
    sinew_stream_unref(s[1]);
    return 0;
}

/* --- waiting ------------------------------------------------------------------------------------------------------ */

IN_RUNTIME(a_peer_that_does_not_read_holds_up_the_writer)
{
    sinew_stream *s[2];
    static const char block[30000];
    if (!tls_pair(s))
        return 0;
    int r = 0;
    size_t written = 0;
    while (r == 0 && written < 100000000) {
        CHECK_EQ(sinew_stream_write(s[0], block, sizeof block), 0);
        written += sizeof block;
        sinew_timeout limit;
        sinew_timeout_begin(&limit, SINEW_MS(50));
        r = sinew_stream_drain(s[0]);
        sinew_timeout_end(&limit);
    }
    CHECK_EQ(r, -ETIMEDOUT);
    CHECK(sinew_stream_unsent(s[0]) <= 65536 + sizeof block);
    transfer x = {.stream = s[1], .seed = 6};
    sinew_task *reader = sinew_spawn(drink, &x);
    CHECK_EQ(sinew_stream_flush(s[0]), 0);
    CHECK_EQ(sinew_stream_write_eof(s[0]), 0);
    CHECK_EQ(sinew_await(reader), 0);
    CHECK_EQ(x.bytes, written);
    close_pair(s);
    return 0;
}

/* A read that is cancelled, in whatever state, loses nothing; nor does a flush. */
static intptr_t read_some_lines(void *arg)
{
    sinew_stream *s = arg;
    const char *line;
    int seen = 0, timeouts = 0;
    while (seen < 500) {
        sinew_timeout limit;
        sinew_timeout_begin(&limit, SINEW_US(100));
        ssize_t n = sinew_stream_readline(s, &line);
        sinew_timeout_end(&limit);
        if (n == -ETIMEDOUT) {
            timeouts++;
            continue;
        }
        if (!CHECK(n > 2) || !CHECK_EQ(atoi(line), seen))
            break;
        seen++;
    }
    CHECK(timeouts > 0);
    return 0;
}

IN_RUNTIME(a_read_that_times_out_loses_nothing)
{
    sinew_stream *s[2];
    if (!tls_pair(s))
        return 0;
    sinew_task *reader = sinew_spawn(read_some_lines, s[1]);
    for (int i = 0; i < 500; i++) {
        CHECK_EQ(sinew_stream_printf(s[0], "%d %0*d\n", i, i * 20, 0), 0);
        sinew_timeout limit;
        sinew_timeout_begin(&limit, SINEW_US(50));
        int r = sinew_stream_flush(s[0]);
        sinew_timeout_end(&limit);
        CHECK(r == 0 || r == -ETIMEDOUT);
        if (i % 10 == 0)
            sinew_sleep(SINEW_US(300));
    }
    CHECK_EQ(sinew_await(reader), 0);
    close_pair(s);
    return 0;
}

/* --- what was agreed upon ----------------------------------------------------------------------------------------- */

IN_RUNTIME(both_sides_know_what_was_agreed_upon)
{
    sinew_stream *s[2];
    sinew_tls_info info;
    sinew_tls_context_options client = {.alpn = "http/1.1,h2"}, server = {.alpn = "h3,h2,http/1.1"};
    if (!tls_pair_of(s, client_context(&client), server_context("server", &server)))
        return 0;
    CHECK_EQ(sinew_tls_get_info(s[0], &info), 0);
    CHECK_TEXT(info.version, "TLSv1.3");
    CHECK_TEXT(info.alpn, "h2");
    CHECK_CONTAINS(info.cipher, "TLS_");
    CHECK_TEXT(info.peer, "CN = server.example");
    CHECK(info.verified);
    CHECK_EQ(sinew_tls_get_info(s[1], &info), 0);
    CHECK_TEXT(info.alpn, "h2");
    CHECK_TEXT(info.server_name, "localhost");
    CHECK_TEXT(info.peer, "");
    CHECK(!info.verified);
    CHECK_EQ(sinew_tls_error(s[0], NULL, 0), 0);
    sinew_stream_close(s[0]);
    sinew_stream_close(s[1]);
    sinew_stream_wait_closed(s[1]);
    CHECK_EQ(sinew_tls_get_info(s[1], &info), 0); /* still */
    CHECK_TEXT(info.alpn, "h2");
    close_pair(s);
    return 0;
}

IN_RUNTIME(a_client_shows_its_certificate)
{
    sinew_stream *s[2];
    sinew_tls_info info;
    sinew_tls_context_options client = {.certificate_file = certificate("client.pem"),
                                        .key_file = certificate("client.key")};
    sinew_tls_context_options server = {.verify = SINEW_TLS_VERIFY_PEER, .ca_file = certificate("ca.pem")};
    if (!tls_pair_of(s, client_context(&client), server_context("server", &server)))
        return 0;
    CHECK_EQ(sinew_tls_get_info(s[1], &info), 0);
    CHECK_TEXT(info.peer, "CN = client.example");
    CHECK(info.verified);
    close_pair(s);
    return 0;
}

IN_RUNTIME(connections_after_a_reload_see_the_new_certificate)
{
    sinew_stream *s[2], *later[2];
    sinew_tls_info info;
    sinew_tls_reason why;
    char command[PATH_MAX];
    snprintf(command, sizeof command, "cd %s && cp server.pem used.pem && cp server.key used.key",
             certificates_directory);
    CHECK_EQ(system(command), 0);
    sinew_tls_context *server = server_context("used", NULL);
    if (!tls_pair_of(s, client_context(NULL), sinew_tls_context_ref(server)))
        return 0;
    snprintf(command, sizeof command, "cd %s && cp rsa.pem used.pem && cp rsa.key used.key", certificates_directory);
    CHECK_EQ(system(command), 0);
    CHECK_EQ(sinew_tls_context_reload(server, &why), 0);
    if (tls_pair_of(later, client_context(NULL), sinew_tls_context_ref(server))) {
        CHECK_EQ(sinew_tls_get_info(later[0], &info), 0);
        CHECK_TEXT(info.peer, "CN = rsa.example");
        close_pair(later);
    }
    /* A reload that fails leaves things as they are, and what is open goes on. */
    snprintf(command, sizeof command, "cd %s && cp nonsense.pem used.pem", certificates_directory);
    CHECK_EQ(system(command), 0);
    CHECK_EQ(sinew_tls_context_reload(server, &why), -EBADMSG);
    CHECK_CONTAINS(why.text, "used.pem");
    if (tls_pair_of(later, client_context(NULL), sinew_tls_context_ref(server)))
        close_pair(later);
    CHECK_EQ(sinew_tls_get_info(s[0], &info), 0);
    CHECK_TEXT(info.peer, "CN = server.example");
    transfer_both_ways(s, 1000);
    close_pair(s);
    sinew_tls_context_unref(server);
    return 0;
}

TLS_MAIN(cmocka_unit_test(what_is_written_is_read_on_the_other_side),
         cmocka_unit_test(megabytes_go_both_ways_at_once_in_tls_1_3),
         cmocka_unit_test(megabytes_go_both_ways_at_once_in_tls_1_2), cmocka_unit_test(a_file_is_sent_encrypted),
         cmocka_unit_test(one_direction_ends_and_the_other_goes_on),
         cmocka_unit_test(a_close_sends_everything_and_then_the_end),
         cmocka_unit_test(what_a_client_writes_that_never_reads_arrives),
         cmocka_unit_test(closing_ends_a_read_that_waits),
         cmocka_unit_test(the_last_reference_may_go_in_a_thread_that_runs_no_tasks),
         cmocka_unit_test(a_peer_that_does_not_read_holds_up_the_writer),
         cmocka_unit_test(a_read_that_times_out_loses_nothing), cmocka_unit_test(both_sides_know_what_was_agreed_upon),
         cmocka_unit_test(a_client_shows_its_certificate),
         cmocka_unit_test(connections_after_a_reload_see_the_new_certificate))
