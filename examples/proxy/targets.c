/* SPDX-License-Identifier: Apache-2.0 */
#include "targets.h"

#include "settings.h"

#include <sinew/errno.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct target {
    const char *address;
    _Atomic(sinew_time) out_until; /* 0: it has not failed since it last worked */
    pthread_mutex_t lock;          /* of the spares; held for short, and never across a call that suspends */
    unsigned spares_count;
    int *spares; /* the one used last is used next: the others may grow old and be closed by the target */
};

static target targets[TARGETS_MAX];
static unsigned count_of_targets;
static atomic_uint turn;

int targets_add(const char *address)
{
    if (count_of_targets == TARGETS_MAX)
        return -ENOSPC;
    target *t = &targets[count_of_targets++];
    t->address = address;
    pthread_mutex_init(&t->lock, NULL); /* cannot fail without attributes */
    return 0;
}

unsigned targets_count(void)
{
    return count_of_targets;
}

const char *target_address(const target *t)
{
    return t->address;
}

/* --- spares ------------------------------------------------------------------------------------------------------- */

/* Still open at the other end, and silent? */
static bool is_usable(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

/* -1: there is none. */
static int take_spare(target *t)
{
    for (;;) {
        pthread_mutex_lock(&t->lock);
        int fd = t->spares_count > 0 ? t->spares[--t->spares_count] : -1;
        pthread_mutex_unlock(&t->lock);
        if (fd < 0 || is_usable(fd))
            return fd;
        close(fd); /* of a socket with nothing to send: this does not wait */
    }
}

void targets_give_back(const upstream *u)
{
    target *t = u->target;
    bool kept = false;
    pthread_mutex_lock(&t->lock);
    if (!t->spares && settings.spares_max > 0)
        t->spares = calloc(settings.spares_max, sizeof *t->spares);
    if (t->spares && t->spares_count < settings.spares_max && !atomic_load(&draining)) {
        t->spares[t->spares_count++] = u->fd;
        kept = true;
    }
    pthread_mutex_unlock(&t->lock);
    if (!kept)
        sinew_close(u->fd);
}

void targets_close(void)
{
    for (target *t = targets; t < targets + count_of_targets; t++) {
        for (unsigned i = 0; i < t->spares_count; i++)
            close(t->spares[i]);
        free(t->spares);
        pthread_mutex_destroy(&t->lock);
    }
}

/* --- connecting --------------------------------------------------------------------------------------------------- */

/* Is it the target's fault? Otherwise we are out of something, and it is no worse than the others. */
static bool is_to_blame(int error)
{
    switch (error) {
    case -EMFILE:
    case -ENFILE:
    case -ENOMEM:
    case -ENOBUFS:
    case -EADDRNOTAVAIL: /* no local port left */
        return false;
    default:
        return true;
    }
}

static void failed(target *t, int error)
{
    if (!is_to_blame(error)) {
        fprintf(stderr, "proxy: cannot connect to %s: %s\n", t->address, strerror(-error));
        return;
    }
    if (atomic_exchange(&t->out_until, sinew_now() + settings.leave_out) == 0)
        fprintf(stderr, "proxy: target %s failed: %s\n", t->address, strerror(-error));
}

static void worked(target *t)
{
    if (atomic_load_explicit(&t->out_until, memory_order_relaxed) != 0 && atomic_exchange(&t->out_until, 0) != 0)
        fprintf(stderr, "proxy: target %s works again\n", t->address);
}

static int dial(target *t)
{
    sinew_timeout limit;
    sinew_timeout_begin(&limit, settings.connect_timeout);
    int fd = sinew_dial(t->address);
    (void)sinew_timeout_end(&limit); /* then fd is -ETIMEDOUT, as it is when the kernel gives up */
    if (fd >= 0)
        worked(t);
    else if (fd != -ECANCELED)
        failed(t, fd);
    return fd;
}

int targets_connect(bool spare_allowed, upstream *out)
{
    unsigned first = atomic_fetch_add_explicit(&turn, 1, memory_order_relaxed);
    int error = -ECONNREFUSED;
    bool tried[TARGETS_MAX] = {false};
    for (int desperate = 0; desperate < 2; desperate++) {
        for (unsigned i = 0; i < count_of_targets; i++) {
            unsigned index = (first + i) % count_of_targets;
            target *t = &targets[index];
            bool left_out = atomic_load_explicit(&t->out_until, memory_order_relaxed) > sinew_now();
            if (tried[index] || (left_out && !desperate))
                continue;
            tried[index] = true;
            int spare = spare_allowed ? take_spare(t) : -1;
            int fd = spare >= 0 ? spare : dial(t);
            if (fd >= 0) {
                *out = (upstream){.fd = fd, .target = t, .spare = spare >= 0};
                return 0;
            }
            error = fd;
            if (error == -ECANCELED)
                return error;
        }
    }
    return error;
}
