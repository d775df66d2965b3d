/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An operation as an attempt that does not block: for drivers that have only readiness to wait for.
 *
 *            result, -errno                            done
 *   attempt  SN_OP_WAIT: not before `wait_events` of `wait_fd`, then another attempt
 *            SN_OP_LATER: nothing tells when; another attempt in a while
 *            SN_OP_ELSEWHERE                           a thread of the blocking pool calls sn_attempt_plain
 *
 * Readiness is a hint: between it and the attempt somebody else may take what there was. So an attempt is always a call
 * that cannot block, whatever the descriptor's flags, which stay as they are. How each operation becomes one stands in
 * the table in io/README.md, "The epoll driver".
 *
 * Where there is no such call (accept on a blocking listener, reads of terminals) the attempt looks whether the
 * descriptor is ready, and has the plain call made in the pool (`look_first`); there, one thread at a time for a
 * descriptor looks again and makes the call. What then still blocks has been taken away by another process, or by a
 * thread that is none of ours, in that moment; the call stays in the pool, where no cancel reaches it, until there is
 * more. The worker never blocks.
 */
#ifndef SN_ATTEMPT_H
#define SN_ATTEMPT_H

#include "runtime/driver.h"

#define SN_OP_WAIT  (INT_MIN + 2)
#define SN_OP_LATER (INT_MIN + 3)

/* Before the first attempt. */
SN_INLINE void sn_attempt_begin(sn_op *op)
{
    op->moved = 0;
    op->look_first = op->connecting = false;
}

/* One attempt. Any thread, one at a time for an operation. */
int sn_attempt(sn_op *op);

/* What an operation has brought about that is given up: bytes that were moved count, whatever ended it. */
SN_INLINE int sn_attempt_so_far(const sn_op *op, int error)
{
    return op->moved ? (int)op->moved : error;
}

/* Is the descriptor that the operation waits for ready? Said with WAIT after it was reported ready, it means that
 * readiness does not tell when the attempt will succeed. */
bool sn_attempt_looks_ready(const sn_op *op);

/* The call itself, in a thread that may block; its result, -errno or SN_OP_AGAIN. */
int sn_attempt_plain(const sn_op *op);

/* In a forked child: the parent's threads are not in it. */
void sn_attempt_forked(void);

#endif
