/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queues between tasks: first in first out, last in first out, or smallest first (asyncio.Queue, LifoQueue,
 * PriorityQueue).
 *
 *     sinew_queue_options opt = {.element_bytes = sizeof(struct job *), .max = 100};
 *     sinew_queue *q = sinew_queue_new(&opt);
 *     sinew_queue_put(q, &job);                      // waits while 100 are in it
 *
 *     while ((r = sinew_queue_get(q, &job)) == 0) {  // -EPIPE: shut down, and empty
 *         work(job);
 *         sinew_queue_task_done(q);                  // for who waits in sinew_queue_join
 *     }
 *
 * Elements are copied in and out, element_bytes each; what they point to stays the program's. They should be small,
 * since other users of the queue wait while one is copied: of a large object put its address.
 *
 * Who waits is served first come first served: an item put goes straight to the longest waiting getter, and a place
 * that becomes free straight to the longest waiting putter, so nobody who comes later can overtake.
 *
 * Cancel. A call that returns -ECANCELED or -ETIMEDOUT has done nothing: what had just been given to it goes back. A
 * getter's item goes to the next waiting getter, else to its old place in the queue, in front of all that was put
 * later; a putter's item is taken out again. Where that is not possible any more (the queue has been filled up, or
 * memory for the place was refused; the item has been got or dropped) the call returns 0, as what it was to do is
 * done, and the request waits for the task's next checkpoint. So no item is ever lost or doubled. An item that
 * has gone back may come out after one that was put later, if somebody else got that one meanwhile.
 *
 * Queues are for the tasks of one runtime and for plain threads. try_put, try_get, task_done and shutdown never
 * suspend and may be called by either. put, get and join suspend a task; in a plain thread they block the thread.
 *
 * All calls return -EINVAL when the queue or the element is NULL. put, get and join may be told -EDEADLK when every
 * task waits (sinew/runtime.h), and -EPERM where they would wait in an error handler.
 */
#ifndef SINEW_QUEUE_H
#define SINEW_QUEUE_H

#include <sinew/base.h>

SINEW_BEGIN_DECLS

typedef struct sinew_queue sinew_queue;

typedef enum {
    SINEW_QUEUE_FIFO,
    SINEW_QUEUE_LIFO,
    SINEW_QUEUE_PRIORITY, /* the smallest first; equal ones in the order in which they were put */
} sinew_queue_kind;

typedef struct sinew_queue_options {
    sinew_queue_kind kind;
    size_t element_bytes; /* of every element; required */
    size_t max;           /* elements in the queue at most; 0: no limit */
    /*
     * Of SINEW_QUEUE_PRIORITY, required there and not used elsewhere: less than, equal to or greater than zero as *a
     * comes before, together with or after *b. It is called with the queue's spinlock held, about log2(length) times
     * for each put and get: it must be short, and must neither suspend nor block nor use the queue.
     */
    int (*compare)(const void *a, const void *b);
} sinew_queue_options;

/*
 * A new, empty queue and one reference to it. Its memory grows with what is put and is kept until the queue ends. NULL:
 * no memory, or bad options, and then a line on stderr says what is wrong with them. Any thread, also outside of
 * a run. Never suspends.
 */
SINEW_API sinew_queue *sinew_queue_new(const sinew_queue_options *opt);

/* One more reference, which is returned. NULL gives NULL. Any thread. Never suspends. */
SINEW_API sinew_queue *sinew_queue_ref(sinew_queue *q);

/* Drops a reference; the last one ends the queue, with what is still in it. Who is inside a call needs a reference that
 * lasts until the call has returned. NULL is allowed. Any thread. Never suspends. */
SINEW_API void sinew_queue_unref(sinew_queue *q);

/*
 * Puts a copy of *element; suspends while the queue is full. 0; -EPIPE: shut down, before or meanwhile; -ENOMEM: no
 * memory for one more; -ECANCELED, -ETIMEDOUT (see above). Except for 0, nothing was put. Follows asyncio.Queue.put.
 */
SINEW_API int sinew_queue_put(sinew_queue *q, const void *element);

/*
 * Takes the next element out, into *element; suspends while there is none. 0; -EPIPE: shut down, and nothing is left;
 * -ECANCELED, -ETIMEDOUT (see above). Except for 0, nothing was taken and *element is undefined. Follows
 * asyncio.Queue.get.
 */
SINEW_API int sinew_queue_get(sinew_queue *q, void *element);

/* Puts without waiting: as sinew_queue_put, or -EAGAIN when the queue is full. Never suspends. Any thread. */
SINEW_API int sinew_queue_try_put(sinew_queue *q, const void *element);

/* Takes without waiting: as sinew_queue_get, or -EAGAIN when the queue is empty. Never suspends. Any thread. */
SINEW_API int sinew_queue_try_get(sinew_queue *q, void *element);

/* Says that what had to be done for one element is done. 0; -EINVAL: as often as elements were put already. Never
 * suspends. Any thread. */
SINEW_API int sinew_queue_task_done(sinew_queue *q);

/*
 * Waits until task_done was called for every element put so far; returns at once when there is none. It is enough that
 * this was so for a moment: what is put between that moment and the caller's going on is not waited for. 0, or
 * -ECANCELED, -ETIMEDOUT. Follows asyncio.Queue.join.
 */
SINEW_API int sinew_queue_join(sinew_queue *q);

/*
 * Shuts the queue down, for good. From now on every put fails with -EPIPE, also those that wait; get takes what is left
 * and then fails with -EPIPE, and so do those that wait. `immediate`: what is left is dropped, and counts as done (but
 * not what was taken and is still being worked on), so that get fails at once and join may return. May be called again,
 * also to make it immediate. 0. Never suspends. Any thread. Follows asyncio.Queue.shutdown.
 */
SINEW_API int sinew_queue_shutdown(sinew_queue *q, bool immediate);

/*
 * How many elements are in the queue (NULL: 0), whether there is none (NULL: true), whether there are `max` (never
 * without a limit; NULL: false), and for how many task_done is still to be called (NULL: 0). An element that was given
 * to a waiting getter is no longer in the queue. Other workers may change all of it at any time: a hint, unless
 * everybody who uses the queue is pinned to one worker. Never suspend. Any thread.
 */
SINEW_API size_t sinew_queue_length(sinew_queue *q);
SINEW_API bool sinew_queue_empty(sinew_queue *q);
SINEW_API bool sinew_queue_full(sinew_queue *q);
SINEW_API size_t sinew_queue_unfinished(sinew_queue *q);

SINEW_END_DECLS
#endif
