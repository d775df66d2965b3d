/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands: the table, and the functions behind it, by topic: strings.c, multi.c (several keys at one moment), keys.c,
 * server.c. Each gets the client whose parser holds the arguments, the name among them, and writes exactly one answer.
 *
 * In this order: make room for the answer, which may suspend; lock; look, change, record; unlock; free, and answer what
 * did not fit. Nothing between lock and unlock suspends.
 */
#ifndef KV_COMMAND_H
#define KV_COMMAND_H

#include "client.h"
#include "store.h"

/* Runs the command that the client's parser holds. May suspend. */
void execute(client *c);
unsigned command_count(void);

/* --- for the functions -------------------------------------------------------------------------------------------- */

/* An answer up to this size is copied while the shard is locked; a larger value is shared. */
enum { SMALL_VALUE = 4096, SMALL_ANSWER = SMALL_VALUE + 32 };

static inline key key_of(const resp_arg *arg)
{
    return store_key(arg->data, arg->len);
}

/* Compares an argument with a word in capitals. */
bool arg_is(const resp_arg *arg, const char *word);
/* Reads a number, or answers that it is none. */
bool arg_number(client *c, const resp_arg *arg, int64_t *number);
/* Makes the instant at which something expires: `amount` of `unit` milliseconds, from now on if it is relative. False:
 * it is none that fits, which has been answered. */
bool arg_expiry(client *c, const resp_arg *arg, int64_t unit, bool relative, int64_t *when);
/* The same for what is being set: only a time to come, or at least one after 1970, will do. */
bool arg_lifetime(client *c, const resp_arg *arg, int64_t unit, bool relative, int64_t *when);

void answer_syntax_error(client *c);
void answer_no_memory(client *c);
/* After the unlock: the value that was shared for an answer, or NULL if the answer has been written. */
void answer_shared(client *c, value *shared);

void cmd_get(client *c), cmd_set(client *c), cmd_setnx(client *c), cmd_setex(client *c), cmd_psetex(client *c),
    cmd_getset(client *c), cmd_getdel(client *c), cmd_incr(client *c), cmd_decr(client *c), cmd_incrby(client *c),
    cmd_decrby(client *c), cmd_append(client *c), cmd_strlen(client *c);
void cmd_mget(client *c), cmd_mset(client *c), cmd_del(client *c), cmd_exists(client *c), cmd_flushall(client *c);
void cmd_expire(client *c), cmd_pexpire(client *c), cmd_expireat(client *c), cmd_pexpireat(client *c),
    cmd_persist(client *c), cmd_ttl(client *c), cmd_pttl(client *c), cmd_type(client *c), cmd_keys(client *c),
    cmd_scan(client *c), cmd_dbsize(client *c);
void cmd_ping(client *c), cmd_echo(client *c), cmd_quit(client *c), cmd_select(client *c), cmd_hello(client *c),
    cmd_client(client *c), cmd_command(client *c), cmd_config(client *c), cmd_info(client *c), cmd_time(client *c),
    cmd_bgrewriteaof(client *c);

#endif
