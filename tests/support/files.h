/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files and directories of a test's own, in $TMPDIR or /tmp.
 */
#ifndef TESTS_SUPPORT_FILES_H
#define TESTS_SUPPORT_FILES_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEMPORARY_PATH = 64 }; /* short enough that a socket may lie in such a directory */

/* What mkstemp and mkdtemp take. */
static inline char *temporary_template(char path[TEMPORARY_PATH])
{
    const char *directory = getenv("TMPDIR");
    if (!directory || !*directory || strlen(directory) > TEMPORARY_PATH - sizeof "/sinew-XXXXXX")
        directory = "/tmp";
    snprintf(path, TEMPORARY_PATH, "%s/sinew-XXXXXX", directory);
    return path;
}

/* A file that has no name any more. */
static inline int temporary_file(int flags)
{
    char path[TEMPORARY_PATH];
    int fd = mkostemp(temporary_template(path), flags);
    if (fd >= 0)
        unlink(path);
    return fd;
}

/* A path nobody uses. */
static inline bool temporary_path(char path[TEMPORARY_PATH])
{
    int fd = mkostemp(temporary_template(path), O_CLOEXEC);
    return fd >= 0 && close(fd) == 0 && unlink(path) == 0;
}

static inline bool temporary_directory(char path[TEMPORARY_PATH])
{
    return mkdtemp(temporary_template(path)) != NULL;
}

#endif
