/* SPDX-License-Identifier: Apache-2.0 */
/* Where tasks come from; see origin.h. */
#include "runtime/origin.h"

#include <execinfo.h>
#include <stdlib.h>

enum { OWN_FRAMES = 6 }; /* at most so many calls of sinew's own lie between the walk and its caller */

static _Atomic uint32_t runtimes; /* in debug mode */

void sn_origin_begin(void)
{
    void *frame;
    backtrace(&frame, 1);
    sn_add(&runtimes, 1, relaxed);
}

void sn_origin_end(void)
{
    sn_sub(&runtimes, 1, relaxed);
}

bool sn_origin_wanted(void)
{
    const sn_worker *w = sn_worker_self();
    return w ? w->runtime->debug : sn_load(&runtimes, relaxed) != 0;
}

void sn_origin_take(sn_origin *out, const void *caller)
{
    void *found[OWN_FRAMES + SN_ORIGIN_FRAMES];
    int n = backtrace(found, OWN_FRAMES + SN_ORIGIN_FRAMES), first = 0;
    while (first < n && found[first] != caller)
        first++;
    if (first == n) /* it cannot be seen: too much is better than nothing */
        first = 0;
    out->count = 0;
    for (int i = first; i < n && out->count < SN_ORIGIN_FRAMES; i++)
        out->frames[out->count++] = found[i];
}

void sn_origin_keep(sinew_task *t, const sn_origin *origin)
{
    sn_task_ext *ext = sn_task_extend(t);
    sn_origin *kept = ext ? malloc(sizeof *kept) : NULL;
    if (kept) {
        *kept = *origin;
        sn_tsan_release(kept);
        __atomic_store_n(&ext->origin, kept, __ATOMIC_RELEASE); /* who looks without a reference finds it filled in */
    }
}

SN_NOINLINE void sn_origin_note(sinew_task *t, const void *caller)
{
    sn_origin origin;
    sn_origin_take(&origin, caller);
    sn_origin_keep(t, &origin);
}

const sn_origin *sn_origin_of(const sinew_task *t)
{
    const sn_task_ext *ext = __atomic_load_n(&t->ext, __ATOMIC_ACQUIRE);
    const sn_origin *origin = ext ? __atomic_load_n(&ext->origin, __ATOMIC_ACQUIRE) : NULL;
    if (origin)
        sn_tsan_acquire(origin);
    return origin;
}

void sn_origin_print(const char *head, void *const *frames, size_t count)
{
    if (count == 0)
        return;
    char **symbols = backtrace_symbols(frames, (int)count);
    sn_complain("%s", head);
    for (size_t i = 0; i < count; i++) {
        if (symbols)
            sn_complain("    %s", symbols[i]);
        else
            sn_complain("    %p", frames[i]);
    }
    free(symbols);
}

size_t sinew_task_created_at(const sinew_task *task, void **frames, size_t max)
{
    if (!task)
        return 0;
    sn_task_check_handle("sinew_task_created_at", task, false);
    const sn_origin *origin = sn_origin_of(task);
    if (!origin)
        return 0;
    for (size_t i = 0; frames && i < max && i < origin->count; i++)
        frames[i] = origin->frames[i];
    return origin->count;
}
