/* SPDX-License-Identifier: Apache-2.0 */
/* sinew: looks at the tasks of another process, without its help. The command line. */
#include "fail.h"
#include "views.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIMIT = 1000 };

static const char usage[] =
    "usage: sinew ps [options] PID       all tasks of a process and who awaits them, as a table\n"
    "       sinew pstree [options] PID   the same as a tree: below each task those that it awaits\n"
    "\n"
    "  --limit N     stacks of so many tasks (default 1000); more take longer\n"
    "  --no-stacks   no stacks\n"
    "  --stacks      ps: stacks as lines below the task, with files and lines\n"
    "  --help, --version\n"
    "\n"
    "States: new (has not begun), ready (waits for a worker), running (on the thread that is named), waiting (for\n"
    "what its innermost call says). The process is not stopped: what is shown is of no one instant. Reading it wants\n"
    "the same user or root. Exit status: 0; 1: it cannot be read, or tasks await each other in a circle (pstree);\n"
    "2: wrong usage.\n";

__attribute__((noreturn)) static void wrong_usage(const char *what, const char *which)
{
    fprintf(stderr, "sinew: %s%s\n%s", what, which, usage);
    exit(2);
}

static unsigned long number(const char *text, unsigned long most, const char *what)
{
    char *end;
    errno = 0;
    unsigned long n = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno || n > most)
        wrong_usage(what, text);
    return n;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"limit", required_argument, NULL, 'l'}, {"no-stacks", no_argument, NULL, 'n'},
        {"stacks", no_argument, NULL, 's'},      {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},     {NULL, 0, NULL, 0},
    };
    view_options view = {.limit = LIMIT};
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (c) {
        case 'l':
            view.limit = number(optarg, UINT32_MAX, "--limit wants a number, not ");
            break;
        case 'n':
            view.limit = 0;
            break;
        case 's':
            view.stacks = true;
            break;
        case 'h':
            fputs(usage, stdout);
            return 0;
        case 'v':
            printf("sinew %s\n", SINEW_VERSION);
            return 0;
        default: /* getopt has said what is wrong */
            fputs(usage, stderr);
            return 2;
        }
    }
    if (argc - optind != 2)
        wrong_usage("a command and the number of a process are wanted", "");
    const char *command = argv[optind];
    bool tree = strcmp(command, "pstree") == 0;
    if (!tree && strcmp(command, "ps") != 0)
        wrong_usage("there is no command ", command);
    pid_t pid = (pid_t)number(argv[optind + 1], INT32_MAX, "not the number of a process: ");
    if (pid == 0)
        wrong_usage("not the number of a process: ", argv[optind + 1]);

    target t;
    target_open(&t, pid);
    int status = tree ? view_pstree(&t, &view) : view_ps(&t, &view);
    target_close(&t);
    if (fflush(stdout) != 0 || ferror(stdout))
        fail("the output could not be written: %s", strerror(errno));
    return status;
}
