#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs every benchmark beside its serial counterpart and prints one table of ratios.

    bench/run.py [--rounds N] [--quick] [--only PATTERN] [--build DIR] [--workers N] [--http PROGRAM]

A round measures each pair one right after the other, in an order that changes from round to round, so that a machine
that slows down slows down both. The table quotes the median of each side, the median of the rounds' ratios, and the
smallest and largest of them. Everything is pinned: one worker to the first CPU, several to as many CPUs, a server
to the first and its load to the second. A sample during which other processes took CPU time is taken again, up to
three times; the least disturbed one counts, and the last line says how many remained disturbed.

Numbers are for people. Nothing fails because it is slow; the exit status is 1 when a program failed, answered wrong
bytes, or reported errors.
"""

import argparse
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import tempfile

from machine import DISTURBED, Failure, Machine, Server, cpu_model, echo_load, fetch_raw, raise_fd_limit, show, wrk

BENCH = pathlib.Path(__file__).resolve().parent
ECHO_BYTES = 64
FILE_BYTES = 1024


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of the table. `basis` says what the target is about: the ratio, or sinew's own figure."""

    key: str
    title: str
    unit: str
    relation: str = ""  # "<=" or ">=", or empty: shown for comparison, without a target
    target: float = 0.0
    basis: str = "ratio"
    inverse: bool = False  # the ratio is counterpart / sinew: a speed-up


class BenchMachine(Machine):
    """The machine, and the programs that measure without a server."""

    def __init__(self, args):
        super().__init__(args.build, args.quick)
        self.http = pathlib.Path(args.http) if args.http else self.build / "examples" / "http"
        self.many = args.workers

    def pair(self, round_index, sinew, counterpart):
        """Both samples, in an order that changes from round to round."""
        if round_index % 2 == 0:
            first = self.quietly(sinew)
            return first, self.quietly(counterpart)
        second = self.quietly(counterpart)
        return self.quietly(sinew), second

    def core(self, name, workers=1):
        """Nanoseconds an operation of one benchmark of `core`."""
        command = [
            self.program("core"),
            f"--benchmark_filter=^{name}/",
            "--benchmark_format=json",
            f"--benchmark_min_time={0.05 if self.quick else 0.25}",
        ]
        if name.startswith("sinew/"):
            command += ["--workers", str(workers)]
        (entry,) = self.run_json(self.pinned(command, 0, workers))["benchmarks"]
        if entry.get("error_occurred"):
            raise Failure(f"{name}: {entry.get('error_message')}")
        return {"ns": entry["real_time"], "first_ns": entry["first_ns"]}

    def plain_at_once(self, count):
        """Nanoseconds a call of plain fib, shared among so many processes that run it at once, a CPU each."""
        command = [self.program("core"), "--benchmark_filter=^plain/fib/", "--benchmark_format=json"]
        running = [
            subprocess.Popen(self.pinned(command, cpu), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            for cpu in range(count)
        ]
        entries = [json.loads(process.communicate(timeout=120)[0])["benchmarks"][0] for process in running]
        return sum(entry["real_time"] for entry in entries) / count**2

    def million(self, mode, workers=1):
        command = [self.program("million"), mode]
        if mode in ("sleep", "flat"):
            command += ["--workers", str(workers)]
        return self.run_json(self.pinned(command, 0, workers))


# --- what is measured --------------------------------------------------------------------------------------------
#
# A case has rows, and a function of (machine, round) that returns {row key: (sinew, counterpart)}.


def core_case(key, title, sinew, counterpart, **target):
    row = Row(key, title, "ns", **target)

    def run(machine, index):
        a, b = machine.pair(index, lambda: machine.core(sinew), lambda: machine.core(counterpart))
        return {key: (a["ns"], b["ns"])}

    return [row], run


def speedup_case(key, title, sinew, target, many):
    rows = [
        Row(key, f"{title}, {many} workers against 1", "ns", ">=" if many == 2 else "", target, inverse=True),
        Row(f"{key}.machine", f"  plain fib, {many} processes at once against 1: what the machine gives", "ns", inverse=True),
    ]

    def run(machine, index):
        a, b = machine.pair(index, lambda: machine.core(sinew, machine.many), lambda: machine.core(sinew))
        both, alone = machine.plain_at_once(machine.many), machine.plain_at_once(1)
        return {key: (a["ns"], b["ns"]), f"{key}.machine": (both, alone)}

    return rows, run


def flat_case():
    rows = [
        Row("flat.time", "spawn 1,000,000 and gather, a task / plain loop", "ns", "<=", 40, "sinew"),
        Row("flat.first", "  the first time in a process, memory untouched", "ns"),
        Row("flat.memory", "  memory a task, handle included", "bytes", "<=", 150, "sinew"),
    ]

    def run(machine, index):
        a, b = machine.pair(index, lambda: machine.core("sinew/flat"), lambda: machine.core("plain/loop"))
        memory = machine.million("flat")
        return {
            "flat.time": (a["ns"], b["ns"]),
            "flat.first": (memory["ns_per_task"], b["first_ns"]),
            "flat.memory": (memory["bytes_per_task"], None),
        }

    return rows, run


def sleep_case(workers):
    key = f"sleep.{workers}"
    title = f"1,000,000 tasks sleep 1 s, {workers} worker{'s' if workers > 1 else ''}"
    rows = [
        Row(f"{key}.wall", f"{title}: wall time / timer heap", "s", *(("<=", 2.2, "sinew") if workers == 2 else ())),
        Row(f"{key}.cpu", "  CPU time", "s"),
        Row(f"{key}.pages", "  CPU time / touching a page for each by a plain loop", "s"),
        Row(f"{key}.memory", "  memory a task", "bytes", "<=", 4800, "sinew"),
    ]

    # Where the host lends memory to the machine, pages not used for a while cost many times as much. So as many are
    # touched right before; that is also the least that stacks of their own can take.
    def run(machine, index):
        pages = []

        def sleep():
            pages.append(machine.million("pages"))
            return machine.million("sleep", workers)

        a, b = machine.pair(index, sleep, lambda: machine.million("heap"))
        return {
            f"{key}.wall": (a["wall_s"], b["wall_s"]),
            f"{key}.cpu": (a["cpu_s"], b["cpu_s"]),
            f"{key}.pages": (a["cpu_s"], pages[-1]["cpu_s"]),
            f"{key}.memory": (a["bytes_per_task"], b["bytes_per_task"]),
        }

    return rows, run


def busy_case(driver):
    """There is nothing beside it: a loop that computes serves nobody."""
    sorts = {"io": "I/O", "timers": "a timer", "ready": "a new task"}
    rows = []
    for sort, what in sorts.items():
        title = f"{what} of a worker that computes for 2 s, {driver}: late by, 99 %"
        rows.append(Row(f"busy.{driver}.{sort}.p99", title, "us", "<=", 1000, "sinew"))
        rows.append(Row(f"busy.{driver}.{sort}.p50", "  median", "us"))

    def run(machine, _index):
        command = ["env", f"SINEW_DRIVER={driver}", machine.program("busy")]
        result = machine.quietly(lambda: machine.run_json(machine.pinned(command, 0, 2)))
        return {f"busy.{driver}.{sort}.{p}": (result[sort][f"{p}_us"], None) for sort in sorts for p in ("p50", "p99")}

    return rows, run


def echo_sample(machine, program, connections, depth):
    seconds = 0.7 if machine.quick else 2.0
    command = [machine.program(program), "127.0.0.1:0"]
    if program == "echo_sinew":
        command += ["--workers", "1"]
    with Server(machine, command) as server:
        result = echo_load(machine, server, connections=connections, size=ECHO_BYTES, depth=depth, seconds=seconds)
    if result["errors"]:
        raise Failure(f"{program}: {result['errors']} errors with {connections} connections")
    return result


def echo_case(connections, depth=1, target=None, program="echo_sinew"):
    key = f"echo.{connections}" + (f".depth{depth}" if depth > 1 else "")
    title = f"TCP echo {ECHO_BYTES} B, {connections} connection{'s' if connections > 1 else ''}"
    if depth > 1:
        title += f", {depth} under way each"
    if program != "echo_sinew":
        key += f".{program.removeprefix('echo_')}"
        title += " (io_uring by hand)"
    rows = [Row(f"{key}.rate", f"{title} / epoll loop", "1/s", *((">=", target) if target else ()))]
    rows.append(Row(f"{key}.cpu", "  server's CPU a message", "us"))
    rows.append(Row(f"{key}.p50", "  median latency", "us"))
    rows.append(Row(f"{key}.p99", "  p99 latency", "us", *(("<=", 1.0) if target else ())))

    def run(machine, index):
        a, b = machine.pair(
            index,
            lambda: echo_sample(machine, program, connections, depth),
            lambda: echo_sample(machine, "echo_epoll", connections, depth),
        )
        return {
            f"{key}.rate": (a["per_second"], b["per_second"]),
            f"{key}.cpu": (a["server_cpu_us"], b["server_cpu_us"]),
            f"{key}.p50": (a["p50_us"], b["p50_us"]),
            f"{key}.p99": (a["p99_us"], b["p99_us"]),
        }

    return rows, run


def http_case(connections):
    key = f"http.{connections}"
    title = f"HTTP {FILE_BYTES} B file, {connections} connections"
    rows = [
        Row(f"{key}.cpu", f"{title}: CPU a request / epoll loop", "us", "<=", 1.1),
        Row(f"{key}.rate", "  requests a second", "1/s"),
        Row(f"{key}.p99", "  p99 latency", "us"),
        Row(f"{key}.errors", "  errors", "", "<=", 0, "sinew"),
    ]

    def run(machine, index):
        if not machine.http.exists():
            raise Failure(f"{machine.http} is missing")
        with tempfile.TemporaryDirectory() as directory:
            content = bytes((i * 31 + 7) % 94 + 32 for i in range(FILE_BYTES))
            pathlib.Path(directory, "file.txt").write_bytes(content)
            answer = pathlib.Path(directory, "answer")

            def sinew():
                command = [str(machine.http), directory, "127.0.0.1:0", "--workers", "1"]
                with Server(machine, command) as server:
                    raw, body = fetch_raw(server.address, "/file.txt")
                    if body != content:
                        raise Failure(f"{machine.http}: wrong bytes in the answer")
                    answer.write_bytes(raw)
                    return wrk(machine, server, connections, "/file.txt", 1 if machine.quick else 2)

            def counterpart():
                with Server(machine, [machine.program("http_epoll"), "127.0.0.1:0", str(answer)]) as server:
                    return wrk(machine, server, connections, "/file.txt", 1 if machine.quick else 2)

            # The counterpart sends the very bytes that the file server sends, so one answer is fetched beforehand.
            with Server(machine, [str(machine.http), directory, "127.0.0.1:0", "--workers", "1"]) as server:
                answer.write_bytes(fetch_raw(server.address, "/file.txt")[0])
            a, b = machine.pair(index, sinew, counterpart)
        return {
            f"{key}.cpu": (a["cpu_us"], b["cpu_us"]),
            f"{key}.rate": (a["rate"], b["rate"]),
            f"{key}.p99": (a["p99_us"], b["p99_us"]),
            f"{key}.errors": (a["errors"], b["errors"]),
        }

    return rows, run


def all_cases(many):
    at_most = {"relation": "<="}
    return [
        core_case("fib.half", "fib(35), one half spawned, a call / plain call", "sinew/fib_half", "plain/fib",
                  **at_most, target=8),
        core_case("fib.half.looped", "  / as compilers like it: one half a loop", "sinew/fib_half",
                  "plain/fib_looped"),
        core_case("fib.both", "fib(35), both halves spawned / plain call", "sinew/fib_both", "plain/fib",
                  **at_most, target=14),
        speedup_case("fib.half.speedup", "fib(35), one half spawned", "sinew/fib_half", 1.85, many),
        speedup_case("fib.both.speedup", "fib(35), both halves spawned", "sinew/fib_both", 1.85, many),
        core_case("skynet.gather", "skynet by spawn and gather, a node / plain recursion", "sinew/skynet_gather",
                  "plain/skynet", **at_most, target=6),
        core_case("skynet.map", "skynet by map, a node / plain recursion", "sinew/skynet_map", "plain/skynet",
                  **at_most, target=6),
        speedup_case("skynet.gather.speedup", "skynet by spawn and gather", "sinew/skynet_gather", 1.8, many),
        speedup_case("skynet.map.speedup", "skynet by map", "sinew/skynet_map", 1.8, many),
        core_case("spawn_await", "spawn one and await it / plain loop", "sinew/spawn_await", "plain/loop"),
        flat_case(),
        core_case("map", "map over 1,000,000, an element / plain loop", "sinew/map", "plain/loop", **at_most,
                  target=15, basis="sinew"),
        core_case("yield.2", "yield between 2 tasks / one jump", "sinew/yield/2", "jump/2", **at_most, target=1.9),
        core_case("yield.1000", "yield among 1,000 tasks / one jump", "sinew/yield/1000", "jump/2", **at_most,
                  target=2.5),
        core_case("yield.1000.ring", "  / one jump around 1,000 contexts", "sinew/yield/1000", "jump/1000"),
        core_case("ping_pong", "ping-pong of 2 tasks, round trip / one jump", "sinew/ping_pong", "jump/2", **at_most,
                  target=10),
        core_case("channel.ping_pong", "the same by unbuffered channels / one jump", "sinew/channel/ping_pong",
                  "jump/2", **at_most, target=12),
        core_case("channel.buffered", "channel with room for 64, an element sent and received / one jump",
                  "sinew/channel/buffered", "jump/2", **at_most, target=60, basis="sinew"),
        core_case("mutex", "mutex nobody else wants, lock and unlock / pthread mutex", "sinew/mutex", "plain/mutex",
                  **at_most, target=1.5),
        sleep_case(many),
        sleep_case(1),
        busy_case("io_uring"),
        busy_case("epoll"),
        echo_case(1, target=1.0),
        echo_case(64, target=1.2),
        echo_case(1000, target=1.0),
        echo_case(64, depth=16),
        echo_case(64, program="echo_uring"),
        http_case(64),
        http_case(1000),
    ]


# --- the table ---------------------------------------------------------------------------------------------------


def summarise(row, samples):
    """The row's medians over the rounds, its ratios, and whether the target is met (None: there is none)."""
    sinew = statistics.median(a for a, _ in samples)
    result = {"key": row.key, "title": row.title.strip(), "unit": row.unit, "sinew": sinew, "samples": samples}
    result["counterpart"] = result["ratio"] = result["ratio_min"] = result["ratio_max"] = result["met"] = None
    if all(b is not None for _, b in samples):
        result["counterpart"] = statistics.median(b for _, b in samples)
        ratios = [(b / a if row.inverse else a / b) for a, b in samples if a and b]
        if ratios:
            result.update(ratio=statistics.median(ratios), ratio_min=min(ratios), ratio_max=max(ratios))
    if row.relation:
        value = result["ratio"] if row.basis == "ratio" else sinew
        result["target"] = f"{row.relation} {row.target:g}"
        result["met"] = value is not None and (value <= row.target if row.relation == "<=" else value >= row.target)
    return result


def print_table(rows, results, failures):
    table = [("benchmark", "sinew", "counterpart", "unit", "ratio", "min - max", "target", "met")]
    for row in rows:
        result = results.get(row.key)
        if result is None:
            continue
        target = ""
        if row.relation:
            target = f"{row.relation} {row.target:g}" + (f" {row.unit}".rstrip() if row.basis == "sinew" else " x")
        spread = "" if result["ratio"] is None else f"{show(result['ratio_min'])} - {show(result['ratio_max'])}"
        table.append((row.title, show(result["sinew"]), show(result["counterpart"]), row.unit, show(result["ratio"]),
                      spread, target, {None: "", True: "yes", False: "NO"}[result["met"]]))
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    for number, line in enumerate(table):
        cells = [line[0].ljust(widths[0])]
        cells += [line[i].ljust(widths[i]) if i in (3, 6, 7) else line[i].rjust(widths[i]) for i in range(1, 8)]
        print("  ".join(cells).rstrip())
        if number == 0:
            print("-" * (sum(widths) + 2 * len(widths) - 2))
    for failure in failures:
        print(f"FAILED  {failure}")


def show_progress(text):
    """On a terminal, and only there: a line that the next one overwrites."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, help="how often each pair is measured (default 5; 2 with --quick)")
    parser.add_argument("--quick", action="store_true", help="short samples, for a first look")
    parser.add_argument("--only", metavar="PATTERN", help="regular expression on the rows' keys, as --list shows them")
    parser.add_argument("--list", action="store_true", help="print the keys and what they measure")
    parser.add_argument("--build", default=str(BENCH.parent / "build" / "release"), help="build directory")
    parser.add_argument("--http", help="the file server (default examples/http in the build directory)")
    parser.add_argument("--workers", type=int, default=2, help="for the rows with several workers (default 2)")
    args = parser.parse_args()
    if args.workers < 2:
        parser.error("--workers is for the rows with several workers")
    args.rounds = args.rounds or (2 if args.quick else 5)
    return args


def main():
    args = parse_arguments()
    raise_fd_limit()
    cases = all_cases(args.workers)
    if args.only:
        cases = [case for case in cases if any(re.search(args.only, row.key) for row in case[0])]
    rows = [row for case in cases for row in case[0]]
    if args.list:
        for row in rows:
            print(f"{row.key:24} {row.title.strip()}")
        return 0
    if not cases:
        print(f"no row matches {args.only}", file=sys.stderr)
        return 2

    machine = BenchMachine(args)
    started = datetime.datetime.now()
    samples, failures = {row.key: [] for row in rows}, []
    for index in range(args.rounds):
        for case_rows, run in list(cases):
            show_progress(f"round {index + 1}/{args.rounds}  {case_rows[0].key}")
            try:
                for key, pair in run(machine, index).items():
                    samples[key].append(pair)
            except Failure as failure:
                failures.append(f"{case_rows[0].key}: {failure}")
                cases = [case for case in cases if case[1] is not run]
    show_progress("")

    results = {row.key: summarise(row, samples[row.key]) for row in rows if samples[row.key]}
    kernel = platform.release()
    print(f"{cpu_model()}, CPUs {','.join(map(str, machine.cpus))}, Linux {kernel}, {args.rounds} rounds\n")
    print_table(rows, results, failures)
    print(f"\n{machine.disturbed} of {machine.samples} samples were disturbed: other processes took more than "
          f"{DISTURBED:.0%} of a CPU.")

    out = BENCH / "out"
    out.mkdir(exist_ok=True)
    document = {
        "started": started.isoformat(timespec="seconds"), "cpu": cpu_model(), "kernel": kernel, "rounds": args.rounds,
        "quick": args.quick, "samples": machine.samples, "disturbed": machine.disturbed, "failures": failures,
        "rows": list(results.values()),
    }
    path = out / f"{started:%Y%m%d-%H%M%S}.json"
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(f"All samples: {os.path.relpath(path)}")
    return 1 if failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as error:
        sys.exit(f"run.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
