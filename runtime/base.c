/* SPDX-License-Identifier: Apache-2.0 */
/* Messages. One write(2) each, so that lines of several threads do not mix; no stdio, so that a small stack is enough.
 */
#include "runtime/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void say(const char *format, va_list args)
{
    char line[512] = "sinew: ";
    size_t used = strlen(line);
    int n = vsnprintf(line + used, sizeof line - used - 1, format, args);
    if (n > 0)
        used += (size_t)n < sizeof line - used - 1 ? (size_t)n : sizeof line - used - 2;
    line[used++] = '\n';
    ssize_t ignored = write(STDERR_FILENO, line, used);
    (void)ignored;
}

void sn_complain(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(format, args);
    va_end(args);
}

void sn_die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(format, args);
    va_end(args);
    abort();
}
