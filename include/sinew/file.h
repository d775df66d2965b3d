/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files and directories. Reading and writing is in sinew/io.h, whose opening comment holds here, too: POSIX names and
 * arguments, results or -errno, every call may suspend.
 *
 * The kernel cannot stop an operation on a file that has begun. A cancel or timeout ends a call with -ECANCELED or
 * -ETIMEDOUT only while it waits in line (nothing has happened then); otherwise the call ends when the disk answers,
 * its result is returned, and the request stays pending. Opening a FIFO waits for the other side, which a cancel ends
 * where the runtime uses io_uring; without it open one with O_NONBLOCK.
 */
#ifndef SINEW_FILE_H
#define SINEW_FILE_H

#include <sinew/base.h>

#include <sys/types.h>

SINEW_BEGIN_DECLS

struct open_how; /* linux/openat2.h */
struct statx;    /* sys/stat.h with _GNU_SOURCE, or linux/stat.h */

/* With O_CLOEXEC added. dirfd may be AT_FDCWD, here and below. */
SINEW_API int sinew_openat(int dirfd, const char *path, int flags, mode_t mode);
/* openat2(2), with O_CLOEXEC added: `how` has RESOLVE_BENEATH and others; `size` is sizeof *how. */
SINEW_API int sinew_openat2(int dirfd, const char *path, const struct open_how *how, size_t size);

SINEW_API int sinew_fsync(int fd);
SINEW_API int sinew_fdatasync(int fd);
SINEW_API int sinew_ftruncate(int fd, off_t length);
SINEW_API int sinew_fallocate(int fd, int mode, off_t offset, off_t length);

/* Of an open file: path "" with AT_EMPTY_PATH among the flags. */
SINEW_API int sinew_statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *out);

SINEW_API int sinew_renameat(int from_dirfd, const char *from, int to_dirfd, const char *to);
/* RENAME_NOREPLACE, RENAME_EXCHANGE; -EINVAL where the file system has no such thing. */
SINEW_API int sinew_renameat2(int from_dirfd, const char *from, int to_dirfd, const char *to, unsigned flags);
SINEW_API int sinew_unlinkat(int dirfd, const char *path, int flags); /* AT_REMOVEDIR: an empty directory */
SINEW_API int sinew_mkdirat(int dirfd, const char *path, mode_t mode);
SINEW_API int sinew_linkat(int from_dirfd, const char *from, int to_dirfd, const char *to, int flags);
SINEW_API int sinew_symlinkat(const char *target, int dirfd, const char *path);

/*
 * Listing a directory:
 *
 *     sinew_dir *dir;
 *     sinew_dirent entry;
 *     int r = sinew_opendir("/srv", &dir);
 *     while (r >= 0 && (r = sinew_readdir(dir, &entry)) > 0)
 *         puts(entry.name);
 *     sinew_closedir(dir);                           // r < 0: an error
 *
 * The kernel has only a blocking call for it: it is made in a thread of the blocking pool (sinew/blocking.h), for some
 * hundred entries at once. A sinew_dir is used by one task at a time.
 */
typedef struct sinew_dir sinew_dir;

typedef struct sinew_dirent {
    const char *name; /* valid until the next sinew_readdir or sinew_closedir of this directory */
    uint64_t inode;
    unsigned char type; /* DT_REG, DT_DIR ... of dirent.h; DT_UNKNOWN: the file system does not say */
} sinew_dirent;

/* Opens a directory; *out is NULL after an error. 0; -ENOTDIR, -ENOENT and others of open; -ENOMEM. */
SINEW_API int sinew_opendir(const char *path, sinew_dir **out);
SINEW_API int sinew_opendirat(int dirfd, const char *path, sinew_dir **out);

/* The next entry, in no order, without "." and "..". 1; 0 at the end; -EINVAL: NULL; -ENOENT: the directory has been
 * removed. After -ECANCELED, -ETIMEDOUT or -EAGAIN (no thread) it may be called again: no entry is lost. Usually does
 * not suspend. */
SINEW_API int sinew_readdir(sinew_dir *dir, sinew_dirent *out);

/* The descriptor, for sinew_openat, sinew_statx and others in this directory; the sinew_dir closes it. -EINVAL: NULL.
 * Does not suspend. */
SINEW_API int sinew_dirfd(const sinew_dir *dir);

/* 0; of NULL, too. Any thread; does not suspend. */
SINEW_API int sinew_closedir(sinew_dir *dir);

SINEW_END_DECLS
#endif
