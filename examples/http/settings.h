/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the command line says, and the numbers printed at the end. The settings are written before the runtime starts
 * and only read afterwards; the counters are written by all workers.
 */
#ifndef HTTP_SETTINGS_H
#define HTTP_SETTINGS_H

#include <sinew.h>

#include <stdatomic.h>
#include <stdint.h>

extern struct settings {
    int root;                      /* the directory that is served, opened */
    sinew_time timeout;            /* a client has so long for each step: see client.h */
    sinew_time grace;              /* requests in flight have so long to end when the server stops */
    size_t header_bytes;           /* request line and header of one request */
    unsigned header_fields;        /* their number */
    uint64_t body_bytes;           /* a request's body, which is read and thrown away */
    size_t cache_bytes;            /* all caches together */
    const char *certificate, *key; /* of HTTPS; NULL: none */
} settings;

extern struct counters {
    atomic_ulong connections, requests;
    atomic_ulong cut; /* connections with a request in flight when the grace was over */
} counters;

#endif
