/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The I/O driver as the scheduler sees it, and the operation it carries. One driver per worker; what is not said to be
 * for any thread is called by that worker's thread only. Implementations live in io/ (and a simulated one may take
 * their place in tests).
 *
 * Operation. Lies on the stack of the fiber that waits for it; from `submit` until `done` is set the driver (and the
 * kernel) own it and the memory it names. `done` is set by sn_op_complete exactly once, after the operation's own
 * completion was seen, whatever became of a cancel; by the driver's own thread, or by one that helps it.
 *
 *     IDLE --submit--> IN_FLIGHT --completion--> DONE        (cancel: asks the kernel to hurry, changes no state)
 */
#ifndef SN_DRIVER_H
#define SN_DRIVER_H

#include "runtime/atomic.h"
#include "runtime/fiber.h"

#include <sinew/transport.h>

#include <sys/queue.h>

typedef struct sn_driver sn_driver;

typedef enum sn_opcode {
    SN_OP_NOP,
    SN_OP_READ,  /* fd, buffer, length, extra: the offset (-1: the file position) */
    SN_OP_WRITE, /* the same */
    SN_OP_RECV,  /* fd, buffer, length, flags */
    SN_OP_SEND,
    SN_OP_ACCEPT,  /* fd, buffer: sockaddr *, extra: socklen_t *, flags */
    SN_OP_CONNECT, /* fd, buffer: sockaddr *, length */
    SN_OP_OPENAT,  /* fd, buffer: path, flags, length: mode; extra: see opens_at_once */
    SN_OP_CLOSE,
    SN_OP_FSYNC,
    SN_OP_POLL,      /* fd, flags: events */
    SN_OP_READV,     /* fd, buffer: iovec[], length: how many, extra: the offset or -1, flags: RWF_* */
    SN_OP_WRITEV,    /* the same */
    SN_OP_RECVMSG,   /* fd, buffer: msghdr *, flags */
    SN_OP_SENDMSG,   /* the same */
    SN_OP_SEND_ZC,   /* as SN_OP_SEND; completes when the kernel has let go of the buffer */
    SN_OP_SPLICE,    /* fd: the one read from, buffer: sn_splice *, length, flags: SPLICE_F_* */
    SN_OP_FDATASYNC, /* fd */
    SN_OP_FTRUNCATE, /* fd, length */
    SN_OP_FALLOCATE, /* fd, flags: mode, extra: the offset, length */
    SN_OP_STATX,     /* fd: directory, buffer: path, flags: AT_*, length: mask, extra: statx * */
    SN_OP_RENAMEAT,  /* fd, buffer: from; length: directory of, extra: to (const char *), flags: RENAME_* */
    SN_OP_LINKAT,    /* the same, flags: AT_* */
    SN_OP_SYMLINKAT, /* fd: directory, buffer: target, extra: the link's path */
    SN_OP_UNLINKAT,  /* fd, buffer: path, flags: AT_REMOVEDIR */
    SN_OP_MKDIRAT,   /* fd, buffer: path, length: mode */
    SN_OP_RECEIVE,   /* fd, extra: sn_received *, filled by the completion; -ENOBUFS: the driver has no buffer now */
    SN_OP_OPENAT2,   /* fd, buffer: path, extra: open_how *, length: its size; flags: see opens_at_once */
    SN_OPCODES,
} sn_opcode;

/* The other half of a splice; offsets of -1: the file position, or none. */
typedef struct sn_splice {
    int fd_out;
    int64_t offset_in, offset_out;
} sn_splice;

/* The first line is all that an operation touches which is neither cancelled nor kept waiting by a full ring: with
 * thousands of connections each line is a cache miss. */
typedef struct sn_op {
    uint8_t opcode;
    /* The driver's own notes. */
    bool queued;        /* in its list of what did not fit */
    bool cancel_queued; /* in its list of cancels */
    bool cancel_in_flight, finished;
    int fd;
    int flags;
    int result;
    void *buffer;
    uint64_t length;
    int64_t extra;
    uint64_t key; /* the driver's name for it: pointer and generation */
    sn_fiber *fiber;
    sn_worker *worker; /* whose driver holds it */
    _Atomic uint32_t done;

    TAILQ_ENTRY(sn_op) link; /* queued or cancel_queued; the epoll driver: its place */

    uint64_t moved; /* with SN_OP_ELSEWHERE; otherwise a note of the epoll driver's */

    /* The epoll driver's notes: io/attempt.h, io/epoll.c. */
    uint8_t place, fruitless;
    bool look_first, connecting;
    int wait_fd;
    uint32_t wait_events;
    sinew_time again_at, pause;
} sn_op;

/* What arrived, in a buffer of a driver's: `owner` is the one it is to be given back to; NULL: from malloc. */
typedef sinew_received sn_received;

/* A result that says: not here; a plain thread is to make the system call (`plain`). `moved` says how many bytes the
 * driver has moved before it; if any, `plain` returns those and what it adds, and never an error. */
#define SN_OP_ELSEWHERE INT_MIN
/* A result of `plain`: it would have blocked for somebody else's doing; submit the operation again. */
#define SN_OP_AGAIN (INT_MIN + 1)

typedef struct sn_driver_ops {
    const char *name;
    /* Its opens do not wait for the other side of a FIFO, as with O_NONBLOCK, unless `extra` (of openat2: `flags`) is
     * 1, which takes longer. */
    bool opens_at_once;
    bool nonblocking_listeners; /* sinew_listen makes them O_NONBLOCK: its accepts are quicker then */
    /* It splices into a socket as much as there is, also into one without O_NONBLOCK; otherwise page by page. */
    bool splices;
    /* Makes the operation's system call, in a thread that may block, and returns its result, -errno or SN_OP_AGAIN. */
    int (*plain)(const sn_op *op);
    /* Opens a driver in the calling thread, which will be its only user. 0 or -errno; -ENOSYS: the kernel refuses such
     * drivers, for which there is no sentence on stderr if the runtime may use another one (may_fall_back). */
    int (*open)(sn_worker *w, sn_driver **out);
    void (*close)(sn_driver *d);
    /* In a forked child, for the parent's drivers: gives up what the child shares with it, without a sign to it. */
    void (*forked)(sn_driver *d);
    /* Takes the operation. It may complete inside the call, with SN_OP_ELSEWHERE if this driver, this kernel or this
     * descriptor has no way to wait for it. */
    void (*submit)(sn_driver *d, sn_op *op);
    /* Asks for an operation of this driver to end early; harmless if it has completed. Called by the fiber that waits
     * for it, once, in the thread of any worker. */
    void (*cancel)(sn_driver *d, sn_op *op);
    /* Hands over what was submitted and completes what has finished; never blocks. `light`: nothing is ready, so the
     * next call may be a wait, and what that would bring need not be asked for. Returns completions. */
    unsigned (*poll)(sn_driver *d, bool light);
    /* Hands over what was submitted and blocks until a completion, a wake or the deadline (SINEW_FOREVER: none).
     * Completes nothing: the worker is on the idle list, and must leave it before it queues anything. Returns whether
     * poll has something to do. */
    bool (*wait)(sn_driver *d, sinew_time deadline);
    /* Ends a wait now or the next one at once. Any thread. */
    void (*wake)(sn_driver *d);
    /* For the driver of a worker that computes: completes what has finished; its fibers become ready on the caller, a
     * worker. Returns completions. Sets *kick when more may come out only in the owner's own thread. */
    unsigned (*help)(sn_driver *d, bool *kick);
    /* That, in a signal handler in the owner's thread, wherever it was interrupted. May be NULL. */
    void (*kicked)(sn_driver *d);
    /* Takes back a buffer of SN_OP_RECEIVE. Any thread, also when the driver has been closed. NULL where there are
     * none. */
    void (*give_back)(sn_driver *d, char *buffer);
} sn_driver_ops;

/* The drivers, defined in io/; a runtime uses one for all of its workers. */
extern const sn_driver_ops sn_driver_uring, sn_driver_epoll;

/* Marks the operation done and wakes its fiber. Called by drivers, one thread at a time for all operations of one. */
void sn_op_complete(sn_op *op, int result);

/* Submits, waits for the completion and returns its result; passes a cancel or timeout of the task on to the driver.
 * Tasks only. */
int sn_op_run(sn_opcode opcode, int fd, const void *buffer, uint64_t length, int64_t extra, int flags);

/* The same in the middle of a call that has done part of its work and will report that: a cancel or timeout ends the
 * operation with -ECANCELED and stays pending, for the checkpoint after that call. */
int sn_op_go_on(sn_opcode opcode, int fd, const void *buffer, uint64_t length, int64_t extra, int flags);

#endif
