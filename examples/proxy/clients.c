/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree of addresses, the C library's (tsearch). IPv4 addresses are kept in the form that IPv6 has for them, so that a
 * client counts once, however it comes in.
 */
#include "clients.h"

#include "settings.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

struct client {
    struct in6_addr address;
    unsigned connections;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* held for short, and never across a call that suspends */
static void *tree;

static int compare(const void *a, const void *b)
{
    return memcmp(&((const client *)a)->address, &((const client *)b)->address, sizeof(struct in6_addr));
}

static bool read_address(const struct sockaddr_storage *from, struct in6_addr *to)
{
    if (from->ss_family == AF_INET6) {
        memcpy(to, &((const struct sockaddr_in6 *)from)->sin6_addr, sizeof *to);
        return true;
    }
    if (from->ss_family != AF_INET)
        return false;
    *to = (struct in6_addr){.s6_addr = {[10] = 0xff, [11] = 0xff}};
    memcpy(&to->s6_addr[12], &((const struct sockaddr_in *)from)->sin_addr, 4);
    return true;
}

int client_enter(const struct sockaddr_storage *address, client **out)
{
    *out = NULL;
    client *c = malloc(sizeof *c);
    if (!c)
        return -ENOMEM;
    c->connections = 0;
    if (!read_address(address, &c->address)) {
        free(c);
        return 0;
    }
    pthread_mutex_lock(&lock);
    client *const *found = tsearch(c, &tree, compare); /* an element begins with the pointer that was put in */
    client *known = found ? *found : NULL;
    int error = !known ? -ENOMEM : known->connections >= settings.per_client_max ? -EUSERS : 0;
    if (error == 0)
        known->connections++;
    pthread_mutex_unlock(&lock);
    if (known != c)
        free(c);
    if (error == 0)
        *out = known;
    return error;
}

void client_leave(client *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&lock);
    bool last = --c->connections == 0;
    if (last)
        tdelete(c, &tree, compare);
    pthread_mutex_unlock(&lock);
    if (last)
        free(c);
}

const char *client_text(const client *c, char buffer[INET6_ADDRSTRLEN])
{
    if (!c)
        return NULL;
    if (IN6_IS_ADDR_V4MAPPED(&c->address))
        return inet_ntop(AF_INET, &c->address.s6_addr[12], buffer, INET6_ADDRSTRLEN);
    return inet_ntop(AF_INET6, &c->address, buffer, INET6_ADDRSTRLEN);
}
