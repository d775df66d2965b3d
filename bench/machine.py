# SPDX-License-Identifier: Apache-2.0
"""CPUs and programs to measure with: what bench/run.py and bench/peers share.

A sample is a function; Machine.quietly() calls it and knows how much CPU time other processes took meanwhile. Server
and the loads (echo, wrk, one GET) are what samples of servers are made of.
"""

import json
import os
import pathlib
import platform
import re
import resource
import shutil
import socket
import subprocess
import tempfile
import time

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
DISTURBED = 0.05  # of one CPU, taken by other processes


class Failure(Exception):
    """A program could not be run, or did wrong: a sentence for the last lines of the table."""


def cpu_model():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        match = re.search(r"model name\s*:\s*(.*)", f.read())
    return match.group(1) if match else platform.machine()


def machine_busy_seconds():
    """CPU time that anything on this machine has used."""
    with open("/proc/stat", encoding="ascii") as f:
        user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, f.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / CLOCK_TICKS


def own_seconds():
    """CPU time of this script and of everything it has started and waited for."""
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        total += usage.ru_utime + usage.ru_stime
    return total


def raise_fd_limit():
    """As many descriptors as may be, for this process and all it starts."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Machine:
    """Pins and runs programs, and counts the samples that other processes disturbed."""

    def __init__(self, build, quick=False, attempts=3):
        self.build = pathlib.Path(build)
        self.quick = quick
        self.attempts = attempts
        self.cpus = sorted(os.sched_getaffinity(0))
        if len(self.cpus) < 2:
            raise Failure("two CPUs are needed: one for the server and one for its load")
        self.samples = self.disturbed = 0

    def program(self, name):
        path = self.build / "bench" / name
        if not path.exists():
            raise Failure(f"{path} is missing: build it first")
        return str(path)

    def pinned(self, command, first, count=1):
        cpus = self.cpus[first : first + count] or self.cpus
        return ["taskset", "-c", ",".join(map(str, cpus)), *map(str, command)]

    def quietly(self, sample):
        """The result of sample() in the least disturbed of up to three attempts, as measure() has it."""
        return self.measure(sample)[0]

    def measure(self, sample):
        """The result, and the share of a CPU that other processes took while it was measured."""
        best = None
        for _ in range(self.attempts):
            begin, busy, own = time.monotonic(), machine_busy_seconds(), own_seconds()
            result = sample()
            elapsed = time.monotonic() - begin
            foreign = max(0.0, machine_busy_seconds() - busy - (own_seconds() - own)) / max(elapsed, 0.01)
            if best is None or foreign < best[1]:
                best = (result, foreign)
            # Below a few clock ticks nothing can be said.
            if foreign <= DISTURBED or foreign * elapsed < 0.03:
                break
        self.samples += 1
        self.disturbed += best[1] > DISTURBED
        return best

    def run(self, command, timeout=120):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise Failure(f"{' '.join(command)}: no end after {timeout} s") from None
        except OSError as error:
            raise Failure(f"{' '.join(command)}: {error}") from None
        if done.returncode != 0:
            told = (done.stderr.strip() or done.stdout.strip())[-400:]
            raise Failure(f"{' '.join(command)}: exit status {done.returncode}: {told}")
        return done.stdout

    def run_json(self, command):
        return json.loads(self.run(command))


# --- servers and their loads -------------------------------------------------------------------------------------


def children_of(pid):
    """The processes that this one's threads have started and that still run."""
    children = []
    for path in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        children += path.read_text(encoding="ascii").split()
    return children


class Server:
    """A server pinned to the first CPUs, for the length of a with statement.

    It prints "... on HOST:PORT" when it is ready; one that does not say so is given its address and is ready when it
    accepts a connection there.
    """

    def __init__(self, machine, command, cpus=1, address=None):
        self.command = machine.pinned(command, 0, cpus)
        self.address = address

    def __enter__(self):
        self.errors = tempfile.TemporaryFile("w+")
        output = self.errors if self.address else subprocess.PIPE
        try:
            self.process = subprocess.Popen(self.command, stdout=output, stderr=self.errors, text=True)
        except OSError as error:
            raise Failure(f"{' '.join(self.command)}: {error}") from None
        try:
            self.wait_until_connectable() if self.address else self.read_address()
        except Failure:
            self.process.kill()
            self.process.wait()
            raise
        return self

    def read_address(self):
        found = None
        while found is None:
            line = self.process.stdout.readline()
            if not line:
                self.process.wait()
                raise Failure(f"{' '.join(self.command)}: did not listen: {self.told()}")
            found = re.search(r" on (?:http://)?(\d+\.\d+\.\d+\.\d+:\d+)", line)
        self.address = found.group(1)

    def wait_until_connectable(self):
        host, port = self.address.rsplit(":", 1)
        give_up = time.monotonic() + 10
        while True:
            if self.process.poll() is not None:
                raise Failure(f"{' '.join(self.command)}: did not listen: {self.told()}")
            try:
                socket.create_connection((host, int(port)), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > give_up:
                    raise Failure(f"{' '.join(self.command)}: does not accept connections on {self.address}") from None
                time.sleep(0.02)

    def told(self):
        self.errors.seek(0)
        return self.errors.read()[-400:].strip()

    def processes(self):
        """Ids of the server and of the workers it has started."""
        found = [str(self.process.pid)]
        for pid in found:
            found += children_of(pid)
        return found

    def cpu_seconds(self):
        """User and system time of the server and its workers."""
        ticks = 0
        for pid in self.processes():
            with open(f"/proc/{pid}/stat", encoding="ascii") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / CLOCK_TICKS

    def __exit__(self, kind, _value, _traceback):
        died = self.process.poll()
        self.process.terminate()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
        told = self.told()
        self.errors.close()
        if died is not None:
            raise Failure(f"{' '.join(self.command)}: ended under load with status {died}: {told}")


def echo_load(machine, server, first=1, cpus=1, **options):
    """What `load` measured, and the server's CPU time a message; options as of load."""
    command = [machine.program("load"), server.address, "--json"]
    for name, value in options.items():
        command += ["--" + name.replace("_", "-"), str(value)]
    before = server.cpu_seconds()
    result = machine.run_json(machine.pinned(command, first, cpus))
    result["server_cpu_us"] = (server.cpu_seconds() - before) / result["all_messages"] * 1e6
    return result


def fetch_raw(address, path):
    """Status line, header and body of one GET, as they came."""
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10) as s:
        s.sendall(f"GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            got = s.recv(65536)
            if not got:
                raise Failure(f"{address}: the connection ended inside the header of {path}")
            answer += got
        header, _, body = answer.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length:\s*(\d+)", header)
        if not header.startswith(b"HTTP/1.1 200") or length is None:
            raise Failure(f"{address}: unexpected answer to {path}: {header.decode('latin-1')}")
        while len(body) < int(length.group(1)):
            got = s.recv(65536)
            if not got:
                raise Failure(f"{address}: the connection ended inside the body of {path}")
            body += got
        return header + b"\r\n\r\n" + body, body


def microseconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * {"us": 1, "ms": 1e3, "s": 1e6, "m": 6e7}[unit]


def wrk(machine, server, connections, path, seconds):
    if shutil.which("wrk") is None:
        raise Failure("wrk is missing")
    before = server.cpu_seconds()
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", f"http://{server.address}{path}"]
    text = machine.run(machine.pinned(command, 1))
    cpu = server.cpu_seconds() - before
    requests = int(re.search(r"(\d+) requests in", text).group(1))
    if requests == 0:
        raise Failure(f"no request was answered: {text}")
    sockets = re.search(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    errors = sum(map(int, sockets.groups())) if sockets else 0
    errors += int(refused.group(1)) if refused else 0
    return {
        "cpu_us": cpu / requests * 1e6,
        "rate": float(re.search(r"Requests/sec:\s*([\d.]+)", text).group(1)),
        "p50_us": microseconds(re.search(r"^\s+50%\s+(\S+)", text, re.MULTILINE).group(1)),
        "p99_us": microseconds(re.search(r"^\s+99%\s+(\S+)", text, re.MULTILINE).group(1)),
        "errors": errors,
    }


# --- what tables need --------------------------------------------------------------------------------------------


def show(value):
    if value is None:
        return "-"
    if value == int(value):
        return f"{int(value):,}"
    for limit, digits in ((10, 2), (1000, 1)):
        if abs(value) < limit:
            return f"{value:.{digits}f}"
    return f"{value:,.0f}"
