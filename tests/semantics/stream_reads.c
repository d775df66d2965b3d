/* SPDX-License-Identifier: Apache-2.0 */
/* The ways to read a stream. */
#include <sinew.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static void print(const char *what, const char *data, ssize_t n)
{
    printf("%s: %d ", what, (int)n);
    for (ssize_t i = 0; i < n; i++)
        putchar(data[i] == '\n' ? '$' : data[i]);
    putchar('\n');
}

/* show */
static int reads(sinew_stream *s)
{
    const char *data; /* valid until the next read */
    char four[4];
    ssize_t n = sinew_stream_readline(s, &data);
    print("line", data, n);
    n = sinew_stream_read_until(s, ";", &data);
    print("until", data, n);
    if (sinew_stream_read_exactly(s, four, 4) == 0)
        print("exactly", four, 4);
    const sinew_separator ends[] = {{"\n", 1}, {"!!", 2}};
    n = sinew_stream_read_until_any(s, ends, 2, &data);
    print("any", data, n);
    n = sinew_stream_readline(s, &data);
    if (n == -EMSGSIZE)
        puts("too long a line");
    if (sinew_stream_read_exactly(s, four, 4) == -ENODATA) {
        n = sinew_stream_peek(s, &data); /* is still there */
        print("partial", data, n);
        sinew_stream_consume(s, (size_t)n);
    }
    n = sinew_stream_readline(s, &data);
    print("end", data, n);
    return 0;
}
/* end */

static intptr_t program(void *arg)
{
    (void)arg;
    static const char text[] =
        "one\ntwo;four any!! a line that is far too long\nabc";
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
        return -EMFILE;
    const sinew_stream_options options = {.limit = 20};
    sinew_stream *in, *out;
    sinew_stream_open(fds[0], &options, &in);
    sinew_stream_open(fds[1], NULL, &out);
    sinew_stream_write(out, text, strlen(text));
    sinew_stream_unref(out); /* closes it, once that is sent */
    int r = reads(in);
    sinew_stream_unref(in);
    return r;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
