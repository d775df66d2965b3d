/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who awaits whom. A task is awaited by
 *   - the one it runs on top of, in place: what the fiber nests,
 *   - the one for whom it runs beside, on a fiber of its own: the fiber's side caller,
 *   - those with a node in its list of waiters: the node's function is that of a kind,
 *   - the owner of its group.
 * A gather that still runs tasks beside itself has no nodes with the others yet: until then nobody awaits those.
 * Helpers of maps stand between an element and the task that called map; they are left out.
 */
#include "links.h"

#include "fail.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = 4096, PAGES = 2048, KINDS_MAX = 64, WAITERS_MAX = 1 << 22, LOOK_BACK = 16 };

typedef struct kind {
    uint64_t fire, poll, entry; /* the functions by which it is known */
    const char *call;
    int32_t record, awaiter;
    uint32_t awaiter_is;
} kind;

/* Nodes lie together, so pages are kept for a while. All were read later than the descriptors that lead to them. */
typedef struct finder {
    snapshot *s;
    kind kinds[KINDS_MAX], map;
    unsigned kinds_count;
    uint64_t page_at[PAGES];
    char (*pages)[PAGE];
} finder;

static uint64_t peek(finder *f, uint64_t at)
{
    uint64_t base = at & ~(uint64_t)(PAGE - 1);
    if (!base || at - base > PAGE - 8)
        return target_word(f->s->target, at);
    size_t slot = (size_t)(base / PAGE) % PAGES;
    if (f->page_at[slot] != base) {
        f->page_at[slot] = 0;
        if (!target_read(f->s->target, base, f->pages[slot], PAGE))
            return 0;
        f->page_at[slot] = base;
    }
    return field(f->pages[slot], (uint32_t)(at - base), 8);
}

/* --- the kinds -------------------------------------------------------------------------------------------------- */

static const char *read_call(snapshot *s, uint64_t at)
{
    char text[sizeof s->calls[0]];
    if (!target_read_text(s->target, at, text, sizeof text))
        strcpy(text, "?");
    for (unsigned i = 0; i < s->calls_count; i++)
        if (strcmp(s->calls[i], text) == 0)
            return s->calls[i];
    if (s->calls_count == sizeof s->calls / sizeof s->calls[0])
        return "?";
    return strcpy(s->calls[s->calls_count++], text);
}

static kind read_kind(snapshot *s, uint64_t at)
{
    const target *t = s->target;
    const sn_layout *l = &t->record.layout;
    kind k = {.fire = target_word(t, at + l->kind_fire),
              .poll = target_word(t, at + l->kind_poll),
              .entry = target_word(t, at + l->kind_entry),
              .call = read_call(s, target_word(t, at + l->kind_call))};
    target_read(t, at + l->kind_record, &k.record, sizeof k.record);
    target_read(t, at + l->kind_awaiter, &k.awaiter, sizeof k.awaiter);
    target_read(t, at + l->kind_awaiter_is, &k.awaiter_is, sizeof k.awaiter_is);
    return k;
}

static void read_kinds(finder *f)
{
    const target *t = f->s->target;
    uint64_t at = (uint64_t)(uintptr_t)t->record.kinds, one;
    for (; f->kinds_count < KINDS_MAX && (one = target_word(t, at)) != 0; at += 8)
        f->kinds[f->kinds_count++] = read_kind(f->s, one);
    f->map = read_kind(f->s, (uint64_t)(uintptr_t)t->record.map_kind);
}

/* Which kind is known by that function, a member of `kind`? */
static const kind *find_kind(const finder *f, size_t member, uint64_t function)
{
    for (unsigned i = 0; function && i < f->kinds_count; i++) {
        uint64_t known;
        memcpy(&known, (const char *)&f->kinds[i] + member, sizeof known);
        if (known == function)
            return &f->kinds[i];
    }
    return NULL;
}

/* --- links ------------------------------------------------------------------------------------------------------ */

static void add(finder *f, seen_task *task, uint64_t awaiter, const char *call, bool loose)
{
    snapshot *s = f->s;
    uint32_t helper = address_map_find(&s->helpers, awaiter);
    if (helper != NONE) {
        awaiter = peek(f, s->helper_args[helper] + (uint64_t)(int64_t)f->map.awaiter);
        call = f->map.call;
    }
    uint32_t by = address_map_find(&s->by_address, awaiter);
    if (by == NONE || &s->tasks[by] == task)
        return;
    uint32_t last = task->links < LOOK_BACK ? task->links : LOOK_BACK;
    for (uint32_t i = 1; i <= last; i++) /* one that awaits twice, say by gather, is told once */
        if (s->links[s->links_count - i].awaiter == by)
            return;
    if (s->links_count == s->links_room)
        s->links = grow_memory(s->links, &s->links_room, sizeof *s->links);
    s->links[s->links_count++] = (seen_link){(uint32_t)(task - s->tasks), by, call, loose};
    task->links++;
}

static uint64_t task_of_fiber(finder *f, uint64_t fiber)
{
    uint32_t seen = address_map_find(&f->s->fiber_by_address, fiber);
    return seen != NONE ? f->s->fibers[seen].task : peek(f, fiber + f->s->target->record.layout.fiber_task);
}

static void add_by_fiber(finder *f, seen_task *task)
{
    const seen_fiber *on = &f->s->fibers[task->fiber];
    const nested *nest = &f->s->nested[on->nest];
    if (task->place + 1 < on->depth) {
        const kind *k = find_kind(f, offsetof(kind, poll), nest[task->place].poll);
        add(f, task, nest[task->place + 1].task, k ? k->call : "?", false);
    } else if (on->side_caller && !on->slice) {
        const kind *k = find_kind(f, offsetof(kind, entry), on->entry);
        if (k) /* else who has spawned an eager task, and does not wait for it */
            add(f, task, task_of_fiber(f, on->side_caller), k->call, false);
    }
}

static void add_waiters(finder *f, seen_task *task)
{
    const sn_layout *l = &f->s->target->record.layout;
    uint64_t node = task->waiters & ~(uint64_t)l->waiters_tags;
    for (unsigned i = 0; node && i < WAITERS_MAX; i++, node = peek(f, node + l->waiter_next)) {
        const kind *k = find_kind(f, offsetof(kind, fire), peek(f, node + l->waiter_fire));
        if (!k) /* a callback, or a plain thread */
            continue;
        uint64_t record = k->record < 0 ? node : peek(f, node + (uint64_t)k->record);
        uint64_t awaiter = record ? peek(f, record + (uint64_t)(int64_t)k->awaiter) : 0;
        if (k->awaiter_is == SN_AWAITER_FIBER && awaiter)
            awaiter = task_of_fiber(f, awaiter);
        add(f, task, awaiter, k->call, false);
    }
}

static void add_group(finder *f, seen_task *task)
{
    const sn_layout *l = &f->s->target->record.layout;
    uint64_t group = target_word(f->s->target, task->ext + l->ext_group);
    if (!group)
        return;
    bool waits = peek(f, group + l->group_waiting) & 0xff;
    add(f, task, peek(f, group + l->group_owner), waits ? "sinew_group_wait" : "sinew_group", !waits);
}

/* Turns the links round: for each task those that it awaits, in the order of tasks. */
static void index_awaited(snapshot *s)
{
    s->awaited = take_memory(s->links_count, sizeof *s->awaited);
    for (size_t i = 0; i < s->links_count; i++)
        s->tasks[s->links[i].awaiter].children++;
    uint32_t at = 0;
    for (uint32_t i = 0; i < s->tasks_count; i++) {
        s->tasks[i].first_child = at;
        at += s->tasks[i].children;
        s->tasks[i].children = 0;
    }
    for (size_t i = 0; i < s->links_count; i++) {
        seen_task *awaiter = &s->tasks[s->links[i].awaiter];
        s->awaited[awaiter->first_child + awaiter->children++] = (uint32_t)i;
    }
}

void links_find(snapshot *s)
{
    finder *f = take_memory(1, sizeof *f);
    f->s = s;
    f->pages = take_memory(PAGES, PAGE);
    read_kinds(f);
    for (uint32_t i = 0; i < s->tasks_count; i++) {
        seen_task *task = &s->tasks[i];
        task->first_link = (uint32_t)s->links_count;
        if (task->fiber != NONE)
            add_by_fiber(f, task);
        add_waiters(f, task);
        if ((task->flags & s->target->record.layout.flag_group) && task->ext)
            add_group(f, task);
    }
    index_awaited(s);
    free(f->pages);
    free(f);
}
