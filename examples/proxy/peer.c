/* SPDX-License-Identifier: Apache-2.0 */
#include "peer.h"

#include "settings.h"
#include "sockets.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

void peer_begin(peer *p, int fd, _Atomic(sinew_time) *moved)
{
    p->fd = fd;
    p->moved = moved;
    p->sent = p->received = 0;
    p->error = 0;
    p->chunked = false;
    p->begin = p->end = p->used = 0;
}

void peer_moved(peer *p)
{
    atomic_store_explicit(p->moved, sinew_now(), memory_order_relaxed); /* one of two times close together will do */
}

typedef ssize_t transfer_fn(int fd, void *data, size_t len, int flags);

static ssize_t send_some(int fd, void *data, size_t len, int flags)
{
    return sinew_send(fd, data, len, flags);
}

/* One call under the time limit, which is looked at again when the other side has moved meanwhile. */
static ssize_t limited(peer *p, transfer_fn *transfer, void *data, size_t len, int flags)
{
    for (;;) {
        sinew_time moved = atomic_load_explicit(p->moved, memory_order_relaxed);
        sinew_timeout limit;
        sinew_timeout_begin_at(&limit, moved + settings.idle_timeout);
        ssize_t n = transfer(p->fd, data, len, flags);
        if (sinew_timeout_end(&limit) == 0)
            return n;
        if (moved == atomic_load_explicit(p->moved, memory_order_relaxed))
            return -ETIMEDOUT;
    }
}

ssize_t peer_receive(peer *p)
{
    ssize_t n = limited(p, sinew_recv, p->input, sizeof p->input, 0);
    if (n == 0 && socket_was_reset(p->fd))
        n = -ECONNRESET;
    p->begin = 0;
    p->end = n > 0 ? (size_t)n : 0;
    p->received += p->end;
    return n;
}

static void send_all(peer *p, const char *data, size_t len, int flags)
{
    while (len > 0 && p->error == 0) {
        ssize_t n = limited(p, send_some, (char *)(uintptr_t)data, len, flags);
        if (n < 0) {
            p->error = (int)n;
            return;
        }
        data += n;
        len -= (size_t)n;
        p->sent += (unsigned long long)n;
        peer_moved(p);
    }
}

void peer_write(peer *p, const char *data, size_t len)
{
    if (len > sizeof p->output - p->used) {
        /* MSG_MORE: the rest follows, do not send a short packet for this part. */
        send_all(p, p->output, p->used, MSG_MORE);
        p->used = 0;
        if (len >= sizeof p->output) {
            send_all(p, data, len, 0);
            return;
        }
    }
    memcpy(p->output + p->used, data, len);
    p->used += len;
}

void peer_print(peer *p, const char *text)
{
    peer_write(p, text, strlen(text));
}

void peer_write_body(peer *p, const char *data, size_t len)
{
    if (!p->chunked) {
        peer_write(p, data, len);
        return;
    }
    char size[24];
    snprintf(size, sizeof size, "%zx\r\n", len);
    peer_print(p, size);
    peer_write(p, data, len);
    peer_print(p, "\r\n");
}

void peer_end_body(peer *p)
{
    if (p->chunked)
        peer_print(p, "0\r\n\r\n");
}

int peer_flush(peer *p)
{
    send_all(p, p->output, p->used, 0);
    p->used = 0;
    return p->error;
}
