// SPDX-License-Identifier: Apache-2.0
/*
 * oneTBB: fork-join by task_group, run and wait, as its documentation writes recursion. A task cannot suspend, so there
 * is nothing to compare for switches, channels, sleeping, waking and cancelling; start and stop is that of the whole
 * scheduler (task_scheduler_handle, finalize), as far as it lets itself be stopped. global_control limits the threads,
 * and the calling thread is one of them, as with sinew.
 */
#include "measure.h"

#include <tbb/global_control.h>
#include <tbb/task_group.h>

#include <array>
#include <cstring>
#include <vector>

namespace
{

job j;

intptr_t fib_half(intptr_t n)
{
    if (n < 2)
        return n;
    intptr_t a, b;
    tbb::task_group group;
    group.run([&a, n] { a = fib_half(n - 1); });
    b = fib_half(n - 2);
    group.wait();
    return a + b;
}

intptr_t fib_both(intptr_t n)
{
    if (n < 2)
        return n;
    intptr_t a, b;
    tbb::task_group group;
    group.run([&a, n] { a = fib_both(n - 1); });
    group.run([&b, n] { b = fib_both(n - 2); });
    group.wait();
    return a + b;
}

intptr_t skynet(intptr_t first, intptr_t leaves)
{
    if (leaves == 1)
        return first;
    std::array<intptr_t, 10> results;
    intptr_t step = leaves / 10;
    tbb::task_group group;
    for (int i = 0; i < 10; i++)
        group.run([&result = results[i], first, step, i] { result = skynet(first + i * step, step); });
    group.wait();
    intptr_t sum = 0;
    for (intptr_t result : results)
        sum += result;
    return sum;
}

constexpr int board_max = 20;
unsigned all_columns;

intptr_t queens_below(unsigned free_columns, unsigned left, unsigned right)
{
    if (free_columns == 0)
        return 1;
    std::array<intptr_t, board_max> results;
    int n = 0;
    tbb::task_group group;
    for (unsigned open = free_columns & ~(left | right); open != 0; open &= open - 1, n++) {
        unsigned queen = open & -open;
        group.run([&result = results[n], queen, free_columns, left, right] {
            result = queens_below(free_columns & ~queen, ((left | queen) << 1) & all_columns, (right | queen) >> 1);
        });
    }
    group.wait();
    intptr_t sum = 0;
    for (int i = 0; i < n; i++)
        sum += results[i];
    return sum;
}

bool pass_flat(void *)
{
    std::vector<intptr_t> results(j.size);
    tbb::task_group group;
    for (long i = 0; i < j.size; i++)
        group.run([&result = results[i], i] { result = i; });
    group.wait();
    intptr_t sum = 0;
    for (intptr_t result : results)
        sum += result;
    return sum == j.size * (j.size - 1) / 2;
}

bool pass_startstop(void *)
{
    bool right = true;
    for (long i = 0; i < j.size; i++) {
        tbb::task_scheduler_handle handle{tbb::attach{}};
        int answer = 0;
        tbb::task_group group;
        group.run_and_wait([&answer] { answer = 7; });
        right &= answer == 7 && tbb::finalize(handle, std::nothrow);
    }
    return right;
}

bool is(const char *workload)
{
    return std::strcmp(j.workload, workload) == 0;
}

} // namespace

int main(int argc, char **argv)
{
    j = read_job(argc, argv);
    if (j.workers < 1)
        wrong(&j, "no threads");
    tbb::global_control limit(tbb::global_control::max_allowed_parallelism, j.workers);
    if (is("fib_half")) {
        measure(
            &j, fib_calls(j.size), [](void *) { return fib_half(j.size) == fib_value(j.size); }, nullptr);
    } else if (is("fib_both")) {
        measure(
            &j, fib_calls(j.size), [](void *) { return fib_both(j.size) == fib_value(j.size); }, nullptr);
    } else if (is("skynet")) {
        measure(
            &j, skynet_nodes(j.size), [](void *) { return skynet(0, j.size) == j.size * (j.size - 1) / 2; }, nullptr);
    } else if (is("nqueens") && j.size > 0 && j.size <= board_max) {
        queens q = count_queens(static_cast<int>(j.size));
        all_columns = (1u << j.size) - 1;
        measure(
            &j, static_cast<double>(q.nodes),
            [](void *solutions) { return queens_below(all_columns, 0, 0) == *static_cast<long *>(solutions); },
            &q.solutions);
    } else if (is("flat")) {
        measure(&j, static_cast<double>(j.size), pass_flat, nullptr);
    } else if (is("startstop")) {
        measure(&j, static_cast<double>(j.size), pass_startstop, nullptr);
    } else if (is("empty")) {
        tbb::task_group group;
        group.run_and_wait([] {});
    } else {
        unknown_workload(&j);
    }
    return 0;
}
