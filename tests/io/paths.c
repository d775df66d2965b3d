/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what sinew/file.h does to files and names is what its namesakes do.
 * Method: a temporary directory each; results compared with what plain calls see; 1, 2 and 8 workers.
 * Cannot see: durability, quotas, network file systems.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <tests/support/files.h>
#include <tests/support/process.h>
#include <tests/support/run.h>
#include <tests/support/sockets.h>
#include <tests/support/tasks.h>

/* A directory of its own, open. */
static int new_directory(char path[TEMPORARY_PATH])
{
    return temporary_directory(path) ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
}

static void end_directory(int dir, const char *path)
{
    close(dir);
    CHECK_EQ(rmdir(path), 0);
}

static bool is_there(int dir, const char *name)
{
    return faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void touch(int dir, const char *name)
{
    close(openat(dir, name, O_CREAT | O_WRONLY, 0600));
}

IN_RUNTIME(names_are_made_moved_linked_and_removed)
{
    char path[TEMPORARY_PATH], target[16] = "";
    int dir = new_directory(path);
    touch(dir, "a");
    CHECK_EQ(sinew_renameat(dir, "a", dir, "b"), 0);
    CHECK(!is_there(dir, "a") && is_there(dir, "b"));
    touch(dir, "c");
    CHECK_EQ(sinew_renameat2(dir, "b", dir, "c", RENAME_NOREPLACE), -EEXIST);
    CHECK_EQ(sinew_renameat2(dir, "b", dir, "c", RENAME_EXCHANGE), 0);
    CHECK_EQ(sinew_renameat2(dir, "b", dir, "c", 0x4000), -EINVAL);
    CHECK_EQ(sinew_renameat(dir, "none", dir, "c"), -ENOENT);
    CHECK_EQ(sinew_linkat(dir, "b", dir, "d", 0), 0);
    CHECK_EQ(sinew_linkat(dir, "b", dir, "d", 0), -EEXIST);
    struct stat one, other;
    CHECK_EQ(fstatat(dir, "b", &one, 0), 0);
    CHECK_EQ(fstatat(dir, "d", &other, 0), 0);
    CHECK_EQ(one.st_ino, other.st_ino);
    CHECK_EQ(sinew_symlinkat("to/where", dir, "s"), 0);
    CHECK_EQ(readlinkat(dir, "s", target, sizeof target), 8);
    CHECK_EQ(memcmp(target, "to/where", 8), 0);
    CHECK_EQ(sinew_mkdirat(dir, "sub", 0750), 0);
    CHECK_EQ(fstatat(dir, "sub", &one, 0), 0);
    CHECK_EQ(one.st_mode & 07777, 0750);
    CHECK_EQ(sinew_mkdirat(dir, "sub", 0750), -EEXIST);
    CHECK_EQ(sinew_unlinkat(dir, "sub", 0), -EISDIR);
    CHECK_EQ(sinew_unlinkat(dir, "b", AT_REMOVEDIR), -ENOTDIR);
    touch(dir, "sub/inside");
    CHECK_EQ(sinew_unlinkat(dir, "sub", AT_REMOVEDIR), -ENOTEMPTY);
    CHECK_EQ(sinew_unlinkat(dir, "sub/inside", 0), 0);
    CHECK_EQ(sinew_unlinkat(dir, "sub", AT_REMOVEDIR), 0);
    CHECK_EQ(sinew_unlinkat(dir, "b", 0x4000), -EINVAL);
    static const char *const left[] = {"b", "c", "d", "s"};
    for (size_t i = 0; i < sizeof left / sizeof left[0]; i++)
        CHECK_EQ(sinew_unlinkat(dir, left[i], 0), 0);
    CHECK_EQ(sinew_unlinkat(dir, "b", 0), -ENOENT);
    end_directory(dir, path);
    return 0;
}

IN_RUNTIME(sizes_are_changed_and_told)
{
    char path[TEMPORARY_PATH];
    int dir = new_directory(path);
    struct statx status;
    int fd = sinew_openat(dir, "file", O_CREAT | O_RDWR, 0640);
    CHECK(fd >= 0);
    CHECK_EQ(sinew_ftruncate(fd, 5000), 0);
    CHECK_EQ(sinew_statx(dir, "file", 0, STATX_BASIC_STATS, &status), 0);
    CHECK_EQ(status.stx_size, 5000);
    CHECK_EQ(status.stx_mode & 07777, 0640);
    CHECK_EQ(sinew_ftruncate(fd, 10), 0);
    CHECK_EQ(sinew_statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &status), 0);
    CHECK_EQ(status.stx_size, 10);
    int r = sinew_fallocate(fd, 0, 100, 1000);
    CHECK(r == 0 || r == -EOPNOTSUPP);
    CHECK_EQ(sinew_statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &status), 0);
    CHECK_EQ(status.stx_size, r == 0 ? 1100 : 10);
    CHECK_EQ(sinew_fdatasync(fd), 0);
    CHECK_EQ(sinew_fsync(fd), 0);
    CHECK_EQ(sinew_ftruncate(fd, -1), -EINVAL);
    CHECK_EQ(sinew_fallocate(fd, 0, -1, 1), -EINVAL);
    CHECK_EQ(sinew_fallocate(fd, 0, 0, 0), -EINVAL);
    CHECK_EQ(sinew_statx(dir, "none", 0, STATX_SIZE, &status), -ENOENT);
    CHECK_EQ(sinew_statx(dir, "file", 0, STATX_SIZE, NULL), -EFAULT);
    CHECK_EQ(sinew_statx(dir, "file", 0x40000000, STATX_SIZE, &status), -EINVAL);
    close(fd);
    fd = sinew_openat(dir, "file", O_RDONLY, 0);
    CHECK_EQ(sinew_ftruncate(fd, 1), -EINVAL);
    CHECK_EQ(sinew_fallocate(fd, 0, 0, 1), -EBADF);
    close(fd);
    CHECK_EQ(sinew_unlinkat(dir, "file", 0), 0);
    end_directory(dir, path);
    return 0;
}

static int open_with(int dir, const char *name, uint64_t flags, uint64_t mode, uint64_t resolve)
{
    struct open_how how = {.flags = flags, .mode = mode, .resolve = resolve};
    return sinew_openat2(dir, name, &how, sizeof how);
}

IN_RUNTIME(openat2_stays_beneath_its_directory)
{
    char path[TEMPORARY_PATH];
    int dir = new_directory(path);
    int fd = open_with(dir, "file", O_CREAT | O_WRONLY, 0600, RESOLVE_BENEATH);
    CHECK(fd >= 0);
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    close(fd);
    CHECK_EQ(symlinkat("/etc", dir, "out"), 0);
    CHECK_EQ(open_with(dir, "../tmp", O_RDONLY, 0, RESOLVE_BENEATH), -EXDEV);
    CHECK_EQ(open_with(dir, "out/passwd", O_RDONLY, 0, RESOLVE_BENEATH), -EXDEV);
    CHECK_EQ(open_with(dir, "out/passwd", O_RDONLY, 0, RESOLVE_NO_SYMLINKS), -ELOOP);
    CHECK_EQ(open_with(dir, "none", O_RDONLY, 0, RESOLVE_BENEATH), -ENOENT);
    CHECK_EQ(open_with(dir, "file", O_RDONLY, 0, UINT64_C(1) << 60), -EINVAL);
    CHECK_EQ(open_with(dir, "file", O_RDONLY, 0600, 0), -EINVAL);
    /* A caller with newer or older headers. */
    struct {
        struct open_how how;
        uint64_t more;
    } larger = {.how = {.flags = O_RDONLY}};
    fd = sinew_openat2(dir, "file", &larger.how, sizeof larger);
    CHECK(fd >= 0);
    close(fd);
    larger.more = 1;
    CHECK_EQ(sinew_openat2(dir, "file", &larger.how, sizeof larger), -E2BIG);
    CHECK_EQ(sinew_openat2(dir, "file", &larger.how, 8), -EINVAL);
    CHECK_EQ(sinew_openat2(dir, "file", NULL, sizeof larger.how), -EFAULT);
    unlinkat(dir, "file", 0);
    unlinkat(dir, "out", 0);
    end_directory(dir, path);
    return 0;
}

IN_RUNTIME(wrong_descriptors_and_pointers_are_reported)
{
    char *nowhere = (char *)16;
    struct statx status;
    int bad = 1 << 29, cwd = AT_FDCWD;
    CHECK_EQ(sinew_fdatasync(bad), -EBADF);
    CHECK_EQ(sinew_ftruncate(bad, 0), -EBADF);
    CHECK_EQ(sinew_fallocate(bad, 0, 0, 1), -EBADF);
    CHECK_EQ(sinew_statx(bad, "x", 0, 0, &status), -EBADF);
    CHECK_EQ(sinew_renameat(bad, "x", cwd, "y"), -EBADF);
    CHECK_EQ(sinew_renameat(cwd, "/tmp", bad, "y"), -EBADF);
    CHECK_EQ(sinew_linkat(bad, "x", cwd, "y", 0), -EBADF);
    CHECK_EQ(sinew_symlinkat("x", bad, "y"), -EBADF);
    CHECK_EQ(sinew_unlinkat(bad, "x", 0), -EBADF);
    CHECK_EQ(sinew_mkdirat(bad, "x", 0700), -EBADF);
    CHECK_EQ(open_with(bad, "x", O_RDONLY, 0, 0), -EBADF);
    CHECK_EQ(sinew_statx(cwd, nowhere, 0, 0, &status), -EFAULT);
    CHECK_EQ(sinew_renameat(cwd, nowhere, cwd, "y"), -EFAULT);
    CHECK_EQ(sinew_renameat(cwd, "x", cwd, nowhere), -EFAULT);
    CHECK_EQ(sinew_linkat(cwd, NULL, cwd, "y", 0), -EFAULT);
    CHECK_EQ(sinew_symlinkat(NULL, cwd, "y"), -EFAULT);
    CHECK_EQ(sinew_symlinkat("x", cwd, NULL), -EFAULT);
    CHECK_EQ(sinew_unlinkat(cwd, NULL, 0), -EFAULT);
    CHECK_EQ(sinew_mkdirat(cwd, NULL, 0700), -EFAULT);
    CHECK_EQ(open_with(cwd, NULL, O_RDONLY, 0, 0), -EFAULT);
    return 0;
}

/* --- directories ---------------------------------------------------------------------------------------------- */

enum { FILES = 2000 };

static bool mark(const char *name, bool *seen)
{
    int number;
    if (sscanf(name, "entry-with-a-rather-long-name-%d", &number) != 1 || number < 0 || number >= FILES || seen[number])
        return false;
    seen[number] = true;
    return true;
}

IN_RUNTIME(a_directory_lists_every_entry_once)
{
    char path[TEMPORARY_PATH], name[64];
    int files = (int)scaled(FILES, 300), dir = new_directory(path), listed = 0, r;
    bool seen[FILES] = {false};
    for (int i = 0; i < files; i++) {
        snprintf(name, sizeof name, "entry-with-a-rather-long-name-%d", i);
        touch(dir, name);
    }
    sinew_dir *d;
    sinew_dirent entry;
    CHECK_EQ(sinew_opendir(path, &d), 0);
    while ((r = sinew_readdir(d, &entry)) > 0) {
        listed++;
        struct stat status;
        CHECK(mark(entry.name, seen));
        CHECK(entry.type == DT_REG || entry.type == DT_UNKNOWN);
        if (listed == 1 && CHECK_EQ(fstatat(sinew_dirfd(d), entry.name, &status, 0), 0))
            CHECK_EQ(status.st_ino, entry.inode);
    }
    CHECK_EQ(r, 0);
    CHECK_EQ(listed, files);
    CHECK_EQ(sinew_readdir(d, &entry), 0);
    CHECK_EQ(sinew_closedir(d), 0);
    for (int i = 0; i < files; i++) {
        snprintf(name, sizeof name, "entry-with-a-rather-long-name-%d", i);
        unlinkat(dir, name, 0);
    }
    end_directory(dir, path);
    return 0;
}

IN_RUNTIME(directories_that_are_none_are_reported)
{
    char path[TEMPORARY_PATH];
    sinew_dir *d = (sinew_dir *)16;
    sinew_dirent entry;
    int descriptors = count_descriptors();
    CHECK_EQ(sinew_opendir("/nonexistent", &d), -ENOENT);
    CHECK(d == NULL);
    CHECK_EQ(sinew_opendir("/dev/null", &d), -ENOTDIR);
    CHECK_EQ(sinew_opendir(NULL, &d), -EFAULT);
    CHECK_EQ(sinew_opendir("/tmp", NULL), -EINVAL);
    CHECK_EQ(sinew_readdir(NULL, &entry), -EINVAL);
    CHECK_EQ(sinew_dirfd(NULL), -EINVAL);
    CHECK_EQ(sinew_closedir(NULL), 0);
    CHECK_EQ(count_descriptors(), descriptors);
    int dir = new_directory(path);
    mkdirat(dir, "sub", 0700);
    CHECK_EQ(sinew_opendirat(dir, "sub", &d), 0);
    CHECK_EQ(sinew_readdir(d, NULL), -EINVAL);
    unlinkat(dir, "sub", AT_REMOVEDIR);
    CHECK_EQ(sinew_readdir(d, &entry), -ENOENT);
    CHECK_EQ(sinew_closedir(d), 0);
    CHECK_EQ(count_descriptors(), descriptors + 1);
    end_directory(dir, path);
    return 0;
}

IN_RUNTIME(a_cancel_loses_no_entry)
{
    char path[TEMPORARY_PATH];
    int dir = new_directory(path);
    sinew_dir *d;
    sinew_dirent entry;
    touch(dir, "only");
    CHECK_EQ(sinew_opendir(path, &d), 0);
    sinew_cancel(sinew_self());
    int first = sinew_readdir(d, &entry);
    CHECK_EQ(first, -ECANCELED);
    sinew_uncancel();
    CHECK_EQ(sinew_readdir(d, &entry), 1);
    CHECK_EQ(strcmp(entry.name, "only"), 0);
    CHECK_EQ(sinew_readdir(d, &entry), 0);
    CHECK_EQ(sinew_closedir(d), 0);
    unlinkat(dir, "only", 0);
    end_directory(dir, path);
    return 0;
}

/* --- cancels -------------------------------------------------------------------------------------------------- */

static intptr_t open_fifo(void *arg)
{
    return sinew_openat(*(int *)arg, "fifo", O_RDONLY, 0);
}

static bool have_io_uring(void)
{
    const char *driver = getenv("SINEW_DRIVER");
    return !driver || strcmp(driver, "epoll") != 0;
}

IN_RUNTIME(opening_a_fifo_waits_for_the_other_side_and_can_be_cancelled)
{
    if (!have_io_uring()) {
        print_message("only io_uring can cancel an open: not tested\n");
        return 0;
    }
    char path[TEMPORARY_PATH];
    int dir = new_directory(path), descriptors = count_descriptors();
    CHECK_EQ(mkfifoat(dir, "fifo", 0600), 0);
    sinew_task *t = sinew_spawn(open_fifo, &dir);
    for (int i = 0; i < 20; i++)
        sinew_yield();
    CHECK(!sinew_done(t));
    CHECK(sinew_cancel(t));
    CHECK_EQ(sinew_await(t), -ECANCELED);
    CHECK_EQ(count_descriptors(), descriptors);
    t = sinew_spawn(open_fifo, &dir);
    int writer = sinew_openat(dir, "fifo", O_WRONLY, 0), reader = (int)sinew_await(t);
    CHECK(writer >= 0 && reader >= 0);
    CHECK(!(fcntl(reader, F_GETFL) & O_NONBLOCK));
    close(writer);
    close(reader);
    /* Nobody reads: with O_NONBLOCK that is an error, and a cancel ends the wait without. */
    CHECK_EQ(sinew_openat(dir, "fifo", O_WRONLY | O_NONBLOCK, 0), -ENXIO);
    sinew_timeout limit;
    sinew_timeout_begin(&limit, SINEW_MS(5));
    CHECK_EQ(open_with(dir, "fifo", O_WRONLY, 0, 0), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&limit), -ETIMEDOUT);
    CHECK_EQ(count_descriptors(), descriptors);
    unlinkat(dir, "fifo", 0);
    end_directory(dir, path);
    return 0;
}

struct maker {
    int dir, number;
    int made;
};

static intptr_t make_directory(void *arg)
{
    struct maker *m = arg;
    char name[32];
    snprintf(name, sizeof name, "d%d", m->number);
    m->made = sinew_mkdirat(m->dir, name, 0700);
    return 0;
}

/* An operation either has happened, and says so, or it has not. */
IN_RUNTIME(a_cancelled_operation_says_whether_it_happened)
{
    enum { MAKERS = 200 };
    char path[TEMPORARY_PATH], name[32];
    int dir = new_directory(path), cancelled = 0;
    static struct maker makers[MAKERS];
    sinew_task *tasks[MAKERS];
    for (int i = 0; i < MAKERS; i++) {
        makers[i] = (struct maker){dir, i, -ECANCELED};
        tasks[i] = sinew_spawn(make_directory, &makers[i]);
    }
    sinew_yield();
    for (int i = 0; i < MAKERS; i++)
        sinew_cancel(tasks[i]);
    for (int i = 0; i < MAKERS; i++)
        sinew_await(tasks[i]);
    for (int i = 0; i < MAKERS; i++) {
        snprintf(name, sizeof name, "d%d", i);
        CHECK_EQ(is_there(dir, name), makers[i].made == 0);
        CHECK(makers[i].made == 0 || makers[i].made == -ECANCELED);
        cancelled += makers[i].made != 0;
        unlinkat(dir, name, AT_REMOVEDIR);
    }
    print_message("%u workers: %d of %d cancelled\n", sinew_workers(), cancelled, MAKERS);
    end_directory(dir, path);
    return 0;
}

TEST_MAIN(cmocka_unit_test(names_are_made_moved_linked_and_removed), cmocka_unit_test(sizes_are_changed_and_told),
          cmocka_unit_test(openat2_stays_beneath_its_directory),
          cmocka_unit_test(wrong_descriptors_and_pointers_are_reported),
          cmocka_unit_test(a_directory_lists_every_entry_once),
          cmocka_unit_test(directories_that_are_none_are_reported), cmocka_unit_test(a_cancel_loses_no_entry),
          cmocka_unit_test(opening_a_fifo_waits_for_the_other_side_and_can_be_cancelled),
          cmocka_unit_test(a_cancelled_operation_says_whether_it_happened))
