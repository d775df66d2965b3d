/* SPDX-License-Identifier: Apache-2.0 */
/* A hash table with open addressing, at most half full; nothing is ever removed. */
#include "address_map.h"

#include "fail.h"

static size_t slot_of(const address_map *m, uint64_t key)
{
    size_t slot = (size_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 20) & (m->slots - 1);
    while (m->keys[slot] && m->keys[slot] != key)
        slot = (slot + 1) & (m->slots - 1);
    return slot;
}

uint32_t address_map_find(const address_map *m, uint64_t key)
{
    if (!m->slots || !key)
        return NONE;
    size_t slot = slot_of(m, key);
    return m->keys[slot] ? m->values[slot] : NONE;
}

void address_map_add(address_map *m, uint64_t key, uint32_t value)
{
    if (!key)
        return;
    if (2 * (m->count + 1) > m->slots) {
        address_map old = *m;
        m->slots = old.slots ? 2 * old.slots : 1024;
        m->keys = take_memory(m->slots, sizeof *m->keys);
        m->values = take_memory(m->slots, sizeof *m->values);
        for (size_t i = 0; i < old.slots; i++)
            if (old.keys[i]) {
                size_t slot = slot_of(m, old.keys[i]);
                m->keys[slot] = old.keys[i];
                m->values[slot] = old.values[i];
            }
        address_map_free(&old);
    }
    size_t slot = slot_of(m, key);
    if (!m->keys[slot]) {
        m->keys[slot] = key;
        m->count++;
    }
    m->values[slot] = value;
}

void address_map_free(address_map *m)
{
    free(m->keys);
    free(m->values);
}
