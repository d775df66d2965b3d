/* SPDX-License-Identifier: Apache-2.0 */
/* Stacks; the idea stands in stack.h. */
#include "runtime/stack.h"

#include "runtime/clock.h"
#include "runtime/worker.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

enum {
    PAGE = 4096,
    SLAB_BYTES = 16 << 20, /* address space of the first mapping */
    SLAB_BYTES_MAX = 1 << 30,
    CARVE_BATCH = 64,
    CARVE_FIRST = 8, /* as long as there are few: each takes a page, which a small program should not pay for */
    COLOURS = 32,
    GUARDS_MPROTECT_MAX = 30000,
    TRIM_KEEP = 1024, /* pooled stacks that are never given back */
    TRIM_BATCH = 256, /* given back at once: about 0.1 ms */
    TRIM_STEP_NS = 1000000,
    TRIM_WINDOW_NS = 1000000000,
    RED_ZONE = 1024, /* below a frame's address: its locals, madvise's own frame, what the ABI lets a leaf use */
};

#define CANARY        UINT64_C(0x5afe57ac4b0bb1e5)
#define PIDFD_OF_SELF (-10000) /* PIDFD_SELF_THREAD_GROUP is -10001 on 6.14+, and this the thread's */

static _Atomic uint32_t guards_mprotect;
static _Atomic int guard_kind; /* sn_guard; SN_GUARD_NONE: not probed yet */

/* Where the struct of the stack at `base` lies; the colour follows from the address. */
static sn_fiber *fiber_at(char *base, size_t stack_bytes)
{
    size_t bytes = (sizeof(sn_fiber) + SN_CACHE_LINE - 1) / SN_CACHE_LINE * SN_CACHE_LINE;
    size_t colour = (uintptr_t)base / stack_bytes % COLOURS;
    return (sn_fiber *)(void *)(base + stack_bytes - bytes - colour * SN_CACHE_LINE);
}

/* Makes the fiber of the stack at `base`, at the head of `list`. */
static sn_fiber *push_made(sn_runtime *rt, sn_fiber *list, char *base, size_t stack_bytes)
{
    sn_fiber *f = fiber_at(base, stack_bytes);
    f->stack_low = base + PAGE;
    f->stack_bytes = stack_bytes;
    f->runtime = rt;
    sn_fiber_make(f);
    f->next = list;
    return f;
}

static sn_guard probe_guard(char *base)
{
#if SN_ASAN
    (void)base;
    return SN_GUARD_MPROTECT; /* LeakSanitizer reads root regions, and a read of a madvise guard faults */
#else
    return madvise(base, PAGE, MADV_GUARD_INSTALL) == 0 ? SN_GUARD_MADVISE : SN_GUARD_MPROTECT;
#endif
}

static void plant_canary(char *base)
{
    uint64_t *word = (uint64_t *)(void *)base;
    for (unsigned i = 0; i < PAGE / sizeof *word; i += 8)
        word[i] = CANARY;
}

static bool guard_one(char *base)
{
    if (sn_add(&guards_mprotect, 1, relaxed) < GUARDS_MPROTECT_MAX && mprotect(base, PAGE, PROT_NONE) == 0)
        return true;
    sn_sub(&guards_mprotect, 1, relaxed);
    plant_canary(base);
    return false;
}

/* Guards `count` neighbouring stacks. */
static void guard(char *base, size_t stack_bytes, uint32_t count)
{
    int kind = sn_load(&guard_kind, relaxed); /* probing twice gives the same answer */
    if (kind == SN_GUARD_NONE) {
        kind = (int)probe_guard(base);
        sn_store(&guard_kind, kind, relaxed);
    }
    uint32_t done = 0;
    if (kind == SN_GUARD_MADVISE) {
        struct iovec pages[CARVE_BATCH];
        for (uint32_t i = 0; i < count; i++)
            pages[i] = (struct iovec){base + i * stack_bytes, PAGE};
        if (count > 1 && syscall(SYS_process_madvise, PIDFD_OF_SELF, pages, (unsigned long)count, MADV_GUARD_INSTALL,
                                 0) == (long)count * PAGE)
            return;
        for (; done < count; done++)
            if (madvise(base + done * stack_bytes, PAGE, MADV_GUARD_INSTALL) != 0)
                break;
    }
    for (; done < count; done++)
        guard_one(base + done * stack_bytes);
}

void sn_stacks_init(sn_stacks *s, size_t stack_bytes)
{
    memset(s, 0, sizeof *s);
    ck_spinlock_init(&s->lock);
    s->stack_bytes = stack_bytes;
}

static bool guarded_by_mprotect(const char *base)
{
    uint64_t word = 0;
    /* A read through the kernel: a page without rights answers EFAULT instead of a signal. */
    struct iovec to = {&word, sizeof word}, from = {(void *)(uintptr_t)base, sizeof word};
    return process_vm_readv(getpid(), &to, 1, &from, 1, 0) != (ssize_t)sizeof word;
}

static void forget_guard(char *base)
{
    if (sn_load(&guard_kind, relaxed) == SN_GUARD_MPROTECT && guarded_by_mprotect(base))
        sn_sub(&guards_mprotect, 1, relaxed);
}

static void destroy_slabs(sn_slab *slab)
{
    for (sn_slab *next; slab; slab = next) {
        next = slab->next;
        uint32_t carved = sn_load(&slab->carved, relaxed);
        for (uint32_t i = 0; i < carved; i++)
            forget_guard(slab->base + i * slab->stack_bytes);
        size_t bytes = slab->stack_bytes * slab->count;
#if SN_ASAN
        __lsan_unregister_root_region(slab->base, bytes);
        __asan_unpoison_memory_region(slab->base, bytes);
#endif
        munmap(slab->base, bytes);
        free(slab);
    }
}

void sn_stacks_destroy(sn_stacks *s)
{
    destroy_slabs(sn_load(&s->slabs, acquire));
    destroy_slabs(sn_load(&s->odd_slabs, acquire));
    free(s->bare);
}

static char *map(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    /* A huge page under a stack would commit sixteen times the memory. */
    madvise(p, bytes, MADV_NOHUGEPAGE);
#if SN_ASAN
    __lsan_register_root_region(p, bytes);
#endif
    return p;
}

/* A new slab, not yet listed. */
static sn_slab *make_slab(size_t stack_bytes, uint32_t count)
{
    sn_slab *slab = malloc(sizeof *slab);
    if (!slab)
        return NULL;
    slab->stack_bytes = stack_bytes;
    slab->count = count;
    slab->base = map(slab->stack_bytes * slab->count);
    if (!slab->base && slab->count > CARVE_BATCH) { /* address space is scarce */
        slab->count = CARVE_BATCH;
        slab->base = map(slab->stack_bytes * slab->count);
    }
    if (!slab->base) {
        free(slab);
        return NULL;
    }
    sn_store(&slab->carved, 0, relaxed);
    return slab;
}

/* Lists a slab; the lock is held. */
static void list_slab(_Atomic(sn_slab *) *list, sn_slab *slab)
{
    slab->next = sn_load(list, relaxed);
    sn_store(list, slab, release); /* partner: the acquire loads of visit */
}

bool sn_stacks_refill(sn_worker *w)
{
    sn_runtime *rt = w->runtime;
    sn_stacks *s = &rt->stacks;
    sn_fiber *list = NULL;
    unsigned count = 0;
    char *bare[CARVE_BATCH];
    unsigned bare_count = 0;
    sn_slab *slab = NULL;
    uint32_t first = 0, carve = 0;

    ck_spinlock_lock(&s->lock);
    while (s->pooled && count < CARVE_BATCH) {
        sn_fiber *f = s->pooled;
        s->pooled = f->next;
        sn_bump(&s->pooled_count, -UINT64_C(1));
        f->next = list;
        list = f;
        count++;
    }
    if (s->unused > sn_load(&s->pooled_count, relaxed))
        s->unused = sn_load(&s->pooled_count, relaxed);
    while (count + bare_count < CARVE_BATCH && s->bare_count > 0)
        bare[bare_count++] = s->bare[--s->bare_count];
    if (count + bare_count == 0) {
        slab = sn_load(&s->slabs, relaxed);
        if (!slab || sn_load(&slab->carved, relaxed) == slab->count) {
            /* Each slab is twice the one before: a million stacks take 70 mappings, a small program 16 MiB. */
            size_t bytes = slab ? 2 * slab->stack_bytes * slab->count : SLAB_BYTES;
            bytes = bytes < SLAB_BYTES_MAX ? bytes : SLAB_BYTES_MAX;
            slab = make_slab(s->stack_bytes, s->stack_bytes >= bytes ? 1 : (uint32_t)(bytes / s->stack_bytes));
            if (slab)
                list_slab(&s->slabs, slab);
        }
        if (slab) {
            first = sn_load(&slab->carved, relaxed);
            carve = first < CARVE_BATCH && !slab->next ? CARVE_FIRST : CARVE_BATCH;
            carve = slab->count - first < carve ? slab->count - first : carve;
            sn_store(&slab->carved, first + carve, relaxed); /* the structs read as zeroes until they are made */
        }
    }
    ck_spinlock_unlock(&s->lock);

    if (carve) {
        guard(slab->base + first * slab->stack_bytes, slab->stack_bytes, carve);
        /* Highest first, so that the list hands them out in ascending order. */
        for (uint32_t i = carve; i-- > 0;)
            list = push_made(rt, list, slab->base + (first + i) * slab->stack_bytes, slab->stack_bytes);
        count += carve;
    }
    for (unsigned i = 0; i < bare_count; i++, count++)
        list = push_made(rt, list, bare[i], s->stack_bytes);
    w->fibers = list;
    w->fibers_count = count;
    return list != NULL;
}

void sn_stacks_overflow(sn_worker *w, unsigned count)
{
    sn_stacks *s = &w->runtime->stacks;
    sn_fiber *first = w->fibers, *last = first;
    for (unsigned i = 1; i < count; i++)
        last = last->next;
    w->fibers = last->next;
    w->fibers_count -= count;
    ck_spinlock_lock(&s->lock);
    last->next = s->pooled;
    s->pooled = first;
    sn_bump(&s->pooled_count, count);
    ck_spinlock_unlock(&s->lock);
}

/* How many of the pooled fibers are to go back now, at most TRIM_BATCH; the lock is held. */
static unsigned trim_share(sn_stacks *s, sinew_time now)
{
    uint64_t pooled = sn_load(&s->pooled_count, relaxed);
    if (now >= s->window_end) {
        s->surplus = s->window_end && s->unused > TRIM_KEEP ? s->unused - TRIM_KEEP : 0;
        s->unused = pooled;
        s->window_end = now + TRIM_WINDOW_NS;
    }
    uint64_t share = s->surplus < TRIM_BATCH ? s->surplus : TRIM_BATCH;
    share = share < pooled ? share : pooled;
    if (s->bare_count + s->trimming + share > s->bare_capacity) {
        uint64_t capacity = s->bare_capacity ? s->bare_capacity * 2 : 1024;
        char **bigger = realloc(s->bare, capacity * sizeof *bigger);
        if (bigger) {
            s->bare = bigger;
            s->bare_capacity = capacity;
        } else {
            share = 0;
        }
    }
    s->surplus -= s->surplus < TRIM_BATCH ? s->surplus : TRIM_BATCH;
    return (unsigned)share;
}

sinew_time sn_stacks_trim(sn_stacks *s)
{
    if (SN_LIKELY(sn_load(&s->pooled_count, relaxed) <= TRIM_KEEP))
        return SINEW_FOREVER;
    sinew_time now = sn_clock_now();
    char *bases[TRIM_BATCH];
    ck_spinlock_lock(&s->lock);
    unsigned share = trim_share(s, now);
    for (unsigned i = 0; i < share; i++) {
        bases[i] = s->pooled->stack_low - PAGE;
        s->pooled = s->pooled->next;
    }
    sn_bump(&s->pooled_count, -(uint64_t)share);
    s->trimming += share;
    s->unused = s->unused > share ? s->unused - share : 0;
    sinew_time next = s->surplus ? now + TRIM_STEP_NS : s->window_end;
    ck_spinlock_unlock(&s->lock);

    for (unsigned i = 0; i < share; i++) {
#if SN_ASAN
        __asan_unpoison_memory_region(bases[i] + PAGE, s->stack_bytes - PAGE);
#endif
        madvise(bases[i] + PAGE, s->stack_bytes - PAGE, MADV_DONTNEED); /* a refusal costs memory, nothing else */
    }
    ck_spinlock_lock(&s->lock);
    for (unsigned i = 0; i < share; i++)
        s->bare[s->bare_count++] = bases[i];
    s->trimming -= share;
    ck_spinlock_unlock(&s->lock);
    return next;
}

sn_fiber *sn_stacks_get_odd(sn_runtime *rt, size_t stack_bytes)
{
    sn_stacks *s = &rt->stacks;
    unsigned class = (unsigned)__builtin_ctzll(stack_bytes);
    ck_spinlock_lock(&s->lock);
    sn_fiber *f = s->odd[class];
    if (f)
        s->odd[class] = f->next;
    ck_spinlock_unlock(&s->lock);
    if (f)
        return f;
    sn_slab *slab = make_slab(stack_bytes, 1);
    if (!slab)
        return NULL;
    guard(slab->base, stack_bytes, 1);
    f = push_made(rt, NULL, slab->base, stack_bytes);
    sn_store(&slab->carved, 1, relaxed);
    ck_spinlock_lock(&s->lock);
    list_slab(&s->odd_slabs, slab);
    ck_spinlock_unlock(&s->lock);
    return f;
}

void sn_stacks_put_odd(sn_fiber *f)
{
    sn_stacks *s = &f->runtime->stacks;
    /* The highest pages hold the struct and the frames of the fiber's main loop; all below is garbage now. */
    size_t keep = 2 * PAGE, bytes = f->stack_bytes - PAGE;
    if (bytes > keep)
        madvise(f->stack_low, bytes - keep, MADV_DONTNEED);
    unsigned class = (unsigned)__builtin_ctzll(f->stack_bytes);
    ck_spinlock_lock(&s->lock);
    f->next = s->odd[class];
    s->odd[class] = f;
    ck_spinlock_unlock(&s->lock);
}

static void visit_slabs(sn_slab *slab, void (*visit)(sn_fiber *f, void *arg), void *arg)
{
    for (; slab; slab = slab->next) {
        uint32_t carved = sn_load(&slab->carved, relaxed);
        for (uint32_t i = 0; i < carved; i++) {
            sn_fiber *f = fiber_at(slab->base + i * slab->stack_bytes, slab->stack_bytes);
            if (f->runtime) /* a bare or unmade one reads as zeroes */
                visit(f, arg);
        }
    }
}

void sn_stacks_visit(sn_stacks *s, void (*visit)(sn_fiber *f, void *arg), void *arg)
{
    visit_slabs(sn_load(&s->slabs, acquire), visit, arg);
    visit_slabs(sn_load(&s->odd_slabs, acquire), visit, arg);
}

bool sn_stack_in_guard(const sn_fiber *f, const void *address)
{
    const char *a = address;
    return a < f->stack_low && a >= f->stack_low - PAGE;
}

/* Its frame is small whatever the compiler does with the caller's. */
SN_NOINLINE void sn_stack_trim(const sn_fiber *f)
{
    uintptr_t low = (uintptr_t)f->stack_low, top = low - PAGE + f->stack_bytes;
    uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
    uintptr_t end = (frame - RED_ZONE) & ~(uintptr_t)(PAGE - 1);
    if (frame < top && end > low && end < frame)
        madvise(f->stack_low, end - low, MADV_DONTNEED); /* locked memory is refused: it stays */
}

int sinew_stack_trim(void)
{
    sn_worker *w = sn_worker_of_task();
    if (!w)
        return -EPERM;
    sn_stack_trim(w->fiber);
    return 0;
}

void sn_stack_check(const sn_fiber *f)
{
    if (SN_LIKELY(sn_load(&guard_kind, relaxed) == SN_GUARD_MADVISE) ||
        sn_load(&guards_mprotect, relaxed) < GUARDS_MPROTECT_MAX)
        return;
    const char *base = f->stack_low - PAGE;
    if (guarded_by_mprotect(base))
        return;
    const uint64_t *word = (const uint64_t *)(const void *)base;
    for (unsigned i = 0; i < PAGE / sizeof *word; i += 8)
        SN_CHECK(word[i] == CANARY,
                 "a task overflowed its stack of %zu bytes (canary); raise stack_bytes in sinew_options or "
                 "sinew_spawn_options",
                 f->stack_bytes);
}
