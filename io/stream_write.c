/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writing half of streams: pieces, who sends them, and drain. The design stands in stream.c.
 */
#include "io/stream.h"
#include "runtime/task_hot.h"

#include <sinew/io.h>
#include <sinew/time.h>

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    PIECES = 16,                         /* sent at once */
    SMALL = 1024 + 8 - sizeof(sn_piece), /* is copied under the lock; such a piece is malloc's cheapest size */
    PIECE_BYTES_MAX = 16384,             /* of a piece for small writes */
    SEND_AT = 32768,                     /* is not held back until the writer suspends */
    NO_MEMORY_PAUSE_NS = 10000000,       /* the kernel has no memory for a send */
};

/* --- pieces ------------------------------------------------------------------------------------------------------- */

sn_piece *sn_stream_piece_new(size_t n, size_t unsent)
{
    size_t bytes = unsent > PIECE_BYTES_MAX / 4 ? PIECE_BYTES_MAX : 4 * unsent;
    if (bytes < SMALL)
        bytes = SMALL;
    if (bytes < n)
        bytes = n;
    sn_piece *p = malloc(sizeof *p + bytes);
    if (p)
        *p = (sn_piece){.bytes = bytes};
    return p;
}

void sn_stream_free_pieces(sn_piece *list)
{
    while (list) {
        sn_piece *next = list->next;
        free(list);
        list = next;
    }
}

sn_piece *sn_stream_drop(sinew_stream *s)
{
    sn_piece *dropped = s->first;
    s->first = s->last = NULL;
    sn_store(&s->unsent, 0, relaxed);
    return dropped;
}

/* n bytes have gone out. Returns the pieces that are done with. */
static sn_piece *advance(sinew_stream *s, size_t n)
{
    sn_piece *done = NULL;
    sn_store(&s->unsent, sn_load(&s->unsent, relaxed) - n, relaxed);
    while (n > 0) {
        sn_piece *p = s->first;
        size_t left = p->end - p->begin;
        if (n < left) {
            p->begin += n;
            break;
        }
        n -= left;
        s->first = p->next;
        if (!s->first)
            s->last = NULL;
        p->next = done;
        done = p;
    }
    return done;
}

sn_waiting *sn_stream_wake_drainers(sinew_stream *s)
{
    size_t unsent = sn_load(&s->unsent, relaxed);
    int outcome = sn_stream_outcome(s);
    if (unsent <= s->low)
        s->paused = false;
    if (SN_LIKELY(!s->drainers.first))
        return NULL;
    sn_waiting *wake = NULL, **end = &wake;
    sn_tsan_release(s);
    for (sn_waiting *n = s->drainers.first, *next; n; n = next) {
        next = n->next;
        sn_stream_wait *wait = SN_CONTAINER(n, sn_stream_wait, waiting);
        if (unsent > wait->level && outcome == 0)
            continue;
        wait->result = outcome;
        sn_waitq_remove(&s->drainers, n);
        n->popped = true;
        n->next = NULL;
        *end = n;
        end = &n->next;
    }
    return wake;
}

/* --- sending ------------------------------------------------------------------------------------------------------ */

typedef struct batch {
    struct iovec pieces[PIECES];
    int count;
} batch;

static void gather(const sinew_stream *s, batch *b)
{
    b->count = 0;
    for (sn_piece *p = s->first; p && b->count < PIECES; p = p->next)
        b->pieces[b->count++] = (struct iovec){p->data + p->begin, p->end - p->begin};
}

/* Nothing is left to send: a flusher that is still in the caller's queue need not run. The lock is held. */
static sinew_task *take_flusher(sinew_stream *s, sn_worker *w)
{
    sinew_task *t = sn_load(&s->flusher, relaxed);
    if (!t || s->first || !sn_task_take(w, t))
        return NULL;
    sn_store(&s->flusher, NULL, relaxed);
    return t;
}

typedef enum sent { SOME, NONE, NO_MEMORY, INTERRUPTED, FAILED } sent;

static sent kind_of(ssize_t n)
{
    switch (n) {
    case -EAGAIN:
    case -EINTR:
        return NONE;
    case -ENOMEM:
    case -ENOBUFS:
        return NO_MEMORY;
    case -ECANCELED:
    case -ETIMEDOUT:
    case -EDEADLK:
        return INTERRUPTED;
    default:
        return n < 0 ? FAILED : SOME;
    }
}

/*
 * Sends until nothing is left, or, without `wait`, nothing goes any more. `busy` is the caller's, who has gathered the
 * first batch; it is given back. Returns what follows, for sn_stream_act.
 */
static sn_stream_todo send_all(sinew_stream *s, batch *b, bool wait)
{
    bool cut = false; /* the runtime ends: what does not go at once is dropped */
    for (;;) {
        ssize_t n = s->transport->ops->send(s->transport, b->pieces, b->count, wait);
        sent kind = kind_of(n);
        bool over = false;
        if (kind == INTERRUPTED && wait) {
            cut = true;
            wait = false;
        } else if (kind == NO_MEMORY && wait) {
            sinew_sleep(NO_MEMORY_PAUSE_NS);
        } else if (kind == NONE || kind == NO_MEMORY || kind == INTERRUPTED) {
            over = !wait;
        }
        sn_worker *w = sn_worker_self();
        bool biased = sn_lock_take(&s->lock, w);
        if ((kind == FAILED || (over && cut)) && !s->aborted)
            sn_stream_lose(s, kind == FAILED ? (int)n : -ECONNABORTED);
        sn_piece *done = s->lost || s->aborted ? sn_stream_drop(s) : kind == SOME ? advance(s, (size_t)n) : NULL;
        sn_waiting *wake = sn_stream_wake_drainers(s);
        s->full = kind == NONE;
        over |= !s->first;
        sinew_task *spare = NULL;
        sn_stream_todo todo = SN_STREAM_NOTHING;
        if (over) {
            sn_tsan_release(&s->busy);
            s->busy = false;
            spare = take_flusher(s, w);
            todo = sn_stream_next(s);
        } else {
            gather(s, b);
        }
        sn_lock_give(&s->lock, biased); /* once it is over, the stream may be gone after this */
        sn_stream_free_pieces(done);
        sn_stream_grant(wake);
        if (spare)
            sn_task_end_in_place(w, spare, 0);
        if (over)
            return todo;
    }
}

SN_NOINLINE void sn_stream_send_now(sinew_stream *s)
{
    batch b;
    bool biased = sn_stream_lock(s);
    bool mine = s->first && !s->busy;
    if (mine) {
        s->busy = true;
        sn_tsan_acquire(&s->busy);
        gather(s, &b);
    }
    sn_stream_unlock(s, biased);
    if (mine)
        sn_stream_act(s, send_all(s, &b, false), false);
}

/* The flusher. A task that sends without waiting may be in its way, for as long as a system call takes. */
static intptr_t flush_later(void *arg)
{
    sinew_stream *s = arg;
    batch b;
    bool biased = sn_stream_lock(s);
    while (s->busy && s->first && !s->held) {
        sn_stream_unlock(s, biased);
        sinew_yield();
        biased = sn_stream_lock(s);
    }
    sinew_task *self = sn_load(&s->flusher, relaxed);
    sn_store(&s->flusher, NULL, relaxed);
    bool mine = s->first && !s->busy;
    sn_stream_todo todo = SN_STREAM_NOTHING;
    if (mine) {
        s->busy = true;
        sn_tsan_acquire(&s->busy);
        gather(s, &b);
    } else {
        todo = sn_stream_next(s); /* who is busy sees to the rest */
    }
    sn_stream_unlock(s, biased);
    sinew_detach(self);
    if (mine)
        todo = send_all(s, &b, true);
    sn_stream_act(s, todo, true);
    return 0;
}

/* A flusher, not queued; there is room for it in the queue. NULL: no memory. */
static sinew_task *flusher_new(sn_worker *w, sinew_stream *s)
{
    sinew_task *t = sn_runq_reserve(&w->runq) ? sn_task_make(w, flush_later, s) : NULL;
    if (t)
        t->flags |= SN_TASK_CALLBACK;
    return t;
}

bool sn_stream_send_later(sinew_stream *s)
{
    sn_worker *w = sn_worker_of_task();
    sinew_task *t = w ? flusher_new(w, s) : NULL;
    if (!t)
        return false;
    bool biased = sn_lock_take(&s->lock, w);
    bool wanted = !sn_load(&s->flusher, relaxed);
    if (wanted)
        sn_store(&s->flusher, t, relaxed);
    sn_lock_give(&s->lock, biased);
    if (wanted)
        sn_task_push_quietly(w, t);
    else
        sn_task_unmake(w, t);
    return true;
}

int sn_stream_hold(sinew_stream *s)
{
    for (;;) {
        int r = sinew_stream_flush(s);
        if (r != 0)
            return r;
        bool biased = sn_stream_lock(s);
        r = s->held ? -EBUSY : s->closing || s->ending || s->lost ? -EPIPE : 0;
        bool mine = r == 0 && !s->busy && !s->first;
        if (mine) {
            s->busy = s->held = true;
            sn_tsan_acquire(&s->busy);
        }
        sn_stream_unlock(s, biased);
        if (mine || r != 0)
            return r;
        r = sinew_yield(); /* somebody is in a system call, or has written again */
        if (r != 0)
            return r;
    }
}

void sn_stream_release(sinew_stream *s, int error)
{
    sn_worker *w = sn_worker_self();
    sinew_task *flusher = flusher_new(w, s);
    bool biased = sn_lock_take(&s->lock, w);
    sn_tsan_release(&s->busy);
    s->busy = s->held = false;
    bool wanted = s->first && !sn_load(&s->flusher, relaxed);
    if (wanted && !flusher && error == 0)
        error = -ENOMEM;
    if (error != 0 && !s->aborted)
        sn_stream_lose(s, error);
    sn_piece *dropped = s->lost || s->aborted ? sn_stream_drop(s) : NULL;
    wanted = wanted && s->first;
    if (wanted)
        sn_store(&s->flusher, flusher, relaxed);
    sn_waiting *wake = sn_stream_wake_drainers(s);
    sn_stream_todo todo = sn_stream_next(s);
    sn_lock_give(&s->lock, biased);
    if (wanted)
        sn_task_push_quietly(w, flusher);
    else if (flusher)
        sn_task_unmake(w, flusher);
    sn_stream_free_pieces(dropped);
    sn_stream_grant(wake);
    sn_stream_act(s, todo, false);
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static int refusal(const sinew_stream *s)
{
    return s->closing || s->ending || s->lost ? -EPIPE : 0;
}

static void copy_in(sn_piece *p, const struct iovec *pieces, int count)
{
    for (int i = 0; i < count; i++) {
        if (pieces[i].iov_len > 0)
            memcpy(p->data + p->end, pieces[i].iov_base, pieces[i].iov_len);
        p->end += pieces[i].iov_len;
    }
}

/* What it needs is made before the lock is taken; a look without the lock guesses well what that is, and if it was
 * wrong there is another round. */
int sn_stream_append(sinew_stream *s, const struct iovec *pieces, int count, size_t n, sn_piece *piece)
{
    sn_worker *w = sn_worker_self();
    sn_piece *fresh = piece;
    sinew_task *flusher = NULL;
    bool want_flusher = !sn_load(&s->flusher, relaxed), want_piece = want_flusher || n > SMALL;
    int r = 0;
    for (;;) {
        if (want_piece && !fresh) {
            fresh = sn_stream_piece_new(n, sn_load(&s->unsent, relaxed));
            if (fresh)
                copy_in(fresh, pieces, count);
        }
        if (want_flusher && !flusher)
            flusher = flusher_new(w, s);
        if ((want_piece && !fresh) || (want_flusher && !flusher)) {
            r = -ENOMEM;
            break;
        }
        bool biased = sn_lock_take(&s->lock, w);
        r = refusal(s);
        want_flusher = !s->busy && !sn_load(&s->flusher, relaxed);
        bool fits = n <= SMALL && s->last && s->last->bytes - s->last->end >= n;
        want_piece = !fits;
        bool ready = r == 0 && (!want_piece || fresh) && (!want_flusher || flusher);
        bool send = false;
        if (ready) {
            if (fresh) {
                *(s->last ? &s->last->next : &s->first) = fresh;
                s->last = fresh;
            } else {
                copy_in(s->last, pieces, count);
            }
            size_t unsent = sn_load(&s->unsent, relaxed) + n;
            sn_store(&s->unsent, unsent, relaxed);
            s->paused |= unsent > s->high;
            send = unsent >= SEND_AT && !s->busy && !s->full;
            if (want_flusher)
                sn_store(&s->flusher, flusher, relaxed);
        }
        sn_lock_give(&s->lock, biased);
        if (!ready && r == 0)
            continue;
        if (ready) {
            fresh = NULL;
            if (want_flusher) {
                sn_task_push_quietly(w, flusher);
                flusher = NULL;
            }
            if (send)
                sn_stream_send_now(s);
        }
        break;
    }
    if (flusher)
        sn_task_unmake(sn_worker_self(), flusher);
    if (fresh != piece)
        free(fresh);
    return r;
}

static int check(const sinew_stream *s)
{
    if (!s)
        return -EINVAL;
    return sn_worker_of_task() ? 0 : -EPERM;
}

/* A write of nothing. */
static int write_nothing(sinew_stream *s)
{
    bool biased = sn_stream_lock(s);
    int r = refusal(s);
    sn_stream_unlock(s, biased);
    return r;
}

int sinew_stream_writev(sinew_stream *s, const struct iovec *pieces, int count)
{
    int r = check(s);
    if (r == 0 && (count < 0 || (!pieces && count > 0)))
        r = -EINVAL;
    size_t n = 0;
    for (int i = 0; r == 0 && i < count; i++) {
        if (pieces[i].iov_len > SSIZE_MAX - n || (!pieces[i].iov_base && pieces[i].iov_len > 0))
            r = -EINVAL;
        else
            n += pieces[i].iov_len;
    }
    if (r != 0)
        return r;
    return n > 0 ? sn_stream_append(s, pieces, count, n, NULL) : write_nothing(s);
}

int sinew_stream_write(sinew_stream *s, const void *data, size_t n)
{
    struct iovec piece = {(void *)(uintptr_t)data, n};
    return sinew_stream_writev(s, &piece, 1);
}

int sinew_stream_printf(sinew_stream *s, const char *format, ...)
{
    int r = check(s);
    if (r != 0)
        return r;
    char small[128];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(small, sizeof small, format, args);
    va_end(args);
    if (n < 0)
        return -EINVAL;
    if ((size_t)n < sizeof small)
        return sinew_stream_write(s, small, (size_t)n);
    sn_piece *p = sn_stream_piece_new((size_t)n + 1, sn_load(&s->unsent, relaxed));
    if (!p)
        return -ENOMEM;
    va_start(args, format);
    vsnprintf(p->data, (size_t)n + 1, format, args);
    va_end(args);
    p->end = (size_t)n;
    r = sn_stream_append(s, NULL, 0, (size_t)n, p);
    if (r != 0)
        free(p);
    return r;
}

/* --- waiting for it to go ----------------------------------------------------------------------------------------- */

static int wait_sent(sinew_stream *s, size_t level)
{
    sn_stream_send_now(s);
    sn_worker *w = sn_worker_self();
    sn_stream_wait self = {.level = level};
    bool biased = sn_lock_take(&s->lock, w);
    int r = sn_stream_outcome(s);
    bool wait = r == 0 && sn_load(&s->unsent, relaxed) > level;
    if (wait) {
        sn_waiting_init(&self.waiting, w->fiber);
        sn_waitq_push(&s->drainers, &self.waiting);
    } else {
        sn_tsan_acquire(s);
    }
    sn_lock_give(&s->lock, biased);
    if (!wait)
        return r;
    r = sn_waitq_wait(&s->drainers, &s->lock, &self.waiting, w);
    if (r != 0)
        return r;
    sn_tsan_acquire(s);
    return self.result;
}

int sinew_stream_drain(sinew_stream *s)
{
    int r = check(s);
    if (r != 0)
        return r;
    bool biased = sn_stream_lock(s);
    r = sn_stream_outcome(s);
    bool wait = s->paused;
    sn_stream_unlock(s, biased);
    return r == 0 && wait ? wait_sent(s, s->low) : r;
}

int sinew_stream_flush(sinew_stream *s)
{
    int r = check(s);
    return r == 0 ? wait_sent(s, 0) : r;
}

size_t sinew_stream_unsent(sinew_stream *s)
{
    return s ? sn_load(&s->unsent, relaxed) : 0;
}

int sinew_stream_write_eof(sinew_stream *s)
{
    int r = check(s);
    if (r != 0)
        return r;
    bool biased = sn_stream_lock(s);
    r = s->closing || s->lost ? -EPIPE : 0;
    s->ending |= r == 0;
    sn_stream_unlock(s, biased);
    if (r != 0)
        return r;
    sn_stream_send_now(s);
    biased = sn_stream_lock(s);
    sn_stream_todo todo = sn_stream_next(s);
    sn_stream_unlock(s, biased);
    sn_stream_act(s, todo, false);
    return 0;
}
