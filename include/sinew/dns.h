/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking up names, as getaddrinfo(3) does: /etc/hosts, name servers, and whatever else nsswitch.conf says.
 *
 * getaddrinfo blocks, so it is called in a thread, of which each runtime has at most eight for this alone: a name
 * server that does not answer holds up other lookups, but no blocking call.
 */
#ifndef SINEW_DNS_H
#define SINEW_DNS_H

#include <sinew/base.h>
#include <sinew/net.h>

SINEW_BEGIN_DECLS

typedef struct sinew_resolve_options {
    int family; /* AF_INET or AF_INET6; 0: both */
    int type;   /* of the socket: 0 is SOCK_STREAM; SOCK_DGRAM. Matters for the names of services */
    int flags;  /* AI_* of netdb.h: AI_PASSIVE, AI_NUMERICHOST, AI_ADDRCONFIG ... */
} sinew_resolve_options;

/*
 * Looks up the addresses of `host` (a name or a numeric address; NULL: this machine) with the port `service` (a number
 * or a name such as "https"; NULL: 0), writes up to `max` of them to `out`, best first, and returns how many were
 * written. `opt` may be NULL.
 *
 * May suspend. A cancel or timeout ends the call at once; the lookup goes on by itself in its thread, and sinew_run
 * waits for its end (some ten seconds with a name server that does not answer).
 *
 *     -ENOENT        EAI_NONAME, EAI_NODATA     there is no such name, or it has no address
 *     -EADDRNOTAVAIL EAI_ADDRFAMILY             it has no address of this family
 *     -EAGAIN        EAI_AGAIN                  no name server answers now; also: no thread is to be had
 *     -EREMOTEIO     EAI_FAIL                   the name server answers that it failed
 *     -ESRCH         EAI_SERVICE                there is no such service for this type of socket
 *     -EAFNOSUPPORT  EAI_FAMILY                 an unknown family
 *     -ESOCKTNOSUPPORT  EAI_SOCKTYPE            an unknown type
 *     -EINVAL        EAI_BADFLAGS               unknown flags; host and service both NULL; no room in `out`
 *     -ENAMETOOLONG  EAI_OVERFLOW               longer than any name
 *     -ENOMEM        EAI_MEMORY
 *     the error      EAI_SYSTEM
 *
 * Follows loop.getaddrinfo.
 */
SINEW_API int sinew_resolve(const char *host, const char *service, const sinew_resolve_options *opt, sinew_address *out,
                            size_t max);

SINEW_END_DECLS
#endif
