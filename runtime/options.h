/* SPDX-License-Identifier: Apache-2.0 */
/* Options: checking what the caller asked for and finding the defaults. */
#ifndef SN_OPTIONS_H
#define SN_OPTIONS_H

#include <sinew/runtime.h>

/* Checks and completes; 0, or -EINVAL after one line on stderr. */
int sn_options_complete(const sinew_options *given, sinew_options *complete);

/* The CPUs this process may really use: affinity and cgroup quota. */
unsigned sn_usable_cpus(void);

#endif
