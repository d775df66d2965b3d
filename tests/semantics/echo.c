/* SPDX-License-Identifier: Apache-2.0 */
/* A TCP server and a client. */
#include <sinew.h>

#include <stdio.h>

/* show */
static intptr_t echo(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char buffer[1024];
    ssize_t n;
    while ((n = sinew_recv(fd, buffer, sizeof buffer, 0)) > 0)
        if (sinew_send_all(fd, buffer, (size_t)n) < 0)
            break;
    sinew_close(fd);
    return 0; /* the trouble of one connection is its own */
}

static intptr_t serve(void *arg)
{
    int listener = (int)(intptr_t)arg;
    sinew_group connections;
    sinew_group_init(&connections);
    int fd;
    while ((fd = sinew_accept(listener, NULL, NULL, 0)) >= 0)
        if (sinew_group_spawn(&connections, echo,
                              (void *)(intptr_t)fd) < 0)
            sinew_close(fd);
    sinew_group_wait(&connections);
    return fd; /* -ECANCELED */
}

static int client(int port)
{
    char address[32], answer[16];
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    int fd = sinew_dial(address);
    if (fd < 0)
        return fd;
    ssize_t r = sinew_send_all(fd, "hello", 5);
    if (r == 0)
        r = sinew_recv(fd, answer, 5, MSG_WAITALL);
    if (r == 5)
        printf("%.5s\n", answer);
    sinew_close(fd);
    return r < 0 ? (int)r : 0;
}
/* end */

static intptr_t program(void *arg)
{
    (void)arg;
    /* show */
    int listener = sinew_listen("127.0.0.1:0", NULL);
    if (listener < 0)
        return listener;
    sinew_task *server =
        sinew_spawn(serve, (void *)(intptr_t)listener);
    int r = client(sinew_local_port(listener));
    sinew_cancel(server);
    sinew_await(server);
    sinew_close(listener);
    /* end */
    return r;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
