/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking up names: getaddrinfo in a thread of the runtime's second pool.
 *
 * The lookup is a block of memory of its own. It belongs to the caller again when the call has ended with 0; if the
 * caller leaves before, it is freed by the thread (sn_blocking_request.abandoned).
 */
#include "runtime/blocking.h"
#include "runtime/worker.h"

#include <sinew/dns.h>
#include <sinew/time.h>

#include <netdb.h>
#include <stdlib.h>

typedef struct lookup {
    struct addrinfo hints, *found;
    int error;             /* EAI_*, or 0 */
    int system_error;      /* errno of EAI_SYSTEM */
    char host[NI_MAXHOST]; /* "": NULL */
    char service[NI_MAXSERV];
} lookup;

static int code_of(int error, int system_error)
{
    switch (error) {
    case 0:
        return 0;
    case EAI_NONAME:
    case EAI_NODATA:
        return -ENOENT;
    case EAI_ADDRFAMILY:
        return -EADDRNOTAVAIL;
    case EAI_AGAIN:
        return -EAGAIN;
    case EAI_FAIL:
        return -EREMOTEIO;
    case EAI_SERVICE:
        return -ESRCH;
    case EAI_FAMILY:
        return -EAFNOSUPPORT;
    case EAI_SOCKTYPE:
        return -ESOCKTNOSUPPORT;
    case EAI_BADFLAGS:
        return -EINVAL;
    case EAI_OVERFLOW:
        return -ENAMETOOLONG;
    case EAI_MEMORY:
        return -ENOMEM;
    default: /* a code that means something else here must not come from there */
        return system_error > 0 && system_error != ECANCELED && system_error != ETIMEDOUT && system_error != EPERM
                   ? -system_error
                   : -EIO;
    }
}

static void look_up(lookup *l)
{
    errno = 0;
    l->error = getaddrinfo(l->host[0] ? l->host : NULL, l->service[0] ? l->service : NULL, &l->hints, &l->found);
    l->system_error = errno;
}

static intptr_t look_up_in_thread(void *arg)
{
    look_up(arg);
    return 0;
}

static void free_lookup(void *arg)
{
    lookup *l = arg;
    if (l->found)
        freeaddrinfo(l->found);
    free(l);
}

/* What needs no lookup. (With AI_ADDRCONFIG the kernel would be asked for this machine's addresses first.) */
static bool look_up_numeric(lookup *l)
{
    int flags = l->hints.ai_flags;
    l->hints.ai_flags = (flags & ~AI_ADDRCONFIG) | AI_NUMERICHOST | AI_NUMERICSERV;
    look_up(l);
    l->hints.ai_flags = flags;
    return l->error == 0;
}

static size_t take_addresses(const lookup *l, sinew_address *out, size_t max)
{
    size_t n = 0;
    for (const struct addrinfo *a = l->found; a && n < max; a = a->ai_next) {
        if (a->ai_addrlen > offsetof(sinew_address, length))
            continue;
        memset(&out[n], 0, sizeof out[n]);
        memcpy(&out[n], a->ai_addr, a->ai_addrlen);
        out[n++].length = a->ai_addrlen;
    }
    return n;
}

static lookup *new_lookup(const char *host, const char *service, const sinew_resolve_options *opt)
{
    lookup *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    if (opt)
        l->hints = (struct addrinfo){.ai_family = opt->family, .ai_socktype = opt->type, .ai_flags = opt->flags};
    if (l->hints.ai_socktype == 0)
        l->hints.ai_socktype = SOCK_STREAM;
    if (host)
        strcpy(l->host, host);
    if (service)
        strcpy(l->service, service);
    return l;
}

/* 0 or a negative errno, and then the lookup is not the caller's any more. */
static int run_lookup(sn_worker *w, lookup *l)
{
    sn_blocking_request r = {.fn = look_up_in_thread, .arg = l, .abandoned = free_lookup, .may_leave = true};
    return (int)sn_blocking_run(&w->runtime->lookups, &r);
}

int sinew_resolve(const char *host, const char *service, const sinew_resolve_options *opt, sinew_address *out,
                  size_t max)
{
    int r = sinew_yield();
    if (r < 0)
        return r;
    if ((!host && !service) || !out || max == 0)
        return -EINVAL;
    if (host && !*host)
        return -ENOENT;
    if ((host && strlen(host) >= NI_MAXHOST) || (service && strlen(service) >= NI_MAXSERV))
        return -ENAMETOOLONG;
    lookup *l = new_lookup(host, service, opt);
    if (!l)
        return -ENOMEM;
    if (!look_up_numeric(l) && (r = run_lookup(sn_worker_self(), l)) < 0)
        return r;
    r = code_of(l->error, l->system_error);
    if (r == 0)
        r = (int)take_addresses(l, out, max);
    free_lookup(l);
    return r;
}
