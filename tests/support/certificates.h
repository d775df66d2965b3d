/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates for tests of TLS, made by openssl(1) in a temporary directory before the tests and removed after them:
 *
 *   ca       an authority             server    localhost, 127.0.0.1; of `ca`, a P-256 key
 *   other    another one              rsa       the same with an RSA key of 2048 bits, and a chain of two
 *   client   for clients, of `ca`     expired   as server, until yesterday
 *   selfish  localhost, signed by itself
 *
 * Each is NAME.pem with NAME.key. TLS_MAIN instead of TEST_MAIN makes them.
 */
#ifndef TESTS_SUPPORT_CERTIFICATES_H
#define TESTS_SUPPORT_CERTIFICATES_H

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include <tests/support/files.h>
#include <tests/support/run.h>

static const char certificates_script[] =
    "set -e\n"
    "root() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout $1.key -out $1.pem "
    "-subj /CN=$1 -days 30 $2 $3; }\n"
    /* name, authority, extensions, days, kind of key */
    "signed() { name=$1 by=$2 days=$4; printf \"$3\" >ext; shift 4\n"
    "openssl req -newkey \"$@\" -nodes -keyout $name.key -out $name.csr -subj /CN=$name.example\n"
    "openssl x509 -req -in $name.csr -CA $by.pem -CAkey $by.key -CAcreateserial -days $days -extfile ext -out "
    "$name.pem\n"
    "}\n"
    "ec='ec -pkeyopt ec_paramgen_curve:prime256v1' names=subjectAltName=DNS:localhost,IP:127.0.0.1\n"
    "root ca; root other; root selfish -addext $names\n"
    "signed server ca $names 30 $ec\n"
    "signed expired ca $names -1 $ec\n"
    "signed client ca subjectAltName=DNS:client.example 30 $ec\n"
    "signed middle ca basicConstraints=critical,CA:TRUE 30 rsa:2048\n"
    "signed rsa middle $names 30 rsa:2048\n"
    "cat middle.pem >>rsa.pem\n"
    "openssl ec -in server.key -aes128 -passout pass:secret -out encrypted.key\n"
    "echo nonsense >nonsense.pem\n";

static char certificates_directory[TEMPORARY_PATH];

/* The path of a file there, in one of some buffers in turn. */
static inline const char *certificate(const char *file)
{
    static char paths[16][PATH_MAX];
    static _Atomic unsigned next;
    char *path = paths[next++ % 16];
    snprintf(path, PATH_MAX, "%s/%s", certificates_directory, file);
    return path;
}

static inline int certificates_make(void **state)
{
    (void)state;
    if (!temporary_directory(certificates_directory))
        return -1;
    FILE *f = fopen(certificate("make.sh"), "w");
    if (!f || fputs(certificates_script, f) < 0 || fclose(f) != 0)
        return -1;
    char command[PATH_MAX];
    snprintf(command, sizeof command, "cd %s && sh make.sh >log 2>&1 || { cat log >&2; exit 1; }",
             certificates_directory);
    return system(command) == 0 ? 0 : -1;
}

static inline int certificates_remove(void **state)
{
    (void)state;
    char command[PATH_MAX];
    snprintf(command, sizeof command, "rm -rf %s", certificates_directory);
    return system(command);
}

#define TLS_MAIN(...)                                                                 \
    int main(int argc, char **argv)                                                   \
    {                                                                                 \
        const struct CMUnitTest tests[] = {__VA_ARGS__};                              \
        signal(SIGPIPE, SIG_IGN); /* pipes to children that have ended */             \
        if (argc > 1)                                                                 \
            cmocka_set_test_filter(argv[1]);                                          \
        return cmocka_run_group_tests(tests, certificates_make, certificates_remove); \
    }

#endif
