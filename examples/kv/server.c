/* SPDX-License-Identifier: Apache-2.0 */
/* Commands about the connection and the server. */
#include "command.h"

#include "glob.h"
#include "journal.h"
#include "log.h"
#include "settings.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* Clients ask for it to know which commands there are. */
#define REDIS_VERSION "7.0.0"

void cmd_ping(client *c)
{
    if (c->in.argc > 2)
        answer_error(c, "ERR wrong number of arguments for 'ping' command");
    else if (c->in.argc == 2)
        answer_bulk(c, c->in.args[1].data, c->in.args[1].len);
    else
        answer_literal(c, "+PONG\r\n");
}

void cmd_echo(client *c)
{
    answer_bulk(c, c->in.args[1].data, c->in.args[1].len);
}

void cmd_quit(client *c)
{
    answer_ok(c);
    c->leaving = true;
}

void cmd_select(client *c)
{
    int64_t number;
    if (!read_number(c->in.args[1].data, c->in.args[1].len, &number))
        answer_error(c, "ERR value is not an integer or out of range");
    else if (number != 0)
        answer_error(c, "ERR DB index is out of range");
    else
        answer_ok(c);
}

void cmd_time(client *c)
{
    struct timespec now;
    char text[NUMBER_TEXT_MAX];
    clock_gettime(CLOCK_REALTIME, &now);
    answer_array(c, 2);
    answer_bulk(c, text, (size_t)(put_number(text, now.tv_sec) - text));
    answer_bulk(c, text, (size_t)(put_number(text, now.tv_nsec / 1000) - text));
}

/* --- HELLO, CLIENT ------------------------------------------------------------------------------------------------ */

static bool is_name(const resp_arg *arg)
{
    for (uint32_t i = 0; i < arg->len; i++)
        if (arg->data[i] < '!' || arg->data[i] > '~')
            return false;
    return true;
}

/* An empty name is none. False: that has been answered. */
static bool set_name(client *c, const resp_arg *arg)
{
    if (!is_name(arg)) {
        answer_error(c, "ERR Client names cannot contain spaces, newlines or special characters.");
        return false;
    }
    char *name = arg->len > 0 ? strndup(arg->data, arg->len) : NULL;
    if (arg->len > 0 && !name) {
        answer_no_memory(c);
        return false;
    }
    free(c->name);
    c->name = name;
    return true;
}

void cmd_hello(client *c)
{
    const resp_arg *args = c->in.args;
    int64_t version = 2;
    if (c->in.argc > 1 && !read_number(args[1].data, args[1].len, &version)) {
        answer_error(c, "ERR Protocol version is not an integer or out of range");
        return;
    }
    if (version != 2) { /* only the second version of the protocol is spoken here */
        answer_error(c, "NOPROTO unsupported protocol version");
        return;
    }
    for (uint32_t i = 2; i < c->in.argc; i += 2) {
        if (i + 1 < c->in.argc && arg_is(&args[i], "SETNAME")) {
            if (!set_name(c, &args[i + 1]))
                return;
        } else {
            answer_error_about(c, "ERR Syntax error in HELLO option '", args[i].data,
                               args[i].len < 128 ? args[i].len : 128, "'");
            return;
        }
    }
    answer_array(c, 14);
    answer_text(c, "server");
    answer_text(c, "redis"); /* what it speaks */
    answer_text(c, "version");
    answer_text(c, REDIS_VERSION);
    answer_text(c, "proto");
    answer_number(c, 2);
    answer_text(c, "id");
    answer_number(c, (int64_t)c->id);
    answer_text(c, "mode");
    answer_text(c, "standalone");
    answer_text(c, "role");
    answer_text(c, "master");
    answer_text(c, "modules");
    answer_array(c, 0);
}

static void answer_unknown_subcommand(client *c)
{
    const resp_arg *args = c->in.args;
    char name[16];
    uint32_t len = args[0].len < sizeof name ? args[0].len : sizeof name, shown = args[1].len < 128 ? args[1].len : 128;
    for (uint32_t i = 0; i < len; i++)
        name[i] = (char)(args[0].data[i] >= 'a' ? args[0].data[i] - 'a' + 'A' : args[0].data[i]);
    client_write(c, "-ERR unknown subcommand '", 25);
    client_line(c, args[1].data, shown);
    client_write(c, "'. Try ", 7);
    client_write(c, name, len);
    client_write(c, " HELP.\r\n", 8);
}

void cmd_client(client *c)
{
    const resp_arg *args = c->in.args;
    uint32_t argc = c->in.argc;
    if (arg_is(&args[1], "ID") && argc == 2) {
        answer_number(c, (int64_t)c->id);
    } else if (arg_is(&args[1], "SETNAME") && argc == 3) {
        if (set_name(c, &args[2]))
            answer_ok(c);
    } else if (arg_is(&args[1], "GETNAME") && argc == 2) {
        answer_text(c, c->name ? c->name : "");
    } else if (arg_is(&args[1], "SETINFO") && argc == 4) { /* the library's name and version: nobody asks for them */
        answer_ok(c);
    } else {
        answer_unknown_subcommand(c);
    }
}

/* redis-cli asks for the table to help whoever types; it does without. */
void cmd_command(client *c)
{
    if (c->in.argc == 2 && arg_is(&c->in.args[1], "COUNT"))
        answer_number(c, command_count());
    else if (c->in.argc == 1 || arg_is(&c->in.args[1], "DOCS") || arg_is(&c->in.args[1], "INFO") ||
             arg_is(&c->in.args[1], "LIST"))
        answer_array(c, 0);
    else
        answer_unknown_subcommand(c);
}

/* --- CONFIG ------------------------------------------------------------------------------------------------------- */

static const char *sync_name(void)
{
    static const char *const names[] = {
        [LOG_SYNC_ALWAYS] = "always", [LOG_SYNC_EVERYSEC] = "everysec", [LOG_SYNC_NO] = "no"};
    return names[settings.sync];
}

typedef struct parameter {
    const char *name;
    char text[64];
} parameter;

enum { PARAMETERS_MAX = 16 };

static unsigned make_parameters(parameter *p)
{
    unsigned n = 0;
#define PARAMETER(title, ...)                               \
    do {                                                    \
        p[n].name = title;                                  \
        snprintf(p[n++].text, sizeof p->text, __VA_ARGS__); \
    } while (0)
    PARAMETER("appendfsync", "%s", sync_name());
    PARAMETER("appendonly", "%s", log_is_open() ? "yes" : "no");
    PARAMETER("auto-aof-rewrite-min-size", "%" PRId64, settings.rewrite_min_bytes);
    PARAMETER("auto-aof-rewrite-percentage", "%" PRId64, settings.rewrite_percent);
    PARAMETER("databases", "1");
    PARAMETER("maxclients", "%lu", settings.clients);
    PARAMETER("maxmemory", "%" PRId64, settings.memory_bytes);
    PARAMETER("maxmemory-policy", "noeviction");
    PARAMETER("port", "%d", settings.port);
    PARAMETER("proto-max-bulk-len", "%zu", settings.requests.value_bytes);
    PARAMETER("save", "%s", "");
    PARAMETER("timeout", "%" PRId64, settings.idle / SINEW_S(1));
#undef PARAMETER
    return n;
}

static __attribute__((noinline)) void config_get(client *c)
{
    parameter *known = malloc(PARAMETERS_MAX * sizeof *known);
    if (!known) {
        answer_no_memory(c);
        return;
    }
    unsigned count = make_parameters(known), matching = 0;
    bool wanted[PARAMETERS_MAX] = {false};
    for (unsigned i = 0; i < count; i++) {
        for (uint32_t a = 2; a < c->in.argc && !wanted[i]; a++)
            wanted[i] = glob_match(c->in.args[a].data, c->in.args[a].len, known[i].name, strlen(known[i].name), true);
        matching += wanted[i];
    }
    answer_array(c, 2 * matching);
    for (unsigned i = 0; i < count; i++)
        if (wanted[i]) {
            answer_text(c, known[i].name);
            answer_text(c, known[i].text);
        }
    free(known);
}

void cmd_config(client *c)
{
    const resp_arg *args = c->in.args;
    if (arg_is(&args[1], "GET") && c->in.argc > 2)
        config_get(c);
    else if (arg_is(&args[1], "GET"))
        answer_error(c, "ERR wrong number of arguments for 'config|get' command");
    else if (arg_is(&args[1], "SET"))
        answer_error(c, "ERR CONFIG SET is not supported: parameters are options of the command line");
    else
        answer_unknown_subcommand(c);
}

/* --- INFO --------------------------------------------------------------------------------------------------------- */

static uint64_t resident_bytes(void)
{
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f) {
        if (fscanf(f, "%*u %lu", &pages) != 1)
            pages = 0;
        fclose(f);
    }
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void print_server(strbuf *out)
{
    struct utsname system;
    int64_t seconds = (sinew_now() - counters.started) / SINEW_S(1);
    uname(&system);
    strbuf_print(out,
                 "# Server\r\nredis_version:" REDIS_VERSION "\r\nserver_name:sinew-kv\r\nredis_mode:standalone\r\n"
                 "os:%s %s %s\r\narch_bits:%zu\r\nprocess_id:%ld\r\ntcp_port:%d\r\nuptime_in_seconds:%" PRId64
                 "\r\nuptime_in_days:%" PRId64 "\r\nworkers:%u\r\n",
                 system.sysname, system.release, system.machine, sizeof(void *) * 8, (long)getpid(), settings.port,
                 seconds, seconds / 86400, sinew_workers());
}

static void print_clients(strbuf *out)
{
    strbuf_print(out, "# Clients\r\nconnected_clients:%lu\r\nmaxclients:%lu\r\nclient_input_bytes:%" PRIu64 "\r\n",
                 atomic_load(&counters.clients), settings.clients, resp_bytes());
}

static void print_memory(strbuf *out)
{
    struct mallinfo2 heap = mallinfo2();
    strbuf_print(out,
                 "# Memory\r\nused_memory:%" PRIu64 "\r\nused_memory_dataset:%" PRId64 "\r\nused_memory_rss:%" PRIu64
                 "\r\nmaxmemory:%" PRId64 "\r\nmaxmemory_policy:noeviction\r\nmem_allocator:libc\r\n",
                 (uint64_t)heap.uordblks + (uint64_t)heap.hblkhd, store_count().bytes, resident_bytes(),
                 settings.memory_bytes);
}

static void print_persistence(strbuf *out)
{
    log_stats log = log_count();
    strbuf_print(out,
                 "# Persistence\r\nloading:0\r\nrdb_changes_since_last_save:0\r\nrdb_bgsave_in_progress:0\r\n"
                 "aof_enabled:%d\r\naof_rewrite_in_progress:%d\r\naof_last_write_status:%s\r\n",
                 log_is_open(), log.rewriting, log.error ? "err" : "ok");
    if (log_is_open())
        strbuf_print(
            out,
            "aof_fsync:%s\r\naof_current_size:%" PRId64 "\r\naof_base_size:%" PRId64 "\r\naof_rewrites:%" PRIu64
            "\r\naof_writes:%" PRIu64 "\r\naof_syncs:%" PRIu64 "\r\naof_pending_bytes:%" PRIu64 "\r\n",
            sync_name(), log.size, log.base_size, log.rewrites, log.writes, log.syncs, journal_lsn() - journal_safe());
}

static void print_stats(strbuf *out)
{
    store_stats now = store_count();
    strbuf_print(out,
                 "# Stats\r\ntotal_connections_received:%lu\r\ntotal_commands_processed:%lu\r\n"
                 "instantaneous_ops_per_sec:%lu\r\nrejected_connections:%lu\r\nexpired_keys:%" PRIu64
                 "\r\nevicted_keys:0\r\nkeyspace_hits:%" PRIu64 "\r\nkeyspace_misses:%" PRIu64 "\r\n",
                 atomic_load(&counters.connections), atomic_load(&counters.commands), atomic_load(&counters.per_second),
                 atomic_load(&counters.refused), now.expired, now.hits, now.misses);
}

static void print_replication(strbuf *out)
{
    strbuf_print(out, "# Replication\r\nrole:master\r\nconnected_slaves:0\r\n");
}

static void print_cpu(strbuf *out)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    strbuf_print(out, "# CPU\r\nused_cpu_sys:%ld.%06ld\r\nused_cpu_user:%ld.%06ld\r\n", (long)used.ru_stime.tv_sec,
                 (long)used.ru_stime.tv_usec, (long)used.ru_utime.tv_sec, (long)used.ru_utime.tv_usec);
}

static void print_keyspace(strbuf *out)
{
    store_stats now = store_count();
    strbuf_print(out, "# Keyspace\r\n");
    if (now.keys > 0)
        strbuf_print(out, "db0:keys=%" PRIu64 ",expires=%" PRIu64 ",avg_ttl=0\r\n", now.keys, now.volatiles);
}

static bool wants_section(const client *c, const char *name)
{
    if (c->in.argc == 1)
        return true;
    for (uint32_t i = 1; i < c->in.argc; i++)
        if (arg_is(&c->in.args[i], name) || arg_is(&c->in.args[i], "ALL") || arg_is(&c->in.args[i], "DEFAULT") ||
            arg_is(&c->in.args[i], "EVERYTHING"))
            return true;
    return false;
}

void cmd_info(client *c)
{
    static const struct {
        const char *name;
        void (*print)(strbuf *out);
    } sections[] = {
        {"SERVER", print_server}, {"CLIENTS", print_clients},
        {"MEMORY", print_memory}, {"PERSISTENCE", print_persistence},
        {"STATS", print_stats},   {"REPLICATION", print_replication},
        {"CPU", print_cpu},       {"KEYSPACE", print_keyspace},
    };
    strbuf out = {0};
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++)
        if (wants_section(c, sections[i].name)) {
            if (out.len > 0)
                strbuf_print(&out, "\r\n");
            sections[i].print(&out);
        }
    answer_bulk(c, out.data, out.len);
    free(out.data);
}

/* --- the append-only file ----------------------------------------------------------------------------------------- */

void cmd_bgrewriteaof(client *c)
{
    switch (log_rewrite()) {
    case 0:
        answer_literal(c, "+Background append only file rewriting started\r\n");
        break;
    case -EALREADY:
        answer_error(c, "ERR Background append only file rewriting already in progress");
        break;
    default:
        answer_error(c, "ERR there is no append-only file: see --appendonly");
    }
}
