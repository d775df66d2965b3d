/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: whatever bytes a client sends, the parser of examples/kv neither crashes nor keeps memory out of proportion to
 * what it has received, and it finds the same commands in whatever pieces the bytes come.
 *
 * Method: the input is parsed twice, in one go and in pieces whose sizes its first byte decides; the commands, the
 * error and the place of both have to be the same. Limits are small, so that they are met.
 */
#include "examples/kv/pool.h"
#include "examples/kv/resp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const resp_limits limits = {
    .value_bytes = 200000, .request_bytes = 300000, .total_bytes = 1 << 20, .inline_commands = true};

#define CHECK(condition)                                            \
    do {                                                            \
        if (!(condition)) {                                         \
            fprintf(stderr, "line %d: %s\n", __LINE__, #condition); \
            abort();                                                \
        }                                                           \
    } while (0)

/* All that was found, folded into a number. */
typedef struct outcome {
    uint64_t commands, digest, taken;
    char error[80];
} outcome;

static void fold(outcome *o, const void *data, size_t len)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < len; i++)
        o->digest = (o->digest ^ bytes[i]) * UINT64_C(0x100000001b3);
}

static void see_command(outcome *o, const resp *r)
{
    CHECK(r->argc > 0);
    o->commands++;
    fold(o, &r->argc, sizeof r->argc);
    for (uint32_t i = 0; i < r->argc; i++) {
        fold(o, &r->args[i].len, sizeof r->args[i].len);
        fold(o, r->args[i].data, r->args[i].len);
    }
    value *v = resp_value(&r->args[r->argc - 1]);
    CHECK(v && v->len == r->args[r->argc - 1].len);
    CHECK(memcmp(v->data, r->args[r->argc - 1].data, v->len) == 0);
    value_release(v);
}

/* Parses all of it in pieces of up to `piece` bytes. */
static outcome parse(const uint8_t *data, size_t size, size_t piece)
{
    outcome o = {0};
    resp r;
    resp_init(&r, &limits);
    size_t at = 0;
    for (bool open = true; open;) {
        switch (resp_next(&r)) {
        case RESP_COMMAND:
            see_command(&o, &r);
            break;
        case RESP_INVALID:
            snprintf(o.error, sizeof o.error, "%s", r.error);
            open = false;
            break;
        case RESP_MORE: {
            if (piece % 3 == 0)
                resp_rest(&r);
            if (piece % 5 == 0)
                resp_expect_more(&r);
            size_t room;
            char *to = resp_room(&r, &room);
            CHECK(!to || room > 0);
            CHECK(resp_bytes() <= 8 * at + 3 * POOL_BYTES + 2 * RESP_LARGE);
            size_t n = size - at < piece ? size - at : piece;
            if (to && n > room)
                n = room;
            open = to && n > 0;
            if (open) {
                memcpy(to, data + at, n);
                at += n;
                resp_received(&r, n);
            }
        }
        }
    }
    o.taken = r.taken;
    resp_destroy(&r);
    CHECK(resp_bytes() == 0);
    return o;
}

/* Long values are rare in what a fuzzer makes: '\1' stands for 40,000 letters. */
static uint8_t *expand(const uint8_t *data, size_t *size)
{
    enum { LETTERS = 40000, TIMES_MAX = 8 };
    uint8_t *expanded = malloc(*size + (size_t)LETTERS * TIMES_MAX + 1);
    CHECK(expanded);
    size_t used = 0, times = 0;
    for (size_t i = 0; i < *size; i++) {
        if (data[i] == 1 && times++ < TIMES_MAX) {
            memset(expanded + used, 'x', LETTERS);
            used += LETTERS;
        } else {
            expanded[used++] = data[i];
        }
    }
    *size = used;
    return expanded;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    size_t piece = (size_t)data[0] + 1, rest = size - 1;
    uint8_t *bytes = expand(data + 1, &rest);
    outcome whole = parse(bytes, rest, SIZE_MAX), pieces = parse(bytes, rest, rest > 20000 ? piece * 50 : piece);
    CHECK(whole.commands == pieces.commands);
    CHECK(whole.digest == pieces.digest);
    CHECK(whole.taken == pieces.taken);
    CHECK(strcmp(whole.error, pieces.error) == 0);
    free(bytes);
    return 0;
}
