# SPDX-License-Identifier: Apache-2.0
"""The servers under test: started, asked about by way of the kernel, stopped, killed.

What a server says of itself is not believed here: descriptors, connections and memory are read from /proc."""
import argparse
import collections
import os
import pathlib
import queue
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

# Long enough for a sanitizer's build on a busy machine. Nothing waits for it that goes well.
PATIENCE = 60


def raise_descriptor_limit():
    """As many descriptors as this process may have; returns their number."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def program(name):
    """Where an example is: in SINEW_EXAMPLES_DIR; or the name is a path, or a program that is installed."""
    directory = os.environ.get("SINEW_EXAMPLES_DIR", "")
    for candidate in (pathlib.Path(directory, name, name), pathlib.Path(directory, name)):
        if candidate.is_file():
            return str(candidate)
    found = shutil.which(name)
    if not found:
        sys.exit(f"there is no program {name}; SINEW_EXAMPLES_DIR has to be the directory of the example programs")
    return found


def sanitizer_of(path):
    """Which sanitizer a program or the library beside it was built with: "address", "thread" or None."""
    text = subprocess.run(["nm", "-D", "--undefined-only", path], capture_output=True, check=False).stdout
    text += subprocess.run(["nm", path], capture_output=True, check=False).stdout
    for name, symbol in (("address", b"__asan_init"), ("thread", b"__tsan_init")):
        if symbol in text:
            return name
    return None


def parser(description):
    """The arguments that all have in common."""
    p = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("server", choices=("http", "kv"))
    p.add_argument("--program", help="another one than the example, say redis-server for kv")
    p.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    p.add_argument("--workers", type=int, default=2)
    return p


class Server:
    """A server in a process of its own. Subclasses say how to start it."""

    name = None
    stop_signal = signal.SIGTERM
    says_cut = True  # at the end, how many connections it has cut
    grace = 1  # seconds, for what is in flight when it is asked to stop
    timeout = None  # seconds after which it gives up on a client that does nothing, if it does

    def __init__(self, args):
        self.path = program(args.program or self.name)
        self.workers = args.workers
        self.sanitizer = sanitizer_of(self.path)
        self.scratch = tempfile.TemporaryDirectory(prefix=f"sinew-{self.name}-")
        self.directory = pathlib.Path(self.scratch.name)
        self.process = None
        self.port = None

    def arguments(self):
        raise NotImplementedError

    def launch(self):
        """Starts it, and does not wait."""
        self.output = []
        self._lines = queue.Queue()
        with open(self.directory / "stderr", "ab") as errors:
            self.process = subprocess.Popen(
                [self.path, *self.arguments()], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
                text=True, preexec_fn=self._prepare)
        threading.Thread(target=self._read, args=(self.process.stdout, self._lines), daemon=True).start()

    def start(self):
        """Starts it and waits until it listens; again, too, after it has ended."""
        self.launch()
        self.port = self.find_port()
        return self

    @staticmethod
    def _prepare():
        # A script in the background has SIGINT ignored, and its children would inherit that.
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    @staticmethod
    def _read(stream, lines):
        for line in stream:
            lines.put(line.rstrip("\n"))
        lines.put(None)

    def line(self):
        """The next line of its output; None at the end."""
        line = self._lines.get(timeout=PATIENCE)
        if line is not None:
            self.output.append(line)
        return line

    def find_port(self):
        """From the line that ends in "...:PORT"."""
        while (line := self.line()) is not None:
            if found := re.search(r":(\d+)$", line):
                return int(found[1])
        raise AssertionError(f"{self.name} has ended without a word of its port: {self.said()}")

    def said(self):
        """What it has written to stderr."""
        return (self.directory / "stderr").read_text(errors="replace")

    def alive(self):
        return self.process.poll() is None

    def kill(self):
        if self.process and self.alive():
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.show()
        self.close()

    def show(self):
        if said := self.said():
            print(f"--- stderr of {self.name}\n{said[-20000:]}---", flush=True)

    def close(self):
        self.kill()
        self.scratch.cleanup()

    def stop(self):
        """Asks it to stop and waits; returns its exit code and how long it took."""
        began = time.monotonic()
        self.process.send_signal(self.stop_signal)
        code = self.process.wait(timeout=self.grace + PATIENCE)
        took = time.monotonic() - began
        while self.line() is not None:
            pass
        return code, took

    # --- what the kernel says ------------------------------------------------------------------------------------

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def connections(self):
        """How many of its TCP connections are in which state; those that only wait for stray packets left out."""
        names = {"01": "established", "02": "syn sent", "03": "syn received", "04": "fin wait 1", "05": "fin wait 2",
                 "08": "close wait", "09": "last ack", "0B": "closing", "0C": "syn received"}
        here = f"0100007F:{self.port:04X}"
        states = {}  # by the other side's address: the kernel may list one twice while others come and go
        with open(f"/proc/{self.process.pid}/net/tcp") as lines:
            for line in lines:
                fields = line.split()
                if fields[1] == here and fields[3] in names:
                    states[fields[2]] = names[fields[3]]
        return collections.Counter(states.values())

    def memory(self):
        """KiB that are the process's own: anonymous and shared memory. What is mapped of files is left out, since it
        is counted according to who else has mapped it."""
        kib = {}
        with open(f"/proc/{self.process.pid}/smaps_rollup") as lines:
            for line in lines:
                fields = line.split()
                if fields[-1] == "kB":
                    kib[fields[0]] = int(fields[1])
        return kib["Pss_Anon:"] + kib["Pss_Shmem:"]

    def memory_at_rest(self, enough=0, settle=2.5, patience=8):
        """The same once it has not fallen for `settle` seconds, or is low enough: some memory is given back only after
        a while."""
        least = self.memory()
        since = began = time.monotonic()
        while least > enough and time.monotonic() - since < settle and time.monotonic() - began < patience:
            time.sleep(0.1)
            now = self.memory()
            if now < least - 64:
                since = time.monotonic()
            least = min(least, now)
        return least


class Http(Server):
    name = "http"

    def __init__(self, args, timeout=3600):
        super().__init__(args)
        self.timeout = timeout
        self.root = self.directory / "root"
        self.root.mkdir()

    def arguments(self):
        return [str(self.root), "127.0.0.1:0", "--timeout", str(self.timeout), "--grace", str(self.grace), "--workers",
                str(self.workers)]


class Kv(Server):
    """Either the example, or Redis, if that is the path: a test that Redis does not pass would be wrong."""
    name = "kv"

    def __init__(self, args, fsync=None):
        super().__init__(args)
        self.is_redis = os.path.basename(self.path) == "redis-server"
        self.says_cut = not self.is_redis
        self.fsync = fsync
        self.data = self.directory / "data"
        self.data.mkdir()

    def arguments(self):
        if self.is_redis:
            with socket.socket() as s:  # somebody could take it in between; not on a machine for tests
                s.bind(("127.0.0.1", 0))
                self.port = s.getsockname()[1]
            persistent = ["--appendonly", "yes", "--appendfsync", self.fsync,
                          "--aof-use-rdb-preamble", "no"] if self.fsync else []
            return ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.data), "--save", "",
                    "--maxclients", "19000", "--protected-mode", "no", *persistent]
        persistent = ["--appendonly", str(self.data / "appendonly"), "--fsync", self.fsync] if self.fsync else []
        return ["127.0.0.1:0", "--grace", str(self.grace), "--workers", str(self.workers), "--max-clients", "19000",
                "--stall", "5", *persistent]

    def log_files(self):
        return [path for path in self.data.rglob("*") if path.is_file() and path.name.endswith((".aof", "appendonly"))]

    def find_port(self):
        if not self.is_redis:
            return super().find_port()
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self.alive():
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    s.sendall(b"PING\r\n")
                    if s.recv(100) == b"+PONG\r\n":  # and not that it is still loading
                        return self.port
            time.sleep(0.05)
        raise AssertionError(f"Redis does not answer: {self.output}")
