/* SPDX-License-Identifier: Apache-2.0 */
#include "transport.h"

#include <sinew.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

bool transport_knows(const char *scheme)
{
    return strcmp(scheme, "http") == 0;
}

int transport_connect(transport *t, const char *scheme, const char *host, const char *port)
{
    char address[320]; /* a name has at most 255 bytes */
    if (!transport_knows(scheme))
        return -EPROTONOSUPPORT;
    int len = snprintf(address, sizeof address, "%s:%s", host, port);
    if (len < 0 || (size_t)len >= sizeof address)
        return -ENAMETOOLONG;
    t->fd = sinew_dial(address);
    return t->fd < 0 ? t->fd : 0;
}

ssize_t transport_receive(transport *t, void *buffer, size_t len)
{
    return sinew_recv(t->fd, buffer, len, 0);
}

int transport_send(transport *t, const void *data, size_t len)
{
    return sinew_send_all(t->fd, data, len);
}

void transport_close(transport *t)
{
    sinew_close(t->fd);
}
