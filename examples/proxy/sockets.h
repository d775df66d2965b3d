/* SPDX-License-Identifier: Apache-2.0 */
/* Resets: the end of a connection that says that not everything has come. Neither call suspends. */
#ifndef PROXY_SOCKETS_H
#define PROXY_SOCKETS_H

#include <stdbool.h>

/*
 * A read has found the end of the stream: was that a reset all the same? The error of one is told to a single call, and
 * when another task was writing meanwhile, that may have got it. Only for who has not shut the socket down for writing:
 * else what both sides have ended in order looks the same.
 */
bool socket_was_reset(int fd);

/* Makes closing it a reset. */
void socket_reset_on_close(int fd);

#endif
