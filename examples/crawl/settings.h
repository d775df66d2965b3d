/* SPDX-License-Identifier: Apache-2.0 */
/* What the command line says; written before the runtime starts and only read afterwards. */
#ifndef CRAWL_SETTINGS_H
#define CRAWL_SETTINGS_H

#include <sinew.h>

#include <stdio.h>

extern struct settings {
    unsigned limit; /* fetches at one time */
    sinew_time timeout;
    unsigned retries;
    unsigned redirects;
    const char *authorities; /* whose certificates are trusted, a file; NULL: the system's */
    bool insecure;           /* any certificate will do */
    int output;              /* directory for what is fetched; -1: nothing is kept */
    sinew_options runtime;
} settings;

/* Fills settings; what is to be fetched goes to pages_add (list.h). Ends the process with a message if it is wrong. */
void settings_read(int argc, char **argv);

#endif
