/* SPDX-License-Identifier: Apache-2.0 */
/* A process whose record is of another version than the tool knows. */
#include <stdio.h>
#include <unistd.h>

__attribute__((section(".sinew.inspect"), used)) static char record[512] = "sinew inspect 9";

int main(void)
{
    char byte;
    puts("ready");
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    return record[0] == '\0';
}
