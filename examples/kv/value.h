/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A string of bytes with several owners: the store, replies on their way to slow clients, the log. It is freed when the
 * last of them lets it go. Nobody writes to one that has more than one owner; a new owner of a value that lies in the
 * store is made under the lock of its shard, so who finds a single reference there, under that lock, may write.
 */
#ifndef KV_VALUE_H
#define KV_VALUE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct value {
    atomic_uint refs;
    uint32_t len;
    uint32_t room; /* of data */
    char data[];
} value;

/* One reference, length 0. NULL: no memory. */
value *value_new(size_t room);
value *value_copy(const void *data, size_t len);
/* As realloc, by its only owner. */
value *value_resize(value *v, size_t room);
void value_release(value *v); /* NULL is allowed */

static inline value *value_share(value *v)
{
    atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
    return v;
}

/* Acquire: what former owners have read, they have read before it is written. */
static inline bool value_is_sole(value *v)
{
    return atomic_load_explicit(&v->refs, memory_order_acquire) == 1;
}

#endif
