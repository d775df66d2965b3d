/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: whatever is in an append-only file of examples/kv, reading it neither crashes nor leaks; what was read up to a
 * place does not depend on the pieces it was read in, nor on what follows; and what the store then holds, written as
 * records, reads as the same.
 *
 * Method: the input is replayed in pieces; then what was taken of it alone, in one go; then a file made of the records
 * of all entries. Each time the store has to hold the same.
 */
#include "examples/kv/journal.h"
#include "examples/kv/pool.h"
#include "examples/kv/replay.h"
#include "examples/kv/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition)                                            \
    do {                                                            \
        if (!(condition)) {                                         \
            fprintf(stderr, "line %d: %s\n", __LINE__, #condition); \
            abort();                                                \
        }                                                           \
    } while (0)

static uint64_t fold(uint64_t digest, const void *data, size_t len)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < len; i++)
        digest = (digest ^ bytes[i]) * UINT64_C(0x100000001b3);
    return digest;
}

/* The same for the same entries, in whatever order. */
static bool digest_entry(shard *s, entry *e, void *arg)
{
    (void)s;
    uint64_t digest = fold(UINT64_C(0xcbf29ce484222325), e->key, e->key_len);
    digest = fold(digest, &e->expires, sizeof e->expires);
    digest = fold(digest, e->value->data, e->value->len);
    *(uint64_t *)arg += digest;
    return true;
}

static bool record_entry(shard *s, entry *e, void *arg)
{
    (void)s;
    (void)arg;
    (void)journal_set(e);
    return true;
}

static void walk_store(bool (*visit)(shard *s, entry *e, void *arg), void *arg)
{
    walk at = 0;
    do {
        at = store_walk(at, 7, visit, arg);
    } while (at != 0);
}

static uint64_t digest_store(void)
{
    uint64_t digest = 0;
    walk_store(digest_entry, &digest);
    return digest;
}

/* Replays it into the store; returns how much of it was taken. */
static uint64_t replay_all(const char *data, size_t size, size_t piece, bool *whole)
{
    replay r;
    replay_begin(&r);
    bool good = true;
    for (size_t at = 0; good && at < size;) {
        size_t room;
        char *to = replay_room(&r, &room);
        if (!to)
            break;
        size_t n = size - at < piece ? size - at : piece;
        if (n > room)
            n = room;
        memcpy(to, data + at, n);
        at += n;
        good = replay_received(&r, n);
    }
    uint64_t taken = replay_offset(&r);
    CHECK(taken <= size);
    CHECK(good == (r.error == NULL));
    *whole = good && taken == size;
    replay_end(&r);
    return taken;
}

static void empty_store(void)
{
    uint64_t lsn;
    CHECK(store_flush(&lsn) == 0);
    store_stats now = store_count();
    CHECK(now.keys == 0 && now.volatiles == 0);
}

/* The records of all entries, as they would be written. */
static char *make_records(size_t *size)
{
    chain c;
    journal_take(&c);
    chain_free(&c); /* of the flush before */
    walk_store(record_entry, NULL);
    journal_take(&c);
    char *records = malloc(c.bytes + 1);
    CHECK(records);
    *size = 0;
    for (; c.first; chain_pop(&c)) {
        memcpy(records + *size, chunk_data(c.first), c.first->used);
        *size += c.first->used;
    }
    return records;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool begun;
    if (!begun) {
        CHECK(store_init() == 0);
        journal_enable();
        begun = true;
    }
    if (size == 0)
        return 0;
    const char *file = (const char *)data + 1;
    bool whole;
    uint64_t taken = replay_all(file, size - 1, (size_t)data[0] + 1, &whole);
    uint64_t first = digest_store();

    empty_store();
    CHECK(replay_all(file, taken, SIZE_MAX, &whole) == taken && whole);
    CHECK(digest_store() == first);

    size_t record_bytes;
    char *records = make_records(&record_bytes);
    empty_store();
    CHECK(replay_all(records, record_bytes, SIZE_MAX, &whole) == record_bytes && whole);
    CHECK(digest_store() == first);
    free(records);
    empty_store();
    return 0;
}
