/* SPDX-License-Identifier: Apache-2.0 */
/* An operation as the plain system call, for threads that may block. */
#ifndef SN_PLAIN_H
#define SN_PLAIN_H

#include "runtime/driver.h"

/* Makes the call; its result or -errno. Any thread. */
int sn_op_plain(const sn_op *op);

#endif
