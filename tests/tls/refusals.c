/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: whom we do not trust, or cannot understand, is refused, on the side that finds out and with words that say why;
 * and who asks for it is not refused.
 * Method: both ends in this program, with certificates of all kinds.
 */
#include <tests/support/tls.h>

/* A handshake of the two that is to fail, or to succeed, on both sides. */
typedef struct meeting {
    sinew_tls_context_options client, server;
    const char *certificate; /* of the server; default "server" */
    const char *name;        /* that the client wants; default "localhost" */
    bool any_name;
    int client_result, server_result;
    const char *client_why, *server_why; /* a part of it */
} meeting;

static void meet(const meeting *m)
{
    sinew_stream *s[2];
    tls_side sides[2] = {
        {.context = client_context(&m->client),
         .opt = {.server_name = m->name ? m->name : "localhost", .any_name = m->any_name}},
        {.context = server_context(m->certificate ? m->certificate : "server", &m->server)},
    };
    if (!stream_pair(s) || !sides[0].context || !sides[1].context)
        return;
    sides[0].stream = s[0];
    sides[1].stream = s[1];
    sinew_task *other = sinew_spawn(tls_side_start, &sides[1]);
    tls_side_start(&sides[0]);
    /* In TLS 1.3 a client is through before the server has looked at its certificate; it is told when it reads. */
    char byte;
    if (sides[0].result == 0 && m->server_result != 0) {
        sides[0].result = (int)sinew_stream_read(s[0], &byte, 1);
        sinew_tls_error(s[0], sides[0].why.text, sizeof sides[0].why.text);
    }
    CHECK_EQ(sinew_await(other), 0);
    CHECK_EQ(sides[0].result, m->client_result);
    CHECK_EQ(sides[1].result, m->server_result);
    CHECK_CONTAINS(sides[0].why.text, m->client_why ? m->client_why : "");
    CHECK_CONTAINS(sides[1].why.text, m->server_why ? m->server_why : "");
    if (m->client_result != 0) {
        CHECK_EQ(sinew_stream_read(s[0], &byte, 1), m->client_result);
        CHECK_EQ(sinew_stream_write(s[0], &byte, 1), -EPIPE);
        CHECK(sinew_tls_error(s[0], NULL, 0) > 0);
    }
    for (int i = 0; i < 2; i++) {
        sinew_tls_context_unref(sides[i].context);
        sinew_stream_close(s[i]);
    }
    for (int i = 0; i < 2; i++)
        CHECK_EQ(sinew_stream_wait_closed(s[i]), i == 0 ? m->client_result : m->server_result);
    close_pair(s);
}

IN_RUNTIME(an_authority_that_nobody_trusts)
{
    meet(&(meeting){
        .client.ca_file = certificate("other.pem"),
        .client_result = -EKEYREJECTED,
        .server_result = -EACCES,
        .client_why = "unable to get local issuer",
        .server_why = "unknown ca",
    });
    return 0;
}

IN_RUNTIME(the_system_s_authorities_are_the_default)
{
    sinew_tls_context *context;
    sinew_tls_reason why = {"nothing"};
    CHECK_EQ(sinew_tls_context_new(NULL, &context), 0);
    sinew_tls_context_unref(context);
    sinew_stream *s[2];
    if (!stream_pair(s))
        return 0;
    tls_side server = {.stream = s[1], .context = server_context("server", NULL)};
    sinew_task *other = sinew_spawn(tls_side_start, &server);
    CHECK_EQ(sinew_tls_context_new(&(sinew_tls_context_options){.why = &why}, &context), 0);
    CHECK_TEXT(why.text, "");
    sinew_tls_options opt = {.server_name = "localhost", .why = &why};
    CHECK_EQ(sinew_tls_start(s[0], context, &opt), -EKEYREJECTED);
    CHECK_CONTAINS(why.text, "refused");
    CHECK_EQ(sinew_await(other), 0);
    sinew_tls_context_unref(context);
    sinew_tls_context_unref(server.context);
    close_pair(s);
    return 0;
}

IN_RUNTIME(a_certificate_signed_by_itself)
{
    meet(&(meeting){
        .certificate = "selfish",
        .client_result = -EKEYREJECTED,
        .server_result = -EACCES,
        .client_why = "self-signed",
    });
    return 0;
}

IN_RUNTIME(a_certificate_that_has_expired)
{
    meet(&(meeting){
        .certificate = "expired",
        .client_result = -EKEYREJECTED,
        .server_result = -EACCES,
        .client_why = "expired",
        .server_why = "expired",
    });
    return 0;
}

IN_RUNTIME(a_certificate_for_another_name)
{
    meet(&(meeting){
        .name = "example.org",
        .client_result = -EKEYREJECTED,
        .server_result = -EACCES,
        .client_why = "ostname mismatch",
    });
    meet(&(meeting){
        .name = "127.0.0.2",
        .client_result = -EKEYREJECTED,
        .server_result = -EACCES,
        .client_why = "IP address mismatch",
    });
    meet(&(meeting){.name = "127.0.0.1"});
    meet(&(meeting){.name = "example.org", .any_name = true});
    return 0;
}

IN_RUNTIME(any_name_does_not_mean_any_certificate)
{
    meet(&(meeting){
        .certificate = "selfish",
        .any_name = true,
        .client_result = -EKEYREJECTED,
        .server_result = -EACCES,
    });
    return 0;
}

IN_RUNTIME(who_does_not_verify_takes_everybody)
{
    meet(&(meeting){.certificate = "selfish", .client.verify = SINEW_TLS_VERIFY_NONE});
    meet(&(meeting){.certificate = "expired", .name = "example.org", .client.verify = SINEW_TLS_VERIFY_NONE});
    return 0;
}

/* --- the client's ------------------------------------------------------------------------------------------------- */

IN_RUNTIME(a_client_without_a_certificate_where_one_is_wanted)
{
    meet(&(meeting){
        .server = {.verify = SINEW_TLS_VERIFY_PEER, .ca_file = certificate("ca.pem")},
        .client_result = -EACCES,
        .server_result = -EKEYREJECTED,
        .client_why = "certificate required",
        .server_why = "no certificate",
    });
    meet(&(meeting){
        .server = {.verify = SINEW_TLS_VERIFY_PEER, .ca_file = certificate("ca.pem"), .version_max = SINEW_TLS_1_2},
        .client_result = -EPROTO, /* this version has no alert for it */
        .server_result = -EKEYREJECTED,
    });
    meet(&(meeting){.server = {.verify = SINEW_TLS_VERIFY_OPTIONAL, .ca_file = certificate("ca.pem")}});
    return 0;
}

IN_RUNTIME(a_client_s_certificate_of_an_unknown_authority)
{
    for (int verify = SINEW_TLS_VERIFY_PEER; verify <= SINEW_TLS_VERIFY_OPTIONAL; verify++)
        meet(&(meeting){
            .client = {.certificate_file = certificate("client.pem"), .key_file = certificate("client.key")},
            .server = {.verify = (sinew_tls_verify)verify, .ca_file = certificate("other.pem")},
            .client_result = -EACCES,
            .server_result = -EKEYREJECTED,
            .client_why = "unknown ca",
        });
    return 0;
}

/* --- versions and protocols --------------------------------------------------------------------------------------- */

IN_RUNTIME(no_version_in_common)
{
    meet(&(meeting){
        .client.version_max = SINEW_TLS_1_2,
        .server.version_min = SINEW_TLS_1_3,
        .client_result = -EPROTO,
        .server_result = -EPROTO,
        .client_why = "protocol version",
    });
    meet(&(meeting){.client.version_max = SINEW_TLS_1_2, .server.version_max = SINEW_TLS_1_2});
    return 0;
}

IN_RUNTIME(no_application_protocol_in_common)
{
    meet(&(meeting){
        .client.alpn = "h2",
        .server.alpn = "http/1.1,spdy/3",
        .client_result = -EPROTO,
        .server_result = -EPROTO,
        .client_why = "no application protocol",
    });
    meet(&(meeting){.server.alpn = "http/1.1"});
    meet(&(meeting){.client.alpn = "http/1.1"});
    return 0;
}

/* --- contexts ----------------------------------------------------------------------------------------------------- */

static void refused(sinew_tls_context_options opt, int expected, const char *part)
{
    sinew_tls_reason why = {""};
    sinew_tls_context *context = (sinew_tls_context *)&why;
    opt.why = &why;
    CHECK_EQ(sinew_tls_context_new(&opt, &context), expected);
    CHECK(context == NULL);
    CHECK_CONTAINS(why.text, part);
}

static void refuse_all(void)
{
    const char *pem = certificate("server.pem"), *key = certificate("server.key");
    refused((sinew_tls_context_options){.role = SINEW_TLS_SERVER}, -EINVAL, "needs a certificate");
    refused((sinew_tls_context_options){.key_file = key}, -EINVAL, "no certificate");
    refused((sinew_tls_context_options){.role = (sinew_tls_role)7}, -EINVAL, "role");
    refused((sinew_tls_context_options){.verify = (sinew_tls_verify)7}, -EINVAL, "verify");
    refused((sinew_tls_context_options){.verify = SINEW_TLS_VERIFY_OPTIONAL}, -EINVAL, "verify");
    refused((sinew_tls_context_options){.version_min = (sinew_tls_version)7}, -EINVAL, "version");
    refused((sinew_tls_context_options){.version_min = SINEW_TLS_1_3, .version_max = SINEW_TLS_1_2}, -EINVAL, "above");
    refused((sinew_tls_context_options){.alpn = ""}, -EINVAL, "alpn");
    refused((sinew_tls_context_options){.alpn = "h2,,http/1.1"}, -EINVAL, "alpn");
    refused((sinew_tls_context_options){.alpn = "h2,"}, -EINVAL, "alpn");
    refused((sinew_tls_context_options){.ca_file = certificate("none.pem")}, -ENOENT, "none.pem");
    refused((sinew_tls_context_options){.ca_file = certificate("nonsense.pem")}, -EBADMSG, "nonsense.pem");
    refused((sinew_tls_context_options){.ca_directory = certificate("none")}, -ENOENT, "none");
    refused((sinew_tls_context_options){.ca_directory = pem}, -ENOTDIR, "server.pem");
    refused((sinew_tls_context_options){.certificate_file = certificate("none.pem"), .key_file = key}, -ENOENT,
            "none.pem");
    refused((sinew_tls_context_options){.certificate_file = certificate("nonsense.pem"), .key_file = key}, -EBADMSG,
            "nonsense.pem");
    refused((sinew_tls_context_options){.certificate_file = pem}, -EBADMSG, "server.pem"); /* the key is elsewhere */
    refused((sinew_tls_context_options){.certificate_file = pem, .key_file = certificate("rsa.key")}, -EBADMSG,
            "rsa.key");
    refused((sinew_tls_context_options){.certificate_file = pem, .key_file = certificate("encrypted.key")}, -EBADMSG,
            "encrypted.key");
}

IN_RUNTIME(contexts_that_cannot_be)
{
    refuse_all();
    return 0;
}

static void contexts_are_made_outside_of_tasks(void **state)
{
    (void)state;
    refuse_all();
    sinew_tls_context *context = server_context("rsa", NULL);
    assert_non_null(context);
    assert_int_equal(sinew_tls_context_reload(context, NULL), 0);
    sinew_tls_context_unref(context);
    assert_int_equal(atomic_load(&check_failures), 0);
}

/* --- misuse ------------------------------------------------------------------------------------------------------- */

IN_RUNTIME(bad_handles_are_told_so)
{
    sinew_stream *s[2], *none = (sinew_stream *)s;
    sinew_tls_info info;
    char text[8];
    sinew_tls_reason why;
    sinew_tls_context *client = client_context(NULL);
    CHECK_EQ(sinew_tls_context_new(NULL, NULL), -EINVAL);
    CHECK_EQ(sinew_tls_context_reload(NULL, NULL), -EINVAL);
    CHECK(sinew_tls_context_ref(NULL) == NULL);
    sinew_tls_context_unref(NULL);
    if (!stream_pair(s))
        return 0;
    CHECK_EQ(sinew_tls_start(NULL, client, NULL), -EINVAL);
    CHECK_EQ(sinew_tls_start(s[0], NULL, NULL), -EINVAL);
    CHECK_EQ(sinew_tls_start(s[0], client, &(sinew_tls_options){.why = &why}), -EINVAL);
    CHECK_CONTAINS(why.text, "server_name");
    CHECK_EQ(sinew_tls_start(s[0], client, &(sinew_tls_options){.server_name = "", .why = &why}), -EINVAL);
    CHECK_EQ(sinew_tls_dial("127.0.0.1:1", client, NULL, NULL), -EINVAL);
    CHECK_EQ(sinew_tls_dial("127.0.0.1:1", NULL, NULL, &none), -EINVAL);
    CHECK(none == NULL);
    CHECK_EQ(sinew_tls_dial("127.0.0.1:1", client, NULL, &none), -ECONNREFUSED);
    CHECK_EQ(sinew_tls_serve(s[0], NULL), -EINVAL);
    CHECK_EQ(sinew_tls_get_info(NULL, &info), -EINVAL);
    CHECK_EQ(sinew_tls_get_info(s[0], NULL), -EINVAL);
    CHECK_EQ(sinew_tls_get_info(s[0], &info), -ENOPROTOOPT);
    CHECK_EQ(sinew_tls_error(NULL, text, sizeof text), -EINVAL);
    CHECK_EQ(sinew_tls_error(s[0], NULL, 1), -EINVAL);
    CHECK_EQ(sinew_tls_error(s[0], text, sizeof text), -ENOPROTOOPT);
    /* The stream is as it was. */
    CHECK_EQ(sinew_stream_write(s[0], "x", 1), 0);
    CHECK_EQ(sinew_stream_flush(s[0]), 0);
    CHECK_EQ(sinew_stream_read(s[1], text, 1), 1);
    close_pair(s);
    sinew_tls_context_unref(client);
    return 0;
}

TLS_MAIN(cmocka_unit_test(an_authority_that_nobody_trusts), cmocka_unit_test(the_system_s_authorities_are_the_default),
         cmocka_unit_test(a_certificate_signed_by_itself), cmocka_unit_test(a_certificate_that_has_expired),
         cmocka_unit_test(a_certificate_for_another_name), cmocka_unit_test(any_name_does_not_mean_any_certificate),
         cmocka_unit_test(who_does_not_verify_takes_everybody),
         cmocka_unit_test(a_client_without_a_certificate_where_one_is_wanted),
         cmocka_unit_test(a_client_s_certificate_of_an_unknown_authority), cmocka_unit_test(no_version_in_common),
         cmocka_unit_test(no_application_protocol_in_common), cmocka_unit_test(contexts_that_cannot_be),
         cmocka_unit_test(contexts_are_made_outside_of_tasks), cmocka_unit_test(bad_handles_are_told_so))
