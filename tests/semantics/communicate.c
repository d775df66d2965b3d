/* SPDX-License-Identifier: Apache-2.0 */
/* asyncio.create_subprocess_exec: feeding and reading a child,
 * ending one, one that cannot be started. */
#include <sinew.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* show */
static intptr_t program(void *arg)
{
    char *sort[] = {"sort", "-u", NULL};
    char *sleeper[] = {"sleep", "1000", NULL};
    char *nothing[] = {"no-such-program", NULL};
    sinew_process *p;
    sinew_process_output o;
    int code;

    sinew_process_options piped = {.in = SINEW_STDIO_PIPE,
                                   .out = SINEW_STDIO_PIPE};
    if (sinew_process_spawn(&piped, sort, &p) != 0)
        return 1;
    if (sinew_process_communicate(p, "b\na\nb\n", 6, &o) == 0)
        printf("%ssort: %d\n", (char *)o.out, o.returncode);
    free(o.out);
    sinew_process_free(p);

    if (sinew_process_spawn(NULL, sleeper, &p) != 0)
        return 1;
    sinew_process_terminate(p);
    if (sinew_process_wait(p, &code) == 0)
        printf("sleep: %d\n", code);
    sinew_process_free(p);

    if (sinew_process_spawn(NULL, nothing, &p) == -ENOENT)
        printf("no such program\n");
    (void)arg;
    return 0;
}
/* end */

int main(void)
{
    return (int)sinew_run(program, NULL);
}
