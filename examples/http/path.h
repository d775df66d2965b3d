/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a request's target to an open file, and never to one outside of the root.
 *
 * Two lines of defence, and the second alone would do. The target is decoded and every ".." in it refused, before
 * anything is looked up. Then the kernel resolves the rest with RESOLVE_BENEATH, which fails with EXDEV wherever the
 * path would leave the root: by "..", by a symbolic link (an absolute one counts as leaving), or by somebody who
 * renames directories meanwhile. Checking with realpath first and opening afterwards would have that race.
 */
#ifndef HTTP_PATH_H
#define HTTP_PATH_H

#include <stddef.h>
#include <sys/stat.h>

/* A request's target, in bytes; a longer one is answered with 414. */
#define TARGET_MAX 2048

/* What may have to be appended to a target. */
#define PATH_INDEX     "index.html"
#define PATH_BYTES_MAX (TARGET_MAX + sizeof "/" PATH_INDEX)

/*
 * Turns a target of *len <= TARGET_MAX bytes into a path below the root, in place: without query, decoded, no empty or
 * "." parts, '\0' at the end; "" is the root itself. `target` has room for PATH_BYTES_MAX. Returns 0 or the HTTP status
 * to refuse it with.
 */
int path_of_target(char *target, size_t *len);

/*
 * Opens the regular file at `path`, for reading with sinew_pread. A directory stands for its index file, which is then
 * appended to `path`. Returns a descriptor, or -errno: -EISDIR is a directory without index, -EXDEV a path that leaves
 * the root, -EPERM something that is neither file nor directory.
 *
 * Looks names up in the calling thread: of what is needed here, no asynchronous form is offered by sinew, and on a
 * local file system it takes microseconds. Reading, which can take much longer, is not done here.
 */
int path_open(char *path, size_t len, struct stat *st);

/* Fills *st for the file that path_open has opened at `path`. 0 or -errno. */
int path_stat(const char *path, struct stat *st);

#endif
