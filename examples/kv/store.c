/* SPDX-License-Identifier: Apache-2.0 */
#include "store.h"

#include "journal.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    TABLE_MIN = 8,
    REMOVED_MIN = 64,      /* a table is made anew after so many removals, at least */
    UNREPORTED_MAX = 1024, /* bytes of a shard that the common sum need not know of */
    SAMPLE = 20,           /* entries of a shard, as Redis takes them */
    SAMPLE_AGAIN = 4,      /* once more when a quarter of them had expired */
    SAMPLE_ROUNDS = 16,    /* of a shard in one call */
};

#define NO_PLACE UINT32_MAX /* entry.index of what is looked for, and of what has been removed */

static shard shards[SHARDS];
static unsigned char hash_key[crypto_shorthash_KEYBYTES];
static atomic_llong bytes; /* of all shards, but for what is unreported; and of the tables */
static atomic_llong volatile_count;
static bool loading;

int64_t clock_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t); /* cannot fail with a clock that exists */
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void store_set_loading(bool on)
{
    loading = on;
}

/* --- ck's hash set ------------------------------------------------------------------------------------------------ */

static void *table_malloc(size_t size)
{
    atomic_fetch_add_explicit(&bytes, (long long)size, memory_order_relaxed);
    return malloc(size);
}

static void table_free(void *table, size_t size, bool defer)
{
    (void)defer; /* all readers hold the lock */
    atomic_fetch_sub_explicit(&bytes, (long long)size, memory_order_relaxed);
    free(table);
}

static struct ck_malloc table_memory = {.malloc = table_malloc, .free = table_free};

static unsigned long table_hash(const void *object, unsigned long seed)
{
    (void)seed;
    return ((const entry *)object)->hash;
}

/* What is looked for is an entry, too, up to the key; where that is stands in place of the value. */
static const char *key_of(const entry *e)
{
    return e->index == NO_PLACE ? (const char *)e->value : e->key;
}

static bool table_compare(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    return x->hash == y->hash && x->key_len == y->key_len && memcmp(key_of(x), key_of(y), x->key_len) == 0;
}

static bool table_init(ck_hs_t *set, unsigned long room)
{
    return ck_hs_init(set, CK_HS_MODE_SPMC | CK_HS_MODE_OBJECT, table_hash, table_compare, &table_memory, room, 0);
}

/* ck's tables keep a tombstone for what was removed, and never shrink. One that had as many removals as it has entries
 * is made anew, in the size it needs. Without memory for that the old one goes on. */
static void renew_table(shard *s)
{
    ck_hs_t fresh;
    s->removed = 0;
    if (!table_init(&fresh, s->all.count * 2 > TABLE_MIN ? (unsigned long)s->all.count * 2 : TABLE_MIN))
        return;
    for (uint32_t i = 0; i < s->all.count; i++)
        if (!ck_hs_put(&fresh, s->all.at[i]->hash, s->all.at[i])) {
            ck_hs_destroy(&fresh);
            return;
        }
    ck_hs_destroy(&s->set);
    s->set = fresh;
}

/* --- the two arrays ----------------------------------------------------------------------------------------------- */

static bool reserve(entries *list)
{
    if (list->count < list->room)
        return true;
    uint32_t room = list->room ? list->room * 2 : TABLE_MIN;
    entry **at = realloc(list->at, room * sizeof *at);
    if (!at)
        return false;
    atomic_fetch_add_explicit(&bytes, (long long)((room - list->room) * sizeof *at), memory_order_relaxed);
    list->at = at;
    list->room = room;
    return true;
}

static void shrink(entries *list)
{
    if (list->room <= 64 || list->count >= list->room / 4)
        return;
    uint32_t room = list->room / 2;
    entry **at = realloc(list->at, room * sizeof *at);
    if (!at)
        return;
    atomic_fetch_sub_explicit(&bytes, (long long)((list->room - room) * sizeof *at), memory_order_relaxed);
    list->at = at;
    list->room = room;
}

static void add_volatile(shard *s, entry *e)
{
    e->volatile_index = s->volatiles.count;
    s->volatiles.at[s->volatiles.count++] = e;
    atomic_fetch_add_explicit(&volatile_count, 1, memory_order_relaxed);
}

static void remove_volatile(shard *s, entry *e)
{
    entry *last = s->volatiles.at[--s->volatiles.count];
    s->volatiles.at[e->volatile_index] = last;
    last->volatile_index = e->volatile_index;
    atomic_fetch_sub_explicit(&volatile_count, 1, memory_order_relaxed);
    shrink(&s->volatiles);
}

/* --- entries ------------------------------------------------------------------------------------------------------ */

enum { MALLOC_OVERHEAD = 16 };

int64_t entry_bytes(const entry *e)
{
    return (int64_t)(sizeof *e + e->key_len + sizeof *e->value + 2 * MALLOC_OVERHEAD) + e->value->room;
}

static void account(shard *s, int64_t change)
{
    s->bytes += change;
    s->unreported += change;
    if (s->unreported > UNREPORTED_MAX || s->unreported < -UNREPORTED_MAX) {
        atomic_fetch_add_explicit(&bytes, s->unreported, memory_order_relaxed);
        s->unreported = 0;
    }
}

void store_resized(shard *s, int64_t change)
{
    account(s, change);
}

entry *entry_new(const key *k, value *v)
{
    entry *e = malloc(sizeof *e + k->len);
    if (!e)
        return NULL;
    e->hash = k->hash;
    e->expires = 0;
    e->value = v;
    e->index = e->volatile_index = 0;
    e->key_len = k->len;
    memcpy(e->key, k->data, k->len);
    return e;
}

void entry_free(entry *e)
{
    if (e)
        value_release(e->value);
    free(e);
}

bool store_insert(shard *s, entry *e)
{
    if (!reserve(&s->all) || (e->expires != 0 && !reserve(&s->volatiles)) || !ck_hs_put(&s->set, e->hash, e))
        return false;
    e->index = s->all.count;
    s->all.at[s->all.count++] = e;
    if (e->expires != 0)
        add_volatile(s, e);
    account(s, entry_bytes(e));
    return true;
}

void store_remove(shard *s, entry *e)
{
    account(s, -entry_bytes(e));
    ck_hs_remove(&s->set, e->hash, e);
    entry *last = s->all.at[--s->all.count];
    s->all.at[e->index] = last;
    last->index = e->index;
    if (e->expires != 0)
        remove_volatile(s, e);
    shrink(&s->all);
    if (++s->removed >= REMOVED_MIN && s->removed >= s->all.count)
        renew_table(s);
    e->index = NO_PLACE;
    e->expires = (int64_t)(intptr_t)s->dead;
    s->dead = e;
}

value *store_replace(shard *s, entry *e, value *v)
{
    value *former = e->value;
    account(s, (int64_t)v->room - former->room);
    e->value = v;
    return former;
}

bool store_expire(shard *s, entry *e, int64_t when)
{
    if (e->expires == 0 && when != 0) {
        if (!reserve(&s->volatiles))
            return false;
        add_volatile(s, e);
    } else if (e->expires != 0 && when == 0) {
        remove_volatile(s, e);
    }
    e->expires = when;
    return true;
}

/* --- shards ------------------------------------------------------------------------------------------------------- */

key store_key(const char *data, uint32_t len)
{
    key k = {.data = data, .len = len};
    crypto_shorthash((unsigned char *)&k.hash, (const unsigned char *)data, len, hash_key);
    return k;
}

/* The table of the shard takes other bits. */
static unsigned shard_index(const key *k)
{
    return (unsigned)(k->hash >> (64 - SHARD_BITS));
}

shard *store_shard(const key *k)
{
    return &shards[shard_index(k)];
}

shard *store_lock(const key *k)
{
    shard *s = store_shard(k);
    spin_lock(&s->lock);
    return s;
}

static void free_dead(entry *e)
{
    while (e) {
        entry *next = (entry *)(intptr_t)e->expires;
        entry_free(e);
        e = next;
    }
}

void store_unlock(shard *s)
{
    entry *dead = s->dead;
    s->dead = NULL;
    spin_unlock(&s->lock);
    free_dead(dead);
}

entry *store_find(shard *s, const key *k)
{
    entry sought = {.hash = k->hash, .value = (value *)(uintptr_t)k->data, .index = NO_PLACE, .key_len = k->len};
    entry *e = ck_hs_get(&s->set, k->hash, &sought);
    if (!e || e->expires == 0 || loading || !is_expired(e))
        return e;
    s->lsn = journal_del(e);
    s->expired++;
    store_remove(s, e);
    return NULL;
}

void shard_set_add(shard_set *set, const key *k)
{
    set->bits[shard_index(k) / 64] |= UINT64_C(1) << shard_index(k) % 64;
}

void store_lock_set(const shard_set *set)
{
    for (unsigned i = 0; i < SHARDS / 64; i++)
        for (uint64_t rest = set->bits[i]; rest; rest &= rest - 1)
            spin_lock(&shards[i * 64 + (unsigned)__builtin_ctzll(rest)].lock);
}

void store_changed_set(const shard_set *set, uint64_t lsn)
{
    for (unsigned i = 0; i < SHARDS / 64; i++)
        for (uint64_t rest = set->bits[i]; rest; rest &= rest - 1)
            shards[i * 64 + (unsigned)__builtin_ctzll(rest)].lsn = lsn;
}

void store_unlock_set(const shard_set *set)
{
    entry *dead[64]; /* of the shards of one word */
    for (unsigned i = 0; i < SHARDS / 64; i++) {
        unsigned count = 0;
        for (uint64_t rest = set->bits[i]; rest; rest &= rest - 1) {
            shard *s = &shards[i * 64 + (unsigned)__builtin_ctzll(rest)];
            dead[count++] = s->dead;
            s->dead = NULL;
            spin_unlock(&s->lock);
        }
        while (count > 0)
            free_dead(dead[--count]);
    }
}

int store_init(void)
{
    if (sodium_init() < 0)
        return -ENOSYS;
    randombytes_buf(hash_key, sizeof hash_key);
    for (unsigned i = 0; i < SHARDS; i++) {
        ck_spinlock_init(&shards[i].lock);
        if (!table_init(&shards[i].set, TABLE_MIN))
            return -ENOMEM;
    }
    return 0;
}

/* What a shard consists of, taken out of it. */
typedef struct contents {
    ck_hs_t set;
    entries all, volatiles;
} contents;

static void free_contents(contents *c)
{
    for (uint32_t i = 0; i < c->all.count; i++)
        entry_free(c->all.at[i]);
    size_t room = ((size_t)c->all.room + c->volatiles.room) * sizeof *c->all.at;
    atomic_fetch_sub_explicit(&bytes, (long long)room, memory_order_relaxed);
    free(c->all.at);
    free(c->volatiles.at);
    ck_hs_destroy(&c->set);
}

int store_flush(uint64_t *lsn)
{
    contents *former = malloc(SHARDS * sizeof *former);
    unsigned made = 0;
    while (former && made < SHARDS && table_init(&former[made].set, TABLE_MIN))
        made++;
    if (!former || made < SHARDS) {
        while (made > 0)
            ck_hs_destroy(&former[--made].set);
        free(former);
        return -ENOMEM;
    }
    for (unsigned i = 0; i < SHARDS; i++)
        spin_lock(&shards[i].lock);
    *lsn = journal_flush();
    for (unsigned i = 0; i < SHARDS; i++) {
        shard *s = &shards[i];
        contents taken = {.set = s->set, .all = s->all, .volatiles = s->volatiles};
        s->set = former[i].set;
        s->all = s->volatiles = (entries){0};
        s->removed = 0;
        s->lsn = *lsn;
        atomic_fetch_sub_explicit(&volatile_count, taken.volatiles.count, memory_order_relaxed);
        account(s, -s->bytes);
        former[i] = taken;
        spin_unlock(&s->lock);
    }
    for (unsigned i = 0; i < SHARDS; i++)
        free_contents(&former[i]);
    free(former);
    return 0;
}

void store_destroy(void)
{
    for (unsigned i = 0; i < SHARDS; i++) {
        shard *s = &shards[i];
        contents all = {.set = s->set, .all = s->all, .volatiles = s->volatiles};
        free_contents(&all);
        account(s, -s->bytes);
        memset(s, 0, sizeof *s);
    }
    atomic_store(&volatile_count, 0);
}

/* --- walks -------------------------------------------------------------------------------------------------------- */

/* A walk: how many entries of the shard are still to be visited, those at the front of the array, above the number of
 * the shard. The number 0 is never a place on the way: either some are left, or the shard is not the first. */
#define WALK_ALL UINT32_MAX

static walk walk_place(unsigned shard_number, uint32_t left)
{
    return (uint64_t)left << SHARD_BITS | shard_number;
}

walk store_walk(walk at, unsigned count, bool (*visit)(shard *s, entry *e, void *arg), void *arg)
{
    unsigned number = at % SHARDS;
    uint32_t left = at == 0 || at >> SHARD_BITS > WALK_ALL ? WALK_ALL : (uint32_t)(at >> SHARD_BITS);
    shard *s = &shards[number];
    spin_lock(&s->lock);
    if (left > s->all.count)
        left = s->all.count;
    while (left > 0 && count > 0 && visit(s, s->all.at[left - 1], arg)) {
        left--;
        count--;
    }
    store_unlock(s);
    if (left > 0)
        return walk_place(number, left);
    return number + 1 < SHARDS ? walk_place(number + 1, WALK_ALL) : 0;
}

static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13; /* xorshift: any order will do */
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* One round in one shard. Returns how many it has removed. */
static unsigned sample_shard(shard *s, uint32_t *random)
{
    unsigned removed = 0;
    int64_t now = clock_ms();
    spin_lock(&s->lock);
    for (unsigned i = 0; i < SAMPLE && s->volatiles.count > 0; i++) {
        entry *e = s->volatiles.at[next_random(random) % s->volatiles.count];
        if (e->expires > now)
            continue;
        s->lsn = journal_del(e);
        s->expired++;
        store_remove(s, e);
        removed++;
    }
    store_unlock(s);
    return removed;
}

unsigned store_sample(unsigned first, unsigned count, uint32_t seed)
{
    unsigned removed = 0;
    uint32_t random = seed | 1;
    for (unsigned i = first; i < first + count; i++) {
        shard *s = &shards[i];
        for (unsigned round = 0; round < SAMPLE_ROUNDS; round++) {
            unsigned found = sample_shard(s, &random);
            removed += found;
            if (found <= SAMPLE / SAMPLE_AGAIN)
                break;
        }
    }
    return removed;
}

/* --- numbers ------------------------------------------------------------------------------------------------------ */

store_stats store_count(void)
{
    store_stats sum = {0};
    for (unsigned i = 0; i < SHARDS; i++) {
        shard *s = &shards[i];
        spin_lock(&s->lock);
        sum.keys += s->all.count;
        sum.volatiles += s->volatiles.count;
        sum.hits += s->hits;
        sum.misses += s->misses;
        sum.expired += s->expired;
        sum.bytes += s->unreported;
        spin_unlock(&s->lock);
    }
    sum.bytes += store_bytes();
    return sum;
}

int64_t store_bytes(void)
{
    return atomic_load_explicit(&bytes, memory_order_relaxed);
}

bool store_has_volatiles(void)
{
    return atomic_load_explicit(&volatile_count, memory_order_relaxed) > 0;
}
