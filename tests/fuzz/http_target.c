/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The target of an HTTP request: whatever it is, the path that is made of it is relative, has no empty part, no "." and
 * no "..", and fits; or it is refused.
 */
#include "examples/http/path.h"
#include "examples/http/settings.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct settings settings = {.root = -1};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_part(const char *part, size_t len, bool last)
{
    assert(len > 0 || last); /* the last one is empty behind a slash at the end */
    assert(!(len == 1 && part[0] == '.'));
    assert(!(len == 2 && part[0] == '.' && part[1] == '.'));
}

static void check_path(const char *path, size_t len)
{
    assert(len <= TARGET_MAX && path[len] == '\0' && strlen(path) == len && path[0] != '/');
    const char *part = path;
    for (const char *slash; (slash = strchr(part, '/')); part = slash + 1)
        check_part(part, (size_t)(slash - part), false);
    check_part(part, strlen(part), true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len > TARGET_MAX || memchr(data, '\0', len)) /* the entry http_request checks that there is none */
        return -1;
    char *target = malloc(PATH_BYTES_MAX); /* exactly, so that a byte too many is seen */
    memcpy(target, data, len);
    size_t path_len = len;
    int status = path_of_target(target, &path_len);
    assert(status == 0 || status == 400 || status == 403);
    if (status == 0) {
        check_path(target, path_len);
        struct stat st;
        assert(path_open(target, path_len, &st) < 0); /* there is no root; but the index's name is put behind it */
    }
    free(target);
    return 0;
}
