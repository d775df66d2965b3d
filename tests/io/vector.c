/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: readv, writev, preadv and pwritev fill and empty their parts in order, at the right place, and refuse what the
 * system calls refuse; pread finds what is in the cache and what is not.
 * Method: pipes and temporary files; each error is compared with that of the plain call on the same arguments.
 * Cannot see: media that answer slowly; whether a read came from the cache.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include <tests/support/files.h>
#include <tests/support/run.h>
#include <tests/support/sockets.h>
#include <tests/support/tasks.h>

IN_RUNTIME(parts_are_written_and_read_in_order)
{
    int p[2];
    char a[4] = "", b[4] = "";
    struct iovec out[] = {{"one", 3}, {"", 0}, {"two", 3}}, in[] = {{a, 2}, {NULL, 0}, {b, 4}};
    CHECK_EQ(sinew_pipe(p, 0), 0);
    CHECK(fcntl(p[0], F_GETFD) & FD_CLOEXEC);
    CHECK_EQ(sinew_writev(p[1], out, 3), 6);
    CHECK_EQ(sinew_readv(p[0], in, 3), 6);
    CHECK_EQ(memcmp(a, "on", 2), 0);
    CHECK_EQ(memcmp(b, "etwo", 4), 0);
    /* A short transfer ends in the middle of a part. */
    CHECK_EQ(write(p[1], "xyz", 3), 3);
    CHECK_EQ(sinew_readv(p[0], in, 3), 3);
    CHECK_EQ(memcmp(b, "ztwo", 4), 0);
    close(p[1]);
    CHECK_EQ(sinew_readv(p[0], in, 3), 0);
    close(p[0]);
    return 0;
}

IN_RUNTIME(vectors_at_an_offset_leave_the_position_alone)
{
    int fd = temporary_file(O_CLOEXEC);
    char a[3], b[5];
    struct iovec out[] = {{"abc", 3}, {"defg", 4}}, in[] = {{a, 3}, {b, 5}};
    CHECK_EQ(sinew_pwritev(fd, out, 2, 100), 7);
    CHECK_EQ(sinew_preadv(fd, in, 2, 101), 6);
    CHECK_EQ(memcmp(a, "bcd", 3), 0);
    CHECK_EQ(memcmp(b, "efg", 3), 0);
    CHECK_EQ(sinew_preadv(fd, in, 2, 107), 0);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
    CHECK_EQ(sinew_writev(fd, out, 2), 7);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 7);
    CHECK_EQ(sinew_readv(fd, in, 2), 8);
    CHECK_EQ(a[0], 0);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 15);
    close(fd);
    return 0;
}

/* What does not fit into the cache's answer at once: other ways inside, the same bytes. */
IN_RUNTIME(reads_of_what_the_cache_has_not_are_complete)
{
    size_t size = scaled(3000000, 300000), wrong = 0;
    int fd = temporary_file(O_CLOEXEC);
    char *data = malloc(size), *back = malloc(size);
    for (size_t i = 0; i < size; i++)
        data[i] = (char)(i * 2654435761u >> 13);
    CHECK_EQ(pwrite(fd, data, size, 0), size);
    CHECK_EQ(fsync(fd), 0);
    for (int round = 0; round < 3; round++) {
        posix_fadvise(fd, round == 1 ? 65536 : 0, round == 2 ? 1 << 20 : 0, POSIX_FADV_DONTNEED);
        CHECK_EQ(sinew_pread(fd, back, size, 0), size);
        for (size_t i = 0; i < size; i++)
            wrong += back[i] != data[i];
        struct iovec parts[] = {{back, 100000}, {back + 100000, size - 100000}};
        memset(back, 0, size);
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        CHECK_EQ(sinew_preadv(fd, parts, 2, 1), size - 1);
        for (size_t i = 1; i < size; i++)
            wrong += back[i - 1] != data[i];
    }
    CHECK_EQ(wrong, 0);
    free(data);
    free(back);
    close(fd);
    return 0;
}

IN_RUNTIME(files_that_bypass_the_cache_are_read)
{
    int fd = temporary_file(O_DIRECT | O_CLOEXEC);
    if (fd < 0) {
        print_message("this file system has no O_DIRECT: not tested\n");
        return 0;
    }
    char *block = aligned_alloc(4096, 8192);
    memset(block, 'd', 8192);
    CHECK_EQ(sinew_pwrite(fd, block, 8192, 0), 8192);
    memset(block, 0, 8192);
    CHECK_EQ(sinew_pread(fd, block, 4096, 4096), 4096);
    CHECK(block[0] == 'd' && block[4095] == 'd');
    CHECK_EQ(sinew_pread(fd, block, 4096, 8192), 0);
    free(block);
    close(fd);
    return 0;
}

/* A read at an offset of what is no file must take what is there once, and must not wait for more. */
IN_RUNTIME(an_eventfd_read_at_an_offset_gives_its_count_once)
{
    int fd = eventfd(5, EFD_CLOEXEC);
    uint64_t value[2] = {0};
    ssize_t n = sinew_pread(fd, value, sizeof value, 0);
    CHECK(n == -ESPIPE || (n == 8 && value[0] == 5));
    close(fd);
    return 0;
}

/* Taken at once: what is called next may leave another errno. */
static ssize_t outcome(ssize_t result)
{
    return result < 0 ? -errno : result;
}

static intptr_t check_errors_of(int fd)
{
    char c = 'c';
    struct iovec one = {&c, 1}, *nowhere = (struct iovec *)16, bad = {(void *)16, 1};
    static struct iovec many[IOV_MAX + 1];
    const struct {
        const struct iovec *parts;
        int count;
    } cases[] = {{&one, 0},  {NULL, 0},       {NULL, 1},           {nowhere, 1},   {&bad, 1},
                 {&one, -1}, {&one, INT_MIN}, {many, IOV_MAX + 1}, {many, IOV_MAX}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct iovec *parts = cases[i].parts;
        int count = cases[i].count;
        ssize_t expected = outcome(preadv(fd, parts, count, 0));
        if (!CHECK_EQ(sinew_preadv(fd, parts, count, 0), expected))
            fprintf(stderr, "... preadv, case %zu\n", i);
        lseek(fd, 0, SEEK_SET);
        expected = outcome(readv(fd, parts, count));
        lseek(fd, 0, SEEK_SET);
        if (!CHECK_EQ(sinew_readv(fd, parts, count), expected))
            fprintf(stderr, "... readv, case %zu\n", i);
        expected = outcome(pwritev(fd, parts, count, 0));
        if (!CHECK_EQ(sinew_pwritev(fd, parts, count, 0), expected))
            fprintf(stderr, "... pwritev, case %zu\n", i);
        lseek(fd, 0, SEEK_SET);
        expected = outcome(writev(fd, parts, count));
        lseek(fd, 0, SEEK_SET);
        if (!CHECK_EQ(sinew_writev(fd, parts, count), expected))
            fprintf(stderr, "... writev, case %zu\n", i);
    }
    CHECK_EQ(sinew_preadv(fd, &one, 1, -1), -EINVAL);
    CHECK_EQ(sinew_pwritev(fd, &one, 1, -1), -EINVAL);
    return 0;
}

IN_RUNTIME(what_readv_and_writev_refuse_is_refused)
{
    int fd = temporary_file(O_CLOEXEC), p[2];
    char c = 'c';
    struct iovec one = {&c, 1};
    CHECK_EQ(pwrite(fd, "12345678", 8, 0), 8);
    check_errors_of(fd);
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(write(p[1], "x", 1), 1);
    CHECK_EQ(sinew_preadv(p[0], &one, 1, 0), -ESPIPE);
    CHECK_EQ(sinew_pwritev(p[1], &one, 1, 0), -ESPIPE);
    CHECK_EQ(sinew_readv(p[1], &one, 1), -EBADF);
    CHECK_EQ(sinew_writev(p[0], &one, 1), -EBADF);
    CHECK_EQ(sinew_readv(-1, &one, 1), -EBADF);
    CHECK_EQ(sinew_writev(-1, &one, 1), -EBADF);
    CHECK_EQ(sinew_preadv(-1, &one, 1, 0), -EBADF);
    CHECK_EQ(sinew_pwritev(-1, &one, 1, 0), -EBADF);
    CHECK_EQ(sinew_pipe(NULL, 0), -EFAULT);
    CHECK_EQ(sinew_pipe(p, 1), -EINVAL);
    close(p[0]);
    close(p[1]);
    close(fd);
    return 0;
}

/* A length beyond what one call moves is cut, not refused; what there is arrives. */
IN_RUNTIME(lengths_beyond_an_int_are_cut)
{
    int fd = temporary_file(O_CLOEXEC);
    size_t huge = (size_t)INT_MAX + 4096;
    char *room = mmap(NULL, huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (!CHECK(room != MAP_FAILED))
        return 1;
    struct iovec parts[] = {{room, huge}, {room, huge}};
    CHECK_EQ(pwrite(fd, "12345678", 8, 0), 8);
    CHECK_EQ(sinew_pread(fd, room, huge, 0), 8);
    CHECK_EQ(sinew_read(fd, room, huge), 8);
    CHECK_EQ(sinew_preadv(fd, parts, 2, 3), 5);
    CHECK_EQ(memcmp(room, "45678678", 8), 0);
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    CHECK_EQ(sinew_readv(fd, parts, 2), 8);
    munmap(room, huge);
    close(fd);
    return 0;
}

TEST_MAIN(cmocka_unit_test(parts_are_written_and_read_in_order),
          cmocka_unit_test(vectors_at_an_offset_leave_the_position_alone),
          cmocka_unit_test(reads_of_what_the_cache_has_not_are_complete),
          cmocka_unit_test(files_that_bypass_the_cache_are_read),
          cmocka_unit_test(an_eventfd_read_at_an_offset_gives_its_count_once),
          cmocka_unit_test(what_readv_and_writev_refuse_is_refused), cmocka_unit_test(lengths_beyond_an_int_are_cut))
