/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses as text. */
#ifndef SN_ADDRESS_H
#define SN_ADDRESS_H

#include "runtime/base.h"

#include <sinew/net.h>

/* What an address text stands for: one or two addresses, or a name that is to be looked up. */
typedef struct sn_endpoint {
    int count; /* 0: a name */
    sinew_address addresses[2];
    char name[254];
    int port; /* of the name */
} sn_endpoint;

/* `passive`: to listen or bind; then there is no name, and "" is every address. 0, or -EINVAL. */
int sn_endpoint_parse(const char *text, bool passive, sn_endpoint *out);

/* Says on stderr what is wrong with it; -EINVAL. */
int sn_endpoint_refuse(const char *call, const char *text, bool passive);

void sn_address_set_port(sinew_address *a, int port);

#endif
