/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the command line says, and the numbers printed at the end. The settings are written before the runtime starts
 * and only read afterwards; the counters are written by all workers.
 */
#ifndef PROXY_SETTINGS_H
#define PROXY_SETTINGS_H

#include <sinew.h>

#include <stdatomic.h>

extern struct settings {
    const char *listen;
    bool http;
    unsigned connections_max; /* more wait in the kernel's queue */
    unsigned per_client_max;  /* of one address; more are closed at once */
    unsigned spares_max;      /* idle connections kept for each target, in HTTP mode */
    size_t header_bytes;      /* of one message, in HTTP mode */
    sinew_time connect_timeout;
    sinew_time idle_timeout; /* nothing moves in either direction for so long */
    sinew_time leave_out;    /* a target that failed is not asked for so long */
    sinew_time grace;        /* connections have so long to end when the proxy stops */
    sinew_options runtime;
} settings;

extern struct counters {
    atomic_ulong connections; /* accepted and served */
    atomic_ulong refused;     /* closed at once, because of the limit for one client */
    atomic_ulong failed;      /* connections, in HTTP mode requests, that found no target */
    atomic_ulong timed_out;
    atomic_ulong ended; /* of `connections`: not cut when the proxy stopped */
    atomic_ulong requests;
    atomic_ullong to_targets, to_clients; /* bytes */
} counters;

/* The proxy stops: what goes on now is the last thing on its connection. */
extern atomic_bool draining;

/* Fills settings and the list of targets from the command line. Ends the process with a message if that is wrong. */
void settings_read(int argc, char **argv);

static inline void count(atomic_ulong *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

#endif
