# SPDX-License-Identifier: Apache-2.0
"""Tasks beside tasks: fork-join, switches, channels, locks, sleeping, timers, waking up, starting, cancelling.

Every program in tasks/ takes WORKLOAD SIZE WORKERS [SECONDS], checks its own results, and prints a line of JSON
(tasks/measure.h); its head says how it does each workload and why. Who cannot do a workload is not in it: oneTBB's and
OpenMP's tasks cannot suspend, Boost.Fiber has no cancelling and no timers, asyncio has one worker, and Go's runtime
cannot be started within a process. A contestant that would take minutes, or memory that there is not, gets a smaller
size; all figures are per operation, and the note says so.
"""

import json
import os
import pathlib
import subprocess
import time

from measure import Extra, Failure, Workload, peer

PYTHON = "/usr/bin/python3"  # Debian's, for which there is python3-uvloop
EVENT_LOOP = pathlib.Path(__file__).resolve().parent / "tasks" / "eventloop.py"

GROUPS = {
    "forkjoin": ("Fork-join", "Nanoseconds a call (fib), a node (skynet), a placement (nqueens), a task (flat). Plain "
                              "recursion and a plain loop are the floor. No cut-offs."),
    "switches": ("Switches, channels, locks", "Nanoseconds a yield, a round trip, an element, a locked section."),
    "sleeping": ("Sleeping and timers", "A million of them at once."),
    "waking": ("Waking up, starting, stopping, cancelling", ""),
    "scaling": ("More workers than CPUs", "sinew alone, on the CPUs there are: what threads that get no CPU of their "
                                          "own cost. The runtime's counters are per thousand operations."),
}

# Contestant -> program in build/peers/tasks; asyncio and uvloop are EVENT_LOOP.
PROGRAMS = {
    "sinew": "sinew", "sinew (map)": "sinew", "plain C": "plain", "oneTBB": "onetbb", "OpenMP": "openmp", "Go": "go",
    "tokio": "tokio", "tokio (current_thread)": "tokio", "tokio (std mutex)": "tokio", "Boost.Fiber": "boost_fiber",
}
COMPUTE = ("sinew", "plain C", "oneTBB", "OpenMP", "tokio", "Go", "Boost.Fiber", "asyncio")
SUSPEND = ("sinew", "plain C", "tokio", "Go", "Boost.Fiber", "asyncio", "uvloop")
ONE_WORKER = ("asyncio", "uvloop", "tokio (current_thread)")

CPU = {"cpu_ns": Extra("CPU time", "ns")}


class Field:
    """Where the programs are, and whether samples are to be short."""

    def __init__(self, build_dir, quick):
        self.build, self.quick = pathlib.Path(build_dir) / "tasks", quick
        try:
            found = subprocess.run([PYTHON, "-c", "import uvloop"], capture_output=True).returncode == 0
        except OSError:
            found = False
        self.no_uvloop = None if found else f"uvloop is missing for {PYTHON} (python3-uvloop)"

    def command(self, name, workload, size, workers, seconds=None):
        if name not in PROGRAMS:
            command = [PYTHON, EVENT_LOOP] + (["--uvloop"] if name == "uvloop" else [])
        else:
            command = [self.build / PROGRAMS[name]]
        workers = 0 if name == "tokio (current_thread)" else workers
        seconds = seconds if seconds is not None else 0.05 if self.quick else 0.3
        return [str(word) for word in [*command, workload, size, workers, seconds]]

    def had(self, name, run):
        """run, or why there is none."""
        if name not in PROGRAMS:
            return self.no_uvloop if name == "uvloop" and self.no_uvloop else run
        return peer(self.build / PROGRAMS[name], run)

    def contestant(self, name, workload, size, workers, value, cpus=None):
        command = self.command(name, workload, size, workers)

        def run(machine):
            figures = json.loads(machine.run(machine.pinned(command, 0, cpus or workers), timeout=300))
            figures["value"] = figures[value]
            return figures

        return self.had(name, run)

    def workload(self, group, key, title, names, workload, size, workers=1, sizes=None, value="ns", unit="ns",
                 extras=None, note="", cpus=None):
        """One Workload. `size` is (full, quick), `sizes` the same for those who have another; `workload` is what the
        programs call it, by name of contestant where they differ; `value` the figure it is about."""
        contestants, smaller = {}, []
        for name in names:
            if workers > 1 and name in ONE_WORKER:
                continue
            own = (sizes or {}).get(name, size)
            if own != size:
                smaller.append(f"{name} {own[self.quick]:,}")
            called = workload.get(name, workload[""]) if isinstance(workload, dict) else workload
            contestants[name] = self.contestant(name, called, own[self.quick], workers, value, cpus)
        if smaller:
            note = f"{note} " if note else ""
            note += f"{title}: size {size[self.quick]:,}; {', '.join(smaller)}."
        several = f"{workers} workers" if workers > 1 else "1 worker"
        return Workload(key=f"{key}.{workers}", title=f"{title}, {several}", unit=unit, better="less",
                        contestants=contestants, group=group, extras=CPU if extras is None else extras, note=note)


def fork_join(field):
    fib = {"": (35, 27), "oneTBB": (30, 24), "OpenMP": (30, 22), "tokio": (30, 22), "Go": (30, 22),
           "Boost.Fiber": (22, 17), "asyncio": (20, 15)}
    tenth = {"Boost.Fiber": (100_000, 10_000), "asyncio": (100_000, 10_000)}
    queens = {"Boost.Fiber": (9, 8), "asyncio": (9, 7)}
    memory = {**CPU, "bytes": Extra("memory a task", "bytes")}
    result = []
    for workers in (1, 2):
        names = [name for name in COMPUTE if workers == 1 or name != "plain C"]
        if workers == 1:
            names.insert(names.index("tokio") + 1, "tokio (current_thread)")

        def add(key, title, workload, size, sizes=None, names=names, **more):
            result.append(field.workload("forkjoin", key, title, names, workload, size, workers, sizes, **more))

        for key, title in (("half", "one half spawned"), ("both", "both halves spawned")):
            name = f"fib_{key}"
            sizes = {**fib, "tokio (current_thread)": fib["tokio"]}
            add(f"fib.{key}", f"fib, {title}, a call", {"": name, "plain C": "fib"}, fib[""], sizes)
        add("skynet", "skynet, ten children a node, a node", {"": "skynet", "sinew (map)": "skynet_map"},
            (1_000_000, 100_000), tenth, names=["sinew", "sinew (map)", *names[1:]])
        add("nqueens", "nqueens, a task for each placement", "nqueens", (12, 9), queens)
        add("flat", "spawn many, then gather, a task", "flat", (1_000_000, 100_000), tenth, extras=memory,
            note="OpenMP (gcc's) queues at most 64 tasks a worker and calls the others in place.")
    return result


def switches(field):
    result = []

    def add(key, title, workload, size, workers, names=SUSPEND, **more):
        if workers == 1 and "tokio" in names:
            at = names.index("tokio") + 1
            names = (*names[:at], "tokio (current_thread)", *names[at:])
        result.append(field.workload("switches", key, title, names, workload, size, workers, **more))

    for tasks in (2, 1000):
        add(f"yield.{tasks}", f"yield among {tasks:,} tasks", "yield", (tasks, tasks), 1,
            note="Plain C: bare context jumps around a ring, with no queue." if tasks == 2 else "")
    for workers in (1, 2):
        add("pingpong", "ping-pong over channels, a round trip", "pingpong", (100_000, 10_000), workers,
            sizes={"asyncio": (20_000, 2_000), "uvloop": (20_000, 2_000), "plain C": (20_000, 2_000)},
            note="Unbuffered channels; tokio and asyncio have none and use room for one, plain C has threads and "
                 "conditions.")
    for workers in (1, 2):
        add("mpmc", "4 producers, 4 consumers, a channel with room for 64, an element", "mpmc", (400_000, 40_000),
            workers, sizes={"asyncio": (40_000, 4_000), "uvloop": (40_000, 4_000), "plain C": (100_000, 10_000)})
    names = tuple(name for name in SUSPEND if name != "uvloop")
    for workers in (1, 2):
        add("mutex", "a mutex of 8 tasks, locked and unlocked", {"": "mutex", "tokio (std mutex)": "mutex_std"},
            (400_000, 40_000), workers, names=(*names, "tokio (std mutex)"), sizes={"asyncio": (40_000, 4_000)},
            note="Without a switch inside the section. Go's and pthread's mutex spin and barge, the others queue.")
    for workers in (1, 2):
        add("mutex_held", "a mutex of 8 tasks, held across a yield, so handed on each time", "mutex_held",
            (80_000, 8_000), workers, names=names, sizes={"asyncio": (8_000, 800), "plain C": (16_000, 1_600)})
    return result


def sleeping(field):
    result = []
    once = {"cpu_s": Extra("CPU time", "s"), "bytes": Extra("memory a task", "bytes")}
    many = (1_000_000, 50_000)
    for workers in (1, 2):
        names = [name for name in SUSPEND if workers == 1 or name not in ("plain C", "Boost.Fiber")]
        result.append(field.workload(
            "sleeping", "sleepers", "tasks that sleep 1 s, all at once, from the first spawn to the last end", names,
            "sleepers", many, workers, sizes={"Boost.Fiber": (100_000, 20_000)}, value="wall_s", unit="s", extras=once,
            note="Plain C: a heap of timers with callbacks, no stacks. Memory is per task asleep at the same time."))
    names = tuple(name for name in SUSPEND if name != "Boost.Fiber")
    result.append(field.workload(
        "sleeping", "timers", "set and cancel a timer, all outstanding at once", names, "timers", many,
        sizes={"asyncio": (200_000, 10_000), "uvloop": (200_000, 10_000)},
        extras={**CPU, "bytes": Extra("memory a timer", "bytes")},
        note="Deadlines 10 to 110 s ahead, cancelled last one first."))
    result.append(field.workload(
        "sleeping", "timeout", "a timeout around a yield", names, "timeout", (200_000, 20_000),
        sizes={"asyncio": (20_000, 2_000), "uvloop": (20_000, 2_000)}, note="Plain C only sets and cancels."))
    result.append(field.workload(
        "sleeping", "fire", "a timer that fires, all at one instant", SUSPEND, "fire", many,
        sizes={"Boost.Fiber": (100_000, 20_000)},
        note="sinew, tokio and Boost.Fiber wake a sleeping task, Go starts a goroutine, asyncio and plain C call "
             "back."))
    return result


def processes(field, names):
    """Whole processes, from posix_spawn to the end of the wait, all pinned to the first CPU."""
    count = 10 if field.quick else 50

    def contestant(name):
        command = ["/bin/true"] if name == "/bin/true" else field.command(name, "empty", 0, 1)

        def run(machine):
            cpus = os.sched_getaffinity(0)
            os.sched_setaffinity(0, machine.cpus[:1])
            try:
                begin = time.perf_counter()
                for _ in range(count):
                    process = os.posix_spawn(command[0], command, os.environ)
                    if os.waitpid(process, 0)[1] != 0:
                        raise Failure(f"{' '.join(command)}: it failed")
                return (time.perf_counter() - begin) / count * 1e6
            finally:
                os.sched_setaffinity(0, cpus)

        return run if name == "/bin/true" else field.had(name, run)

    return Workload(key="process", title="a process that runs an empty task and ends", unit="us", better="less",
                    contestants={name: contestant(name) for name in names}, group="waking",
                    note="All are pinned to one CPU and have one worker.")


def waking(field):
    result = []
    latency = {"p99_ns": Extra("p99", "ns")}
    for workers in (1, 2):
        names = [name for name in SUSPEND if workers == 1 or name not in ("plain C", "Boost.Fiber")]
        result.append(field.workload(
            "waking", "wakeup", "a thread wakes a task of an idle runtime, median", names, "wakeup", (2000, 200),
            workers, value="p50_ns", extras=latency, cpus=2,
            note="Each wake comes 0.5 ms after the one before; two CPUs for all. Go has one more P, for the waking "
                 "thread."))
    for workers in (1, 2):
        names = ("sinew", "plain C", "tokio", "tokio (current_thread)", "oneTBB", "asyncio", "uvloop")
        result.append(field.workload(
            "waking", "startstop", "start a runtime, run an empty task, stop it", names, "startstop", (50, 10),
            workers, note="Plain C: so many threads started and joined."))
    names = ("/bin/true", *dict.fromkeys(name for name in COMPUTE + SUSPEND))
    result.append(processes(field, names))
    for workers in (1, 2):
        names = ("sinew", "plain C", "tokio", "tokio (current_thread)", "Go", "asyncio", "uvloop")
        result.append(field.workload(
            "waking", "cancel", "cancel a sleeping task and await it", names, "cancel", (1000, 200), workers,
            note="1,000 sleep, and are cancelled one after the other. Go: a context; plain C: threads."))
    return result


def scaling(field):
    """sinew with more and more workers on the machine's CPUs; the reference is two."""
    loads = {
        "skynet": ("skynet, a node", (1_000_000, 100_000)), "fib_both": ("fib, both halves spawned, a call", (32, 25)),
        "mpmc": ("4 producers, 4 consumers, an element", (400_000, 40_000)),
        "mutex": ("a mutex of 8 tasks", (400_000, 40_000)),
        "mutex_held": ("a mutex of 8 tasks, held across a yield", (80_000, 8_000)),
        "yield": ("yield among 1,000 tasks", (1000, 1000)),
    }
    counters = ("switches", "steals", "steals_failed", "tasks_stolen", "parks", "wakes")
    extras = {"cpu_ns": Extra("CPU time", "ns")}
    extras.update({f"{name}_k": Extra(name.replace("_", " "), "per 1,000") for name in counters})

    def contestant(load, size, workers):
        command = field.command("sinew", load, size, workers)

        def run(machine):
            figures = json.loads(machine.run(machine.pinned(command, 0, 2), timeout=300))
            figures.update({f"{name}_k": figures[name] * 1000 for name in counters})
            return {"value": 1e3 / figures["ns"], **figures}

        return field.had("sinew", run)

    return [
        Workload(key=f"scaling.{load}", title=title, unit="million/s", better="more", group="scaling", extras=extras,
                 reference="2 workers",
                 contestants={f"{n} workers": contestant(load, size[field.quick], n) for n in (2, 4, 8, 16, 32, 64)})
        for load, (title, size) in loads.items()
    ]


def workloads(build_dir, quick):
    field = Field(build_dir, quick)
    return [*fork_join(field), *switches(field), *sleeping(field), *waking(field), *scaling(field)]
