/* SPDX-License-Identifier: Apache-2.0 */
/* The address of errno, in a way that no compiler keeps: not inlined, and opaque also to one that sees this body. */
#include "runtime/base.h"

#include <sinew/errno.h>

#undef errno
#define errno (*__errno_location())

SN_NOINLINE int *sinew_errno_location(void)
{
    int *location = &errno;
    __asm__ volatile("" : "+r"(location)::"memory");
    return location;
}
