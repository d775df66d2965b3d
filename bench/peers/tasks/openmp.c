/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenMP tasks, gcc's: `task` and `taskwait`, untied as gcc treats all alike, results in variables of the parent. They
 * cannot suspend, so only fork-join is compared. libgomp runs a task in place once 64 for each thread are queued, so
 * "flat" and the wide trees never hold a million of them: its bytes a task say little, and part of its work is a
 * plain call.
 */
#include "measure.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

static job j;

static intptr_t fib_half(intptr_t n)
{
    if (n < 2)
        return n;
    intptr_t a, b;
#pragma omp task shared(a) firstprivate(n)
    a = fib_half(n - 1);
    b = fib_half(n - 2);
#pragma omp taskwait
    return a + b;
}

static intptr_t fib_both(intptr_t n)
{
    if (n < 2)
        return n;
    intptr_t a, b;
#pragma omp task shared(a) firstprivate(n)
    a = fib_both(n - 1);
#pragma omp task shared(b) firstprivate(n)
    b = fib_both(n - 2);
#pragma omp taskwait
    return a + b;
}

static intptr_t skynet(intptr_t first, intptr_t leaves)
{
    if (leaves == 1)
        return first;
    intptr_t results[10], step = leaves / 10, sum = 0;
    for (int i = 0; i < 10; i++) {
#pragma omp task shared(results) firstprivate(i, first, step)
        results[i] = skynet(first + i * step, step);
    }
#pragma omp taskwait
    for (int i = 0; i < 10; i++)
        sum += results[i];
    return sum;
}

enum { board_max = 20 };

static unsigned all_columns;

static intptr_t queens_below(unsigned free_columns, unsigned left, unsigned right)
{
    if (free_columns == 0)
        return 1;
    intptr_t results[board_max], sum = 0;
    int n = 0;
    for (unsigned open = free_columns & ~(left | right); open != 0; open &= open - 1, n++) {
        unsigned queen = open & -open;
#pragma omp task shared(results) firstprivate(n, queen, free_columns, left, right)
        results[n] = queens_below(free_columns & ~queen, ((left | queen) << 1) & all_columns, (right | queen) >> 1);
    }
#pragma omp taskwait
    for (int i = 0; i < n; i++)
        sum += results[i];
    return sum;
}

static bool pass_fib_half(void *arg)
{
    (void)arg;
    return fib_half(j.size) == fib_value(j.size);
}

static bool pass_fib_both(void *arg)
{
    (void)arg;
    return fib_both(j.size) == fib_value(j.size);
}

static bool pass_skynet(void *arg)
{
    (void)arg;
    return skynet(0, j.size) == (intptr_t)j.size * (j.size - 1) / 2;
}

static bool pass_queens(void *solutions)
{
    return queens_below(all_columns, 0, 0) == *(long *)solutions;
}

static bool pass_flat(void *arg)
{
    (void)arg;
    long n = j.size;
    intptr_t *results = allocate((size_t)n, sizeof *results), sum = 0;
    for (long i = 0; i < n; i++) {
#pragma omp task firstprivate(i, results)
        results[i] = i;
    }
#pragma omp taskwait
    for (long i = 0; i < n; i++)
        sum += results[i];
    free(results);
    return sum == (intptr_t)n * (n - 1) / 2;
}

static bool is(const char *workload)
{
    return strcmp(j.workload, workload) == 0;
}

static void in_single_thread(void)
{
    if (is("fib_half")) {
        measure(&j, fib_calls(j.size), pass_fib_half, NULL);
    } else if (is("fib_both")) {
        measure(&j, fib_calls(j.size), pass_fib_both, NULL);
    } else if (is("skynet")) {
        measure(&j, skynet_nodes(j.size), pass_skynet, NULL);
    } else if (is("nqueens") && j.size > 0 && j.size <= board_max) {
        queens q = count_queens((int)j.size);
        all_columns = (1u << j.size) - 1;
        measure(&j, (double)q.nodes, pass_queens, &q.solutions);
    } else if (is("flat")) {
        measure(&j, (double)j.size, pass_flat, NULL);
    } else if (!is("empty")) {
        unknown_workload(&j);
    }
}

int main(int argc, char **argv)
{
    j = read_job(argc, argv);
    if (j.workers < 1)
        wrong(&j, "no threads");
#pragma omp parallel num_threads((int)j.workers)
#pragma omp single
    in_single_thread();
    return 0;
}
