/* SPDX-License-Identifier: Apache-2.0 */
/* A function over a list, all at once. */
#include <sinew.h>

#include <stdio.h>

/* show */
static intptr_t square(void *arg)
{
    const int *n = arg;
    return (intptr_t)*n * *n;
}
/* end */

static intptr_t program(void *arg)
{
    (void)arg;
    /* show */
    int numbers[] = {2, 3, 5, 7};
    intptr_t r[4];
    int error = sinew_map(square, numbers, sizeof(int), 4, r);
    if (error == 0)
        printf("%ld %ld %ld %ld\n", r[0], r[1], r[2], r[3]);
    /* end */
    return error;
}

int main(void)
{
    return (int)sinew_run(program, NULL);
}
