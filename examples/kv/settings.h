/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the command line says, and the numbers that INFO tells. The settings are written before the runtime starts and
 * only read afterwards; the counters are written by all workers.
 */
#ifndef KV_SETTINGS_H
#define KV_SETTINGS_H

#include "log.h"
#include "resp.h"

#include <sinew.h>

#include <stdatomic.h>
#include <stdint.h>

extern struct settings {
    const char *address;
    int port;              /* that it listens on, or 0 */
    sinew_time idle;       /* a client that asks for nothing so long is cut off; 0: never */
    sinew_time stall;      /* one that takes no byte of its answers so long */
    sinew_time grace;      /* commands in flight have so long to end when the server stops */
    unsigned long clients; /* at a time */
    resp_limits requests;  /* what clients may send */
    int64_t memory_bytes;  /* keys and values: no more are taken above; 0: no limit */
    const char *log_path;  /* of the append-only file, or NULL */
    log_sync sync;
    int64_t rewrite_percent, rewrite_min_bytes;
} settings;

extern struct counters {
    sinew_time started;
    atomic_ulong connections, refused, clients; /* ever, above the limit, now */
    atomic_ulong commands;
    atomic_ulong cut; /* connections with a command in flight when the grace was over */
    atomic_ulong per_second;
} counters;

#endif
