/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* O_PATH */
#include "path.h"

#include "settings.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sinew/errno.h>
#include <string.h>
#include <strings.h>
#include <sys/syscall.h>
#include <unistd.h>

/* --- from target to path ------------------------------------------------------------------------------------------ */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Decodes %XX in place. Returns the new length, or -1 for a sequence that is none and for a NUL. */
static ssize_t percent_decode(char *text, size_t len)
{
    size_t to = 0;
    for (size_t from = 0; from < len; from++) {
        char c = text[from];
        if (c == '%') {
            if (len - from < 3)
                return -1;
            int high = hex_digit(text[from + 1]), low = hex_digit(text[from + 2]);
            if (high < 0 || low < 0)
                return -1;
            c = (char)(high << 4 | low);
            from += 2;
        }
        if (c == '\0')
            return -1;
        text[to++] = c;
    }
    return (ssize_t)to;
}

int path_of_target(char *target, size_t *len)
{
    char *begin = target, *end = target + *len;

    /* The form for proxies, "http://host/path", is to be accepted by everyone (RFC 9112, 3.2.2). */
    if (*len >= 7 && strncasecmp(begin, "http://", 7) == 0) {
        begin += 7;
        while (begin < end && *begin != '/' && *begin != '?')
            begin++;
        if (begin == end || *begin == '?')
            *--begin = '/'; /* no path is "/"; something was skipped, so there is room */
    }
    if (begin == end || *begin != '/')
        return 400;

    char *query = memchr(begin, '?', (size_t)(end - begin));
    if (query)
        end = query;
    char *fragment = memchr(begin, '#', (size_t)(end - begin)); /* clients should keep it to themselves */
    if (fragment)
        end = fragment;
    if (memchr(begin, '%', (size_t)(end - begin))) {
        ssize_t decoded = percent_decode(begin, (size_t)(end - begin));
        if (decoded < 0)
            return 400;
        end = begin + decoded;
    }

    /* Part by part, each moved to the front: `to` never overtakes what is still to be read. */
    char *to = target;
    bool is_directory = false; /* the last part is empty or ".": "/a/" */
    for (char *part = begin; part < end;) {
        part++; /* the slash */
        char *slash = memchr(part, '/', (size_t)(end - part));
        char *part_end = slash ? slash : end;
        size_t n = (size_t)(part_end - part);
        if (n == 2 && part[0] == '.' && part[1] == '.')
            return 403;
        is_directory = n == 0 || (n == 1 && part[0] == '.');
        if (!is_directory) {
            if (to > target)
                *to++ = '/';
            memmove(to, part, n);
            to += n;
        }
        part = part_end;
    }
    if (is_directory && to > target)
        *to++ = '/'; /* kept: "file/" is not "file" */
    *to = '\0';
    *len = (size_t)(to - target);
    return 0;
}

/* --- from path to file -------------------------------------------------------------------------------------------- */

static int open_beneath_root(const char *path, int flags)
{
    struct open_how how = {.flags = (unsigned)(flags | O_CLOEXEC), .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    for (int tries = 0;; tries++) {
        long fd = syscall(SYS_openat2, settings.root, path, &how, sizeof how);
        if (fd >= 0)
            return (int)fd;
        /* EAGAIN: something was renamed at the same time and the kernel cannot tell whether the path stayed below. */
        if (errno != EINTR && (errno != EAGAIN || tries >= 8))
            return -errno;
    }
}

/* A regular file or a directory, or -errno. */
static int open_and_stat(const char *path, struct stat *st)
{
    /* O_NONBLOCK so that a FIFO somebody left here does not stop the worker until it is written to. */
    int fd = open_beneath_root(*path ? path : ".", O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return fd == -ENXIO ? -EPERM : fd; /* a socket */
    int error = 0;
    if (fstat(fd, st) < 0)
        error = -errno;
    else if (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode))
        error = -EPERM;
    else if (fcntl(fd, F_SETFL, 0) < 0) /* for io_uring, O_NONBLOCK would mean "fail if it is not in the page cache" */
        error = -errno;
    if (error < 0) {
        close(fd);
        return error;
    }
    return fd;
}

int path_open(char *path, size_t len, struct stat *st)
{
    int fd = open_and_stat(path, st);
    if (fd < 0 || S_ISREG(st->st_mode))
        return fd;
    close(fd);
    if (len > 0 && path[len - 1] != '/')
        path[len++] = '/';
    memcpy(path + len, PATH_INDEX, sizeof PATH_INDEX);
    fd = open_and_stat(path, st);
    if (fd >= 0 && S_ISDIR(st->st_mode)) {
        close(fd);
        return -EISDIR;
    }
    return fd == -ENOENT ? -EISDIR : fd;
}

int path_stat(const char *path, struct stat *st)
{
    int fd = open_beneath_root(path, O_PATH);
    if (fd < 0)
        return fd;
    int error = fstat(fd, st) < 0 ? -errno : 0;
    close(fd);
    return error;
}
