/* SPDX-License-Identifier: Apache-2.0 */
/* Asymmetric fences; the idea and the costs stand in atomic.h. */
#include "runtime/atomic.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

bool sn_fence_asymmetric;

void sn_fence_init(void)
{
    /* Written before any worker of the first runtime exists; later runtimes write the same value again. */
    bool registered = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
    if (sn_fence_asymmetric != registered)
        sn_fence_asymmetric = registered;
}

void sn_fence_rare(void)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (sn_fence_asymmetric) {
        long failed = syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
        SN_CHECK(failed == 0,
                 "membarrier worked at start and is refused now; a seccomp filter must be installed before sinew_run");
    }
}
