/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listing directories: getdents64 in a thread of the blocking pool, a bufferful at a time.
 *
 * The buffer belongs to the handle, and the call waits for a listing that has begun: so a cancel loses no entry.
 */
#include "runtime/base.h"

#include <sinew/blocking.h>
#include <sinew/errno.h>
#include <sinew/file.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct sinew_dir {
    int fd;
    size_t at, end; /* of what is in the buffer */
    _Alignas(struct dirent64) char buffer[32768];
};

int sinew_opendirat(int dirfd, const char *path, sinew_dir **out)
{
    if (!out)
        return -EINVAL;
    *out = NULL;
    sinew_dir *dir = malloc(sizeof *dir);
    if (!dir)
        return -ENOMEM;
    dir->at = dir->end = 0;
    dir->fd = sinew_openat(dirfd, path, O_RDONLY | O_DIRECTORY, 0);
    if (dir->fd < 0) {
        int r = dir->fd;
        free(dir);
        return r;
    }
    *out = dir;
    return 0;
}

int sinew_opendir(const char *path, sinew_dir **out)
{
    return sinew_opendirat(AT_FDCWD, path, out);
}

static intptr_t list(void *arg)
{
    sinew_dir *dir = arg;
    ssize_t n = getdents64(dir->fd, dir->buffer, sizeof dir->buffer);
    return n < 0 ? -errno : n;
}

/* The next entry of any name, or NULL; *result is 1, 0 or a negative errno. */
static const struct dirent64 *next(sinew_dir *dir, int *result)
{
    if (dir->at == dir->end) {
        intptr_t n = sinew_blocking_wait(list, dir);
        *result = n < 0 ? (int)n : n > 0;
        if (n <= 0)
            return NULL;
        dir->at = 0;
        dir->end = (size_t)n;
    }
    const struct dirent64 *entry = (const void *)(dir->buffer + dir->at);
    dir->at += entry->d_reclen;
    *result = 1;
    return entry;
}

static bool is_dots(const char *name)
{
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

int sinew_readdir(sinew_dir *dir, sinew_dirent *out)
{
    int result;
    const struct dirent64 *entry;
    if (!dir || !out)
        return -EINVAL;
    do
        entry = next(dir, &result);
    while (entry && is_dots(entry->d_name));
    if (entry)
        *out = (sinew_dirent){.name = entry->d_name, .inode = entry->d_ino, .type = entry->d_type};
    return result;
}

int sinew_dirfd(const sinew_dir *dir)
{
    return dir ? dir->fd : -EINVAL;
}

int sinew_closedir(sinew_dir *dir)
{
    if (!dir)
        return 0;
    int r = close(dir->fd) < 0 ? -errno : 0; /* nothing is to be written, so it does not wait */
    free(dir);
    return r;
}
