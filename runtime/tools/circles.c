/* SPDX-License-Identifier: Apache-2.0 */
/* A walk in depth over what tasks await, with a stack of its own: a chain of a million tasks is as good as one of two.
 */
#include "circles.h"

#include "fail.h"

#include <string.h>

enum { CIRCLES_MAX = 10 };
enum { UNSEEN, ON_PATH, LEFT };

typedef struct walk {
    const snapshot *s;
    uint8_t *marks;
    uint32_t *path, *next; /* next: which of its links is to be followed */
    size_t depth;
    circle *found;
    unsigned count;
} walk;

/* The part of the path from `first` on. */
static void note_circle(walk *w, uint32_t first)
{
    size_t begin = w->depth;
    while (w->path[begin - 1] != first)
        begin--;
    begin--;
    circle *c = take_memory(1, sizeof *c);
    c->count = w->depth - begin;
    c->tasks = take_memory(c->count, sizeof *c->tasks);
    memcpy(c->tasks, w->path + begin, c->count * sizeof *c->tasks);
    c->next = w->found;
    w->found = c;
    w->count++;
}

static void enter(walk *w, uint32_t task)
{
    w->marks[task] = ON_PATH;
    w->path[w->depth] = task;
    w->next[w->depth++] = 0;
}

static void walk_from(walk *w, uint32_t root)
{
    enter(w, root);
    while (w->depth && w->count < CIRCLES_MAX) {
        uint32_t task = w->path[w->depth - 1];
        const seen_task *t = &w->s->tasks[task];
        uint32_t next = w->next[w->depth - 1]++;
        if (next == t->children || t->state != SEEN_WAITING) {
            w->marks[task] = LEFT;
            w->depth--;
            continue;
        }
        const seen_link *link = &w->s->links[w->s->awaited[t->first_child + next]];
        if (link->loose)
            continue;
        if (w->marks[link->task] == ON_PATH)
            note_circle(w, link->task);
        else if (w->marks[link->task] == UNSEEN)
            enter(w, link->task);
    }
}

circle *circles_find(const snapshot *s)
{
    walk w = {.s = s};
    w.marks = take_memory(s->tasks_count, 1);
    w.path = take_memory(s->tasks_count, sizeof *w.path);
    w.next = take_memory(s->tasks_count, sizeof *w.next);
    for (uint32_t i = 0; i < s->tasks_count && w.count < CIRCLES_MAX; i++)
        if (w.marks[i] == UNSEEN)
            walk_from(&w, i);
    free(w.marks);
    free(w.path);
    free(w.next);
    return w.found;
}

void circles_free(circle *c)
{
    for (circle *next; c; c = next) {
        next = c->next;
        free(c->tasks);
        free(c);
    }
}

static bool awaits(const snapshot *s, uint64_t awaiter_id, uint64_t id)
{
    uint32_t awaiter = address_map_find(&s->by_address, awaiter_id), task = address_map_find(&s->by_address, id);
    if (awaiter == NONE || task == NONE || s->tasks[awaiter].state != SEEN_WAITING)
        return false;
    for (uint32_t i = 0; i < s->tasks[task].links; i++) {
        const seen_link *link = &s->links[s->tasks[task].first_link + i];
        if (link->awaiter == awaiter && !link->loose)
            return true;
    }
    return false;
}

bool circle_is_in(const circle *c, const snapshot *of, const snapshot *other)
{
    for (size_t i = 0; i < c->count; i++)
        if (!awaits(other, of->tasks[c->tasks[i]].id, of->tasks[c->tasks[(i + 1) % c->count]].id))
            return false;
    return true;
}
