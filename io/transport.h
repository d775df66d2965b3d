/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two transports that are no layers: a socket, or two descriptors. What a transport is says sinew/transport.h.
 */
#ifndef SN_TRANSPORT_H
#define SN_TRANSPORT_H

#include "io/receive.h"

#include <sinew/transport.h>

/* Of a connected stream socket; lies in the stream. */
void sn_transport_socket(sinew_transport *t, int fd);

/* Of two descriptors of any kind, -1: none; they may be the same one. NULL: no memory. */
sinew_transport *sn_transport_pair(int read_fd, int write_fd);

/* After an operation: of a descriptor with O_NONBLOCK the driver does not wait by itself. Waits here, and says whether
 * to try again; or puts an error into *r. */
bool sn_transport_try_again(int fd, short events, intptr_t *r);

#endif
