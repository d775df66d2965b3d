/* SPDX-License-Identifier: Apache-2.0 */
#include "value.h"

#include <stdlib.h>
#include <string.h>

value *value_new(size_t room)
{
    value *v = malloc(sizeof *v + room);
    if (!v)
        return NULL;
    atomic_init(&v->refs, 1);
    v->len = 0;
    v->room = (uint32_t)room;
    return v;
}

value *value_copy(const void *data, size_t len)
{
    value *v = value_new(len);
    if (!v)
        return NULL;
    if (len > 0)
        memcpy(v->data, data, len);
    v->len = (uint32_t)len;
    return v;
}

value *value_resize(value *v, size_t room)
{
    value *resized = realloc(v, sizeof *v + room);
    if (resized)
        resized->room = (uint32_t)room;
    return resized;
}

void value_release(value *v)
{
    if (v && atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel) == 1)
        free(v);
}
