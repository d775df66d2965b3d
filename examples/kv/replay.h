/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The append-only file, read back into the store: what journal.h writes, in any pieces. Each record makes the state
 * that it made when it was written, whatever time it is now; expiry is off meanwhile (store_set_loading).
 */
#ifndef KV_REPLAY_H
#define KV_REPLAY_H

#include "resp.h"

typedef struct replay {
    resp parser;
    uint64_t commands;
    const char *error; /* why the record at `offset` cannot be */
} replay;

void replay_begin(replay *r);
/* Where the next bytes of the file go; NULL: see `error`. */
char *replay_room(replay *r, size_t *room);
/* Takes them. False: the record at replay_offset is none, or there is no memory for it. */
bool replay_received(replay *r, size_t len);
/* The end of the last whole record. What has been received behind it, at the end of the file, is a torn one. */
uint64_t replay_offset(const replay *r);
void replay_end(replay *r);

#endif
