/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An echo server: one task for each connection, and each is a plain loop.
 *
 *     echo [ADDRESS] [--workers N]        127.0.0.1:7007 if no address is given; unix:/path works too; port 0 picks one
 *
 *     $ echo 127.0.0.1:0
 *     echo: listening on 127.0.0.1:40213
 *
 * Ctrl-C ends it cleanly with exit code 0: it stops accepting, cancels the connections and waits for them.
 */
#include <sinew.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static intptr_t echo(void *arg)
{
    int fd = (int)(intptr_t)arg; /* an integer fits into the argument: nothing to allocate */
    char buffer[8192];           /* on the task's stack, which has 64 KiB: keep it well below */
    ssize_t n;
    while ((n = sinew_recv(fd, buffer, sizeof buffer, 0)) > 0) {
        int error = sinew_send_all(fd, buffer, (size_t)n);
        if (error < 0) {
            n = error;
            break;
        }
    }
    /* A peer that went away is not worth a line, and being cancelled is how the server stops. */
    if (n < 0 && n != -ECONNRESET && n != -EPIPE && n != -ECANCELED)
        fprintf(stderr, "echo: a connection failed: %s\n", strerror((int)-n));
    sinew_close(fd);
    return 0; /* a failure returned here would stop the whole group */
}

static intptr_t serve(void *arg)
{
    int listener = *(const int *)arg;
    sinew_group connections;
    sinew_group_init(&connections);
    int error = 0;
    while (error == 0) {
        int fd = sinew_accept(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            error = sinew_group_spawn(&connections, echo, (void *)(intptr_t)fd);
            if (error < 0)
                sinew_close(fd);
            if (error == -ENOMEM)
                error = 0; /* this one cannot be served; those already here go on */
            continue;
        }
        switch (fd) {
        case -EMFILE: /* out of descriptors or memory: the connection waits in the kernel's queue until some end */
        case -ENFILE:
        case -ENOBUFS:
        case -ENOMEM:
            error = sinew_sleep(SINEW_MS(50));
            break;
        case -ECONNABORTED: /* the client was gone before we came to it; accept(2) says: try again */
        case -EPROTO:
        case -EINTR:
            break;
        default:
            error = fd;
        }
    }
    sinew_close(listener); /* new clients are refused from here on */
    /* Their calls return -ECANCELED. A task that has not begun yet never does, and its socket is closed by our end. */
    sinew_group_cancel(&connections);
    int failed = sinew_group_wait(&connections);
    if (error == -ECANCELED) { /* Ctrl-C: what this program takes for its normal end */
        puts("echo: stopped");
        error = 0;
    }
    return error < 0 ? error : failed;
}

/* The address as given, with the port that the kernel picked in place of 0. */
static void print_address(const char *address, int listener)
{
    const char *colon = strrchr(address, ':');
    int port = sinew_local_port(listener);
    if (colon && port > 0)
        printf("echo: listening on %.*s:%d\n", (int)(colon - address), address, port);
    else
        printf("echo: listening on %s\n", address);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    const char *address = NULL;
    sinew_options options = {0};
    for (int i = 1; i < argc; i++) {
        char *end = NULL;
        if (strcmp(argv[i], "--workers") == 0 && i + 1 < argc) {
            unsigned long workers = strtoul(argv[++i], &end, 10);
            if (*end != '\0' || workers < 1 || workers > SINEW_WORKERS_MAX) {
                fprintf(stderr, "echo: --workers takes a number from 1 to %u\n", SINEW_WORKERS_MAX);
                return 2;
            }
            options.workers = (unsigned)workers;
        } else if (argv[i][0] != '-' && !address) {
            address = argv[i];
        } else {
            fputs("usage: echo [ADDRESS] [--workers N]\n", stderr);
            return 2;
        }
    }
    if (!address)
        address = "127.0.0.1:7007";

    int listener = sinew_listen(address, NULL);
    if (listener < 0) {
        fprintf(stderr, "echo: cannot listen on %s: %s\n", address, strerror(-listener));
        return 1;
    }
    print_address(address, listener);
    intptr_t result = sinew_run_with(&options, serve, &listener);
    if (result < 0)
        fprintf(stderr, "echo: %s\n", strerror((int)-result));
    return result < 0;
}
