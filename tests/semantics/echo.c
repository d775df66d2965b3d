/* SPDX-License-Identifier: Apache-2.0 */
/* A TCP server and a client. */
#include <sinew.h>

#include <stdio.h>

/* show */
static intptr_t echo(sinew_stream *s, void *arg)
{
    (void)arg;
    const char *data;
    ssize_t n;
    while ((n = sinew_stream_peek(s, &data)) > 0) {
        sinew_stream_write(s, data, (size_t)n);
        sinew_stream_consume(s, (size_t)n);
        sinew_stream_drain(s);
    }
    return 0; /* the stream is closed when this returns */
}

static int client(int port)
{
    char address[32], answer[5];
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    sinew_stream *s;
    int r = sinew_stream_dial(address, NULL, &s);
    if (r < 0)
        return r;
    sinew_stream_write(s, "hello", 5);
    r = sinew_stream_read_exactly(s, answer, 5);
    if (r == 0)
        printf("%.5s\n", answer);
    sinew_stream_close(s);
    sinew_stream_wait_closed(s);
    sinew_stream_unref(s);
    return r;
}
/* end */

static intptr_t program(void *arg)
{
    (void)arg;
    /* show */
    sinew_server *server;
    int listener = sinew_listen("127.0.0.1:0", NULL);
    int r = sinew_server_start(listener, NULL, echo, NULL, &server);
    if (r < 0)
        return r;
    r = client(sinew_server_port(server));
    sinew_server_close(server);
    sinew_server_wait_closed(server);
    sinew_server_free(server);
    /* end */
    return r;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
