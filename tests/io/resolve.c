/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: names are looked up off the workers, in threads of their own; a caller leaves at once, and what it leaves
 * frees itself; every failure has its documented code.
 * Method: the C library's getaddrinfo for what needs no network, a private /etc/hosts where that is allowed, and a
 * stand-in for everything else. Cannot see: a real name server.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>

#include <tests/support/child.h>
#include <tests/support/files.h>
#include <tests/support/names.h>
#include <tests/support/process.h>
#include <tests/support/run.h>
#include <tests/support/tasks.h>

enum { LOOKUPS_AT_ONCE = 8 };

static bool is_v4(const sinew_address *a, const char *host, int port)
{
    return a->any.sa_family == AF_INET && a->length == sizeof a->v4 && a->v4.sin_addr.s_addr == inet_addr(host) &&
           ntohs(a->v4.sin_port) == port;
}

IN_RUNTIME(numeric_hosts_and_ports_need_no_thread)
{
    sinew_address a[4];
    int threads = count_threads();
    CHECK_EQ(sinew_resolve("192.0.2.7", "8080", NULL, a, 4), 1);
    CHECK(is_v4(&a[0], "192.0.2.7", 8080));
    CHECK_EQ(sinew_resolve("2001:db8::1", NULL, NULL, a, 4), 1);
    CHECK_EQ(a[0].any.sa_family, AF_INET6);
    CHECK_EQ(a[0].length, sizeof a[0].v6);
    CHECK_EQ(ntohs(a[0].v6.sin6_port), 0);
    sinew_resolve_options v4 = {.family = AF_INET, .type = SOCK_DGRAM};
    CHECK_EQ(sinew_resolve(NULL, "53", &v4, a, 4), 1);
    CHECK(is_v4(&a[0], "127.0.0.1", 53));
    v4.flags = AI_PASSIVE;
    CHECK_EQ(sinew_resolve(NULL, "53", &v4, a, 4), 1);
    CHECK(is_v4(&a[0], "0.0.0.0", 53));
    CHECK_EQ(count_threads(), threads);
    return 0;
}

IN_RUNTIME(localhost_is_this_machine)
{
    sinew_address a[8];
    sinew_resolve_options v4 = {.family = AF_INET};
    CHECK_EQ(sinew_resolve("localhost", "80", &v4, a, 8), 1);
    CHECK(is_v4(&a[0], "127.0.0.1", 80));
    return 0;
}

IN_RUNTIME(a_name_that_nobody_has_is_a_documented_error)
{
    sinew_address a[2];
    int r = sinew_resolve("does-not-exist.invalid", "80", NULL, a, 2);
    if (!CHECK(r == -ENOENT || r == -EAGAIN || r == -EREMOTEIO))
        fprintf(stderr, "... it is %d\n", r);
    return 0;
}

IN_RUNTIME(wrong_arguments_are_refused)
{
    sinew_address a[2];
    static char longer[2000];
    memset(longer, 'a', sizeof longer - 1);
    CHECK_EQ(sinew_resolve(NULL, NULL, NULL, a, 2), -EINVAL);
    CHECK_EQ(sinew_resolve("localhost", "80", NULL, NULL, 2), -EINVAL);
    CHECK_EQ(sinew_resolve("localhost", "80", NULL, a, 0), -EINVAL);
    CHECK_EQ(sinew_resolve("", "80", NULL, a, 2), -ENOENT);
    CHECK_EQ(sinew_resolve(longer, "80", NULL, a, 2), -ENAMETOOLONG);
    CHECK_EQ(sinew_resolve("localhost", longer, NULL, a, 2), -ENAMETOOLONG);
    CHECK_EQ(sinew_resolve("localhost", "no-such-service", NULL, a, 2), -ESRCH);
    sinew_resolve_options numeric = {.flags = AI_NUMERICHOST}, family = {.family = 99}, flags = {.flags = 1 << 30},
                          v6 = {.family = AF_INET6}, type = {.type = 77};
    CHECK_EQ(sinew_resolve("localhost", "80", &numeric, a, 2), -ENOENT);
    CHECK_EQ(sinew_resolve("127.0.0.1", "80", &v6, a, 2), -EADDRNOTAVAIL);
    CHECK_EQ(sinew_resolve("127.0.0.1", "80", &family, a, 2), -EAFNOSUPPORT);
    CHECK_EQ(sinew_resolve("127.0.0.1", "80", &flags, a, 2), -EINVAL);
    CHECK_EQ(sinew_resolve("127.0.0.1", "80", &type, a, 2), -ESOCKTNOSUPPORT);
    return 0;
}

/* --- a hosts file of our own -------------------------------------------------------------------------------------- */

enum { NOT_ALLOWED = 3 };

static intptr_t look_up_private_name(void *arg)
{
    (void)arg;
    sinew_address a[4];
    CHECK_EQ(sinew_resolve("sinew.example", "443", NULL, a, 4), 2);
    CHECK(is_v4(&a[0], "192.0.2.10", 443) || is_v4(&a[1], "192.0.2.10", 443));
    CHECK_EQ(sinew_resolve("sinew.example", "443", NULL, a, 1), 1);
    return 0;
}

static int run_with_private_hosts(void *arg)
{
    char path[TEMPORARY_PATH];
    static const char hosts[] = "127.0.0.1 localhost\n192.0.2.10 sinew.example\n192.0.2.11 sinew.example\n";
    int fd = mkstemp(temporary_template(path));
    bool ok = write(fd, hosts, sizeof hosts - 1) == sizeof hosts - 1 && unshare(CLONE_NEWNS) == 0 &&
              mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
              mount(path, "/etc/hosts", NULL, MS_BIND, NULL) == 0;
    unlink(path);
    if (!ok)
        return NOT_ALLOWED;
    CHECK_EQ(run_workers(*(unsigned *)arg, look_up_private_name, NULL), 0);
    return 0;
}

static void names_of_the_hosts_file_are_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        unsigned workers = worker_counts[i];
        child_end end;
        assert_true(run_child(run_with_private_hosts, &workers, &end));
        if (end.code == NOT_ALLOWED) {
            print_message("a private /etc/hosts is not allowed here: not tested\n");
            skip();
        }
        if (end.code != 0)
            child_fail(__func__, &end);
    }
}

/* --- a stand-in --------------------------------------------------------------------------------------------------- */

IN_RUNTIME(addresses_come_in_order_and_no_more_than_there_is_room)
{
    sinew_address a[4];
    names_clear();
    names_add("three.test", "192.0.2.1", "2001:db8::1", "192.0.2.2", NULL);
    CHECK_EQ(sinew_resolve("three.test", "7", NULL, a, 4), 3);
    CHECK(is_v4(&a[0], "192.0.2.1", 7));
    CHECK_EQ(a[1].any.sa_family, AF_INET6);
    CHECK_EQ(ntohs(a[1].v6.sin6_port), 7);
    CHECK(is_v4(&a[2], "192.0.2.2", 7));
    CHECK_EQ(sinew_resolve("three.test", "7", NULL, a, 2), 2);
    sinew_resolve_options opt = {.family = AF_INET, .flags = AI_ADDRCONFIG};
    CHECK_EQ(sinew_resolve("three.test", "7", &opt, a, 4), 2);
    CHECK_EQ(atomic_load(&names_with_text_flags), AI_ADDRCONFIG);
    return 0;
}

IN_RUNTIME(every_failure_has_its_code)
{
    static const struct {
        const char *name;
        int error, system_error, code;
    } cases[] = {
        {"noname.test", EAI_NONAME, 0, -ENOENT},
        {"nodata.test", EAI_NODATA, 0, -ENOENT},
        {"addrfamily.test", EAI_ADDRFAMILY, 0, -EADDRNOTAVAIL},
        {"again.test", EAI_AGAIN, 0, -EAGAIN},
        {"fail.test", EAI_FAIL, 0, -EREMOTEIO},
        {"service.test", EAI_SERVICE, 0, -ESRCH},
        {"family.test", EAI_FAMILY, 0, -EAFNOSUPPORT},
        {"socktype.test", EAI_SOCKTYPE, 0, -ESOCKTNOSUPPORT},
        {"flags.test", EAI_BADFLAGS, 0, -EINVAL},
        {"overflow.test", EAI_OVERFLOW, 0, -ENAMETOOLONG},
        {"memory.test", EAI_MEMORY, 0, -ENOMEM},
        {"system.test", EAI_SYSTEM, EMFILE, -EMFILE},
        {"canceled.test", EAI_SYSTEM, ECANCELED, -EIO},
        {"unknown.test", -12345, 0, -EIO},
    };
    sinew_address a[2];
    names_clear();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        names_fail(cases[i].name, cases[i].error, cases[i].system_error);
        if (!CHECK_EQ(sinew_resolve(cases[i].name, "1", NULL, a, 2), cases[i].code))
            fprintf(stderr, "... of %s\n", cases[i].name);
    }
    return 0;
}

static intptr_t look_up_slow(void *arg)
{
    sinew_address a;
    (void)arg;
    return sinew_resolve("slow.test", "1", NULL, &a, 1);
}

/* The caller is back while the lookup still waits; what it left is freed without it (AddressSanitizer looks). */
IN_RUNTIME(a_cancelled_caller_leaves_at_once)
{
    names_clear();
    names_hold("slow.test");
    sinew_task *t = sinew_spawn(look_up_slow, NULL);
    yield_until(&names_asked, 1);
    CHECK(sinew_cancel(t));
    CHECK_EQ(sinew_await(t), -ECANCELED);
    sinew_timeout limit;
    sinew_timeout_begin(&limit, SINEW_MS(2));
    CHECK_EQ(look_up_slow(NULL), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&limit), -ETIMEDOUT);
    sinew_cancel(sinew_self());
    CHECK_EQ(look_up_slow(NULL), -ECANCELED);
    sinew_uncancel();
    CHECK_EQ(atomic_load(&names_answered), 0);
    names_let_go();
    CHECK_EQ(look_up_slow(NULL), 1);
    while (atomic_load(&names_answered) < atomic_load(&names_asked))
        sinew_yield();
    return 0;
}

static intptr_t return_seven(void *arg)
{
    (void)arg;
    return 7;
}

IN_RUNTIME(slow_lookups_hold_up_no_blocking_call)
{
    enum { LOOKUPS = 3 * LOOKUPS_AT_ONCE };
    sinew_task *tasks[LOOKUPS];
    names_clear();
    names_hold("slow.test");
    int threads = count_threads();
    for (int i = 0; i < LOOKUPS; i++)
        tasks[i] = sinew_spawn(look_up_slow, NULL);
    yield_until(&names_asked, LOOKUPS_AT_ONCE);
    for (int i = 0; i < 50; i++)
        CHECK_EQ(sinew_blocking_wait(return_seven, NULL), 7);
    /* The others wait in line, and can leave it. */
    CHECK_EQ(atomic_load(&names_asked), LOOKUPS_AT_ONCE);
    sinew_stats stats;
    CHECK_EQ(sinew_get_stats(&stats), 0);
    CHECK_EQ(count_threads(), threads + LOOKUPS_AT_ONCE + (int)stats.blocking_threads);
    for (int i = 0; i < LOOKUPS; i += 2)
        CHECK(sinew_cancel(tasks[i]));
    for (int i = 0; i < LOOKUPS; i += 2)
        CHECK_EQ(sinew_await(tasks[i]), -ECANCELED);
    names_let_go();
    for (int i = 1; i < LOOKUPS; i += 2)
        CHECK_EQ(sinew_await(tasks[i]), 1);
    return 0;
}

static intptr_t leave_a_lookup(void *arg)
{
    (void)arg;
    names_hold("slow.test");
    sinew_detach(sinew_spawn(look_up_slow, NULL));
    yield_until(&names_asked, 1);
    return 5;
}

/* When the lookup has begun, and a little later: long enough for a deadlock to be reported. */
static void *let_go_later(void *arg)
{
    while (atomic_load(&names_asked) == 0)
        usleep(100);
    usleep(30000);
    names_let_go();
    return arg;
}

static void a_run_ends_after_the_lookups_it_began(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        pthread_t thread;
        watchdog_begin(__func__, worker_counts[i], 60);
        names_clear();
        assert_int_equal(pthread_create(&thread, NULL, let_go_later, NULL), 0);
        assert_int_equal(run_workers(worker_counts[i], leave_a_lookup, NULL), 5);
        assert_int_equal(atomic_load(&names_answered), 1);
        pthread_join(thread, NULL);
        watchdog_end();
    }
}

/* A lookup that waits is no deadlock, though no task can run. */
IN_RUNTIME(a_lookup_that_takes_long_is_no_deadlock)
{
    pthread_t thread;
    names_clear();
    names_hold("slow.test");
    CHECK_EQ(pthread_create(&thread, NULL, let_go_later, NULL), 0);
    CHECK_EQ(look_up_slow(NULL), 1);
    pthread_join(thread, NULL);
    return 0;
}

TEST_MAIN(cmocka_unit_test(numeric_hosts_and_ports_need_no_thread), cmocka_unit_test(localhost_is_this_machine),
          cmocka_unit_test(a_name_that_nobody_has_is_a_documented_error), cmocka_unit_test(wrong_arguments_are_refused),
          cmocka_unit_test(names_of_the_hosts_file_are_found),
          cmocka_unit_test(addresses_come_in_order_and_no_more_than_there_is_room),
          cmocka_unit_test(every_failure_has_its_code), cmocka_unit_test(a_cancelled_caller_leaves_at_once),
          cmocka_unit_test(slow_lookups_hold_up_no_blocking_call),
          cmocka_unit_test(a_run_ends_after_the_lookups_it_began),
          cmocka_unit_test(a_lookup_that_takes_long_is_no_deadlock))
