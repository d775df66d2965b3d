// SPDX-License-Identifier: Apache-2.0
/*
 * What the parts of the runtime cost, in nanoseconds a call, each beside its serial counterpart:
 *
 *     plain/...   C without tasks (plain.h)             jump/...   bare fcontext switches, one way
 *     sinew/.../workers:N                               the same work in tasks, on 1 and 2 workers (--workers 1,2,4)
 *
 * One benchmark is one runtime. Its body is the main task, and measures itself there by the wall clock, so that
 * starting and stopping the runtime is not counted. The first pass over the work is not part of the time: it
 * pays for memory that later passes find in the pools, and is shown as first_ns. All figures are for one operation:
 * a call of fib, a node of skynet, a task, a yield of one task, a round trip, an element sent and received, one jump.
 *
 * Each pass checks its result; a wrong one fails the benchmark.
 */
#include "plain.h"
#include "support.h"

#include <sinew.h>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <pthread.h>
#include <string>
#include <sys/mman.h>
#include <vector>

namespace
{

constexpr int fib_n = 35;
constexpr intptr_t fib_result = 9227465;
constexpr intptr_t leaves = 1000000;
constexpr intptr_t leaf_sum = leaves * (leaves - 1) / 2;
constexpr intptr_t skynet_nodes = (leaves * 10 - 1) / 9;
constexpr size_t flat_tasks = 1000000;

// One untimed pass, then as many as the library asks for. `pass` does `operations` of them and says if all was right.
template <class Pass> void measure(benchmark::State &state, intptr_t operations, Pass pass)
{
    int64_t begin = now_ns();
    bool right = pass();
    state.counters["first_ns"] = static_cast<double>(now_ns() - begin) / static_cast<double>(operations);
    while (right && state.KeepRunningBatch(operations)) {
        begin = now_ns();
        right = pass();
        state.SetIterationTime(static_cast<double>(now_ns() - begin) * 1e-9);
    }
    if (!right)
        state.SkipWithError("wrong result");
}

struct Body {
    benchmark::State *state;
    void (*measure)(benchmark::State &);
};

intptr_t main_task(void *arg)
{
    Body *body = static_cast<Body *>(arg);
    body->measure(*body->state);
    return 0;
}

void in_runtime(benchmark::State &state, unsigned workers, void (*measure_body)(benchmark::State &))
{
    sinew_options options = {};
    options.workers = workers;
    options.keep_sigint = true;
    Body body = {&state, measure_body};
    intptr_t result = sinew_run_with(&options, main_task, &body);
    if (result < 0)
        state.SkipWithError(strerror(static_cast<int>(-result)));
}

void *as_argument(intptr_t value)
{
    return reinterpret_cast<void *>(value);
}

// fib: every call is a task, or every other one.

PLAIN_CALL intptr_t fib_half_spawned(void *arg)
{
    intptr_t n = reinterpret_cast<intptr_t>(arg);
    if (n < 2)
        return n;
    sinew_task *a = sinew_spawn(fib_half_spawned, as_argument(n - 1));
    intptr_t b = fib_half_spawned(as_argument(n - 2));
    return sinew_await(a) + b;
}

PLAIN_CALL intptr_t fib_both_spawned(void *arg)
{
    intptr_t n = reinterpret_cast<intptr_t>(arg);
    if (n < 2)
        return n;
    sinew_task *a = sinew_spawn(fib_both_spawned, as_argument(n - 1));
    sinew_task *b = sinew_spawn(fib_both_spawned, as_argument(n - 2));
    intptr_t sum = sinew_await(a);
    return sum + sinew_await(b);
}

void sinew_fib_half(benchmark::State &state)
{
    measure(state, plain_fib_calls(fib_n), [] { return fib_half_spawned(as_argument(fib_n)) == fib_result; });
}

void sinew_fib_both(benchmark::State &state)
{
    measure(state, plain_fib_calls(fib_n), [] { return fib_both_spawned(as_argument(fib_n)) == fib_result; });
}

void plain_fib_benchmark(benchmark::State &state)
{
    measure(state, plain_fib_calls(fib_n), [] { return plain_fib(fib_n) == fib_result; });
}

void plain_fib_looped_benchmark(benchmark::State &state)
{
    measure(state, plain_fib_calls(fib_n), [] { return plain_fib_looped(fib_n) == fib_result; });
}

// skynet: ten children a node, 1,000,000 leaves.

struct SkynetNode {
    intptr_t first, leaves;
};

void split_skynet(const SkynetNode *node, SkynetNode children[10])
{
    intptr_t step = node->leaves / 10;
    for (int i = 0; i < 10; i++)
        children[i] = {node->first + i * step, step};
}

intptr_t sum_of(const intptr_t results[10])
{
    intptr_t sum = 0;
    for (int i = 0; i < 10; i++)
        sum += results[i];
    return sum;
}

PLAIN_CALL intptr_t skynet_gather(void *arg)
{
    const SkynetNode *node = static_cast<const SkynetNode *>(arg);
    if (node->leaves == 1)
        return node->first;
    SkynetNode children[10];
    sinew_task *tasks[10];
    intptr_t results[10];
    split_skynet(node, children);
    for (int i = 0; i < 10; i++)
        tasks[i] = sinew_spawn(skynet_gather, &children[i]);
    int status = sinew_gather(tasks, 10, results);
    return status < 0 ? status : sum_of(results);
}

PLAIN_CALL intptr_t skynet_map(void *arg)
{
    const SkynetNode *node = static_cast<const SkynetNode *>(arg);
    if (node->leaves == 1)
        return node->first;
    SkynetNode children[10];
    intptr_t results[10];
    split_skynet(node, children);
    int status = sinew_map(skynet_map, children, sizeof *children, 10, results);
    return status < 0 ? status : sum_of(results);
}

void sinew_skynet_gather(benchmark::State &state)
{
    SkynetNode root = {0, leaves};
    measure(state, skynet_nodes, [&root] { return skynet_gather(&root) == leaf_sum; });
}

void sinew_skynet_map(benchmark::State &state)
{
    SkynetNode root = {0, leaves};
    measure(state, skynet_nodes, [&root] { return skynet_map(&root) == leaf_sum; });
}

void plain_skynet_benchmark(benchmark::State &state)
{
    measure(state, skynet_nodes, [] { return plain_skynet(0, leaves) == leaf_sum; });
}

// One task at a time, a million at once, and a million without handles.

void sinew_spawn_await(benchmark::State &state)
{
    measure(state, 1000000, [] {
        intptr_t sum = 0;
        for (intptr_t i = 0; i < 1000000; i++)
            sum += sinew_await(sinew_spawn(plain_leaf, as_argument(i)));
        return sum == leaf_sum;
    });
}

bool right_results(const std::vector<intptr_t> &results)
{
    for (size_t i = 0; i < results.size(); i++)
        if (results[i] != static_cast<intptr_t>(i))
            return false;
    return true;
}

void sinew_flat(benchmark::State &state)
{
    std::vector<sinew_task *> tasks(flat_tasks);
    std::vector<intptr_t> results(flat_tasks);
    measure(state, flat_tasks, [&] {
        for (size_t i = 0; i < flat_tasks; i++)
            tasks[i] = sinew_spawn(plain_leaf, as_argument(static_cast<intptr_t>(i)));
        return sinew_gather(tasks.data(), flat_tasks, results.data()) == 0 && results.back() == flat_tasks - 1;
    });
    if (!right_results(results))
        state.SkipWithError("wrong result");
}

intptr_t load_argument(void *arg)
{
    return *static_cast<intptr_t *>(arg);
}

void sinew_map_million(benchmark::State &state)
{
    std::vector<intptr_t> arguments(flat_tasks), results(flat_tasks);
    for (size_t i = 0; i < flat_tasks; i++)
        arguments[i] = static_cast<intptr_t>(i);
    measure(state, flat_tasks, [&] {
        return sinew_map(load_argument, arguments.data(), sizeof(intptr_t), flat_tasks, results.data()) == 0 &&
               results.back() == flat_tasks - 1;
    });
    if (!right_results(results))
        state.SkipWithError("wrong result");
}

void plain_loop(benchmark::State &state)
{
    std::vector<intptr_t> arguments(flat_tasks), results(flat_tasks);
    measure(state, flat_tasks, [&] {
        plain_map(arguments.data(), sizeof(intptr_t), flat_tasks, results.data());
        return results.front() == reinterpret_cast<intptr_t>(arguments.data());
    });
}

// Switching: yields among tasks that have nothing else to do, and two tasks that wake each other.

intptr_t yield_often(void *arg)
{
    for (intptr_t left = reinterpret_cast<intptr_t>(arg); left > 0; left--) {
        int status = sinew_yield();
        if (status < 0)
            return status;
    }
    return 0;
}

template <size_t count> void sinew_yield_among(benchmark::State &state)
{
    constexpr intptr_t yields = 2000000;
    std::vector<sinew_task *> tasks(count);
    measure(state, yields, [&] {
        for (sinew_task *&task : tasks)
            task = sinew_spawn(yield_often, as_argument(yields / static_cast<intptr_t>(count)));
        return sinew_gather(tasks.data(), count, nullptr) == 0;
    });
}

struct Table {
    sinew_sem ball[2];
    intptr_t rounds;
};

intptr_t ping(void *arg)
{
    Table *table = static_cast<Table *>(arg);
    for (intptr_t i = 0; i < table->rounds; i++) {
        sinew_sem_post(&table->ball[0]);
        int status = sinew_sem_wait(&table->ball[1]);
        if (status < 0)
            return status;
    }
    return 0;
}

intptr_t pong(void *arg)
{
    Table *table = static_cast<Table *>(arg);
    for (intptr_t i = 0; i < table->rounds; i++) {
        int status = sinew_sem_wait(&table->ball[0]);
        if (status < 0)
            return status;
        sinew_sem_post(&table->ball[1]);
    }
    return 0;
}

void sinew_ping_pong(benchmark::State &state)
{
    Table table = {};
    table.rounds = 200000;
    sinew_sem_init(&table.ball[0], 0);
    sinew_sem_init(&table.ball[1], 0);
    measure(state, table.rounds, [&] {
        sinew_task *tasks[2] = {sinew_spawn(ping, &table), sinew_spawn(pong, &table)};
        return sinew_gather(tasks, 2, nullptr) == 0;
    });
}

// Channels: two tasks that meet at unbuffered ones, and one that sends what another receives through a buffer.

struct Wires {
    sinew_channel *wire[2];
    intptr_t rounds;
};

intptr_t serve(void *arg)
{
    Wires *wires = static_cast<Wires *>(arg);
    for (intptr_t i = 0, back = 0; i < wires->rounds; i++)
        if (sinew_channel_send(wires->wire[0], &i) < 0 || sinew_channel_recv(wires->wire[1], &back) < 0 || back != i)
            return -EIO;
    return 0;
}

intptr_t give_back(void *arg)
{
    Wires *wires = static_cast<Wires *>(arg);
    for (intptr_t i = 0, ball = 0; i < wires->rounds; i++)
        if (sinew_channel_recv(wires->wire[0], &ball) < 0 || sinew_channel_send(wires->wire[1], &ball) < 0)
            return -EIO;
    return 0;
}

intptr_t send_all(void *arg)
{
    Wires *wires = static_cast<Wires *>(arg);
    for (intptr_t i = 0; i < wires->rounds; i++)
        if (sinew_channel_send(wires->wire[0], &i) < 0)
            return -EIO;
    return 0;
}

intptr_t receive_all(void *arg)
{
    Wires *wires = static_cast<Wires *>(arg);
    for (intptr_t i = 0, got = 0; i < wires->rounds; i++)
        if (sinew_channel_recv(wires->wire[0], &got) < 0 || got != i)
            return -EIO;
    return 0;
}

void between_two(benchmark::State &state, size_t capacity, sinew_fn a, sinew_fn b)
{
    Wires wires = {{sinew_channel_new(sizeof(intptr_t), capacity), sinew_channel_new(sizeof(intptr_t), capacity)},
                   200000};
    measure(state, wires.rounds, [&] {
        sinew_task *tasks[2] = {sinew_spawn(a, &wires), sinew_spawn(b, &wires)};
        return sinew_gather(tasks, 2, nullptr) == 0;
    });
    for (sinew_channel *wire : wires.wire)
        sinew_channel_unref(wire);
}

void sinew_channel_ping_pong(benchmark::State &state)
{
    between_two(state, 0, serve, give_back);
}

void sinew_channel_buffered(benchmark::State &state)
{
    between_two(state, 64, send_all, receive_all);
}

// A lock that nobody else wants, taken and given back.

constexpr intptr_t lock_times = 1000000;

void plain_mutex(benchmark::State &state)
{
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    measure(state, lock_times, [&] {
        for (intptr_t i = 0; i < lock_times; i++) {
            pthread_mutex_lock(&mutex);
            pthread_mutex_unlock(&mutex);
        }
        return true;
    });
}

void sinew_mutex_pair(benchmark::State &state)
{
    sinew_mutex mutex;
    sinew_mutex_init(&mutex);
    measure(state, lock_times, [&] {
        for (intptr_t i = 0; i < lock_times; i++) {
            if (sinew_mutex_lock(&mutex) != 0)
                return false;
            sinew_mutex_unlock(&mutex);
        }
        return true;
    });
}

// Bare jumps, one way: the least a switch can cost. Between two contexts, and around a ring of many.

extern "C" {
struct Transfer {
    void *context, *data;
};
void *make_fcontext(void *stack_top, size_t bytes, void (*entry)(Transfer));
Transfer jump_fcontext(void *context, void *data);
}

constexpr intptr_t jumps = 2000000;

class Stacks
{
  public:
    explicit Stacks(size_t count) : bytes(count * stack_bytes)
    {
        memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            die("mmap");
    }
    Stacks(const Stacks &) = delete;
    Stacks &operator=(const Stacks &) = delete;
    ~Stacks()
    {
        munmap(memory, bytes);
    }
    void *make_context(size_t i, void (*entry)(Transfer)) const
    {
        // Tops a power of two apart would all fall on the same few cache lines' places; spread over a page they do not.
        size_t shift = i * 320 % 4096;
        return make_fcontext(static_cast<char *>(memory) + (i + 1) * stack_bytes - shift, stack_bytes - shift, entry);
    }

  private:
    static constexpr size_t stack_bytes = 16 << 10;
    size_t bytes;
    void *memory;
};

void jump_back(Transfer from)
{
    for (;;)
        from = jump_fcontext(from.context, nullptr);
}

void jump_between_two(benchmark::State &state)
{
    Stacks stacks(1);
    Transfer other = {stacks.make_context(0, jump_back), nullptr};
    measure(state, jumps, [&] {
        for (intptr_t left = jumps; left > 0; left -= 2)
            other = jump_fcontext(other.context, nullptr);
        return true;
    });
}

// Each member stores, for the one before it, where that one stopped, and jumps to the next. Member 0 is the measuring
// thread; it is the one that counts.
struct RingMember {
    void *context;
    RingMember *before, *after;
};

void jump_to_next(RingMember *self)
{
    self->before->context = jump_fcontext(self->after->context, self->after).context;
}

void ring_member(Transfer from)
{
    RingMember *self = static_cast<RingMember *>(from.data);
    self->before->context = from.context;
    for (;;)
        jump_to_next(self);
}

void jump_around_thousand(benchmark::State &state)
{
    constexpr size_t count = 1000;
    Stacks stacks(count);
    std::vector<RingMember> ring(count);
    for (size_t i = 0; i < count; i++)
        ring[i] = {stacks.make_context(i, ring_member), &ring[(i + count - 1) % count], &ring[(i + 1) % count]};
    measure(state, jumps, [&] {
        for (intptr_t left = jumps; left > 0; left -= count)
            jump_to_next(&ring[0]);
        return true;
    });
}

void register_plain(const char *name, void (*function)(benchmark::State &))
{
    benchmark::RegisterBenchmark(name, function)->UseManualTime();
}

void register_tasks(const char *name, const std::vector<unsigned> &workers, void (*body)(benchmark::State &))
{
    for (unsigned count : workers) {
        std::string full = std::string("sinew/") + name + "/workers:" + std::to_string(count);
        benchmark::RegisterBenchmark(full.c_str(),
                                     [count, body](benchmark::State &state) { in_runtime(state, count, body); })
            ->UseManualTime()
            ->MeasureProcessCPUTime();
    }
}

// Takes "--workers 1,2,4" out of the arguments; the rest is for the library.
std::vector<unsigned> take_workers(int *argc, char **argv)
{
    std::vector<unsigned> workers;
    int kept = 1;
    for (int i = 1; i < *argc; i++) {
        if (std::strcmp(argv[i], "--workers") != 0) {
            argv[kept++] = argv[i];
            continue;
        }
        std::string list = i + 1 < *argc ? argv[++i] : "";
        for (size_t at = 0; at <= list.size();) {
            size_t comma = std::min(list.find(',', at), list.size());
            long count = number_argument("--workers", list.substr(at, comma - at).c_str(), 1);
            workers.push_back(static_cast<unsigned>(count));
            at = comma + 1;
        }
    }
    *argc = kept;
    argv[kept] = nullptr;
    return workers.empty() ? std::vector<unsigned>{1, 2} : workers;
}

} // namespace

int main(int argc, char **argv)
{
    std::vector<unsigned> workers = take_workers(&argc, argv);
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv))
        return 2;

    register_plain("plain/fib", plain_fib_benchmark);
    register_plain("plain/fib_looped", plain_fib_looped_benchmark);
    register_tasks("fib_half", workers, sinew_fib_half);
    register_tasks("fib_both", workers, sinew_fib_both);
    register_plain("plain/skynet", plain_skynet_benchmark);
    register_tasks("skynet_gather", workers, sinew_skynet_gather);
    register_tasks("skynet_map", workers, sinew_skynet_map);
    register_plain("plain/loop", plain_loop);
    register_tasks("spawn_await", workers, sinew_spawn_await);
    register_tasks("flat", workers, sinew_flat);
    register_tasks("map", workers, sinew_map_million);
    register_plain("jump/2", jump_between_two);
    register_plain("jump/1000", jump_around_thousand);
    register_tasks("yield/2", workers, sinew_yield_among<2>);
    register_tasks("yield/1000", workers, sinew_yield_among<1000>);
    register_tasks("ping_pong", workers, sinew_ping_pong);
    register_tasks("channel/ping_pong", workers, sinew_channel_ping_pong);
    register_tasks("channel/buffered", workers, sinew_channel_buffered);
    register_plain("plain/mutex", plain_mutex);
    register_tasks("mutex", workers, sinew_mutex_pair);

    size_t run = benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return run > 0 ? 0 : 1;
}
