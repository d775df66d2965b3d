#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""asyncio, and asyncio on uvloop's event loop.

    eventloop.py [--uvloop] WORKLOAD SIZE WORKERS [SECONDS]

What was chosen:

- Tasks, futures, queues and locks are the same C and Python code under both loops; uvloop replaces the loop itself: the
  ready queue, timers, and waking by a thread. It therefore runs what goes through those, and not every fork-join again.
- asyncio has one worker. Recursion makes a task with create_task, and results come back by await and gather.
- There are no channels: Queue(1) for the ping-pong, which is as near to unbuffered as it gets, and Queue(64).
- timers: call_later and cancel. timeout: `async with asyncio.timeout` around a call that suspends. fire: call_at.
- wakeup: a plain thread calls call_soon_threadsafe(future.set_result, ...).
- The garbage collector stays on, as in everybody's programs.
"""

import asyncio
import json
import statistics
import sys
import threading
import time

YIELDS = 100_000
PRODUCERS = 4
LOCKERS = 8
WAKEUP_PAUSE_S = 500e-6
MEMORY_LABELS = ("VmRSS:", "VmHWM:", "VmPTE:")


class Job:
    def __init__(self, workload, size, workers, seconds="0.3"):
        self.workload, self.size, self.workers, self.seconds = workload, int(size), int(workers), float(seconds)


def wrong(job, what):
    sys.exit(f"{job.workload} {job.size}, {job.workers} workers: {what}")


def print_values(job, values):
    print(json.dumps({"workload": job.workload, "size": job.size, "workers": job.workers, **values}))


def read_memory():
    """Resident memory, its peak, page tables: bytes."""
    with open("/proc/self/status", encoding="ascii") as f:
        found = {line.split()[0]: int(line.split()[1]) * 1024 for line in f if line.startswith(MEMORY_LABELS)}
    return [found[label] for label in MEMORY_LABELS]


def bytes_between(before, after):
    return after[1] - before[0] + after[2] - before[2]


class Setup:
    """What lies in a with statement of it is no part of the pass."""

    def __init__(self):
        self.ns = self.cpu_ns = 0

    def __enter__(self):
        self.ns -= time.perf_counter_ns()
        self.cpu_ns -= time.process_time_ns()

    def __exit__(self, *_exception):
        self.ns += time.perf_counter_ns()
        self.cpu_ns += time.process_time_ns()


setup = Setup()


async def measure(job, operations, one_pass):
    """One untimed pass, then as many as `seconds` hold; what is printed stands in measure.h."""
    before = read_memory()
    begin = time.perf_counter_ns()
    if not await one_pass():
        wrong(job, "wrong result")
    first = time.perf_counter_ns() - begin - setup.ns
    held = bytes_between(before, read_memory())

    times = []
    setup.cpu_ns = 0
    end, cpu = time.perf_counter() + job.seconds, time.process_time_ns()
    while not times or time.perf_counter() < end:
        setup.ns = 0
        begin = time.perf_counter_ns()
        right = await one_pass()
        times.append(time.perf_counter_ns() - begin - setup.ns)
        if not right:
            wrong(job, "wrong result")
    cpu = time.process_time_ns() - cpu - setup.cpu_ns
    print_values(job, {
        "ns": sum(times) / len(times) / operations, "cpu_ns": cpu / len(times) / operations,
        "median_ns": statistics.median(times) / operations, "min_ns": min(times) / operations,
        "first_ns": first / operations, "bytes": held / operations, "passes": len(times),
    })


# --- fork-join ---------------------------------------------------------------------------------------------------


def fib_value(n):
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


def fib_calls(n):
    return 2 * fib_value(n + 1) - 1


async def fib_half(n):
    if n < 2:
        return n
    a = asyncio.create_task(fib_half(n - 1))
    b = await fib_half(n - 2)
    return await a + b


async def fib_both(n):
    if n < 2:
        return n
    a = asyncio.create_task(fib_both(n - 1))
    b = asyncio.create_task(fib_both(n - 2))
    return await a + await b


async def skynet(first, leaves):
    if leaves == 1:
        return first
    step = leaves // 10
    return sum(await asyncio.gather(*[skynet(first + i * step, step) for i in range(10)]))


def boards_below(board):
    free, left, right, every = board
    opened = free & ~(left | right)
    while opened:
        queen = opened & -opened
        opened &= opened - 1
        yield free & ~queen, (left | queen) << 1 & every, (right | queen) >> 1, every


async def queens_below(board):
    if board[0] == 0:
        return 1
    return sum(await asyncio.gather(*[queens_below(child) for child in boards_below(board)]))


def count_queens(board):
    """Valid placements, this one included, and solutions."""
    if board[0] == 0:
        return 1, 1
    counts = [count_queens(child) for child in boards_below(board)]
    return 1 + sum(nodes for nodes, _ in counts), sum(solutions for _, solutions in counts)


async def value(n):
    return n


async def flat(job):
    tasks = [asyncio.create_task(value(i)) for i in range(job.size)]
    return sum(await asyncio.gather(*tasks)) == job.size * (job.size - 1) // 2


# --- switches, queues, locks -------------------------------------------------------------------------------------


async def yields(job):
    async def yield_often():
        for _ in range(YIELDS // job.size):
            await asyncio.sleep(0)

    await asyncio.gather(*[yield_often() for _ in range(job.size)])
    return True


async def pingpong(job):
    there, back = asyncio.Queue(1), asyncio.Queue(1)

    async def serve():
        right = True
        for i in range(job.size):
            await there.put(i)
            right &= await back.get() == i
        return right

    async def give_back():
        for _ in range(job.size):
            await back.put(await there.get())
        return True

    return all(await asyncio.gather(serve(), give_back()))


async def mpmc(job):
    wire, each = asyncio.Queue(64), job.size // PRODUCERS

    async def produce():
        for i in range(each):
            await wire.put(i)
        return 0

    async def consume():
        total = 0
        while (got := await wire.get()) is not None:
            total += got
        return total

    consumers = [asyncio.create_task(consume()) for _ in range(PRODUCERS)]
    await asyncio.gather(*[produce() for _ in range(PRODUCERS)])
    for _ in consumers:
        await wire.put(None)  # a Queue cannot be closed
    return sum(await asyncio.gather(*consumers)) == PRODUCERS * (each * (each - 1) // 2)


async def mutex(job, yielding):
    lock, counter = asyncio.Lock(), 0

    async def lock_often():
        nonlocal counter
        for _ in range(job.size // LOCKERS):
            async with lock:
                counter += 1
                if yielding:
                    await asyncio.sleep(0)

    await asyncio.gather(*[lock_often() for _ in range(LOCKERS)])
    return counter == job.size // LOCKERS * LOCKERS


# --- sleeping, timers, cancelling --------------------------------------------------------------------------------


async def sleepers(job):
    before, begin, cpu = read_memory(), time.perf_counter(), time.process_time()
    asleep = most = 0
    peak = before

    async def sleep_a_second():
        nonlocal asleep, most, peak
        asleep += 1
        most = max(most, asleep)
        if asleep == job.size:
            peak = read_memory()
        await asyncio.sleep(1)
        asleep -= 1

    tasks = [asyncio.create_task(sleep_a_second()) for _ in range(job.size)]
    for task in tasks:
        await task
    wall, cpu, last = time.perf_counter() - begin, time.process_time() - cpu, read_memory()
    held = bytes_between(before, [0, last[1], max(peak[2], last[2])])
    print_values(job, {"wall_s": wall, "cpu_s": cpu, "bytes": held / most, "at_once": most})


def timer_duration(i):
    """Seconds."""
    return 10 + i * 2654435761 % 100_000_000_000 * 1e-9


def nothing():
    pass


async def timers(job):
    loop = asyncio.get_running_loop()
    handles = [loop.call_later(timer_duration(i), nothing) for i in range(job.size)]
    while handles:
        handles.pop().cancel()
    return True


async def timeout(job):
    for _ in range(job.size):
        async with asyncio.timeout(10):
            await asyncio.sleep(0)
    return True


async def fire(job):
    loop = asyncio.get_running_loop()
    lead = job.size * 2e-6 + 0.1
    while True:
        at, fired, done = loop.time() + lead, 0, loop.create_future()

        def count():
            nonlocal fired
            fired += 1
            if fired == job.size:
                done.set_result(None)

        for _ in range(job.size):
            loop.call_at(at, count)
        await asyncio.sleep(at - loop.time() - 0.02)
        early, cpu = time.monotonic() < at, time.process_time_ns()
        await done
        wall, cpu = time.monotonic() - at, time.process_time_ns() - cpu
        if early:
            print_values(job, {"ns": wall * 1e9 / job.size, "cpu_ns": cpu / job.size})
            return
        lead *= 2


async def cancel(job):
    with setup:
        tasks = [asyncio.create_task(asyncio.sleep(3600)) for _ in range(job.size)]
        await asyncio.sleep(0)
    cancelled = 0
    for task in tasks:
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            cancelled += 1
    return cancelled == job.size


async def wakeup(job):
    loop = asyncio.get_running_loop()
    letters = [loop.create_future() for _ in range(job.size)]

    def send():
        for letter in letters:
            time.sleep(WAKEUP_PAUSE_S)
            loop.call_soon_threadsafe(letter.set_result, time.perf_counter_ns())

    thread = threading.Thread(target=send)
    thread.start()
    latencies = []
    for letter in letters:
        sent = await letter
        latencies.append(time.perf_counter_ns() - sent)
    thread.join()
    latencies.sort()
    n = len(latencies)
    print_values(job, {"p50_ns": latencies[n // 2], "p99_ns": latencies[n * 99 // 100], "max_ns": latencies[-1]})


async def startstop(job, run):
    """Measured outside of a loop: what measure() awaits never suspends."""
    return all(run(value(7)) == 7 for _ in range(job.size))


# --- the command line --------------------------------------------------------------------------------------------


async def measure_fib(job, fib):
    async def one_pass():
        return await fib(job.size) == fib_value(job.size)

    await measure(job, fib_calls(job.size), one_pass)


async def measure_skynet(job):
    async def one_pass():
        return await skynet(0, job.size) == job.size * (job.size - 1) // 2

    await measure(job, (job.size * 10 - 1) // 9, one_pass)


async def measure_queens(job):
    every = (1 << job.size) - 1
    empty = (every, 0, 0, every)
    nodes, solutions = count_queens(empty)

    async def one_pass():
        return await queens_below(empty) == solutions

    await measure(job, nodes, one_pass)


def repeated(one_pass, *more, operations=lambda size: size):
    return lambda job: measure(job, operations(job.size), lambda: one_pass(job, *more))


WORKLOADS = {
    "fib_half": lambda job: measure_fib(job, fib_half),
    "fib_both": lambda job: measure_fib(job, fib_both),
    "skynet": measure_skynet,
    "nqueens": measure_queens,
    "flat": repeated(flat),
    "yield": repeated(yields, operations=lambda size: YIELDS // size * size),
    "pingpong": repeated(pingpong),
    "mpmc": repeated(mpmc),
    "mutex": repeated(mutex, False),
    "mutex_held": repeated(mutex, True),
    "sleepers": sleepers,
    "timers": repeated(timers),
    "timeout": repeated(timeout),
    "fire": fire,
    "cancel": repeated(cancel),
    "wakeup": wakeup,
    "empty": lambda _job: value(0),
}


def new_runner(name):
    """A function that runs a coroutine in a new event loop, as asyncio.run does."""
    if name == "asyncio":
        return asyncio.run
    import uvloop

    def run(coroutine):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(coroutine)

    return run


def finish(coroutine):
    """Runs a coroutine that never suspends."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise RuntimeError("it suspended")


def main():
    arguments = sys.argv[1:]
    name = "asyncio"
    if arguments[:1] == ["--uvloop"]:
        name = "uvloop"
        del arguments[0]
    try:
        job = Job(*arguments)
    except (TypeError, ValueError):
        print("usage: eventloop.py [--uvloop] WORKLOAD SIZE WORKERS [SECONDS]", file=sys.stderr)
        sys.exit(2)
    run = new_runner(name)
    if job.workload == "startstop":
        finish(measure(job, job.size, lambda: startstop(job, run)))
    elif job.workload in WORKLOADS:
        run(WORKLOADS[job.workload](job))
    else:
        print(f"{job.workload}: this program has no such workload", file=sys.stderr)
        sys.exit(2)


main()
