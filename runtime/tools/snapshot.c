/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the descriptors by the slab, then the fibers they name, then the names. Who awaits whom is links.c's.
 *
 * Bounds: lists that have no length in the target end after so many elements as nobody can mean, so that a list that
 * changes under our eyes cannot keep us.
 */
#include "snapshot.h"

#include "fail.h"
#include "links.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RUNTIMES_MAX = 4096, WORKERS_MAX = 1024, SLABS_MAX = 1 << 17, SLAB_BYTES_MAX = 64 << 20, NESTED_MAX = 1 << 16 };
enum { NAME_MAX_SHOWN = 64, FIBERS_AT_ONCE = 512, TASK_BYTES_MAX = 256, FIBER_BYTES_MAX = 1024, TRIES = 4 };

const char *const seen_state_names[] = {"new", "ready", "running", "waiting"};

/* --- runtimes and workers --------------------------------------------------------------------------------------- */

static void see_workers(snapshot *s, uint64_t rt)
{
    const sn_layout *l = &s->target->record.layout;
    uint32_t count = 0;
    uint64_t workers = target_word(s->target, rt + l->runtime_workers);
    if (!target_read(s->target, rt + l->runtime_workers_count, &count, sizeof count) || !workers)
        return;
    for (uint32_t i = 0; i < count && i < WORKERS_MAX; i++) {
        seen_worker w = {.at = workers + (uint64_t)i * l->worker_bytes};
        w.fiber = target_word(s->target, w.at + l->worker_fiber);
        target_read(s->target, w.at + l->worker_thread_id, &w.thread, sizeof w.thread);
        if (s->workers_count == s->workers_room)
            s->workers = grow_memory(s->workers, &s->workers_room, sizeof w);
        s->workers[s->workers_count++] = w;
    }
    s->runtimes[s->runtimes_count - 1].workers = count;
}

static void see_runtimes(snapshot *s)
{
    const target *t = s->target;
    const sn_layout *l = &t->record.layout;
    uint64_t rt = (uint64_t)(uintptr_t)t->record.runtimes;
    for (; rt && s->runtimes_count < RUNTIMES_MAX; rt = target_word(t, rt + l->runtime_next)) {
        seen_runtime seen = {.at = rt};
        if (target_word(t, rt + l->runtime_embedding))
            seen.hidden = target_word(t, rt + l->runtime_main_task);
        if (s->runtimes_count == s->runtimes_room)
            s->runtimes = grow_memory(s->runtimes, &s->runtimes_room, sizeof seen);
        s->runtimes[s->runtimes_count++] = seen;
        see_workers(s, rt);
    }
}

/* --- descriptors ------------------------------------------------------------------------------------------------ */

static bool is_alive(const sn_layout *l, const char *task)
{
    uint64_t state = field(task, l->task_state, 1);
    return (state == l->state_new || state == l->state_started) && !(field(task, l->task_waiters, 8) & l->waiters_done);
}

static void see_helper(snapshot *s, uint64_t at, uint64_t arg)
{
    if (s->helpers_count == s->helpers_room)
        s->helper_args = grow_memory(s->helper_args, &s->helpers_room, sizeof *s->helper_args);
    address_map_add(&s->helpers, at, (uint32_t)s->helpers_count);
    s->helper_args[s->helpers_count++] = arg;
}

static void see_task(snapshot *s, uint32_t runtime, const char *task, uint64_t at)
{
    const sn_layout *l = &s->target->record.layout;
    if (!is_alive(l, task))
        return;
    seen_task seen = {
        .id = at,
        .fiber_at = field(task, l->task_fiber, 8),
        .ext = field(task, l->task_ext, 8),
        .arg = field(task, l->task_arg, 8),
        .waiters = field(task, l->task_waiters, 8),
        .flags = (uint8_t)field(task, l->task_flags, 1),
        .runtime = runtime,
        .fiber = NONE,
    };
    if (at == s->runtimes[runtime].hidden || s->tasks_count >= NONE - 2)
        return;
    if (seen.flags & l->flag_helper) {
        see_helper(s, at, seen.arg);
        return;
    }
    if (s->tasks_count == s->tasks_room)
        s->tasks = grow_memory(s->tasks, &s->tasks_room, sizeof seen);
    s->tasks[s->tasks_count++] = seen;
}

static void see_slab(snapshot *s, uint32_t runtime, uint64_t base, size_t bytes, char **block, size_t *block_bytes)
{
    const sn_layout *l = &s->target->record.layout;
    if (bytes > *block_bytes) {
        free(*block);
        *block = take_memory(bytes, 1);
        *block_bytes = bytes;
    }
    if (!target_read(s->target, base, *block, bytes))
        return;
    for (size_t at = 0; at + l->task_bytes <= bytes; at += l->task_bytes)
        if ((base + at) % l->chunk_bytes != 0)
            see_task(s, runtime, *block + at, base + at);
}

static void see_tasks_of(snapshot *s, uint32_t runtime)
{
    const target *t = s->target;
    const sn_layout *l = &t->record.layout;
    uint64_t pool = target_word(t, s->runtimes[runtime].at + l->runtime_pool);
    uint64_t slab = pool ? target_word(t, pool + l->pool_slabs) : 0, carve = target_word(t, pool + l->pool_carve);
    char *block = NULL;
    size_t block_bytes = 0;
    for (unsigned i = 0; slab && i < SLABS_MAX; i++, slab = target_word(t, slab + l->slab_next)) {
        uint64_t base = target_word(t, slab + l->slab_base), bytes = target_word(t, slab + l->slab_bytes);
        if (carve >= base && carve - base < bytes) /* the newest one is in use up to here */
            bytes = carve - base;
        if (bytes <= SLAB_BYTES_MAX)
            see_slab(s, runtime, base, (size_t)bytes, &block, &block_bytes);
    }
    free(block);
}

static int by_runtime_and_id(const void *a, const void *b)
{
    const seen_task *left = a, *right = b;
    if (left->runtime != right->runtime)
        return left->runtime < right->runtime ? -1 : 1;
    return (left->id > right->id) - (left->id < right->id);
}

/* --- fibers ----------------------------------------------------------------------------------------------------- */

static size_t fiber_bytes(const sn_layout *l)
{
    const uint32_t ends[] = {l->fiber_context + 8, l->fiber_task + 8,  l->fiber_frame + 8, l->fiber_side_caller + 8,
                             l->fiber_slice + 1,   l->fiber_wakes + 4, l->fiber_entry + 8};
    size_t most = 0;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        most = ends[i] > most ? ends[i] : most;
    return most;
}

static seen_fiber fiber_from(const sn_layout *l, const char *bytes, uint64_t at)
{
    seen_fiber f = {
        .at = at,
        .context = field(bytes, l->fiber_context, 8),
        .task = field(bytes, l->fiber_task, 8),
        .frame = field(bytes, l->fiber_frame, 8),
        .side_caller = field(bytes, l->fiber_side_caller, 8),
        .entry = field(bytes, l->fiber_entry, 8),
        .wakes = (uint32_t)field(bytes, l->fiber_wakes, 4),
        .slice = field(bytes, l->fiber_slice, 1) != 0,
        .worker = NONE,
    };
    f.parked = (f.wakes & l->fiber_parked) != 0;
    return f;
}

/* The tasks nested on it. False: it went on meanwhile. */
static bool see_nested(snapshot *s, seen_fiber *f)
{
    const target *t = s->target;
    const sn_layout *l = &t->record.layout;
    uint64_t task = f->task, at = f->frame;
    s->nested_count = f->nest;
    f->depth = 0;
    for (uint32_t i = 0; task && i < NESTED_MAX; i++) {
        if (s->nested_count == s->nested_room)
            s->nested = grow_memory(s->nested, &s->nested_room, sizeof *s->nested);
        s->nested[s->nested_count++] = (nested){task, at, at ? target_word(t, at + l->frame_poll) : 0};
        f->depth++;
        if (!at)
            return true;
        task = target_word(t, at + l->frame_task);
        at = target_word(t, at + l->frame_outer);
    }
    return !f->task;
}

/* `bytes` is what was read of it before, in one go with others. */
static void see_fiber(snapshot *s, const char *bytes, uint64_t at)
{
    const sn_layout *l = &s->target->record.layout;
    seen_fiber f = fiber_from(l, bytes, at);
    f.nest = s->nested_count;
    for (int tries = 0; f.frame && tries < TRIES; tries++) { /* an unnested one has nothing that could disagree */
        char again[FIBER_BYTES_MAX];
        bool whole = see_nested(s, &f);
        if (!target_read(s->target, at, again, fiber_bytes(l)))
            break;
        seen_fiber now = fiber_from(l, again, at);
        if (whole && now.task == f.task && now.frame == f.frame && now.wakes == f.wakes)
            break;
        if (tries == TRIES - 1) /* what was seen last will do */
            break;
        now.nest = f.nest;
        f = now;
    }
    if (!f.frame)
        see_nested(s, &f);
    if (s->fibers_count == s->fibers_room)
        s->fibers = grow_memory(s->fibers, &s->fibers_room, sizeof f);
    address_map_add(&s->fiber_by_address, at, s->fibers_count);
    s->fibers[s->fibers_count++] = f;
}

static void see_fibers(snapshot *s, const uint64_t *at, size_t count)
{
    size_t bytes = fiber_bytes(&s->target->record.layout);
    if (bytes > FIBER_BYTES_MAX)
        return;
    char *block = take_memory(FIBERS_AT_ONCE, bytes);
    for (size_t done = 0; done < count; done += FIBERS_AT_ONCE) {
        size_t n = count - done < FIBERS_AT_ONCE ? count - done : FIBERS_AT_ONCE;
        target_read_many(s->target, at + done, n, bytes, block);
        for (size_t i = 0; i < n; i++)
            see_fiber(s, block + i * bytes, at[done + i]);
    }
    free(block);
}

bool snapshot_fiber_stands(const snapshot *s, uint32_t fiber)
{
    const sn_layout *l = &s->target->record.layout;
    const seen_fiber *then = &s->fibers[fiber];
    char bytes[FIBER_BYTES_MAX];
    if (!target_read(s->target, then->at, bytes, fiber_bytes(l)))
        return false;
    seen_fiber now = fiber_from(l, bytes, then->at);
    if (now.context != then->context || now.wakes != then->wakes || now.task != then->task || now.frame != then->frame)
        return false;
    if (now.parked)
        return true;
    for (uint32_t i = 0; i < s->workers_count; i++)
        if (target_word(s->target, s->workers[i].at + l->worker_fiber) == then->at)
            return false;
    return true;
}

/* The fibers that tasks name, and those that wait for them in side calls, each once. */
static void see_all_fibers(snapshot *s)
{
    address_map wanted = {0};
    uint64_t *at = NULL;
    size_t count = 0, room = 0;
    for (uint32_t i = 0; i < s->tasks_count; i++) {
        uint64_t fiber = s->tasks[i].fiber_at;
        if (!fiber || address_map_find(&wanted, fiber) != NONE)
            continue;
        address_map_add(&wanted, fiber, 0);
        if (count == room)
            at = grow_memory(at, &room, sizeof *at);
        at[count++] = fiber;
    }
    see_fibers(s, at, count);
    free(at);
    address_map_free(&wanted);
    for (uint32_t i = 0; i < s->workers_count; i++) {
        uint32_t fiber = address_map_find(&s->fiber_by_address, s->workers[i].fiber);
        if (fiber != NONE)
            s->fibers[fiber].worker = i;
    }
    for (uint32_t i = 0; i < s->fibers_count; i++) {
        uint32_t caller = address_map_find(&s->fiber_by_address, s->fibers[i].side_caller);
        if (caller != NONE && !s->fibers[i].slice)
            s->fibers[caller].calls = true;
    }
}

/* --- what each task does ---------------------------------------------------------------------------------------- */

static void settle_state(const snapshot *s, seen_task *task)
{
    const seen_fiber *f = &s->fibers[task->fiber];
    if (task->place > 0 || f->parked) {
        task->state = SEEN_WAITING;
    } else if (f->worker != NONE) {
        task->state = SEEN_RUNNING;
        task->thread = s->workers[f->worker].thread;
    } else {
        task->state = f->calls ? SEEN_WAITING : SEEN_READY;
    }
}

/* A fiber says which tasks are on it. */
static void place_tasks(snapshot *s)
{
    for (uint32_t i = 0; i < s->fibers_count; i++)
        for (uint32_t place = 0; place < s->fibers[i].depth; place++) {
            uint32_t task = address_map_find(&s->by_address, s->nested[s->fibers[i].nest + place].task);
            if (task == NONE || s->tasks[task].fiber_at != s->fibers[i].at)
                continue;
            s->tasks[task].fiber = i;
            s->tasks[task].place = place;
            settle_state(s, &s->tasks[task]);
        }
}

static void see_name(const snapshot *s, seen_task *task)
{
    char name[NAME_MAX_SHOWN];
    uint64_t at = target_word(s->target, task->ext + s->target->record.layout.ext_name);
    if (at && target_read_text(s->target, at, name, sizeof name) && !(task->name = strdup(name)))
        fail("there is no memory for what the process holds; free some and try again");
}

/* Names, and a second look at what may have changed: a task that has a fiber's address but is not on it may have ended,
 * and the memory behind `ext` goes with its task. */
static bool see_again(snapshot *s, seen_task *task)
{
    bool doubtful = task->fiber == NONE && task->fiber_at;
    if (!doubtful && !task->ext)
        return true;
    if (task->ext)
        see_name(s, task);
    const sn_layout *l = &s->target->record.layout;
    char now[TASK_BYTES_MAX];
    if (l->task_bytes > sizeof now || !target_read(s->target, task->id, now, l->task_bytes) || !is_alive(l, now))
        return false;
    if (field(now, l->task_ext, 8) != task->ext) { /* another task by now, or one that was named just now */
        free(task->name);
        task->name = NULL;
    }
    return true;
}

static void index_tasks(snapshot *s)
{
    for (uint32_t i = 0; i < s->tasks_count; i++)
        address_map_add(&s->by_address, s->tasks[i].id, i);
}

static void drop_ended(snapshot *s)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->tasks_count; i++) {
        if (see_again(s, &s->tasks[i]))
            s->tasks[kept++] = s->tasks[i];
        else
            free(s->tasks[i].name);
    }
    if (kept == s->tasks_count)
        return;
    s->tasks_count = kept;
    address_map_free(&s->by_address);
    s->by_address = (address_map){0};
    index_tasks(s);
}

void snapshot_take(snapshot *s, const target *t)
{
    *s = (snapshot){.target = t};
    see_runtimes(s);
    for (uint32_t i = 0; i < s->runtimes_count; i++)
        see_tasks_of(s, i);
    if (s->tasks_count)
        qsort(s->tasks, s->tasks_count, sizeof *s->tasks, by_runtime_and_id);
    index_tasks(s);
    see_all_fibers(s);
    place_tasks(s);
    drop_ended(s);
    links_find(s);
}

void snapshot_free(snapshot *s)
{
    for (uint32_t i = 0; i < s->tasks_count; i++)
        free(s->tasks[i].name);
    free(s->runtimes);
    free(s->workers);
    free(s->fibers);
    free(s->nested);
    free(s->tasks);
    free(s->links);
    free(s->awaited);
    free(s->helper_args);
    address_map_free(&s->by_address);
    address_map_free(&s->fiber_by_address);
    address_map_free(&s->helpers);
}

const char *snapshot_name(const snapshot *s, uint32_t task)
{
    static char made[32];
    if (s->tasks[task].name)
        return s->tasks[task].name;
    snprintf(made, sizeof made, "Task@%llx", (unsigned long long)s->tasks[task].id);
    return made;
}
