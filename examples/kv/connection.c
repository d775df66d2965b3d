/* SPDX-License-Identifier: Apache-2.0 */
#include "connection.h"

#include "client.h"
#include "command.h"
#include "log.h"
#include "settings.h"

#include <stdlib.h>
#include <string.h>

/* Answers what the client sends until one side is done with the other. */
static void converse(client *c)
{
    while (!c->failed && !c->leaving) {
        switch (resp_next(&c->in)) {
        case RESP_COMMAND:
            execute(c);
            break;
        case RESP_MORE:
            if (!client_receive(c)) {
                if (c->stopping)
                    client_linger(c, false);
                return;
            }
            break;
        case RESP_INVALID:
            answer_error_about(c, "ERR ", c->in.error, strlen(c->in.error), "");
            c->leaving = true;
        }
    }
    client_flush(c);
    client_linger(c, true);
}

intptr_t serve_connection(void *arg)
{
    int fd = (int)(intptr_t)arg;
    client *c = malloc(sizeof *c);
    if (c) {
        client_begin(c, fd);
        converse(c);
        log_wake(); /* what it has changed without waiting for the answer */
        client_end(c);
        free(c);
    }
    sinew_close(fd);
    atomic_fetch_sub_explicit(&counters.clients, 1, memory_order_relaxed);
    return 0;
}
