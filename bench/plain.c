/* SPDX-License-Identifier: Apache-2.0 */
/* See plain.h. */
#include "plain.h"

/* Uses a value in a way the compiler cannot see through: what was called to make it stays a call, and is not the last
 * thing its caller does. */
#define KEEP(value) __asm__ volatile("" : "+r"(value))

PLAIN_CALL intptr_t plain_fib(intptr_t n)
{
    if (n < 2)
        return n;
    intptr_t a = plain_fib(n - 1);
    KEEP(a);
    intptr_t b = plain_fib(n - 2);
    KEEP(b);
    return a + b;
}

PLAIN_CALL intptr_t plain_fib_looped(intptr_t n)
{
    if (n < 2)
        return n;
    return plain_fib_looped(n - 1) + plain_fib_looped(n - 2);
}

PLAIN_CALL intptr_t plain_skynet(intptr_t first, intptr_t leaves)
{
    if (leaves == 1)
        return first;
    intptr_t sum = 0, step = leaves / 10;
    for (int i = 0; i < 10; i++) {
        intptr_t child = plain_skynet(first + i * step, step);
        KEEP(child);
        sum += child;
    }
    return sum;
}

PLAIN_CALL intptr_t plain_leaf(void *arg)
{
    return (intptr_t)arg;
}

PLAIN_CALL void plain_map(void *args, size_t stride, size_t n, intptr_t *results)
{
    for (size_t i = 0; i < n; i++) {
        intptr_t result = plain_leaf((char *)args + i * stride);
        KEEP(result);
        results[i] = result;
    }
}

int64_t plain_fib_calls(int n)
{
    int64_t before = 1, calls = 1;
    for (int i = 2; i <= n; i++) {
        int64_t next = before + calls + 1;
        before = calls;
        calls = next;
    }
    return calls;
}
