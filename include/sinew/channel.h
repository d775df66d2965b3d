/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Channels between tasks, as in Go: elements of one size are copied in at one side and out at the other. And select,
 * which waits until one of several things can be done, and does exactly that one.
 *
 *     sinew_channel *squares = sinew_channel_new(sizeof(int), 16);
 *     ...
 *     int n;
 *     while (sinew_channel_recv(squares, &n) == 0)      // until it is closed and drained
 *         printf("%d\n", n);
 *     sinew_channel_unref(squares);
 *
 * Elements come out in the order in which they went in, those of one sender in its order. Who waits is served first
 * come, first served. With room for none (capacity 0) sender and receiver meet: a send returns when a receiver has the
 * element. What a sender wrote before it sent is seen by who receives that element, and what a receiver did before it
 * began to receive by the sender whom it made room.
 *
 * Any number of tasks and plain threads may use a channel at once. A plain thread that has to wait is blocked, and
 * nothing can cancel it but a close. In an error handler (sinew/runtime.h) send and receive give -EPERM where they
 * would wait.
 *
 * Elements are copied with the channel locked: let large ones (beyond some hundred bytes) be pointers.
 */
#ifndef SINEW_CHANNEL_H
#define SINEW_CHANNEL_H

#include <sinew/base.h>

SINEW_BEGIN_DECLS

typedef struct sinew_channel sinew_channel;

#define SINEW_CHANNEL_ELEMENT_MAX ((size_t)64 << 10)

/*
 * A channel for elements of `element_bytes` (0: signals without content; at most SINEW_CHANNEL_ELEMENT_MAX) with room
 * for `capacity` of them; 0: unbuffered. The room's memory is taken now, and touched when it is first used. The caller
 * has the one reference. NULL: no memory, or sizes that no memory could hold. Any thread. Never suspends.
 */
SINEW_API sinew_channel *sinew_channel_new(size_t element_bytes, size_t capacity);

/* One more reference: each task or thread that uses the channel needs one for as long, its own or lent. NULL gives
 * NULL. Any thread. Never suspends. */
SINEW_API sinew_channel *sinew_channel_ref(sinew_channel *channel);

/* Drops a reference; the last one frees the channel and forgets what is in it. NULL is allowed. Any thread. Never
 * suspends. */
SINEW_API void sinew_channel_unref(sinew_channel *channel);

/*
 * Copies *element in; suspends (blocks a plain thread) while there is no room or, unbuffered, no receiver. 0, or
 * -EPIPE: closed, before or while waiting. A cancel or timeout ends the waiting with -ECANCELED or -ETIMEDOUT, and
 * nothing was sent; when the element has been taken already, 0 is returned and the request is delivered at the caller's
 * next checkpoint. -EINVAL: NULL (as element allowed if element_bytes is 0). Without waiting it is no checkpoint.
 */
SINEW_API int sinew_channel_send(sinew_channel *channel, const void *element);

/*
 * Copies the oldest element out; suspends (blocks a plain thread) while there is none. 0, or -EPIPE: closed and
 * drained. Cancel and timeout as with send: an element that has been handed over is never lost; with -ECANCELED or
 * -ETIMEDOUT none was taken, and *element is as it was. -EINVAL as with send. Follows asyncio.Queue.get, but hands over
 * directly: nobody else can take the element meanwhile.
 */
SINEW_API int sinew_channel_recv(sinew_channel *channel, void *element);

/* The same two without waiting: also -EAGAIN. Any thread. Never suspend. */
SINEW_API int sinew_channel_try_send(sinew_channel *channel, const void *element);
SINEW_API int sinew_channel_try_recv(sinew_channel *channel, void *element);

/* No more sends: those that wait fail with -EPIPE. Receivers get what is in the channel, then -EPIPE. Closing again
 * does nothing. 0, or -EINVAL for NULL. Any thread. Never suspends. */
SINEW_API int sinew_channel_close(sinew_channel *channel);

/* Elements inside, and room for how many. The length may have changed when the caller sees it. NULL gives 0. Any
 * thread. Never suspend. */
SINEW_API size_t sinew_channel_length(const sinew_channel *channel);
SINEW_API size_t sinew_channel_capacity(const sinew_channel *channel);

/* Has it been closed? NULL gives true. Any thread. Never suspends. */
SINEW_API bool sinew_channel_closed(const sinew_channel *channel);

typedef enum sinew_case_kind {
    SINEW_CASE_SEND,  /* of *element to `channel` */
    SINEW_CASE_RECV,  /* from `channel` to *element */
    SINEW_CASE_TASK,  /* `task` has ended; uses nothing up. The caller itself: never */
    SINEW_CASE_AFTER, /* `duration` has passed; <= 0: at once, if nothing else can be done (Go's default) */
} sinew_case_kind;

typedef struct sinew_case {
    sinew_case_kind kind;
    union {
        sinew_channel *channel;
        sinew_task *task;
        sinew_time duration; /* SINEW_FOREVER: never */
    };
    void *element; /* SEND only reads it */
    int result;    /* out, of the case that happened: 0, or -EPIPE as from send or recv. Others are left alone. */
} sinew_case;

#define SINEW_SELECT_CASES_MAX ((size_t)65536)

/*
 * Waits until one of the cases can be done, does that one, and returns its index; the others have no effect. What can
 * be done at entry is chosen from at random. A closed channel counts as ready. The same channel may stand in several
 * cases, in both directions too: it never meets itself. Channels, tasks and elements are lent until the call returns.
 *
 *     sinew_case cases[] = {{.kind = SINEW_CASE_RECV, .channel = jobs, .element = &job},
 *                           {.kind = SINEW_CASE_RECV, .channel = quit},
 *                           {.kind = SINEW_CASE_AFTER, .duration = SINEW_S(1)}};
 *     switch (sinew_select(cases, 3)) { ... }
 *
 * May suspend. -ECANCELED or -ETIMEDOUT (a scope of the caller): nothing has happened; when a case has happened
 * already, its index is returned and the request is delivered at the caller's next checkpoint. -EINVAL: n is 0 or
 * beyond SINEW_SELECT_CASES_MAX, an unknown kind, or NULL where there must be something; -EXDEV: a task of another
 * runtime; -ENOMEM; -EPERM outside of a task. Follows Go's select.
 */
SINEW_API int sinew_select(sinew_case *cases, size_t n);

SINEW_END_DECLS
#endif
