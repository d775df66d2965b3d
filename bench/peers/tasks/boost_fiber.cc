// SPDX-License-Identifier: Apache-2.0
/*
 * Boost.Fiber: stackful fibers of C++, and so the nearest relative. What was chosen:
 *
 * - One worker: round_robin, the default and its fastest, with pooled stacks for fork-join. Two workers: the
 *   work_stealing algorithm without suspending (its threads poll, which Boost's own benchmarks do too), and stacks from
 *   malloc, since the pool is for one thread.
 * - Stacks of 16 KiB, as sinew's least, without guard pages (sinew has them; Boost's with guards are slower still), and
 *   fewer tasks than the others where each of them has a stack at the same time.
 * - launch::post for spawned fibers, which queues them as everybody else does; a future for each result.
 * - The channels are its unbuffered_channel (ping-pong) and buffered_channel, whose room is a power of two of which one
 *   place stays empty.
 * - wakeup: a promise set by a plain thread.
 * - There is no cancelling and no timer without a fiber; a runtime is started by using it. Those are left out.
 */
#include "measure.h"

#include <boost/fiber/all.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <ctime>
#include <thread>
#include <vector>

namespace
{

namespace fibers = boost::fibers;
using clock_type = std::chrono::steady_clock;

job j;

constexpr std::size_t stack_bytes = 16 << 10;

// The pool belongs to the one thread that runs fibers; with several, malloc is what may be called by all.
fibers::pooled_fixedsize_stack &pool()
{
    static fibers::pooled_fixedsize_stack stacks(stack_bytes);
    return stacks;
}

template <class Function> auto spawn(Function function)
{
    if (j.workers < 2)
        return fibers::async(fibers::launch::post, std::allocator_arg, pool(), function);
    return fibers::async(fibers::launch::post, std::allocator_arg, fibers::fixedsize_stack(stack_bytes), function);
}

intptr_t fib_half(intptr_t n)
{
    if (n < 2)
        return n;
    auto a = spawn([n] { return fib_half(n - 1); });
    intptr_t b = fib_half(n - 2);
    return a.get() + b;
}

intptr_t fib_both(intptr_t n)
{
    if (n < 2)
        return n;
    auto a = spawn([n] { return fib_both(n - 1); });
    auto b = spawn([n] { return fib_both(n - 2); });
    return a.get() + b.get();
}

intptr_t skynet(intptr_t first, intptr_t leaves)
{
    if (leaves == 1)
        return first;
    std::array<fibers::future<intptr_t>, 10> results;
    intptr_t step = leaves / 10, sum = 0;
    for (int i = 0; i < 10; i++)
        results[i] = spawn([=] { return skynet(first + i * step, step); });
    for (auto &result : results)
        sum += result.get();
    return sum;
}

constexpr int board_max = 20;
unsigned all_columns;

intptr_t queens_below(unsigned free_columns, unsigned left, unsigned right)
{
    if (free_columns == 0)
        return 1;
    std::array<fibers::future<intptr_t>, board_max> results;
    int n = 0;
    for (unsigned open = free_columns & ~(left | right); open != 0; open &= open - 1) {
        unsigned queen = open & -open;
        results[n++] = spawn([=] {
            return queens_below(free_columns & ~queen, ((left | queen) << 1) & all_columns, (right | queen) >> 1);
        });
    }
    intptr_t sum = 0;
    for (int i = 0; i < n; i++)
        sum += results[i].get();
    return sum;
}

bool pass_flat(void *)
{
    std::vector<fibers::future<intptr_t>> results(j.size);
    for (long i = 0; i < j.size; i++)
        results[i] = spawn([i]() -> intptr_t { return i; });
    intptr_t sum = 0;
    for (auto &result : results)
        sum += result.get();
    return sum == j.size * (j.size - 1) / 2;
}

// Fibers that live long, many or few: a stack each from malloc, joined.
template <class Function> fibers::fiber long_lived(Function function)
{
    return fibers::fiber(fibers::launch::post, std::allocator_arg, fibers::fixedsize_stack(stack_bytes), function);
}

void join_all(std::vector<fibers::fiber> &all)
{
    for (fibers::fiber &one : all)
        one.join();
}

constexpr long yields = 400000;

bool pass_yield(void *)
{
    std::vector<fibers::fiber> all;
    for (long i = 0; i < j.size; i++)
        all.push_back(long_lived([] {
            for (long left = yields / j.size; left > 0; left--)
                boost::this_fiber::yield();
        }));
    join_all(all);
    return true;
}

bool pass_pingpong(void *)
{
    fibers::unbuffered_channel<intptr_t> there, back;
    bool right = true;
    std::vector<fibers::fiber> all;
    all.push_back(long_lived([&] {
        for (intptr_t i = 0; i < j.size; i++) {
            there.push(i);
            right &= back.value_pop() == i;
        }
    }));
    all.push_back(long_lived([&] {
        for (intptr_t i = 0; i < j.size; i++)
            back.push(there.value_pop());
    }));
    join_all(all);
    return right;
}

bool pass_mpmc(void *)
{
    constexpr int producers = 4;
    fibers::buffered_channel<intptr_t> wire(64);
    std::atomic<int> producing = producers;
    std::atomic<intptr_t> received = 0;
    intptr_t each = j.size / producers;
    std::vector<fibers::fiber> all;
    for (int i = 0; i < producers; i++)
        all.push_back(long_lived([&] {
            for (intptr_t k = 0; k < each; k++)
                wire.push(k);
            if (--producing == 0)
                wire.close();
        }));
    for (int i = 0; i < producers; i++)
        all.push_back(long_lived([&] {
            intptr_t sum = 0, got;
            while (wire.pop(got) == fibers::channel_op_status::success)
                sum += got;
            received += sum;
        }));
    join_all(all);
    return received == producers * (each * (each - 1) / 2);
}

bool pass_mutex(void *yielding)
{
    constexpr int lockers = 8;
    fibers::mutex mutex;
    long counter = 0;
    std::vector<fibers::fiber> all;
    for (int i = 0; i < lockers; i++)
        all.push_back(long_lived([&] {
            for (long k = 0; k < j.size / lockers; k++) {
                mutex.lock();
                counter++;
                if (yielding)
                    boost::this_fiber::yield();
                mutex.unlock();
            }
        }));
    join_all(all);
    return counter == j.size / lockers * lockers;
}

void sleepers()
{
    once o = begin_once();
    std::atomic<long> asleep = 0, most = 0;
    memory_use peak = {};
    std::vector<fibers::fiber> all;
    all.reserve(j.size);
    for (long i = 0; i < j.size; i++)
        all.push_back(long_lived([&] {
            long now = asleep.fetch_add(1, std::memory_order_relaxed) + 1;
            if (now > most.load(std::memory_order_relaxed))
                most.store(now, std::memory_order_relaxed);
            if (now == j.size)
                peak = read_memory();
            boost::this_fiber::sleep_for(std::chrono::seconds(1));
            asleep.fetch_sub(1, std::memory_order_relaxed);
        }));
    join_all(all);
    print_once(&j, &o, peak, static_cast<double>(most));
}

void fire()
{
    for (auto lead = std::chrono::microseconds(4 * j.size) + std::chrono::milliseconds(100);; lead *= 2) {
        auto at = clock_type::now() + lead;
        std::atomic<long> asleep = 0;
        std::vector<fibers::fiber> all;
        all.reserve(j.size);
        for (long i = 0; i < j.size; i++)
            all.push_back(long_lived([&] {
                asleep.fetch_add(1, std::memory_order_relaxed);
                boost::this_fiber::sleep_until(at);
            }));
        boost::this_fiber::sleep_until(at - std::chrono::milliseconds(20));
        bool early = asleep == j.size && clock_type::now() < at;
        int64_t cpu = cpu_ns();
        join_all(all);
        double wall = std::chrono::duration<double, std::nano>(clock_type::now() - at).count();
        cpu = cpu_ns() - cpu;
        if (!early)
            continue;
        value values[] = {{"ns", wall / static_cast<double>(j.size)},
                          {"cpu_ns", static_cast<double>(cpu) / static_cast<double>(j.size)}};
        print_values(&j, 2, values);
        return;
    }
}

void wakeup()
{
    std::vector<fibers::promise<long>> letters(j.size);
    std::vector<int64_t> sent(j.size), latencies(j.size);
    std::thread sender([&] {
        for (long i = 0; i < j.size; i++) {
            std::this_thread::sleep_for(std::chrono::nanoseconds(wakeup_pause_ns));
            sent[i] = now_ns();
            letters[i].set_value(i);
        }
    });
    for (long i = 0; i < j.size; i++) {
        if (letters[i].get_future().get() != i)
            wrong(&j, "wrong letter");
        latencies[i] = now_ns() - sent[i];
    }
    sender.join();
    print_latencies(&j, latencies.size(), latencies.data());
}

bool is(const char *workload)
{
    return std::strcmp(j.workload, workload) == 0;
}

void run()
{
    double size = static_cast<double>(j.size);
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
        measure(&j, size, pass_flat, nullptr);
    } else if (is("yield") && j.size > 0) {
        measure(&j, static_cast<double>(yields / j.size * j.size), pass_yield, nullptr);
    } else if (is("pingpong")) {
        measure(&j, size, pass_pingpong, nullptr);
    } else if (is("mpmc")) {
        measure(&j, size, pass_mpmc, nullptr);
    } else if (is("mutex") || is("mutex_held")) {
        measure(&j, size, pass_mutex, is("mutex_held") ? &j : nullptr);
    } else if (is("sleepers")) {
        sleepers();
    } else if (is("fire")) {
        fire();
    } else if (is("wakeup")) {
        wakeup();
    } else if (is("empty")) {
        spawn([] { return 0; }).get();
    } else {
        unknown_workload(&j);
    }
}

// The other workers schedule until the main fiber is done; they wait for it on a fiber's condition, which runs fibers.
void run_with_workers()
{
    fibers::mutex lock;
    fibers::condition_variable ended;
    bool done = false;
    std::vector<std::thread> threads;
    for (unsigned i = 1; i < j.workers; i++)
        threads.emplace_back([&] {
            fibers::use_scheduling_algorithm<fibers::algo::work_stealing>(j.workers);
            std::unique_lock<fibers::mutex> held(lock);
            ended.wait(held, [&] { return done; });
        });
    fibers::use_scheduling_algorithm<fibers::algo::work_stealing>(j.workers);
    run();
    {
        std::unique_lock<fibers::mutex> held(lock);
        done = true;
    }
    ended.notify_all();
    for (std::thread &thread : threads)
        thread.join();
}

} // namespace

int main(int argc, char **argv)
{
    j = read_job(argc, argv);
    if (j.workers > 1)
        run_with_workers();
    else
        run();
    return 0;
}
