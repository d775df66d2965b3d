/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The io_uring driver: one ring per worker. Only its thread enters the kernel for it; completions may be taken out by
 * another worker, while the owner computes.
 *
 * Ring: SINGLE_ISSUER | DEFER_TASKRUN | TASKRUN_FLAG where the kernel has them (6.1), then COOP_TASKRUN, then plain.
 * With deferred task work completions appear only when the owner enters the kernel to get events, so poll enters when
 * TASKRUN is flagged and wait always does.
 *
 * Submission is batched: submit() only fills an entry; the kernel hears of it at the next poll or wait, one enter for
 * all. When the submission queue is full it is flushed; when the kernel cannot take it (-EBUSY, -EAGAIN: completions
 * must be reaped first), operations wait in a list and are tried again at every poll. Cancels always go there: they
 * come from any thread.
 *
 * The lock guards the completion queue, both lists, and what reaping changes. The submission queue is the owner's.
 *
 *   owner goes to sleep                      helper
 *   w1 waiting = true, wake read armed       h1 takes the lock, or goes away
 *      under the lock                        h2 waiting? -> goes away
 *   w2 blocks                                h3 reaps
 *
 *   impossible: the helper takes the wake's completion out and the owner blocks without a read in flight. Either h3 is
 * before w1, and the owner arms again, or h2 sees w1.
 *
 * What waits in the owner's submission queue, and completions that the kernel defers, come out only in the owner's
 * thread. A helper then sends a signal, whose handler enters the kernel here (`kicked`). `inside` keeps that handler
 * from the ring while the interrupted code is in this file.
 *
 * user_data: the operation's address (47 bits) and a generation (16 bits above), so that a late cancel cannot hit
 * another operation at the same address; 1 and 2 are the wake-up read and the cancels themselves, whose completions say
 * nothing: only an operation's own completion ends it.
 *
 * Wake: an eventfd with a read always in flight; a flag saves the write while one is under way.
 *
 * errno-style results of liburing are negative codes; the variable errno is not used here except directly after eventfd
 * calls.
 */
#include "io/buffers.h"
#include "io/plain.h"
#include "runtime/clock.h"
#include "runtime/worker.h"

#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

enum { ENTRIES = 256, COMPLETIONS = 1024, GENERATION_SHIFT = 48, AHEAD = 4 };

#define KEY_WAKE    UINT64_C(0)
#define KEY_CANCEL  UINT64_C(1) /* in the lowest bit of an operation's address */
#define KEY_ADDRESS (((UINT64_C(1) << GENERATION_SHIFT) - 1) & ~KEY_CANCEL)

SN_INLINE sn_op *op_of(uint64_t key)
{
    return (sn_op *)(uintptr_t)(key & KEY_ADDRESS);
}

/* Between two attempts to cancel what the kernel did not find or could not stop. */
#define CANCEL_PAUSE_NS SINEW_US(500)

typedef TAILQ_HEAD(op_list, sn_op) op_list;

struct sn_driver {
    struct io_uring ring;
    sn_worker *worker;
    volatile sig_atomic_t inside; /* the owner's thread is in this file */
    uint64_t generation;
    uint64_t wake_value; /* the read's buffer */
    int wake_fd;
    ck_spinlock_t lock;
    op_list unsubmitted;   /* did not fit into the submission queue */
    op_list cancels;       /* operations to be cancelled */
    sinew_time cancels_at; /* not before this instant */
    bool wake_armed;
    _Atomic bool waiting; /* the owner sleeps, or is about to; cleared without the lock */
    _Atomic uint32_t wake_posted;
    sn_buffers buffers; /* the kernel takes from it, and under the lock buffers come back */
    unsigned lent;      /* of those, with data in them; under the lock */
    bool closed;        /* only for the sake of what is lent; under the lock */
};

/* Around everything the owner does with the ring. */
SN_INLINE void enter(sn_driver *d)
{
    d->inside = 1;
    atomic_signal_fence(memory_order_seq_cst);
}

SN_INLINE void leave(sn_driver *d)
{
    atomic_signal_fence(memory_order_seq_cst);
    d->inside = 0;
}

static int refused(int code)
{
    switch (-code) {
    case EPERM:
    case EACCES:
    case ENOSYS:
    case EINVAL:
        sn_complain("io_uring is not allowed or not available here (%s): allow io_uring_setup in the seccomp profile "
                    "of the container, set "
                    "the sysctl kernel.io_uring_disabled to 0, or use a kernel from 5.19 on",
                    strerror(-code));
        return -ENOSYS;
    case ENOMEM:
        sn_complain(
            "io_uring is refused for lack of memory: raise the limits of locked memory or address space (ulimit -l, "
            "ulimit -v) or use fewer workers");
        return -ENOMEM;
    case EMFILE:
    case ENFILE:
        sn_complain(
            "io_uring is refused for lack of file descriptors: raise the limit (ulimit -n) or use fewer workers");
        return -EMFILE;
    default:
        sn_complain("io_uring cannot be set up: %s", strerror(-code));
        return code;
    }
}

/* TSan holds handlers of signals back until the thread makes a call that it intercepts. With plain flags the kernel
 * interrupts a computing thread itself. */
static int open_ring(struct io_uring *ring)
{
    static const unsigned flags[] = {
#if !SN_TSAN
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
#endif
        0,
    };
    int r = -EINVAL;
    for (unsigned i = 0; i < sizeof flags / sizeof *flags && r == -EINVAL; i++) {
        struct io_uring_params params = {.flags = flags[i] | IORING_SETUP_CQSIZE, .cq_entries = COMPLETIONS};
        r = io_uring_queue_init_params(ENTRIES, ring, &params);
        if (r == 0 && !(params.features & IORING_FEAT_EXT_ARG)) {
            io_uring_queue_exit(ring);
            r = -ENOSYS;
        }
    }
    return r;
}

/* Has this kernel, or this liburing, no such operation? Asked once, at the first ring. */
static uint32_t missing;
static pthread_once_t probed = PTHREAD_ONCE_INIT;

static void probe(void)
{
    static const struct {
        uint8_t ours, theirs;
    } needed[] = {
        {SN_OP_READ, IORING_OP_READ},         {SN_OP_WRITE, IORING_OP_WRITE},
        {SN_OP_RECV, IORING_OP_RECV},         {SN_OP_SEND, IORING_OP_SEND},
        {SN_OP_ACCEPT, IORING_OP_ACCEPT},     {SN_OP_CONNECT, IORING_OP_CONNECT},
        {SN_OP_OPENAT, IORING_OP_OPENAT},     {SN_OP_CLOSE, IORING_OP_CLOSE},
        {SN_OP_FSYNC, IORING_OP_FSYNC},       {SN_OP_FDATASYNC, IORING_OP_FSYNC},
        {SN_OP_POLL, IORING_OP_POLL_ADD},     {SN_OP_READV, IORING_OP_READV},
        {SN_OP_WRITEV, IORING_OP_WRITEV},     {SN_OP_RECVMSG, IORING_OP_RECVMSG},
        {SN_OP_SENDMSG, IORING_OP_SENDMSG},   {SN_OP_SEND_ZC, IORING_OP_SEND_ZC},
        {SN_OP_SPLICE, IORING_OP_SPLICE},     {SN_OP_FALLOCATE, IORING_OP_FALLOCATE},
        {SN_OP_STATX, IORING_OP_STATX},       {SN_OP_RENAMEAT, IORING_OP_RENAMEAT},
        {SN_OP_LINKAT, IORING_OP_LINKAT},     {SN_OP_SYMLINKAT, IORING_OP_SYMLINKAT},
        {SN_OP_UNLINKAT, IORING_OP_UNLINKAT}, {SN_OP_MKDIRAT, IORING_OP_MKDIRAT},
        {SN_OP_RECEIVE, IORING_OP_RECV},      {SN_OP_OPENAT2, IORING_OP_OPENAT2},
    };
    struct io_uring_probe *p = io_uring_get_probe();
    missing = UINT32_C(1) << SN_OP_FTRUNCATE; /* newer than liburing 2.3 */
    for (size_t i = 0; p && i < sizeof needed / sizeof *needed; i++)
        if (!io_uring_opcode_supported(p, needed[i].theirs))
            missing |= UINT32_C(1) << needed[i].ours;
    io_uring_free_probe(p); /* no probe: a kernel that has a ring with EXT_ARG has one, so memory was refused */
}

static int uring_open(sn_worker *w, sn_driver **out)
{
    sn_driver *d = calloc(1, sizeof *d);
    if (!d)
        return -ENOMEM;
    d->worker = w;
    ck_spinlock_init(&d->lock);
    TAILQ_INIT(&d->unsubmitted);
    TAILQ_INIT(&d->cancels);
    pthread_once(&probed, probe);
    int r = open_ring(&d->ring);
    if (r != 0) {
        r = w->runtime->may_fall_back && r != -EMFILE && r != -ENFILE ? -ENOSYS : refused(r);
        goto no_ring;
    }
    io_uring_ring_dontfork(&d->ring);    /* a child must not submit into its parent's ring */
    io_uring_register_ring_fd(&d->ring); /* saves the lookup at each enter; an old kernel refuses, that is fine */
    d->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (d->wake_fd < 0) {
        r = -errno;
        sn_complain("an eventfd is refused: %s; raise the limit of file descriptors (ulimit -n)", strerror(-r));
        goto no_eventfd;
    }
    *out = d;
    return 0;
no_eventfd:
    io_uring_queue_exit(&d->ring);
no_ring:
    free(d);
    return r;
}

static void uring_free(sn_driver *d)
{
    sn_buffers_free(&d->buffers);
    free(d);
}

/* Streams may outlive the runtime, and what they have received lies in buffers of ours: who gives the last one back
 * frees the driver. */
static void uring_close(sn_driver *d)
{
    io_uring_queue_exit(&d->ring);
    close(d->wake_fd);
    ck_spinlock_lock(&d->lock);
    d->closed = true;
    bool last = d->lent == 0;
    ck_spinlock_unlock(&d->lock);
    if (last)
        uring_free(d);
}

/* The ring's memory is not there. The parent's ring does not notice: operations belong to the thread that submitted
 * them, not to whoever holds the descriptor. */
static void uring_forked(sn_driver *d)
{
    close(d->ring.ring_fd);
    close(d->wake_fd);
}

static void prepare(struct io_uring_sqe *sqe, sn_op *op)
{
    unsigned length = op->length > INT32_MAX ? INT32_MAX : (unsigned)op->length;
    switch ((sn_opcode)op->opcode) {
    case SN_OP_NOP:
        io_uring_prep_nop(sqe);
        break;
    case SN_OP_READ:
        io_uring_prep_read(sqe, op->fd, op->buffer, length, (uint64_t)op->extra);
        break;
    case SN_OP_WRITE:
        io_uring_prep_write(sqe, op->fd, op->buffer, length, (uint64_t)op->extra);
        break;
    case SN_OP_RECV:
        io_uring_prep_recv(sqe, op->fd, op->buffer, op->length, op->flags);
        break;
    case SN_OP_SEND:
        io_uring_prep_send(sqe, op->fd, op->buffer, op->length, op->flags | MSG_NOSIGNAL);
        break;
    case SN_OP_ACCEPT:
        io_uring_prep_accept(sqe, op->fd, op->buffer, (socklen_t *)(intptr_t)op->extra, op->flags);
        break;
    case SN_OP_CONNECT:
        io_uring_prep_connect(sqe, op->fd, op->buffer, (socklen_t)op->length);
        break;
    case SN_OP_OPENAT:
        io_uring_prep_openat(sqe, op->fd, op->buffer, op->flags, (mode_t)op->length);
        sqe->flags |= op->extra ? IOSQE_ASYNC : 0; /* else the kernel first tries it with O_NONBLOCK */
        break;
    case SN_OP_CLOSE:
        io_uring_prep_close(sqe, op->fd);
        break;
    case SN_OP_FSYNC:
        io_uring_prep_fsync(sqe, op->fd, 0);
        break;
    case SN_OP_POLL:
        io_uring_prep_poll_add(sqe, op->fd, (unsigned)op->flags);
        break;
    case SN_OP_READV:
        io_uring_prep_readv2(sqe, op->fd, op->buffer, (unsigned)op->length, (uint64_t)op->extra, op->flags);
        break;
    case SN_OP_WRITEV:
        io_uring_prep_writev2(sqe, op->fd, op->buffer, (unsigned)op->length, (uint64_t)op->extra, op->flags);
        break;
    case SN_OP_RECVMSG:
        io_uring_prep_recvmsg(sqe, op->fd, op->buffer, (unsigned)op->flags);
        break;
    case SN_OP_SENDMSG:
        io_uring_prep_sendmsg(sqe, op->fd, op->buffer, (unsigned)op->flags | MSG_NOSIGNAL);
        break;
    case SN_OP_SEND_ZC: /* its second completion, the notification, is what ends it: see reap */
        io_uring_prep_send_zc(sqe, op->fd, op->buffer, op->length, op->flags | MSG_NOSIGNAL, 0);
        break;
    case SN_OP_SPLICE: {
        const sn_splice *s = op->buffer;
        io_uring_prep_splice(sqe, op->fd, s->offset_in, s->fd_out, s->offset_out, length, (unsigned)op->flags);
        break;
    }
    case SN_OP_FDATASYNC:
        io_uring_prep_fsync(sqe, op->fd, IORING_FSYNC_DATASYNC);
        break;
    case SN_OP_FALLOCATE:
        io_uring_prep_fallocate(sqe, op->fd, op->flags, op->extra, (off_t)op->length);
        break;
    case SN_OP_STATX:
        io_uring_prep_statx(sqe, op->fd, op->buffer, op->flags, (unsigned)op->length,
                            (struct statx *)(intptr_t)op->extra);
        break;
    case SN_OP_RENAMEAT:
        io_uring_prep_renameat(sqe, op->fd, op->buffer, (int)op->length, (const char *)(intptr_t)op->extra,
                               (unsigned)op->flags);
        break;
    case SN_OP_LINKAT:
        io_uring_prep_linkat(sqe, op->fd, op->buffer, (int)op->length, (const char *)(intptr_t)op->extra, op->flags);
        break;
    case SN_OP_SYMLINKAT:
        io_uring_prep_symlinkat(sqe, op->buffer, op->fd, (const char *)(intptr_t)op->extra);
        break;
    case SN_OP_UNLINKAT:
        io_uring_prep_unlinkat(sqe, op->fd, op->buffer, op->flags);
        break;
    case SN_OP_MKDIRAT:
        io_uring_prep_mkdirat(sqe, op->fd, op->buffer, (mode_t)op->length);
        break;
    case SN_OP_RECEIVE:
        io_uring_prep_recv(sqe, op->fd, NULL, SN_RECEIVE_BYTES, 0);
        sqe->flags |= IOSQE_BUFFER_SELECT;
        sqe->buf_group = SN_BUFFERS_GROUP;
        break;
    case SN_OP_OPENAT2:
        io_uring_prep_openat2(sqe, op->fd, op->buffer, (struct open_how *)(intptr_t)op->extra);
        sqe->flags |= op->flags ? IOSQE_ASYNC : 0;
        break;
    case SN_OP_FTRUNCATE: /* missing */
    case SN_OPCODES:
        SN_CHECK(false, "an operation that the ring does not have");
    }
    io_uring_sqe_set_data64(sqe, op->key);
}

/* A free entry; flushes the queue once if it is full. NULL: the kernel takes nothing now. */
static struct io_uring_sqe *entry(sn_driver *d)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&d->ring);
    if (SN_UNLIKELY(!sqe)) {
        io_uring_submit(&d->ring); /* a refusal shows as no entry */
        sqe = io_uring_get_sqe(&d->ring);
    }
    return sqe;
}

static bool try_submit(sn_driver *d, sn_op *op)
{
    struct io_uring_sqe *sqe = entry(d);
    if (!sqe)
        return false;
    prepare(sqe, op);
    return true;
}

static SN_NOINLINE void submit_later(sn_driver *d, sn_op *op)
{
    ck_spinlock_lock(&d->lock);
    if (missing >> op->opcode & 1) {
        op->moved = 0;
        sn_op_complete(op, SN_OP_ELSEWHERE);
    } else if (op->opcode == SN_OP_RECEIVE && !d->buffers.ring) {
        sn_op_complete(op, -ENOBUFS);
    } else {
        op->queued = true;
        TAILQ_INSERT_TAIL(&d->unsubmitted, op, link);
    }
    ck_spinlock_unlock(&d->lock);
}

static void uring_submit(sn_driver *d, sn_op *op)
{
    op->key = (uint64_t)(uintptr_t)op | (d->generation++ << GENERATION_SHIFT);
    op->queued = op->cancel_queued = op->cancel_in_flight = op->finished = false;
    if (SN_UNLIKELY(op->opcode == SN_OP_SEND_ZC && missing >> SN_OP_SEND_ZC & 1))
        op->opcode = SN_OP_SEND; /* which may wait for long, and then must not do so in a thread */
    enter(d);
    /* A list that another thread is emptying looks full for a moment at worst. */
    if (SN_UNLIKELY(missing >> op->opcode & 1 || !TAILQ_EMPTY(&d->unsubmitted)) ||
        (op->opcode == SN_OP_RECEIVE && !sn_buffers_ready(&d->buffers, &d->ring)) || SN_UNLIKELY(!try_submit(d, op)))
        submit_later(d, op);
    leave(d);
}

static bool try_cancel(sn_driver *d, sn_op *op)
{
    struct io_uring_sqe *sqe = entry(d);
    if (!sqe)
        return false;
    io_uring_prep_cancel64(sqe, op->key, 0);
    io_uring_sqe_set_data64(sqe, (uint64_t)(uintptr_t)op | KEY_CANCEL);
    op->cancel_in_flight = true;
    return true;
}

static void queue_cancel(sn_driver *d, sn_op *op)
{
    op->cancel_queued = true;
    TAILQ_INSERT_TAIL(&d->cancels, op, link);
}

static void uring_wake(sn_driver *d)
{
    if (sn_exchange(&d->wake_posted, 1, seq_cst) != 0)
        return; /* one is under way and not yet seen */
    uint64_t one = 1;
    ssize_t written = write(d->wake_fd, &one, sizeof one);
    (void)written; /* cannot fail before 2^64 - 2 wakes */
}

static void uring_cancel(sn_driver *d, sn_op *op)
{
    bool wake = false;
    ck_spinlock_lock(&d->lock);
    if (op->queued) { /* the kernel has never heard of it */
        TAILQ_REMOVE(&d->unsubmitted, op, link);
        sn_op_complete(op, -ECANCELED);
    } else if (!sn_load(&op->done, relaxed)) {
        if (TAILQ_EMPTY(&d->cancels))
            d->cancels_at = 0;
        queue_cancel(d, op);
        wake = d->waiting;
    }
    ck_spinlock_unlock(&d->lock);
    if (wake)
        uring_wake(d);
}

/* What did not fit before, what is to be cancelled, and what is to be repeated. Under the lock, by the owner. */
static void retry(sn_driver *d)
{
    sn_op *op;
    if (!TAILQ_EMPTY(&d->cancels) && (d->cancels_at == 0 || sn_clock_now() >= d->cancels_at))
        while ((op = TAILQ_FIRST(&d->cancels)) != NULL && try_cancel(d, op)) {
            op->cancel_queued = false;
            TAILQ_REMOVE(&d->cancels, op, link);
        }
    while ((op = TAILQ_FIRST(&d->unsubmitted)) != NULL && try_submit(d, op)) {
        op->queued = false;
        TAILQ_REMOVE(&d->unsubmitted, op, link);
    }
}

SN_INLINE bool lists_empty(const sn_driver *d)
{
    return TAILQ_EMPTY(&d->cancels) && TAILQ_EMPTY(&d->unsubmitted);
}

static void arm_wake(sn_driver *d)
{
    struct io_uring_sqe *sqe = entry(d);
    if (!sqe)
        return; /* tried again before the next wait */
    io_uring_prep_read(sqe, d->wake_fd, &d->wake_value, sizeof d->wake_value, 0);
    io_uring_sqe_set_data64(sqe, KEY_WAKE);
    d->wake_armed = true;
}

/* The completion of a cancel. Returns how many operations that completes. */
static unsigned cancel_seen(sn_driver *d, sn_op *op, int answer)
{
    op->cancel_in_flight = false;
    if (op->finished) {
        sn_op_complete(op, op->result);
        return 1;
    }
    if (answer == -ENOENT || answer == -EALREADY) {
        if (TAILQ_EMPTY(&d->cancels))
            d->cancels_at = sn_clock_now() + CANCEL_PAUSE_NS;
        queue_cancel(d, op);
    }
    return 0;
}

/* Operations and fibers lie on many stacks, in memory long unseen: what a later completion touches is asked for now.
 * `left` is how many there are from `head` on, of those that were there in the beginning: below zero when more have
 * come meanwhile. Behind them are completions of long ago. */
SN_INLINE void prefetch(const struct io_uring_cq *cq, unsigned head, int left)
{
    if (left > 2 * AHEAD)
        __builtin_prefetch(op_of(cq->cqes[(head + 2 * AHEAD) & cq->ring_mask].user_data));
    if (left > AHEAD) {
        uint64_t key = cq->cqes[(head + AHEAD) & cq->ring_mask].user_data;
        if (key != KEY_WAKE && !(key & KEY_CANCEL)) { /* an operation is there until its own completion is reaped */
            SN_DCHECK(!sn_load(&op_of(key)->done, relaxed), "a completion is ahead of an operation that has ended");
            __builtin_prefetch(op_of(key)->fiber);
        }
    }
}

/* Some operations that a thread of the kernel's blocks in end, when they are cancelled, with the code by which the
 * kernel itself says "interrupted". */
SN_INLINE int result_of(const struct io_uring_cqe *cqe)
{
    enum { ERESTARTSYS = 512 };
    return SN_UNLIKELY(cqe->res == -ERESTARTSYS) ? -EINTR : cqe->res;
}

/* A send without copying completes twice: with its result, and when the kernel has let go of the buffer. False: there
 * is more to come. */
static bool sent_zc(sn_op *op, struct io_uring_cqe *cqe)
{
    if (cqe->flags & IORING_CQE_F_MORE) {
        op->extra = cqe->res;
        return false;
    }
    cqe->res = (int)op->extra;
    return true;
}

/* The kernel has picked a buffer; without data in it it goes back at once. */
static void received(sn_driver *d, sn_op *op, const struct io_uring_cqe *cqe)
{
    char *buffer = sn_buffers_at(&d->buffers, cqe->flags >> IORING_CQE_BUFFER_SHIFT);
    if (cqe->res > 0) {
        *(sn_received *)(intptr_t)op->extra = (sn_received){.data = buffer, .owner = d};
        d->lent++;
    } else {
        sn_buffers_put(&d->buffers, buffer);
    }
}

static void uring_give_back(sn_driver *d, char *buffer)
{
    ck_spinlock_lock(&d->lock);
    d->lent--;
    bool last = d->closed && d->lent == 0;
    if (!d->closed)
        sn_buffers_put(&d->buffers, buffer);
    ck_spinlock_unlock(&d->lock);
    if (last)
        uring_free(d);
}

/* Under the lock. */
static unsigned reap(sn_driver *d)
{
    unsigned seen = 0, completed = 0, head, ready = io_uring_cq_ready(&d->ring);
    struct io_uring_cqe *cqe;
    io_uring_for_each_cqe(&d->ring, head, cqe)
    {
        prefetch(&d->ring.cq, head, (int)(ready - seen));
        seen++;
        uint64_t key = cqe->user_data;
        if (SN_UNLIKELY(key == KEY_WAKE)) {
            d->wake_armed = false;
            sn_store(&d->wake_posted, 0, seq_cst); /* a wake from here on writes again */
        } else if (SN_UNLIKELY(key & KEY_CANCEL)) {
            completed += cancel_seen(d, op_of(key), cqe->res);
        } else {
            sn_op *op = op_of(key);
            if (SN_UNLIKELY(cqe->flags & (IORING_CQE_F_MORE | IORING_CQE_F_NOTIF)) && !sent_zc(op, cqe))
                continue;
            if (cqe->flags & IORING_CQE_F_BUFFER)
                received(d, op, cqe);
            if (SN_UNLIKELY(op->cancel_queued)) {
                TAILQ_REMOVE(&d->cancels, op, link);
                op->cancel_queued = false;
            }
            if (SN_UNLIKELY(op->cancel_in_flight)) {
                op->finished = true;
                op->result = result_of(cqe);
            } else {
                completed++;
                sn_op_complete(op, result_of(cqe));
            }
        }
    }
    if (seen)
        io_uring_cq_advance(&d->ring, seen);
    return completed;
}

static bool work_deferred(sn_driver *d)
{
    return IO_URING_READ_ONCE(*d->ring.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

static unsigned uring_poll(sn_driver *d, bool light)
{
    enter(d);
    ck_spinlock_lock(&d->lock);
    unsigned completed = reap(d);
    if (SN_UNLIKELY(!light && !lists_empty(d)))
        retry(d);
    ck_spinlock_unlock(&d->lock);
    if (!light && (io_uring_sq_ready(&d->ring) || work_deferred(d))) {
        io_uring_submit_and_get_events(&d->ring); /* -EBUSY, -EAGAIN, -EINTR: again at the next visit */
        ck_spinlock_lock(&d->lock);
        completed += reap(d);
        ck_spinlock_unlock(&d->lock);
    }
    leave(d);
    return completed;
}

static void block(sn_driver *d, sinew_time span)
{
#if SN_TSAN
    /* TSan holds a signal handler back until the thread makes a call that it intercepts; a raw enter is none. */
    if (span > SINEW_MS(50))
        span = SINEW_MS(50);
#endif
    /* -ETIME, -EINTR, -EBUSY: the caller looks around. */
    if (span == SINEW_FOREVER) {
        io_uring_submit_and_wait(&d->ring, 1); /* a timeout would be a timer to set and to take back */
    } else {
        struct __kernel_timespec timeout = {.tv_sec = span / SINEW_S(1), .tv_nsec = span % SINEW_S(1)};
        struct io_uring_cqe *cqe;
        io_uring_submit_and_wait_timeout(&d->ring, &cqe, 1, &timeout, NULL);
    }
#if SN_TSAN
    usleep(0);
#endif
}

static bool uring_wait(sn_driver *d, sinew_time deadline)
{
    enter(d);
    ck_spinlock_lock(&d->lock);
    if (SN_UNLIKELY(!lists_empty(d)))
        retry(d);
    if (!d->wake_armed)
        arm_wake(d);
    bool again = !lists_empty(d) || !d->wake_armed;
    sn_store(&d->waiting, true, relaxed); /* w1 */
    ck_spinlock_unlock(&d->lock);
    sinew_time span = deadline == SINEW_FOREVER ? SINEW_FOREVER : deadline - sn_clock_now();
    if (SN_UNLIKELY(again) && span > CANCEL_PAUSE_NS)
        span = CANCEL_PAUSE_NS;
    bool ready = span <= 0;
    if (!ready) {
        block(d, span); /* w2 */
        ready = io_uring_cq_ready(&d->ring) != 0;
    }
    sn_store(&d->waiting, false, release);
    leave(d);
    return ready;
}

/* Entries that the owner has filled and the kernel has not seen. */
static bool unseen_entries(const sn_driver *d)
{
    return __atomic_load_n(&d->ring.sq.sqe_tail, __ATOMIC_RELAXED) !=
           __atomic_load_n(d->ring.sq.khead, __ATOMIC_RELAXED);
}

static unsigned uring_help(sn_driver *d, bool *kick)
{
    unsigned completed = 0;
    if (!ck_spinlock_trylock(&d->lock)) /* h1 */
        return 0;
    if (!sn_load(&d->waiting, acquire)) { /* h2 */
        completed = reap(d);              /* h3 */
        *kick = work_deferred(d) || unseen_entries(d) || !lists_empty(d);
    }
    ck_spinlock_unlock(&d->lock);
    return completed;
}

static void uring_kicked(sn_driver *d)
{
    if (d->inside)
        return; /* it will come to it */
    if (ck_spinlock_trylock(&d->lock)) {
        if (!lists_empty(d))
            retry(d);
        ck_spinlock_unlock(&d->lock);
    }
    io_uring_submit_and_get_events(&d->ring);
}

const sn_driver_ops sn_driver_uring = {
    .name = "io_uring",
    .opens_at_once = true,
    .splices = true,
    .plain = sn_op_plain,
    .open = uring_open,
    .close = uring_close,
    .forked = uring_forked,
    .submit = uring_submit,
    .cancel = uring_cancel,
    .poll = uring_poll,
    .wait = uring_wait,
    .wake = uring_wake,
    .help = uring_help,
    .kicked = uring_kicked,
    .give_back = uring_give_back,
};
