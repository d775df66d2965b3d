/* SPDX-License-Identifier: Apache-2.0 */
/* Receiving into buffers of the driver's, or, without any, into memory taken once data is there. */
#include "io/receive.h"

#include <sinew/io.h>

#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

int sn_receive(int fd, sn_received *r)
{
    int ready = sinew_poll(fd, POLLIN);
    if (ready < 0)
        return ready;
    r->owner = NULL;
    r->data = malloc(SN_RECEIVE_BYTES);
    if (!r->data)
        return -ENOMEM;
    ssize_t n = sinew_recv(fd, r->data, SN_RECEIVE_BYTES, 0);
    if (n <= 0)
        free(r->data);
    return (int)n;
}

void sn_received_release(sn_received *r)
{
    free(r->data);
}
