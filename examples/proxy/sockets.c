/* SPDX-License-Identifier: Apache-2.0 */
#include "sockets.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

bool socket_was_reset(int fd)
{
    struct tcp_info info;
    socklen_t len = sizeof info;
    /* After the peer's ordinary end it is CLOSE_WAIT. Unix sockets have no resets, and this fails. */
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && info.tcpi_state == TCP_CLOSE;
}

void socket_reset_on_close(int fd)
{
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
}
