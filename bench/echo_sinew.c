/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TCP echo server in tasks: one for each connection, in a straight line.
 *
 *     echo_sinew ADDRESS:PORT [--workers N] [--burn ROUNDS]
 */
#include "support.h"

#include <sinew.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static server_options server;

static intptr_t echo(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char buffer[4096];
    ssize_t received;
    while ((received = sinew_recv(fd, buffer, sizeof buffer, 0)) > 0) {
        if (server.burn > 0)
            burn(server.burn * (unsigned char)buffer[0]);
        if (sinew_send_all(fd, buffer, (size_t)received) < 0)
            break;
    }
    return sinew_close(fd);
}

static intptr_t serve(void *unused)
{
    (void)unused;
    int listener = sinew_listen(server.address, NULL);
    if (listener < 0)
        return listener;
    printf("listening on 127.0.0.1:%d\n", sinew_local_port(listener));
    fflush(stdout);
    for (;;) {
        int fd = sinew_accept(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            tune_socket(fd, false);
            sinew_detach(sinew_spawn(echo, (void *)(intptr_t)fd));
        } else if (fd == -EMFILE) {
            sinew_sleep(SINEW_MS(10));
        } else if (fd != -ECONNABORTED) {
            return fd;
        }
    }
}

int main(int argc, char **argv)
{
    server = read_server_options(argc, argv);
    sinew_options options = {.workers = server.workers};
    raise_fd_limit();
    intptr_t status = sinew_run_with(&options, serve, NULL);
    if (status < 0 && status != -EINTR)
        fprintf(stderr, "echo_sinew: %s\n", strerror((int)-status));
    return status < 0 && status != -EINTR;
}
