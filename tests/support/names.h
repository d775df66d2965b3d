/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stand-in for getaddrinfo: the program's own one is used by the library, too. Names under ".test" are the test's;
 * all others go to the C library.
 *
 *     names_add("two.test", "127.0.0.1", "127.0.0.2", NULL);
 *     names_fail("none.test", EAI_NONAME, 0);
 *     names_hold("slow.test");              lookups of it wait, until
 *     names_let_go();
 */
#ifndef TESTS_SUPPORT_NAMES_H
#define TESTS_SUPPORT_NAMES_H

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES_MAX = 32, NAMES_ADDRESSES_MAX = 16 };

struct test_name {
    const char *name;
    const char *addresses[NAMES_ADDRESSES_MAX];
    int count, error, system_error;
    bool held;
};

static struct test_name names[NAMES_MAX];
static int names_count;
static atomic_int names_asked, names_answered; /* lookups of names under ".test" that have begun, and ended */
static atomic_int names_with_text_flags;       /* the last one's ai_flags */
static bool names_held;
static pthread_mutex_t names_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t names_changed = PTHREAD_COND_INITIALIZER;

static inline struct test_name *names_new(const char *name)
{
    struct test_name *n = &names[names_count++];
    *n = (struct test_name){.name = name};
    return n;
}

__attribute__((sentinel)) static inline void names_add(const char *name, ...)
{
    va_list list;
    va_start(list, name);
    struct test_name *n = names_new(name);
    for (const char *a; (a = va_arg(list, const char *)) != NULL;)
        n->addresses[n->count++] = a;
    va_end(list);
}

static inline void names_fail(const char *name, int error, int system_error)
{
    struct test_name *n = names_new(name);
    n->error = error;
    n->system_error = system_error;
}

static inline void names_hold(const char *name)
{
    struct test_name *n = names_new(name);
    n->addresses[n->count++] = "127.0.0.1";
    n->held = names_held = true;
}

static inline void names_let_go(void)
{
    pthread_mutex_lock(&names_lock);
    names_held = false;
    pthread_cond_broadcast(&names_changed);
    pthread_mutex_unlock(&names_lock);
}

static inline void names_clear(void)
{
    names_let_go();
    names_count = 0;
    atomic_store(&names_asked, 0);
    atomic_store(&names_answered, 0);
}

typedef int names_getaddrinfo(const char *, const char *, const struct addrinfo *, struct addrinfo **);

static inline names_getaddrinfo *names_real(void)
{
    union {
        void *object;
        names_getaddrinfo *function;
    } real = {.object = dlsym(RTLD_NEXT, "getaddrinfo")};
    return real.function;
}

/* The C library reads each address, so its freeaddrinfo frees them. */
static inline int names_answer(const struct test_name *n, const char *service, const struct addrinfo *hints,
                               struct addrinfo **out)
{
    struct addrinfo **end = out, numeric = *hints;
    numeric.ai_flags = (hints->ai_flags & ~AI_ADDRCONFIG) | AI_NUMERICHOST; /* without asking the kernel for its own */
    *out = NULL;
    for (int i = 0; i < n->count; i++) {
        if (names_real()(n->addresses[i], service, &numeric, end) != 0)
            continue;
        while (*end)
            end = &(*end)->ai_next;
    }
    return *out ? 0 : EAI_NONAME;
}

static inline void names_wait(const struct test_name *n)
{
    pthread_mutex_lock(&names_lock);
    while (n->held && names_held)
        pthread_cond_wait(&names_changed, &names_lock);
    pthread_mutex_unlock(&names_lock);
}

__attribute__((visibility("default"))) int getaddrinfo(const char *host, const char *service,
                                                       const struct addrinfo *hints, struct addrinfo **out)
{
    for (int i = 0; host && i < names_count; i++) {
        const struct test_name *n = &names[i];
        if (strcmp(host, n->name) != 0 || (hints && hints->ai_flags & AI_NUMERICHOST))
            continue;
        atomic_fetch_add(&names_asked, 1);
        atomic_store(&names_with_text_flags, hints ? hints->ai_flags : 0);
        names_wait(n);
        int result = n->error ? n->error : names_answer(n, service, hints, out);
        if (n->error)
            errno = n->system_error;
        atomic_fetch_add(&names_answered, 1);
        return result;
    }
    return names_real()(host, service, hints, out);
}

#endif
