/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where connections are forwarded to: the targets in turn, without those that failed a short while ago. When all have
 * failed they are asked all the same: a try costs little, and a refusal helps nobody.
 *
 * In HTTP mode each target keeps some connections that nobody uses at the moment, its spares. The target may close one
 * at any time, also while a request is on its way to it, so only what may be sent twice is sent over a spare.
 */
#ifndef PROXY_TARGETS_H
#define PROXY_TARGETS_H

#include <stdbool.h>

#define TARGETS_MAX 256
#define SPARES_MAX  4096

typedef struct target target;

/* A connection to one of them. */
typedef struct upstream {
    int fd;
    target *target;
    bool spare; /* was used before */
} upstream;

/* Before the runtime starts. The text is kept. 0, or -ENOSPC. */
int targets_add(const char *address);
unsigned targets_count(void);

/* Connects to the next target that lets us. May suspend, for settings.connect_timeout with each of them. 0; -ECANCELED;
 * -ETIMEDOUT if the last one tried did not answer in time, or another error of connecting to it. */
int targets_connect(bool spare_allowed, upstream *out);

/* The address as it was given. */
const char *target_address(const target *t);

/* Keeps the connection as a spare, or closes it. The target must owe nothing on it. */
void targets_give_back(const upstream *u);

/* Closes all spares. */
void targets_close(void);

#endif
