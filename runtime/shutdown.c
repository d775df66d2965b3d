/* SPDX-License-Identifier: Apache-2.0 */
/* Shutdown; the waves are explained in shutdown.h. */
#include "runtime/shutdown.h"

static void nudge(sn_fiber *f, void *arg)
{
    (void)arg;
    sn_unpark(f);
}

/* The next wave: whoever spawns or starts from here on sees it, and who did before is nudged. */
static void begin_wave(sn_runtime *rt)
{
    uint32_t wave = sn_add(&rt->wave, 1, acq_rel) + 1;
    for (uint32_t i = 0; i < rt->workers_count; i++)
        sn_store(&rt->workers[i].mode, (uint8_t)(SN_MODE_STOPPING | (wave & 1 ? SN_MODE_WAVE : 0)), relaxed);
    sn_fence_rare();
    sn_stacks_visit(&rt->stacks, nudge, NULL);
}

static bool any_left(sn_runtime *rt, unsigned parity)
{
    uint64_t spawned = 0, finished = 0;
    for (uint32_t i = 0; i < rt->workers_count; i++)
        finished += sn_load(&rt->workers[i].counters.finished[parity], acquire) +
                    sn_load(&rt->workers[i].counters.in_place[parity], acquire);
    for (uint32_t i = 0; i < rt->workers_count; i++)
        spawned += sn_load(&rt->workers[i].counters.spawned[parity], acquire);
    return spawned + sn_load(&rt->injected[parity], acquire) != finished;
}

/* For tasks that come from outside: inject.h. */
static void set_gate(sn_runtime *rt, bool closed)
{
    ck_spinlock_lock(&rt->inject_lock);
    rt->inject_closed = closed;
    ck_spinlock_unlock(&rt->inject_lock);
}

static void step(sn_runtime *rt)
{
    while (!any_left(rt, (sn_load(&rt->wave, relaxed) - 1) & 1)) {
        if (!any_left(rt, sn_load(&rt->wave, relaxed) & 1)) {
            set_gate(rt, true);
            if (!any_left(rt, 0) && !any_left(rt, 1)) {
                if (!sn_exchange(&rt->stop, 1, acq_rel))
                    sn_wake_all(rt);
                return;
            }
            set_gate(rt, false); /* something came in before it was closed */
        }
        begin_wave(rt);
    }
}

void sn_shutdown_begin(sn_runtime *rt, intptr_t result)
{
    rt->main_result = result;
    sn_store(&rt->stopping, 1, release);
    begin_wave(rt);
    sn_shutdown_step(rt);
}

void sn_shutdown_step(sn_runtime *rt)
{
    /* One steps at a time; who comes meanwhile asks for another round. The seq_cst increments put the counts of two
     * tasks that end at once in an order: the later one sees both. */
    if (sn_add(&rt->shutdown_requests, 1, seq_cst) != 0)
        return;
    uint32_t seen;
    do {
        seen = sn_load(&rt->shutdown_requests, acquire);
        step(rt);
    } while (!sn_cas(&rt->shutdown_requests, &seen, 0, acq_rel));
}
