/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: file calls do what their POSIX namesakes do.
 * Method: a temporary file each; contents compared with what plain calls see; 1, 2 and 8 workers.
 * Cannot see: durability (fsync is only called), and media that answer slowly.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <tests/support/files.h>
#include <tests/support/process.h>
#include <tests/support/run.h>
#include <tests/support/sockets.h>
#include <tests/support/tasks.h>

IN_RUNTIME(open_write_read_and_close_a_file)
{
    char path[TEMPORARY_PATH], buf[32] = "";
    CHECK(temporary_path(path));
    CHECK_EQ(sinew_openat(AT_FDCWD, path, O_RDWR, 0), -ENOENT);
    int fd = sinew_openat(AT_FDCWD, path, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (!CHECK(fd >= 0))
        return 1;
    struct stat st;
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_mode & 0777, 0600);
    CHECK_EQ(sinew_write(fd, "hello, ", 7), 7);
    CHECK_EQ(sinew_write(fd, "world", 5), 5);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 12);
    CHECK_EQ(sinew_fsync(fd), 0);
    CHECK_EQ(sinew_read(fd, buf, sizeof buf), 0);
    CHECK_EQ(lseek(fd, 3, SEEK_SET), 3);
    CHECK_EQ(sinew_read(fd, buf, 4), 4);
    CHECK_EQ(memcmp(buf, "lo, ", 4), 0);
    CHECK_EQ(sinew_read(fd, buf, sizeof buf), 5);
    CHECK_EQ(memcmp(buf, "world", 5), 0);
    CHECK_EQ(sinew_openat(AT_FDCWD, path, O_RDWR | O_CREAT | O_EXCL, 0600), -EEXIST);
    CHECK_EQ(sinew_close(fd), 0);
    CHECK_EQ(sinew_close(fd), -EBADF);
    CHECK_EQ(unlink(path), 0);
    return 0;
}

IN_RUNTIME(pread_and_pwrite_do_not_move_the_position)
{
    int fd = temporary_file(O_CLOEXEC);
    char buf[16];
    CHECK_EQ(sinew_pwrite(fd, "abcdef", 6, 10), 6);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
    CHECK_EQ(sinew_pread(fd, buf, 3, 12), 3);
    CHECK_EQ(memcmp(buf, "cde", 3), 0);
    CHECK_EQ(sinew_pread(fd, buf, 16, 14), 2);
    CHECK_EQ(sinew_pread(fd, buf, 16, 16), 0);
    CHECK_EQ(sinew_pread(fd, buf, 16, 1000), 0);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
    CHECK_EQ(sinew_pread(fd, buf, 4, 0), 4);
    CHECK_EQ(memcmp(buf, "\0\0\0\0", 4), 0);
    CHECK_EQ(sinew_read(fd, buf, 0), 0);
    CHECK_EQ(sinew_write(fd, buf, 0), 0);
    CHECK_EQ(sinew_close(fd), 0);
    return 0;
}

IN_RUNTIME(openat_is_relative_to_its_directory)
{
    char directory[TEMPORARY_PATH];
    if (!CHECK(temporary_directory(directory)))
        return 1;
    int dir = sinew_openat(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY, 0);
    CHECK(dir >= 0);
    int fd = sinew_openat(dir, "inside", O_CREAT | O_WRONLY, 0644);
    CHECK(fd >= 0);
    CHECK_EQ(faccessat(dir, "inside", F_OK, 0), 0);
    char c;
    CHECK_EQ(sinew_read(dir, &c, 1), -EISDIR);
    CHECK_EQ(sinew_openat(dir, "inside/below", O_RDONLY, 0), -ENOTDIR);
    CHECK_EQ(sinew_openat(dir, "missing", O_RDONLY, 0), -ENOENT);
    CHECK_EQ(sinew_close(fd), 0);
    CHECK_EQ(unlinkat(dir, "inside", 0), 0);
    CHECK_EQ(sinew_close(dir), 0);
    CHECK_EQ(rmdir(directory), 0);
    return 0;
}

IN_RUNTIME(append_and_truncate_flags_work)
{
    char path[TEMPORARY_PATH], buf[16];
    CHECK(temporary_path(path));
    for (int i = 0; i < 3; i++) {
        int fd = sinew_openat(AT_FDCWD, path, O_CREAT | O_WRONLY | O_APPEND, 0600);
        CHECK(fd >= 0);
        CHECK_EQ(sinew_write(fd, "xyz", 3), 3);
        CHECK_EQ(sinew_close(fd), 0);
    }
    int fd = sinew_openat(AT_FDCWD, path, O_RDONLY, 0);
    CHECK_EQ(sinew_read(fd, buf, sizeof buf), 9);
    CHECK_EQ(memcmp(buf, "xyzxyzxyz", 9), 0);
    CHECK_EQ(sinew_write(fd, "no", 2), -EBADF);
    CHECK_EQ(sinew_close(fd), 0);
    fd = sinew_openat(AT_FDCWD, path, O_RDWR | O_TRUNC, 0);
    CHECK_EQ(sinew_read(fd, buf, sizeof buf), 0);
    CHECK_EQ(sinew_close(fd), 0);
    unlink(path);
    return 0;
}

#define BLOCK 4096

struct block {
    int fd, number;
};

static void block_contents(char buf[BLOCK], int number)
{
    for (int i = 0; i < BLOCK; i++)
        buf[i] = (char)(number * 31 + i);
}

static intptr_t write_and_read_block(void *arg)
{
    struct block *b = arg;
    char out[BLOCK], in[BLOCK];
    block_contents(out, b->number);
    if (!CHECK_EQ(sinew_pwrite(b->fd, out, BLOCK, (off_t)b->number * BLOCK), BLOCK))
        return -EIO;
    if (!CHECK_EQ(sinew_pread(b->fd, in, BLOCK, (off_t)b->number * BLOCK), BLOCK))
        return -EIO;
    CHECK_EQ(memcmp(in, out, BLOCK), 0);
    return 0;
}

IN_RUNTIME(five_hundred_tasks_write_one_file_side_by_side)
{
    int n = (int)scaled(500, 50);
    int fd = temporary_file(O_CLOEXEC);
    struct block *blocks = calloc((size_t)n, sizeof *blocks);
    for (int i = 0; i < n; i++)
        blocks[i] = (struct block){fd, i};
    CHECK_EQ(sinew_map(write_and_read_block, blocks, sizeof *blocks, (size_t)n, NULL), 0);
    char expected[BLOCK], seen[BLOCK];
    for (int i = 0; i < n; i++) {
        block_contents(expected, i);
        CHECK_EQ(pread(fd, seen, BLOCK, (off_t)i * BLOCK), BLOCK);
        CHECK_EQ(memcmp(seen, expected, BLOCK), 0);
    }
    free(blocks);
    CHECK_EQ(sinew_close(fd), 0);
    return 0;
}

IN_RUNTIME(a_large_transfer_is_complete)
{
    size_t size = scaled((size_t)32 << 20, (size_t)1 << 20), done = 0;
    int fd = temporary_file(O_CLOEXEC);
    char *out = malloc(size), *in = calloc(1, size);
    for (size_t i = 0; i < size; i++)
        out[i] = (char)(i * 2654435761u >> 13);
    while (done < size) {
        ssize_t n = sinew_pwrite(fd, out + done, size - done, (off_t)done);
        if (!CHECK(n > 0))
            break;
        done += (size_t)n;
    }
    for (done = 0; done < size;) {
        ssize_t n = sinew_pread(fd, in + done, size - done, (off_t)done);
        if (!CHECK(n > 0))
            break;
        done += (size_t)n;
    }
    CHECK_EQ(memcmp(in, out, size), 0);
    free(out);
    free(in);
    CHECK_EQ(sinew_close(fd), 0);
    return 0;
}

IN_RUNTIME(a_cancel_before_close_does_not_keep_the_descriptor_open)
{
    int before = count_descriptors();
    int fd = temporary_file(O_CLOEXEC);
    CHECK(sinew_cancel(sinew_self()));
    CHECK_EQ(sinew_close(fd), 0);
    CHECK_EQ(fcntl(fd, F_GETFD), -1);
    CHECK_EQ(count_descriptors(), before);
    CHECK_EQ(sinew_yield(), -ECANCELED);
    CHECK_EQ(sinew_uncancel(), 0);
    return 0;
}

static intptr_t open_and_close(void *arg)
{
    int fd = sinew_openat(AT_FDCWD, arg, O_RDONLY | O_CLOEXEC, 0);
    if (fd >= 0)
        CHECK_EQ(sinew_close(fd), 0);
    return fd < 0 ? fd : 0;
}

IN_RUNTIME(a_cancelled_open_leaks_no_descriptor)
{
    int rounds = (int)scaled(500, 50), before = count_descriptors();
    for (int i = 0; i < rounds; i++) {
        sinew_task *t = sinew_spawn(open_and_close, "/dev/null");
        for (int j = 0; j < i % 4; j++)
            sinew_yield();
        sinew_cancel(t);
        intptr_t r = sinew_await(t);
        CHECK(r == 0 || r == -ECANCELED);
    }
    CHECK_EQ(count_descriptors(), before);
    return 0;
}

TEST_MAIN(cmocka_unit_test(open_write_read_and_close_a_file),
          cmocka_unit_test(pread_and_pwrite_do_not_move_the_position),
          cmocka_unit_test(openat_is_relative_to_its_directory), cmocka_unit_test(append_and_truncate_flags_work),
          cmocka_unit_test(five_hundred_tasks_write_one_file_side_by_side),
          cmocka_unit_test(a_large_transfer_is_complete),
          cmocka_unit_test(a_cancel_before_close_does_not_keep_the_descriptor_open),
          cmocka_unit_test(a_cancelled_open_leaks_no_descriptor))
