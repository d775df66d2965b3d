/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tutorial, step 5: three producers and two consumers around a queue, each at its own random pace, until Ctrl-C.
 *
 * Ctrl-C cancels the main task: its current call returns -ECANCELED, once, and what to do then is the program's to
 * say. This one stops the producers, lets the consumers finish what is still queued, and shows that nothing was lost.
 * It has then ended well, so the exit code is 0. A second Ctrl-C ends the process at once.
 */
#include <sinew.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PRODUCERS = 3, CONSUMERS = 2, QUEUE_SIZE = 4, NO_MORE = -1 };

/* --- a bounded queue: semaphores count its free and its used places, the mutex guards the array ---------------- */

static struct queue {
    sinew_sem free, used;
    sinew_mutex mutex;
    int items[QUEUE_SIZE];
    size_t first, count;
} queue;

static void queue_init(void)
{
    sinew_sem_init(&queue.free, QUEUE_SIZE);
    sinew_sem_init(&queue.used, 0);
    sinew_mutex_init(&queue.mutex);
}

/* Waits while the queue is full. When it fails, the item is not in the queue and no place has been taken. */
static int queue_put(int item)
{
    int error = sinew_sem_wait(&queue.free);
    if (error < 0)
        return error;
    error = sinew_mutex_lock(&queue.mutex);
    if (error < 0) {
        sinew_sem_post(&queue.free); /* cancelled between the two: give the place back */
        return error;
    }
    queue.items[(queue.first + queue.count++) % QUEUE_SIZE] = item;
    sinew_mutex_unlock(&queue.mutex);
    sinew_sem_post(&queue.used);
    return 0;
}

/* Waits while the queue is empty. When it fails, nothing has been taken out. */
static int queue_get(int *item)
{
    int error = sinew_sem_wait(&queue.used);
    if (error < 0)
        return error;
    error = sinew_mutex_lock(&queue.mutex);
    if (error < 0) {
        sinew_sem_post(&queue.used);
        return error;
    }
    *item = queue.items[queue.first];
    queue.first = (queue.first + 1) % QUEUE_SIZE;
    queue.count--;
    sinew_mutex_unlock(&queue.mutex);
    sinew_sem_post(&queue.free);
    return 0;
}

/* --- the tasks ------------------------------------------------------------------------------------------------- */

/* What one of them did. Nobody else writes it, and main reads it after the task has ended: no lock. */
struct person {
    unsigned number;
    unsigned seed;
    long items;
    long sum;
};

/* Up to `limit` at random. The generator's state belongs to the task: a task may change threads, thread-local state
 * would not come along. */
static int pause_for_up_to(struct person *person, sinew_time limit)
{
    return sinew_sleep(limit * (rand_r(&person->seed) % 1000) / 1000);
}

static intptr_t produce(void *arg)
{
    struct person *person = arg;
    for (int serial = 0;; serial++) {
        int error = pause_for_up_to(person, SINEW_MS(600));
        int item = serial * PRODUCERS + (int)person->number;
        if (error == 0)
            error = queue_put(item);
        if (error < 0)
            return error; /* -ECANCELED: main stops the producers */
        person->items++;
        person->sum += item;
        printf("producer %u: put %d\n", person->number, item);
    }
}

static intptr_t consume(void *arg)
{
    struct person *person = arg;
    for (;;) {
        int item;
        int error = queue_get(&item);
        if (error < 0)
            return error;
        if (item == NO_MORE)
            return 0;
        person->items++;
        person->sum += item;
        printf("consumer %u: got %d\n", person->number, item);
        error = pause_for_up_to(person, SINEW_MS(400));
        if (error < 0)
            return error;
    }
}

static int start(sinew_group *group, sinew_fn fn, struct person *people, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        people[i] = (struct person){.number = i, .seed = (unsigned)sinew_now() + i};
        int error = sinew_group_spawn(group, fn, &people[i]);
        if (error < 0)
            return error;
    }
    return 0;
}

static void report(const char *what, const struct person *people, unsigned n, long *items, long *sum)
{
    *items = *sum = 0;
    for (unsigned i = 0; i < n; i++) {
        *items += people[i].items;
        *sum += people[i].sum;
    }
    printf("%s: %ld items, sum %ld\n", what, *items, *sum);
}

static intptr_t program(void *arg)
{
    (void)arg;
    struct person producers[PRODUCERS], consumers[CONSUMERS];
    sinew_group consuming, producing;
    queue_init();

    /* A group owns its tasks: whatever happens in between, it is waited for before this function returns. */
    sinew_group_init(&consuming);
    sinew_group_init(&producing);
    int error = start(&consuming, consume, consumers, CONSUMERS);
    if (error == 0)
        error = start(&producing, produce, producers, PRODUCERS);
    if (error == 0) {
        puts("running, Ctrl-C ends it");
        error = sinew_sleep(SINEW_FOREVER); /* until it is cancelled */
    }

    /* First the producers: after this wait nothing new comes. */
    sinew_group_cancel(&producing);
    int ended = sinew_group_wait(&producing);
    /* Then the consumers: each takes one end mark, and every item is in front of the marks. */
    for (int i = 0; i < CONSUMERS && ended == 0; i++)
        ended = queue_put(NO_MORE);
    if (ended < 0)
        sinew_group_cancel(&consuming);
    int drained = sinew_group_wait(&consuming);
    if (error != -ECANCELED)
        return error;
    if (ended < 0 || drained < 0)
        return ended < 0 ? ended : drained;

    long put, put_sum, got, got_sum;
    report("produced", producers, PRODUCERS, &put, &put_sum);
    report("consumed", consumers, CONSUMERS, &got, &got_sum);
    bool complete = put == got && put_sum == got_sum;
    puts(complete ? "nothing was lost" : "something was lost");
    return !complete; /* main answers its cancel with a value, so sinew_run returns this and not -EINTR */
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0); /* whole lines, also into a pipe */
    intptr_t result = sinew_run(program, NULL);
    if (result < 0)
        fprintf(stderr, "tutorial5: %s\n", strerror((int)-result));
    return result != 0;
}
