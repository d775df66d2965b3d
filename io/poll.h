/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for events of any descriptor. */
#ifndef SN_POLL_H
#define SN_POLL_H

#include "runtime/base.h"

/* As sinew_poll. `go_on`: in the middle of a call that has done part of its work (sn_op_go_on). */
int sn_poll(int fd, short events, bool go_on);

#endif
