/* SPDX-License-Identifier: Apache-2.0 */
#include "command.h"

#include "journal.h"
#include "log.h"
#include "settings.h"

#include <errno.h>
#include <string.h>

typedef enum flags {
    CHANGES = 1, /* refused while the append-only file cannot be written */
    GROWS = 2,   /* refused above --max-memory */
} flags;

/* Sorted by name. As in Redis, `arity` counts the name; negative: at least so many. */
static const struct command {
    const char *name;
    int arity;
    unsigned flags;
    void (*run)(client *c);
} commands[] = {
    {"append", 3, CHANGES | GROWS, cmd_append},
    {"bgrewriteaof", 1, 0, cmd_bgrewriteaof},
    {"client", -2, 0, cmd_client},
    {"command", -1, 0, cmd_command},
    {"config", -2, 0, cmd_config},
    {"dbsize", 1, 0, cmd_dbsize},
    {"decr", 2, CHANGES | GROWS, cmd_decr},
    {"decrby", 3, CHANGES | GROWS, cmd_decrby},
    {"del", -2, CHANGES, cmd_del},
    {"echo", 2, 0, cmd_echo},
    {"exists", -2, 0, cmd_exists},
    {"expire", -3, CHANGES, cmd_expire},
    {"expireat", -3, CHANGES, cmd_expireat},
    {"flushall", -1, CHANGES, cmd_flushall},
    {"flushdb", -1, CHANGES, cmd_flushall},
    {"get", 2, 0, cmd_get},
    {"getdel", 2, CHANGES, cmd_getdel},
    {"getset", 3, CHANGES | GROWS, cmd_getset},
    {"hello", -1, 0, cmd_hello},
    {"incr", 2, CHANGES | GROWS, cmd_incr},
    {"incrby", 3, CHANGES | GROWS, cmd_incrby},
    {"info", -1, 0, cmd_info},
    {"keys", 2, 0, cmd_keys},
    {"mget", -2, 0, cmd_mget},
    {"mset", -3, CHANGES | GROWS, cmd_mset},
    {"persist", 2, CHANGES, cmd_persist},
    {"pexpire", -3, CHANGES, cmd_pexpire},
    {"pexpireat", -3, CHANGES, cmd_pexpireat},
    {"ping", -1, 0, cmd_ping},
    {"psetex", 4, CHANGES | GROWS, cmd_psetex},
    {"pttl", 2, 0, cmd_pttl},
    {"quit", -1, 0, cmd_quit},
    {"scan", -2, 0, cmd_scan},
    {"select", 2, 0, cmd_select},
    {"set", -3, CHANGES | GROWS, cmd_set},
    {"setex", 4, CHANGES | GROWS, cmd_setex},
    {"setnx", 3, CHANGES | GROWS, cmd_setnx},
    {"strlen", 2, 0, cmd_strlen},
    {"time", 1, 0, cmd_time},
    {"touch", -2, 0, cmd_exists},
    {"ttl", 2, 0, cmd_ttl},
    {"type", 2, 0, cmd_type},
    {"unlink", -2, CHANGES, cmd_del},
};

enum { COMMANDS = sizeof commands / sizeof commands[0], NAME_MAX_LEN = 12 };

unsigned command_count(void)
{
    return COMMANDS;
}

static const struct command *find_command(const resp_arg *name)
{
    char folded[NAME_MAX_LEN + 1];
    if (name->len > NAME_MAX_LEN)
        return NULL;
    for (uint32_t i = 0; i < name->len; i++)
        folded[i] = (char)(name->data[i] >= 'A' && name->data[i] <= 'Z' ? name->data[i] - 'A' + 'a' : name->data[i]);
    folded[name->len] = '\0';
    if (strlen(folded) != name->len)
        return NULL;
    size_t low = 0, high = COMMANDS;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(folded, commands[middle].name);
        if (order == 0)
            return &commands[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* As Redis says it: the name and the arguments, each cut, and not too many of them. */
static __attribute__((noinline, cold)) void answer_unknown(client *c)
{
    enum { SHOWN_MAX = 128 };
    const resp_arg *args = c->in.args;
    char text[SHOWN_MAX + 64];
    size_t used = 0;
    for (uint32_t i = 1; i < c->in.argc && used < SHOWN_MAX; i++) {
        size_t room = SHOWN_MAX - used, len = args[i].len < room ? args[i].len : room;
        const char *nul = memchr(args[i].data, '\0', len); /* a string of C ends there, and Redis shows one */
        if (nul)
            len = (size_t)(nul - args[i].data);
        text[used++] = '\'';
        memcpy(text + used, args[i].data, len);
        used += len;
        text[used++] = '\'';
        text[used++] = ' ';
    }
    client_write(c, "-ERR unknown command '", 22);
    uint32_t len = args[0].len < SHOWN_MAX ? args[0].len : SHOWN_MAX;
    const char *nul = memchr(args[0].data, '\0', len);
    client_line(c, args[0].data, nul ? (size_t)(nul - args[0].data) : len);
    client_write(c, "', with args beginning with: ", 29);
    client_line(c, text, used);
    client_write(c, "\r\n", 2);
}

/* A page in a browser can make it send requests to a server that is not meant for it; those are no mistakes to answer.
 */
static bool is_http(const resp_arg *name)
{
    return arg_is(name, "POST") || arg_is(name, "HOST:");
}

/* Returns whether the command may run; otherwise that has been answered. */
static bool may_run(client *c, const struct command *cmd)
{
    uint32_t argc = c->in.argc;
    if (cmd->arity > 0 ? argc != (uint32_t)cmd->arity : argc < (uint32_t)-cmd->arity) {
        answer_error_about(c, "ERR wrong number of arguments for '", cmd->name, strlen(cmd->name), "' command");
        return false;
    }
    if ((cmd->flags & CHANGES) && !journal_takes()) {
        answer_error_about(c, "MISCONF Errors writing to the AOF file: ", strerror(journal_error()),
                           strlen(strerror(journal_error())), "");
        return false;
    }
    if ((cmd->flags & GROWS) && settings.memory_bytes > 0 && store_bytes() > settings.memory_bytes) {
        answer_error(c, "OOM command not allowed when used memory > 'maxmemory'.");
        return false;
    }
    return true;
}

void execute(client *c)
{
    const struct command *cmd = find_command(&c->in.args[0]);
    if (cmd) {
        if (may_run(c, cmd))
            cmd->run(c);
        if (cmd->flags & CHANGES)
            c->changed = c->lsn;
    } else if (is_http(&c->in.args[0])) {
        c->failed = true;
    } else {
        answer_unknown(c);
    }
    c->answers++;
    c->partly = false;
}

/* --- for the functions -------------------------------------------------------------------------------------------- */

bool arg_is(const resp_arg *arg, const char *word)
{
    uint32_t i = 0;
    for (; i < arg->len && word[i] != '\0'; i++) {
        char ch = arg->data[i];
        if ((ch >= 'a' && ch <= 'z' ? ch - 'a' + 'A' : ch) != word[i])
            return false;
    }
    return i == arg->len && word[i] == '\0';
}

bool arg_number(client *c, const resp_arg *arg, int64_t *number)
{
    if (read_number(arg->data, arg->len, number))
        return true;
    answer_error(c, "ERR value is not an integer or out of range");
    return false;
}

static __attribute__((noinline, cold)) void answer_invalid_expiry(client *c)
{
    const struct command *cmd = find_command(&c->in.args[0]);
    answer_error_about(c, "ERR invalid expire time in '", cmd->name, strlen(cmd->name), "' command");
}

static bool make_instant(client *c, int64_t amount, int64_t unit, bool relative, int64_t *when)
{
    int64_t base = relative ? clock_ms() : 0;
    if (!__builtin_mul_overflow(amount, unit, &amount) && !__builtin_add_overflow(amount, base, when))
        return true;
    answer_invalid_expiry(c);
    return false;
}

bool arg_expiry(client *c, const resp_arg *arg, int64_t unit, bool relative, int64_t *when)
{
    int64_t amount;
    return arg_number(c, arg, &amount) && make_instant(c, amount, unit, relative, when);
}

bool arg_lifetime(client *c, const resp_arg *arg, int64_t unit, bool relative, int64_t *when)
{
    int64_t amount;
    if (!arg_number(c, arg, &amount))
        return false;
    if (amount > 0)
        return make_instant(c, amount, unit, relative, when);
    answer_invalid_expiry(c);
    return false;
}

void answer_syntax_error(client *c)
{
    answer_error(c, "ERR syntax error");
}

void answer_no_memory(client *c)
{
    answer_error(c, "OOM out of memory");
}

void answer_shared(client *c, value *shared)
{
    if (shared) {
        answer_value(c, shared);
        value_release(shared);
    }
}
