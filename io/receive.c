/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Receiving into buffers of the driver's; and without any (another driver, no socket, all in use) into memory that is
 * taken when there is data.
 */
#include "io/receive.h"

#include "runtime/worker.h"

#include <sinew/io.h>
#include <sinew/net.h>

#include <poll.h>
#include <stdlib.h>

/* Somebody else may read what has made the descriptor ready; then this waits with its buffer. */
static int receive_into_own(int fd, bool socket, sn_received *r)
{
    int ready = sinew_poll(fd, POLLIN);
    if (ready < 0)
        return ready;
    char *data = malloc(SN_RECEIVE_BYTES);
    if (!data)
        return -ENOMEM;
    ssize_t n = socket ? sinew_recv(fd, data, SN_RECEIVE_BYTES, 0) : sinew_read(fd, data, SN_RECEIVE_BYTES);
    if (n <= 0)
        free(data);
    *r = (sn_received){.data = data};
    return (int)n;
}

int sn_receive(int fd, sn_received *r)
{
    int n = sn_op_run(SN_OP_RECEIVE, fd, NULL, 0, (intptr_t)r, 0);
    if (n == -ENOBUFS || n == -ENOTSOCK)
        n = receive_into_own(fd, n == -ENOBUFS, r);
    return n;
}

void sn_received_release(sn_received *r)
{
    if (r->owner)
        sn_driver_uring.give_back(r->owner, r->data); /* no other driver has any; any thread */
    else
        free(r->data);
}
