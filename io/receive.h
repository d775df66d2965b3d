/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Receiving into a buffer that is only there when data is: a connection that waits holds none.
 *
 *     sn_received r;
 *     int n = sn_receive(fd, &r);          may suspend; n bytes at r.data
 *     ...
 *     sn_received_release(&r);             any thread, also when the runtime has ended; once for each n > 0
 */
#ifndef SN_RECEIVE_H
#define SN_RECEIVE_H

#include "runtime/driver.h"

enum { SN_RECEIVE_BYTES = 4096 };

/* At most SN_RECEIVE_BYTES of a stream socket, or of anything that read(2) reads from. The number of bytes; 0 at its
 * end, or a negative errno, and then there is nothing to release. Cancel and timeout as for sinew_recv: no byte is
 * lost. -ENOMEM loses none either. */
int sn_receive(int fd, sn_received *r);

void sn_received_release(sn_received *r);

#endif
