/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The serial counterparts: what a C programmer writes without tasks, compiled with the same options as the
 * task versions. They live in a file of their own and are kept from the optimiser as functions, so that each
 * call is a call: without that, compilers turn half of fib into a loop and drop a loop over a known function.
 */
#ifndef BENCH_PLAIN_H
#define BENCH_PLAIN_H

#include <stddef.h>
#include <stdint.h>

/* noipa keeps gcc from inlining, cloning, and learning anything from a function's body. */
#if defined(__clang__)
#define PLAIN_CALL __attribute__((noinline))
#else
#define PLAIN_CALL __attribute__((noipa))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Fibonacci by two recursive calls, both of them made. */
intptr_t plain_fib(intptr_t n);

/* The same text with nothing in the optimiser's way but inlining: compilers make one half a loop, so that it makes half
 * the calls. Shown beside the real recursion, because it is what this function costs a program. */
intptr_t plain_fib_looped(intptr_t n);

/* The sum of first .. first + leaves - 1 through a tree with ten children a node; leaves is a power of ten. */
intptr_t plain_skynet(intptr_t first, intptr_t leaves);

/* The smallest task body: returns its argument. A sinew_fn, and called directly by the plain loops. */
intptr_t plain_leaf(void *arg);

/* results[i] = plain_leaf(args + i * stride): what sinew_map does, as a loop. */
void plain_map(void *args, size_t stride, size_t n, intptr_t *results);

/* How many calls plain_fib(n) makes, itself included. */
int64_t plain_fib_calls(int n);

#ifdef __cplusplus
}
#endif
#endif
