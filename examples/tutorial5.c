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

enum { PRODUCERS = 3, CONSUMERS = 2, QUEUE_SIZE = 4 };

static sinew_queue *queue;

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
            error = sinew_queue_put(queue, &item); /* waits while it is full */
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
        int error = sinew_queue_get(queue, &item); /* waits while it is empty */
        if (error == -EPIPE)
            return 0; /* shut down, and everything that was in it has been taken out */
        if (error < 0)
            return error;
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
    sinew_queue_options options = {.element_bytes = sizeof(int), .max = QUEUE_SIZE};
    queue = sinew_queue_new(&options);
    if (!queue)
        return -ENOMEM;

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
    /* Then the consumers: they take what is left, and learn that there will be no more. */
    sinew_queue_shutdown(queue, false);
    int drained = sinew_group_wait(&consuming);
    sinew_queue_unref(queue);
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
