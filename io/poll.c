/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for events of any descriptor.
 *
 * io_uring reports a peer that sends no more (POLLRDHUP) to those, too, who have not asked, and then does not wait for
 * what they have asked for. Their wait is one for an epoll descriptor, which reports exactly that.
 */
#include "io/poll.h"

#include "runtime/driver.h"

#include <sinew/errno.h>
#include <sinew/io.h>

#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

static int wait_once(int fd, short events, bool go_on)
{
    return (go_on ? sn_op_go_on : sn_op_run)(SN_OP_POLL, fd, NULL, 0, 0, (unsigned short)events);
}

static int ready_now(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    return poll(&p, 1, 0) < 0 ? -errno : p.revents;
}

static int wait_by_epoll(int fd, short events, bool go_on)
{
    struct epoll_event event = {.events = (unsigned short)events}; /* the bits are those of poll */
    int epoll = epoll_create1(EPOLL_CLOEXEC), r = 0;
    if (epoll < 0)
        return -errno;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        r = -errno;
    while (r == 0) {
        r = wait_once(epoll, POLLIN, go_on);
        if (r > 0)
            r = ready_now(fd, events);
        if (r == -EINTR)
            r = 0;
    }
    close(epoll);
    return r;
}

int sn_poll(int fd, short events, bool go_on)
{
    int r = wait_once(fd, events, go_on);
    if (r <= 0)
        return r;
    int asked = r & ((unsigned short)events | POLLERR | POLLHUP);
    return SN_LIKELY(asked != 0) ? asked : wait_by_epoll(fd, events, go_on);
}

int sinew_poll(int fd, short events)
{
    return sn_poll(fd, events, false);
}
