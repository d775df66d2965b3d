/* SPDX-License-Identifier: Apache-2.0 */
#include "settings.h"

#include "targets.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct settings settings = {
    .connections_max = 10000,
    .per_client_max = UINT_MAX,
    .spares_max = 32,
    .header_bytes = 16384,
    .connect_timeout = SINEW_S(5),
    .idle_timeout = SINEW_S(60),
    .leave_out = SINEW_S(5),
    .grace = SINEW_S(10),
};
struct counters counters;
atomic_bool draining;

static const char usage[] =
    "usage: proxy --listen ADDRESS --to ADDRESS[,ADDRESS...] [options]\n"
    "\n"
    "Forwards TCP connections to one of the targets, in turn. A target that fails is left out for a while and the "
    "next\n"
    "one is taken. Addresses: 127.0.0.1:8080, [::1]:8080, :8080 (to listen on all), localhost:8080, unix:/path\n"
    "\n"
    "  -l, --listen ADDRESS       where clients connect; port 0 picks a free one\n"
    "  -t, --to ADDRESS[,...]     the targets; may be given more than once\n"
    "      --http                 forward HTTP/1.1 requests instead of bytes: with X-Forwarded-For and Via, over\n"
    "                             connections that are kept, and with answers of its own where a target gives none;\n"
    "                             without changes of the protocol (WebSocket), which are for the plain mode\n"
    "      --max-connections N    at one time; further clients wait in the kernel's queue; default 10000\n"
    "      --max-per-client N     from one address; further ones are closed at once; default: no limit\n"
    "      --connect-timeout S    seconds for a target to accept; default 5\n"
    "      --idle-timeout S       seconds in which nothing moves, before a connection is ended; default 60\n"
    "      --leave-out S          seconds that a target which failed is left out; default 5\n"
    "      --grace S              seconds for connections to end after SIGTERM or SIGINT; default 10\n"
    "      --max-header BYTES     of a request or response, with --http; default 16384\n"
    "      --max-spares N         idle connections kept for each target, with --http; default 32\n"
    "      --workers N            threads; default: one for each processor\n"
    "  -h, --help                 this text\n";

__attribute__((noreturn, format(printf, 1, 2))) static void wrong(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("proxy: ", stderr);
    vfprintf(stderr, format, args);
    fputs("\n(proxy --help tells all options)\n", stderr);
    va_end(args);
    exit(2);
}

static unsigned number(const char *option, const char *text, unsigned min, unsigned max)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || *text == '-' || value < min || value > max)
        wrong("--%s: '%s' is no number from %u to %u", option, text, min, max);
    return (unsigned)value;
}

static sinew_time seconds(const char *option, const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(value) || value < 0.001 || value > 1e6)
        wrong("--%s: '%s' is no number of seconds from 0.001 to 1000000", option, text);
    return (sinew_time)(value * 1e9);
}

/* Splits the argument, which lives as long as the process. */
static void add_targets(const char *option, char *list)
{
    for (char *rest = list, *address; (address = strsep(&rest, ","));) {
        if (*address == '\0')
            wrong("--%s: an address is missing in the list", option);
        if (strncmp(address, "unix:", 5) != 0 && !strchr(address, ':'))
            wrong("--%s: '%s' has no port", option, address);
        if (targets_add(address) < 0)
            wrong("--%s: more than %d targets", option, TARGETS_MAX);
    }
}

void settings_read(int argc, char **argv)
{
    enum { HTTP = 256, MAX_CONNECTIONS, PER_CLIENT, CONNECT, IDLE, LEAVE_OUT, GRACE, HEADER, SPARES, WORKERS };
    static const struct option known[] = {
        {"listen", required_argument, NULL, 'l'},
        {"to", required_argument, NULL, 't'},
        {"http", no_argument, NULL, HTTP},
        {"max-connections", required_argument, NULL, MAX_CONNECTIONS},
        {"max-per-client", required_argument, NULL, PER_CLIENT},
        {"connect-timeout", required_argument, NULL, CONNECT},
        {"idle-timeout", required_argument, NULL, IDLE},
        {"leave-out", required_argument, NULL, LEAVE_OUT},
        {"grace", required_argument, NULL, GRACE},
        {"max-header", required_argument, NULL, HEADER},
        {"max-spares", required_argument, NULL, SPARES},
        {"workers", required_argument, NULL, WORKERS},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    int option, index = 0;
    while ((option = getopt_long(argc, argv, "l:t:h", known, &index)) != -1) {
        const char *name = known[index].name;
        switch (option) {
        case 'l':
            settings.listen = optarg;
            break;
        case 't':
            add_targets("to", optarg);
            break;
        case HTTP:
            settings.http = true;
            break;
        case MAX_CONNECTIONS:
            settings.connections_max = number(name, optarg, 1, 1 << 20);
            break;
        case PER_CLIENT:
            settings.per_client_max = number(name, optarg, 1, 1 << 20);
            break;
        case CONNECT:
            settings.connect_timeout = seconds(name, optarg);
            break;
        case IDLE:
            settings.idle_timeout = seconds(name, optarg);
            break;
        case LEAVE_OUT:
            settings.leave_out = seconds(name, optarg);
            break;
        case GRACE:
            settings.grace = seconds(name, optarg);
            break;
        case HEADER:
            settings.header_bytes = number(name, optarg, 256, 1 << 20);
            break;
        case SPARES:
            settings.spares_max = number(name, optarg, 0, SPARES_MAX);
            break;
        case WORKERS:
            settings.runtime.workers = number(name, optarg, 1, SINEW_WORKERS_MAX);
            break;
        case 'h':
            fputs(usage, stdout);
            exit(0);
        default: /* getopt_long has said what is wrong */
            fputs("(proxy --help tells all options)\n", stderr);
            exit(2);
        }
    }
    if (optind < argc)
        wrong("'%s' is no option", argv[optind]);
    if (!settings.listen)
        wrong("--listen is missing");
    if (targets_count() == 0)
        wrong("--to is missing");
}
