/* SPDX-License-Identifier: Apache-2.0 */
/* From addresses in the target to indices; address 0 stands for none. */
#ifndef TOOLS_ADDRESS_MAP_H
#define TOOLS_ADDRESS_MAP_H

#include <stdint.h>
#include <stdlib.h>

#define NONE UINT32_MAX

typedef struct address_map {
    uint64_t *keys;
    uint32_t *values;
    size_t slots, count; /* slots: a power of two, more than twice the count */
} address_map;

uint32_t address_map_find(const address_map *m, uint64_t key); /* NONE if it is not there */
void address_map_add(address_map *m, uint64_t key, uint32_t value);
void address_map_free(address_map *m);

#endif
