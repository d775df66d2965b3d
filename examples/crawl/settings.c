/* SPDX-License-Identifier: Apache-2.0 */
#include "settings.h"

#include "list.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct settings settings = {.limit = 20, .timeout = SINEW_S(30), .redirects = 10, .output = -1};

static const char usage[] =
    "usage: crawl [options] URL...\n"
    "       crawl [options] --file LIST\n"
    "       ... | crawl [options]\n"
    "\n"
    "Fetches all URLs, many at once, and prints a table of what came. Ctrl-C ends it with the table so far. The exit\n"
    "status is 0 only if all have been fetched, that is answered with a status of 200 to 299.\n"
    "\n"
    "  -f, --file LIST      a URL a line, empty lines and such that begin with # left out; - is the standard input,\n"
    "                       which is also read when there are no URLs\n"
    "  -n, --limit N        fetches at one time; default 20\n"
    "  -t, --timeout S      seconds for one attempt, redirects included; default 30\n"
    "  -r, --retries N      further attempts after what may pass, like a refused connection or a status of 503; with\n"
    "                       pauses of 0.2 s, 0.4 s and so on; default 0\n"
    "      --redirects N    followed for one URL; default 10\n"
    "  -o, --output DIR     keep what was fetched there, as NUMBER-URL; the directory is made if it is not there\n"
    "      --cacert FILE    trust the authorities in this file (PEM) for https://; default: the system's\n"
    "  -k, --insecure       take any certificate: whoever is in between can read and change everything\n"
    "      --workers N      threads; default: one for each processor\n"
    "  -h, --help           this text\n";

__attribute__((noreturn, format(printf, 2, 3))) static void fail(int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("crawl: ", stderr);
    vfprintf(stderr, format, args);
    fputs(code == 2 ? "\n(crawl --help tells all options)\n" : "\n", stderr);
    va_end(args);
    exit(code);
}

static unsigned number(const char *option, const char *text, unsigned min, unsigned max)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || *text == '-' || value < min || value > max)
        fail(2, "--%s: '%s' is no number from %u to %u", option, text, min, max);
    return (unsigned)value;
}

static sinew_time seconds(const char *option, const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(value) || value < 0.001 || value > 1e6)
        fail(2, "--%s: '%s' is no number of seconds from 0.001 to 1000000", option, text);
    return (sinew_time)(value * 1e9);
}

static int open_directory(const char *path)
{
    if (mkdir(path, 0777) < 0 && errno != EEXIST)
        fail(1, "--output: cannot make %s: %s", path, strerror(errno));
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        fail(1, "--output: cannot open %s: %s", path, strerror(errno));
    return fd;
}

static void add(const char *url)
{
    if (pages_add(url) < 0)
        fail(1, "not enough memory for the list");
}

static void read_list(const char *path)
{
    bool standard = strcmp(path, "-") == 0;
    FILE *list = standard ? stdin : fopen(path, "re");
    if (!list)
        fail(1, "--file: cannot open %s: %s", path, strerror(errno));
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, list) >= 0) {
        const char *begin = line + strspn(line, " \t\r\n");
        line[(size_t)(begin - line) + strcspn(begin, " \t\r\n")] = '\0';
        if (*begin != '\0' && *begin != '#')
            add(begin);
    }
    if (ferror(list))
        fail(1, "--file: cannot read %s: %s", path, strerror(errno));
    free(line);
    if (!standard)
        fclose(list);
}

void settings_read(int argc, char **argv)
{
    enum { REDIRECTS = 256, CACERT, WORKERS };
    static const struct option known[] = {
        {"file", required_argument, NULL, 'f'},
        {"limit", required_argument, NULL, 'n'},
        {"timeout", required_argument, NULL, 't'},
        {"retries", required_argument, NULL, 'r'},
        {"output", required_argument, NULL, 'o'},
        {"redirects", required_argument, NULL, REDIRECTS},
        {"cacert", required_argument, NULL, CACERT},
        {"insecure", no_argument, NULL, 'k'},
        {"help", no_argument, NULL, 'h'},
        {"workers", required_argument, NULL, WORKERS},
        {0},
    };
    bool has_list = false;
    int option;
    while ((option = getopt_long(argc, argv, "f:n:t:r:o:kh", known, NULL)) != -1) {
        switch (option) {
        case 'f':
            read_list(optarg);
            has_list = true;
            break;
        case 'n':
            settings.limit = number("limit", optarg, 1, 1 << 20);
            break;
        case 't':
            settings.timeout = seconds("timeout", optarg);
            break;
        case 'r':
            settings.retries = number("retries", optarg, 0, 20);
            break;
        case 'o':
            settings.output = open_directory(optarg);
            break;
        case REDIRECTS:
            settings.redirects = number("redirects", optarg, 0, 1000);
            break;
        case CACERT:
            settings.authorities = optarg;
            break;
        case 'k':
            settings.insecure = true;
            break;
        case WORKERS:
            settings.runtime.workers = number("workers", optarg, 1, SINEW_WORKERS_MAX);
            break;
        case 'h':
            fputs(usage, stdout);
            exit(0);
        default: /* getopt_long has said what is wrong */
            fputs("(crawl --help tells all options)\n", stderr);
            exit(2);
        }
    }
    for (int i = optind; i < argc; i++)
        add(argv[i]);
    if (!has_list && optind == argc)
        read_list("-");
}
