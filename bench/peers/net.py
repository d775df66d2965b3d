# SPDX-License-Identifier: Apache-2.0
"""Servers: echo, echo under stalls, HTTP, keys and values, reads of a cached file, and a server that idles.

Every server has the first CPU and its load the second, or both share both where two workers are measured. Servers of
our own listen with the same backlog, set TCP_NODELAY, and receive into 4 KiB; the head of each file in net/ says what
was chosen and why. A load that checks what comes back (load.c, reads.c, fetch_raw) ends a sample with an error when it
is wrong.
"""

import csv
import io
import json
import os
import pathlib
import re
import shutil
import socket
import struct
import sys
import tempfile
import time

from machine import Failure, Server, echo_load, fetch_raw, wrk
from measure import Extra, Workload, peer

HERE = pathlib.Path(__file__).resolve().parent / "net"
ANY_PORT = "127.0.0.1:0"
BACKLOG = 4096

# Key -> title, and what the report says below it.
GROUPS = {
    "echo-64": (
        "TCP echo, 64 bytes",
        "Server and load have a CPU each, one worker. Messages go one at a time, or with 16 under way on a connection.",
    ),
    "echo-4k": ("TCP echo, 4 KiB", "As above, with messages of 4 KiB."),
    "echo-two": ("TCP echo, two workers", "Server and load, two threads each, share two CPUs."),
    "stalls": (
        "TCP echo while some requests compute",
        "64 connections, 64 bytes, server and load share two CPUs. Either nobody computes, or one connection always "
        "makes the server compute 5 ms, or 1 % of all messages make it compute 1 ms. What is measured are the other "
        "messages: how many a second as fast as they can, and their latency when 10,000 a second are due, from the "
        "moment each was due. All languages compute the same; it is work, not time, that they are given.",
    ),
    "http": (
        "HTTP files",
        "wrk with one thread. It is the limit for most servers: the server's CPU time (user and system) a request is "
        "what to compare.",
    ),
    "kv": (
        "Keys and values",
        "redis-benchmark with 50 connections, 100,000 keys, values of 64 bytes; one command at a time or 16 pipelined. "
        "In memory only, or with an append-only file that is synced every second.",
    ),
    "reads": ("Random reads of a cached file", "4 KiB each, on one CPU, one thread; so many under way."),
    "idle": (
        "10,000 idle connections",
        "Nothing is sent any more: how often the server's threads are woken (context switches of all its threads), and "
        "its memory.",
    ),
}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


# --- echo --------------------------------------------------------------------------------------------------------


def echo_servers(build, workers):
    """Name -> command, or why there is none."""
    bench, net = build / "sinew" / "bench", build / "net"
    count = ["--workers", str(workers)]
    servers = {
        "sinew": [bench / "echo_sinew", ANY_PORT, *count],
        "epoll": [bench / "echo_epoll", ANY_PORT, *count],
        "io_uring": [bench / "echo_uring", ANY_PORT, *count],
        "libuv": [net / "echo_libuv", ANY_PORT, *count],
        "Asio": [net / "echo_asio", ANY_PORT, *count],
        "tokio": [net / "tokio", ANY_PORT, *count],
        "Go": [net / "go", "echo", ANY_PORT, *count],
    }
    checked = {name: peer(command[0], command) for name, command in servers.items()}
    asyncio = [sys.executable, HERE / "echo_asyncio.py", ANY_PORT, *count]
    checked["asyncio"] = asyncio
    try:
        import uvloop  # noqa: F401

        checked["uvloop"] = [*asyncio, "--loop", "uvloop"]
    except ImportError:
        checked["uvloop"] = f"{sys.executable} has no module uvloop"
    return checked


LATENCIES = {
    "p50_us": Extra("p50 latency", "us"),
    "p99_us": Extra("p99 latency", "us"),
    "p999_us": Extra("p99.9 latency", "us"),
}
ECHO_EXTRAS = {"cpu_us": Extra("server's CPU a message", "us"), **LATENCIES}


def echo_result(server_command, result):
    if result["errors"]:
        raise Failure(f"{server_command}: {result['errors']} errors")
    return {"value": result["per_second"], "cpu_us": result["server_cpu_us"], **result}


def echo_contestant(command, workers, **options):
    """One CPU each, or with several workers all CPUs for both and as many threads in the load."""

    def sample(machine):
        first = 0 if workers > 1 else 1
        with Server(machine, command, workers) as server:
            return echo_result(command[0], echo_load(machine, server, first, workers, **options))

    return command if isinstance(command, str) else sample


def echo_workload(build, quick, group, size, connections, depth, workers=1):
    key = f"echo.{'two.' if workers > 1 else ''}{size}.{connections}" + (f".depth{depth}" if depth > 1 else "")
    title = f"{'4 KiB' if size == 4096 else f'{size} B'}, {connections:,} connection{'s' if connections > 1 else ''}"
    title += f", {depth} under way" if depth > 1 else ""
    options = {"connections": connections, "size": size, "depth": depth, "seconds": 0.4 if quick else 1.5}
    # Thousands of connections are warm when each has had its turn.
    options["warm_up"] = 0.3 if connections < 1000 or quick else 0.6
    if workers > 1:
        options["threads"] = workers
    contestants = {name: echo_contestant(command, workers, **options)
                   for name, command in echo_servers(build, workers).items()}
    notes = []
    if depth * size > 4096:
        notes.append("asyncio and uvloop receive up to 256 KiB at once; everybody else 4 KiB, also with 16 messages of "
                     "4 KiB under way.")
    if workers > 1:
        notes.append("Workers of asyncio and uvloop are processes.")
    return Workload(key, title, "messages/s", "more", contestants, group=group, extras=ECHO_EXTRAS,
                    note=" ".join(notes))


def echo_workloads(build, quick):
    found = []
    for group, size in (("echo-64", 64), ("echo-4k", 4096)):
        for depth in (1, 16):
            for connections in (1, 64, 1000, 5000):
                if depth * size * connections < 1 << 28:  # more is a measure of the kernel's memory for sockets
                    found.append(echo_workload(build, quick, group, size, connections, depth))
    for size in (64, 4096):
        for connections in (64, 1000):
            found.append(echo_workload(build, quick, "echo-two", size, connections, 1, workers=2))
    return found


# --- echo under stalls -------------------------------------------------------------------------------------------


class Unit:
    """How many rounds of burn() take 100 us here: measured once, at the first sample."""

    rounds = None

    @classmethod
    def get(cls, machine):
        if cls.rounds is None:
            command = machine.pinned([machine.program("load"), "--calibrate"], 0)
            cls.rounds = max(machine.run_json(command)["unit"] for _ in range(3))
        return cls.rounds


STALLS = {
    "none": ("nobody computes", {"burn": 0}),
    "connection": ("1 connection of 64 computes 5 ms each time", {"burn": 50, "burn_connections": 1}),
    "share": ("1 % of the messages compute 1 ms", {"burn": 10, "burn_share": 1}),
}


def stall_contestant(command, options):
    def sample(machine):
        computing = [*command, "--burn", str(Unit.get(machine))]
        with Server(machine, computing, 2) as server:
            result = echo_load(machine, server, 0, 2, connections=64, size=64, **options)
            return {**echo_result(command[0], result), "burned": result["burned_per_second"]}

    return sample


def stall_workloads(build, quick):
    one, two = echo_servers(build, 1), echo_servers(build, 2)
    servers = {"sinew": two["sinew"], "epoll, 1 thread": one["epoll"], "epoll, 2 threads": two["epoll"],
               "tokio": two["tokio"], "Go": two["Go"]}
    seconds = 0.5 if quick else 3
    found = []
    for key, (title, options) in STALLS.items():
        for rate in (None, 10000):
            settings = {**options, "seconds": seconds, **({"rate": rate} if rate else {})}
            contestants = {name: command if isinstance(command, str) else stall_contestant(command, settings)
                           for name, command in servers.items()}
            extras = {**LATENCIES, "burned": Extra("messages that computed", "1/s", "more")}
            if rate:
                # Throughput is given here; the worst of a thousand is what it is about.
                workload = Workload(f"stalls.{key}.paced", f"{title}: p99.9 latency, 10,000/s due", "us", "less",
                                    {name: by_figure(run, "p999_us") for name, run in contestants.items()},
                                    group="stalls", extras={"per_second": Extra("messages/s", "", "more"), **extras})
            else:
                workload = Workload(f"stalls.{key}", f"{title}: the others", "messages/s", "more", contestants,
                                    group="stalls", extras=extras)
            found.append(workload)
    return found


def by_figure(run, name):
    """The same samples, about another figure of theirs."""
    if isinstance(run, str):
        return run

    def sample(machine):
        result = run(machine)
        return {**result, "value": result[name]}

    return sample


# --- HTTP --------------------------------------------------------------------------------------------------------

NGINX = """
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
{user}
pid {directory}/nginx.pid;
error_log stderr error;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
    keepalive_requests 1000000000;
    open_file_cache max=1000 inactive=600s;
    open_file_cache_valid 600s;
    open_file_cache_min_uses 1;
    types {{ text/plain txt; }}
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen {address} backlog={backlog};
        root {files};
    }}
}}
"""

FILES = {"hello": b"Hello, world!\n", "1k": None, "10k": None}
for _name, _bytes in (("1k", 1024), ("10k", 10240)):
    FILES[_name] = bytes((i * 31 + 7) % 94 + 32 for i in range(_bytes))


class Files:
    """A directory with the files to be served, and a server of it, for the length of a with statement."""

    def __init__(self, machine, build, kind, name):
        self.machine, self.build, self.kind, self.name = machine, build, kind, name

    def __enter__(self):
        self.temporary = tempfile.TemporaryDirectory()
        directory = pathlib.Path(self.temporary.name)
        self.files = directory / "files"
        self.files.mkdir()
        for name, content in FILES.items():
            (self.files / f"{name}.txt").write_bytes(content)
        self.server = getattr(self, self.kind)(directory)
        try:
            self.server.__enter__()
        except BaseException:
            self.temporary.cleanup()
            raise
        return self.server

    def __exit__(self, *failure):
        try:
            self.server.__exit__(*failure)
        finally:
            self.temporary.cleanup()

    def sinew(self, _directory):
        program = self.build / "sinew" / "examples" / "http"
        return Server(self.machine, [program, self.files, ANY_PORT, "--workers", "1"])

    def nginx(self, directory):
        address = f"127.0.0.1:{free_port()}"
        user = "user root;" if os.geteuid() == 0 else ""  # the files are ours
        settings = NGINX.format(user=user, directory=directory, address=address, files=self.files, backlog=BACKLOG)
        (directory / "nginx.conf").write_text(settings)
        command = ["nginx", "-p", directory, "-c", directory / "nginx.conf", "-e", "stderr"]
        return Server(self.machine, command, address=address)

    def go_files(self, _directory):
        return Server(self.machine, [self.build / "net" / "go", "files", ANY_PORT, self.files])

    def go_memory(self, _directory):
        return Server(self.machine, [self.build / "net" / "go", "memory", ANY_PORT, self.files / f"{self.name}.txt"])

    def epoll(self, directory):
        """Sends the very bytes that sinew's server sends, from memory: the least that a server can do."""
        with self.sinew(directory) as server:
            raw, _ = fetch_raw(server.address, f"/{self.name}.txt")
        (directory / "answer").write_bytes(raw)
        return Server(self.machine, [self.machine.program("http_epoll"), ANY_PORT, directory / "answer"])


def http_contestant(build, kind, name, connections, seconds):
    def sample(machine):
        with Files(machine, build, kind, name) as server:
            raw, body = fetch_raw(server.address, f"/{name}.txt")
            if body != FILES[name]:
                raise Failure(f"{kind}: wrong bytes in the answer")
            wrk(machine, server, connections, f"/{name}.txt", 1)  # caches and connections' memory: not counted
            result = wrk(machine, server, connections, f"/{name}.txt", seconds)
            if result["errors"]:
                raise Failure(f"{kind}: {result['errors']} errors")
            return {"value": result["cpu_us"], "header_bytes": len(raw) - len(body), **result}

    return sample


def http_workloads(build, quick):
    nginx = bool(shutil.which("nginx"))
    go = build / "net" / "go"
    found = []
    for name in FILES:
        for connections in (64, 1000):

            def contestant(kind, name=name, connections=connections):
                return http_contestant(build, kind, name, connections, 1 if quick else 2)

            contestants = {
                "sinew": contestant("sinew"),
                "epoll, one answer": contestant("epoll"),
                "nginx": contestant("nginx") if nginx else "nginx is not installed",
                "Go, files": peer(go, contestant("go_files")),
                "Go, memory": peer(go, contestant("go_memory")),
            }
            title = f"{'hello, 14 B' if name == 'hello' else name.replace('k', ' KiB')}, {connections:,} connections"
            found.append(Workload(
                f"http.{name}.{connections}", f"{title}: CPU a request", "us", "less", contestants, group="http",
                extras={"rate": Extra("requests", "1/s", "more"), "p50_us": Extra("p50 latency", "us"),
                        "p99_us": Extra("p99 latency", "us"), "header_bytes": Extra("header", "bytes")},
                note="The epoll loop sends the bytes of sinew's answer from memory, whatever is asked. sinew keeps "
                     "small files in memory; nginx keeps them open and uses sendfile; Go opens the file for each "
                     "request, or sends it from memory."))
    return found


# --- keys and values ---------------------------------------------------------------------------------------------

COMMANDS = ("ping", "set", "get", "incr", "mset")


def kv_server(machine, build, kind, directory, durable):
    if kind == "sinew":
        command = [build / "sinew" / "examples" / "kv", ANY_PORT, "--workers", "1"]
        if durable:
            command += ["--appendonly", directory / "log", "--fsync", "everysec"]
        return Server(machine, command)
    port = free_port()
    command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir", directory, "--save", "",
               "--tcp-backlog", str(BACKLOG), "--appendonly", "yes" if durable else "no", "--appendfsync", "everysec"]
    return Server(machine, command, address=f"127.0.0.1:{port}")


def redis_benchmark(machine, server, command, pipeline, requests):
    """Requests a second and latencies; of PING, the one that is sent as everything else is."""
    host, port = server.address.rsplit(":", 1)
    words = ["redis-benchmark", "-h", host, "-p", port, "-c", "50", "-P", str(pipeline), "-n", str(requests), "--csv",
             "-r", "100000", "-d", "64", "-t", "ping_mbulk" if command == "ping" else command]
    before = server.cpu_seconds()
    text = machine.run(machine.pinned(words, 1))
    cpu = server.cpu_seconds() - before
    rows = list(csv.DictReader(io.StringIO(text[text.index('"test"'):])))
    if len(rows) != 1 or not rows[0]["test"].lower().startswith(command):
        raise Failure(f"redis-benchmark said: {text[-400:]}")
    row = rows[0]
    return {"value": float(row["rps"]), "cpu_us": cpu / requests * 1e6, "p50_us": float(row["p50_latency_ms"]) * 1e3,
            "p99_us": float(row["p99_latency_ms"]) * 1e3}


def kv_contestant(build, kind, command, pipeline, durable, quick):
    # About two seconds each on a machine that answers 100,000 requests a second one by one, and 500,000 in batches.
    requests = (200_000 if pipeline == 1 else 1_000_000) // (10 if quick else 1) // (4 if command == "mset" else 1)

    def sample(machine):
        # Beside the build, as /tmp may be memory.
        with tempfile.TemporaryDirectory(dir=build) as directory:
            with kv_server(machine, build, kind, pathlib.Path(directory), durable) as server:
                # Fills the keys, so that each command finds what it is about; not counted.
                fill = "incr" if command == "incr" else "set"
                redis_benchmark(machine, server, fill, 16, 30_000 if quick else 300_000)
                redis_benchmark(machine, server, command, pipeline, requests // 10)
                return redis_benchmark(machine, server, command, pipeline, requests)

    return sample


def kv_workloads(build, quick):
    found = []
    why = "redis-server and redis-benchmark are not installed"
    redis = shutil.which("redis-server") and shutil.which("redis-benchmark")
    for durable in (False, True):
        for pipeline in (1, 16):
            for command in COMMANDS:
                contestants = {
                    name: kv_contestant(build, kind, command, pipeline, durable, quick) if redis else why
                    for name, kind in (("sinew", "sinew"), ("Redis", "redis"))
                }
                title = f"{command.upper()}, {pipeline} at a time" + (", synced every second" if durable else "")
                key = f"kv.{'everysec.' if durable else ''}{command}.p{pipeline}"
                extras = {"cpu_us": Extra("server's CPU a request", "us"), "p50_us": LATENCIES["p50_us"],
                          "p99_us": LATENCIES["p99_us"]}
                found.append(Workload(key, title, "requests/s", "more", contestants, group="kv", extras=extras))
    return found


# --- reads -------------------------------------------------------------------------------------------------------

BLOCK = 4096


def cached_file(build, mebibytes):
    """A file whose blocks begin with their numbers, in the page cache."""
    path = build / f"reads-{mebibytes}.bin"
    if not path.exists() or path.stat().st_size != mebibytes << 20:
        rest = os.urandom(BLOCK - 8)
        with open(path, "wb") as f:
            for number in range((mebibytes << 20) // BLOCK):
                f.write(struct.pack("=Q", number) + rest)
    with open(path, "rb", buffering=0) as f:
        while f.read(1 << 20):
            pass
    return path


def sinew_reads(build, mebibytes, depth, seconds, *more):
    def sample(machine):
        command = [build / "net" / "reads", cached_file(build, mebibytes), depth, seconds, *more]
        return machine.run_json(machine.pinned(command, 0))["per_second"]

    return sample


def fio_reads(build, mebibytes, depth, seconds, *more):
    def sample(machine):
        command = ["fio", "--name=reads", f"--filename={cached_file(build, mebibytes)}", "--rw=randread", "--bs=4k",
                   "--ioengine=io_uring", f"--iodepth={depth}", "--direct=0", "--invalidate=0", "--norandommap",
                   "--randrepeat=0", "--time_based", f"--runtime={seconds}", "--ramp_time=0.2", "--thread",
                   "--gtod_reduce=1", "--output-format=json", *more]
        text = machine.run(machine.pinned(command, 0))
        (job,) = json.loads(text[text.index("{"):])["jobs"]
        if job["error"]:
            raise Failure(f"fio: error {job['error']}")
        return job["read"]["iops"]

    return sample


def reads_workloads(build, quick):
    mebibytes, seconds = (256, 1) if quick else (1024, 2)
    fio = bool(shutil.which("fio"))
    found = []
    for depth in (1, 32, 128):
        arguments = (build, mebibytes, depth, seconds)
        contestants = {"sinew": sinew_reads(*arguments)}
        engines = {"fio": ()}
        if depth > 1:
            batched = (f"--iodepth_batch_submit={depth // 2}", "--iodepth_batch_complete_min=1",
                       f"--iodepth_batch_complete_max={depth}")
            engines["fio, batched"] = batched
            engines["fio, registered"] = (*batched, "--fixedbufs=1", "--registerfiles=1")
        else:
            contestants["pread"] = sinew_reads(*arguments, "--plain")
        for name, options in engines.items():
            contestants[name] = fio_reads(*arguments, *options) if fio else "fio is not installed"
        found.append(Workload(
            f"reads.{depth}", f"depth {depth}", "reads/s", "more", contestants, group="reads",
            note="fio submits each read as it is made; batched, half of its depth with one call; registered, that with "
                 "buffers and file registered, which sinew does not offer. It measures no latencies here. pread is a "
                 "loop over the system call, in C."))
    return found


# --- idle --------------------------------------------------------------------------------------------------------


def switches(server):
    """Context switches of all the server's threads so far."""
    total = 0
    for pid in server.processes():
        for path in pathlib.Path(f"/proc/{pid}/task").glob("*/status"):
            try:
                text = path.read_text(encoding="ascii")
            except OSError:  # a thread that has ended
                continue
            total += sum(map(int, re.findall(r"ctxt_switches:\s+(\d+)", text)))
    return total


def resident_bytes(server):
    total = 0
    for pid in server.processes():
        text = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        total += int(re.search(r"VmRSS:\s+(\d+)", text).group(1)) * 1024
    return total


def idle_contestant(command, workers, connections, seconds):
    def sample(machine):
        with Server(machine, command, workers) as server:
            host, port = server.address.rsplit(":", 1)
            before = resident_bytes(server)
            sockets = []
            try:
                for _ in range(connections):
                    sockets.append(socket.create_connection((host, int(port)), timeout=20))
                for s in sockets:
                    s.sendall(b"x")
                for s in sockets:
                    if s.recv(1) != b"x":
                        raise Failure(f"{command[0]}: no echo")
                time.sleep(0.5)
                memory = resident_bytes(server) - before
                first, cpu, begin = switches(server), server.cpu_seconds(), time.monotonic()
                time.sleep(seconds)
                elapsed = time.monotonic() - begin
                return {"value": (switches(server) - first) / elapsed,
                        "cpu_ms": (server.cpu_seconds() - cpu) / elapsed * 1e3, "bytes": memory / connections}
            finally:
                for s in sockets:
                    s.close()

    return sample


def idle_workloads(build, quick):
    connections, seconds = 10_000, 1 if quick else 5
    found = []
    for workers in (1, 2):
        contestants = {
            name: command if isinstance(command, str) else idle_contestant(command, workers, connections, seconds)
            for name, command in echo_servers(build, workers).items()
        }
        title = f"{workers} worker{'s' if workers > 1 else ''}"
        extras = {"cpu_ms": Extra("CPU", "ms/s"), "bytes": Extra("memory a connection", "bytes")}
        found.append(Workload(f"idle.{workers}", title, "wake-ups/s", "less", contestants, group="idle", extras=extras))
    return found


def workloads(build_dir, quick):
    build = pathlib.Path(build_dir)
    return [
        *echo_workloads(build, quick),
        *stall_workloads(build, quick),
        *http_workloads(build, quick),
        *kv_workloads(build, quick),
        *reads_workloads(build, quick),
        *idle_workloads(build, quick),
    ]
