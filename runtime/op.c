/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running an I/O operation: submit, park until its completion, pass a cancel on.
 *
 * The operation lies on the caller's stack, so the call does not return before the completion was seen.
 *
 * What the driver cannot wait for (old kernels' gaps, regular files without io_uring) is a plain system call in a
 * thread of the blocking pool.
 */
#include "runtime/cancel.h"
#include "runtime/driver.h"
#include "runtime/switch.h"
#include "runtime/worker.h"

void sn_op_complete(sn_op *op, int result)
{
    sn_fiber *f = op->fiber;
    _Atomic uint64_t *completed = &op->worker->counters.completed;
    op->result = result;
    sn_store(&op->done, 1, release); /* the operation may be gone after this; partner: the acquire load in sn_op_run */
    sn_unpark(f);
    sn_store(completed, sn_load(completed, relaxed) + 1, release); /* last: see deadlock.c */
}

static intptr_t make_call(void *arg)
{
    sn_op *op = arg;
    return op->worker->runtime->driver->plain(op);
}

/* A close is not lost, neither to a cancel nor for want of a thread: then it is made here, where it may block. Nor is
 * what the driver has moved already: that is the result of a transfer whose rest is not made. */
static SN_NOINLINE int run_elsewhere(sn_op *op, bool keep)
{
    bool close = op->opcode == SN_OP_CLOSE;
    sn_blocking_request request = {.fn = make_call, .arg = op, .keep = keep || op->moved > 0, .deaf = close};
    intptr_t r = sn_blocking_run(&op->worker->runtime->blocking, &request);
    if (r < 0 && op->moved > 0)
        return (int)op->moved;
    return (int)(close && r == -EAGAIN ? make_call(op) : r);
}

/* Submits, waits for the completion, passes a cancel on; the result may be SN_OP_ELSEWHERE. */
SN_INLINE int run_in_driver(sn_worker *w, sn_fiber *f, sn_op *op, bool keep)
{
    op->worker = w;
    sn_store(&op->done, 0, relaxed);
    sn_bump(&w->counters.submitted, 1);
    w->runtime->driver->submit(w->driver, op);
    if (sn_load(&op->done, acquire))
        sn_fiber_see(f); /* as after a park: its own wake need not be seen again */
    bool asked = false;
    while (!sn_load(&op->done, acquire)) {
        w = sn_park(w, f);
        if (!asked && op->opcode != SN_OP_CLOSE && !sn_load(&op->done, acquire)) {
            sn_interrupt_poll(f);
            if (sn_cancel_pending(f->task)) {
                asked = true;
                w->runtime->driver->cancel(op->worker->driver, op);
            }
        }
    }
    int result = op->result;
    if (asked && (result == -ECANCELED || result == -EINTR)) {
        if (keep)
            return sn_leave_pending(f);
        int code = sn_cancel_take(f->task);
        return code ? code : result;
    }
    /* What is pending is delivered at the next checkpoint; the last park may have taken a nudge of the shutdown for the
     * completion's wake. */
    if (sn_cancel_pending(f->task) || f->frame || sn_load(&f->runtime->stopping, relaxed))
        f->fresh = true;
    return result;
}

SN_INLINE int run(sn_opcode opcode, int fd, const void *buffer, uint64_t length, int64_t extra, int flags, bool keep)
{
    sn_worker *w = sn_worker_of_task();
    if (!w)
        return -EPERM;
    sn_fiber *f = w->fiber;
    int code = opcode == SN_OP_CLOSE ? 0 : sn_asked_before(f, keep);
    if (code)
        return code;
    _Alignas(SN_CACHE_LINE) sn_op op; /* only what is used is set */
    op.opcode = (uint8_t)opcode;
    op.fd = fd;
    op.flags = flags;
    op.buffer = (void *)(uintptr_t)buffer;
    op.length = length;
    op.extra = extra;
    op.fiber = f;
    int result = run_in_driver(w, f, &op, keep);
    while (SN_UNLIKELY(result == SN_OP_ELSEWHERE)) {
        result = run_elsewhere(&op, keep);
        if (result != SN_OP_AGAIN)
            break;
        code = sn_asked_before(f, keep);
        if (code)
            return code;
        result = run_in_driver(sn_worker_self(), f, &op, keep);
    }
    return result;
}

int sn_op_run(sn_opcode opcode, int fd, const void *buffer, uint64_t length, int64_t extra, int flags)
{
    return run(opcode, fd, buffer, length, extra, flags, false);
}

int sn_op_go_on(sn_opcode opcode, int fd, const void *buffer, uint64_t length, int64_t extra, int flags)
{
    return run(opcode, fd, buffer, length, extra, flags, true);
}
