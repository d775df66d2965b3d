/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses as text. Whatever the text is, it is refused or gives addresses that are whole; what an address is written
 * as, is read as the same address; and a name is only given out if it can be one.
 *
 *     u8 to listen or to connect | the text
 */
#include "io/address.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_address(const sinew_address *a)
{
    char text[SINEW_ADDRESS_TEXT];
    sinew_address again;
    assert(a->length > sizeof(sa_family_t) && a->length <= sizeof(struct sockaddr_un));
    int n = sinew_address_format(a, text, sizeof text);
    assert(n > 0 && (size_t)n < sizeof text && strlen(text) == (size_t)n);
    assert(sinew_address_parse(text, &again) == 0);
    assert(again.length == a->length && memcmp(&again, a, a->length) == 0);
    char *exact = malloc((size_t)n + 1); /* there is room for all but the end, and then for that, too */
    assert(sinew_address_format(a, exact, (size_t)n) == -ENOSPC);
    assert(sinew_address_format(a, exact, (size_t)n + 1) == n);
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 1)
        return -1;
    bool passive = data[0] & 1;
    char *text = malloc(len);
    memcpy(text, data + 1, len - 1);
    text[len - 1] = '\0';

    sn_endpoint e;
    int r = sn_endpoint_parse(text, passive, &e);
    assert(r == 0 || r == -EINVAL);
    if (r == 0) {
        assert(e.count >= 0 && e.count <= 2);
        for (int i = 0; i < e.count; i++)
            check_address(&e.addresses[i]);
        if (e.count == 0) {
            size_t name = strlen(e.name);
            assert(!passive && name > 0 && name < sizeof e.name && e.port >= 0 && e.port <= 65535);
            assert(strncmp(text, e.name, name) == 0 && text[name] == ':');
        }
    }
    free(text);
    return 0;
}
