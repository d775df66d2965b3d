/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unwinds the stacks of fibers and divides them among the tasks nested there.
 *
 * libdw unwinds "threads". Here, a thread is the one fiber that is looked at: its registers are those that the switch
 * has saved on its stack, and its memory is a copy of that stack.
 *
 * The frame of an in-place call (sn_frame) lies in the outer task's part of the stack, so a function whose part ends
 * below it belongs to a task further in. AddressSanitizer may keep such frames elsewhere; then the runtime's own
 * functions between those of two tasks tell them apart.
 */
#include "stacks.h"

#include "fail.h"
#include "symbols.h"

#include <stdlib.h>
#include <string.h>

enum { COPY_MAX = 1 << 20, FRAMES_MAX = 4096, LINES_MAX = 64, CALLS = 32 };

/* What fcontext saves on x86-64, by the number DWARF gives the register: rbx, rbp, r12 to r15. */
static const struct {
    int number;
    unsigned offset;
} saved[] = {{3, 0x28}, {6, 0x30}, {12, 0x08}, {13, 0x10}, {14, 0x18}, {15, 0x20}};
enum { SAVED_PC = 0x38, SAVED_BYTES = 0x40, SP = 7 };

typedef struct physical {
    uint64_t pc, sp;
} physical;

typedef struct unwound {
    physical *frames; /* innermost first */
    size_t count, room;
    bool tried;
} unwound;

struct stack_reader {
    const snapshot *snapshot;
    symbols *symbols;
    unwound *fibers;
    bool attached;
    stack_line calls[CALLS]; /* for those that the compiler has made a jump of */
    /* of the fiber that is being unwound */
    char *copy;
    uint64_t copy_at;
    size_t copy_bytes;
    uint64_t top;
    unwound *into;
};

/* --- unwinding -------------------------------------------------------------------------------------------------- */

static bool read_copy(const stack_reader *r, uint64_t at, uint64_t *word)
{
    if (at < r->copy_at || at - r->copy_at > r->copy_bytes - sizeof *word)
        return false;
    memcpy(word, r->copy + (at - r->copy_at), sizeof *word);
    return true;
}

static bool give_memory(Dwfl *dwfl, Dwarf_Addr at, Dwarf_Word *word, void *arg)
{
    (void)dwfl;
    return read_copy(arg, at, word);
}

static bool give_thread(Dwfl *dwfl, pid_t id, void *arg, void **thread_arg)
{
    (void)dwfl;
    (void)id;
    *thread_arg = arg;
    return true;
}

static pid_t no_next_thread(Dwfl *dwfl, void *arg, void **thread_arg)
{
    (void)dwfl;
    (void)arg;
    (void)thread_arg;
    return 0;
}

static bool give_registers(Dwfl_Thread *thread, void *arg)
{
    const stack_reader *r = arg;
    Dwarf_Word value;
    for (size_t i = 0; i < sizeof saved / sizeof saved[0]; i++)
        if (!read_copy(r, r->copy_at + saved[i].offset, &value) ||
            !dwfl_thread_state_registers(thread, saved[i].number, 1, &value))
            return false;
    value = r->copy_at + SAVED_BYTES;
    if (!dwfl_thread_state_registers(thread, SP, 1, &value) || !read_copy(r, r->copy_at + SAVED_PC, &value))
        return false;
    dwfl_thread_state_register_pc(thread, value);
    return true;
}

static const Dwfl_Thread_Callbacks thread_callbacks = {
    .next_thread = no_next_thread,
    .get_thread = give_thread,
    .memory_read = give_memory,
    .set_initial_registers = give_registers,
};

static int note_frame(Dwfl_Frame *state, void *arg)
{
    stack_reader *r = arg;
    unwound *u = r->into;
    physical f;
    if (!dwfl_frame_pc(state, &f.pc, NULL) || dwfl_frame_reg(state, SP, &f.sp) != 0 || f.pc == 0 || f.sp >= r->top ||
        (u->count && f.sp <= u->frames[u->count - 1].sp) || u->count == FRAMES_MAX)
        return DWARF_CB_ABORT;
    f.pc--; /* the call, not what follows it */
    if (u->count == u->room)
        u->frames = grow_memory(u->frames, &u->room, sizeof f);
    u->frames[u->count++] = f;
    return DWARF_CB_OK;
}

/* Copies the stack. False: the fiber has gone on since the snapshot. */
static bool copy_stack(stack_reader *r, uint32_t fiber)
{
    const seen_fiber *f = &r->snapshot->fibers[fiber];
    if (f->context % 8 != 0 || f->context >= f->at || f->at - f->context < SAVED_BYTES + 8 ||
        !snapshot_fiber_stands(r->snapshot, fiber))
        return false;
    size_t bytes = f->at - f->context < COPY_MAX ? (size_t)(f->at - f->context) : COPY_MAX;
    if (!target_read(r->snapshot->target, f->context, r->copy, bytes) || !snapshot_fiber_stands(r->snapshot, fiber))
        return false;
    r->copy_at = f->context;
    r->copy_bytes = bytes;
    r->top = f->at;
    return true;
}

static const unwound *unwind(stack_reader *r, uint32_t fiber)
{
    unwound *u = &r->fibers[fiber];
    if (u->tried)
        return u;
    u->tried = true;
    r->into = u;
    if (r->attached && copy_stack(r, fiber))
        dwfl_getthread_frames(r->snapshot->target->dwfl, 1, note_frame, r); /* its end is an error, as often as not */
    return u;
}

/* --- whose part it is ------------------------------------------------------------------------------------------- */

typedef struct part {
    size_t begin, end; /* frames */
} part;

static bool frames_lie_on_stack(const seen_fiber *f, const nested *nest)
{
    uint64_t below = f->context;
    for (uint32_t i = 0; i + 1 < f->depth; i++) {
        if (nest[i].frame <= below || nest[i].frame >= f->at)
            return false;
        below = nest[i].frame;
    }
    return true;
}

/* Ends of the parts by the frames of in-place calls. */
static part part_by_frames(const seen_fiber *f, const nested *nest, const unwound *u, uint32_t place)
{
    part p = {0, u->count};
    for (size_t i = 0; i < u->count; i++) {
        uint64_t end = i + 1 < u->count ? u->frames[i + 1].sp : f->at;
        if (place > 0 && end <= nest[place - 1].frame)
            p.begin = i + 1;
        if (place + 1 < f->depth && end > nest[place].frame && p.end == u->count)
            p.end = i;
    }
    return p;
}

static bool is_runtimes(stack_reader *r, uint64_t pc)
{
    const code_place *p = symbols_at(r->symbols, pc);
    return p->count > 0 && p->lines[p->count - 1].internal;
}

/* Each part begins with functions of the runtime. If there are not as many such parts as tasks, the innermost task gets
 * all. */
static part part_by_runs(stack_reader *r, const seen_fiber *f, const unwound *u, uint32_t place)
{
    part p = {0, 0};
    uint32_t runs = 0;
    bool inside = false;
    for (size_t i = 0; i < u->count; i++) {
        bool internal = is_runtimes(r, u->frames[i].pc);
        if (internal && !inside) {
            if (runs == place)
                p.begin = i;
            runs++;
        }
        inside = internal;
        if (runs == place + 1)
            p.end = i + 1;
    }
    if (runs == f->depth + 1) /* the last one is the fiber's own */
        return p;
    return place == 0 ? (part){0, u->count} : (part){0, 0};
}

/* --- what is shown of it ---------------------------------------------------------------------------------------- */

static bool is_public(const stack_line *line)
{
    return line->internal && strncmp(line->function, "sinew_", strlen("sinew_")) == 0;
}

/* The call by which the task waits for another one, if it does. */
static const stack_line *call_in_links(stack_reader *r, uint32_t task)
{
    const snapshot *s = r->snapshot;
    const seen_task *t = &s->tasks[task];
    if (!t->children)
        return NULL;
    const seen_link *link = &s->links[s->awaited[t->first_child]];
    for (unsigned k = 0; !link->loose && k < s->calls_count; k++)
        if (s->calls[k] == link->call) {
            r->calls[k] = (stack_line){.function = link->call, .internal = true};
            return &r->calls[k];
        }
    return NULL;
}

typedef struct shown_line {
    const stack_line *line;
    uint64_t return_address; /* to it */
} shown_line;

typedef struct lines {
    shown_line *all;
    size_t count, room;
} lines;

static lines all_lines(stack_reader *r, const unwound *u, part p)
{
    lines l = {0};
    for (size_t i = p.begin; i < p.end; i++) {
        const code_place *at = symbols_at(r->symbols, u->frames[i].pc);
        for (unsigned k = 0; k < at->count; k++) {
            if (l.count == l.room)
                l.all = grow_memory(l.all, &l.room, sizeof *l.all);
            l.all[l.count++] = (shown_line){&at->lines[k], u->frames[i].pc + 1};
        }
    }
    return l;
}

/* What stands for a run of the runtime's functions: the outermost public one, which the program has called. NULL: they
 * are left out. */
static const stack_line *line_of_run(stack_reader *r, uint32_t task, const lines *l, size_t begin, size_t end)
{
    bool outermost = end == l->count;
    if (outermost && begin > 0) /* what began the task */
        return NULL;
    const stack_line *called = outermost ? NULL : symbols_called(r->symbols, l->all[end].return_address);
    if (called && is_public(called))
        return called;
    for (size_t i = end; i-- > begin;)
        if (is_public(l->all[i].line))
            return l->all[i].line;
    if (begin > 0)
        return NULL;
    called = call_in_links(r, task);
    return called || outermost ? called : l->all[end - 1].line;
}

task_stack stacks_of(stack_reader *r, uint32_t task)
{
    task_stack stack = {0};
    const seen_task *t = &r->snapshot->tasks[task];
    if (t->fiber == NONE || t->state == SEEN_RUNNING)
        return stack;
    const seen_fiber *f = &r->snapshot->fibers[t->fiber];
    const unwound *u = unwind(r, t->fiber);
    if (!u->count)
        return stack;
    const nested *nest = &r->snapshot->nested[f->nest];
    part p = frames_lie_on_stack(f, nest) ? part_by_frames(f, nest, u, t->place) : part_by_runs(r, f, u, t->place);
    lines l = all_lines(r, u, p);
    stack.lines = take_memory(l.count + 1, sizeof(const stack_line *));
    for (size_t i = 0, end; i < l.count && !stack.cut; i = end) {
        end = i + 1;
        while (l.all[i].line->internal && end < l.count && l.all[end].line->internal)
            end++;
        const stack_line *line = l.all[i].line->internal ? line_of_run(r, task, &l, i, end) : l.all[i].line;
        stack.cut = line && stack.count == LINES_MAX;
        if (line && !stack.cut)
            stack.lines[stack.count++] = line;
    }
    const stack_line *call = stack.count ? NULL : call_in_links(r, task);
    if (call) /* nothing has a name */
        stack.lines[stack.count++] = call;
    free(l.all);
    return stack;
}

stack_reader *stacks_open(const snapshot *s)
{
    stack_reader *r = take_memory(1, sizeof *r);
    r->snapshot = s;
    r->symbols = symbols_open(s->target);
    r->fibers = take_memory(s->fibers_count, sizeof *r->fibers);
    r->copy = take_memory(COPY_MAX, 1);
    r->attached =
        s->target->can_unwind && dwfl_attach_state(s->target->dwfl, NULL, s->target->pid, &thread_callbacks, r);
    return r;
}

void stacks_close(stack_reader *r)
{
    for (uint32_t i = 0; i < r->snapshot->fibers_count; i++)
        free(r->fibers[i].frames);
    symbols_close(r->symbols);
    free(r->fibers);
    free(r->copy);
    free(r);
}
