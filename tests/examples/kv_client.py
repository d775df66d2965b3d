# SPDX-License-Identifier: Apache-2.0
"""What the tests of kv share: the server as a program, and clients that see every byte."""
import contextlib
import os
import pathlib
import signal
import socket
import time

import programs


def is_sanitized():
    cache = pathlib.Path(os.environ.get("SINEW_EXAMPLES_DIR", "."), "..", "CMakeCache.txt")
    with contextlib.suppress(OSError):
        return "SINEW_SANITIZE:STRING=\n" not in cache.read_text()
    return False


# Sizes and times shrink where everything takes longer.
SCALE = 10 if is_sanitized() else 1


class Error(str):
    """An answer that begins with '-'."""


def encode(*args):
    parts = [a if isinstance(a, bytes) else str(a).encode() for a in args]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)


class Client:
    """A connection. What is read is checked to the byte: no answer has anything in it that the protocol has not."""

    def __init__(self, port, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(programs.PATIENCE)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = self.socket.makefile("rb", buffering=1 << 16)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.reader.close()
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def read_line(self):
        line = self.reader.readline()
        if not line:
            raise EOFError
        assert line.endswith(b"\r\n"), line
        return line[:-2]

    def read(self):
        line = self.read_line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return Error(rest.decode("latin-1"))
        if kind == b":":
            return int(rest)
        if kind == b"$":
            if rest == b"-1":
                return None
            data = self.reader.read(int(rest) + 2)
            if len(data) != int(rest) + 2:
                raise EOFError
            assert data.endswith(b"\r\n"), data[-10:]
            return data[:-2]
        assert kind == b"*", line
        return [self.read() for _ in range(int(rest))]

    def ask(self, *args):
        self.send(encode(*args))
        return self.read()

    def ask_all(self, commands):
        """All of them in one send."""
        self.send(b"".join(encode(*c) for c in commands))
        return [self.read() for _ in commands]

    def is_closed(self):
        """Waits for the end of the stream; false if there is another byte instead."""
        try:
            return self.reader.read(1) == b""
        except ConnectionResetError:
            return True


class Server(programs.Program):
    """kv with a port of its own. Its standard error goes to a file, for tests that look at it."""

    def __init__(self, *options, **limits):
        super().__init__("kv", "127.0.0.1:0", *options, **limits)
        self.options = options
        self.number = None
        for _ in range(2):  # there may be a line that says how much of a file has been read
            line = self.line()
            assert line is not None, "it does not start"
            if line.startswith("kv: ready on "):
                self.number = int(line.rsplit(":", 1)[1])
                break
        assert self.number, self.output

    def client(self, **options):
        return Client(self.number, **options)

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def info(self, client, name):
        for line in client.ask("INFO").decode().split("\r\n"):
            if line.startswith(name + ":"):
                return line.split(":", 1)[1]
        raise AssertionError(f"INFO has no {name}")


@contextlib.contextmanager
def server(*options, **limits):
    """A server for a test, which stops it and looks at its exit code."""
    with Server(*options, **limits) as program:
        yield program
        program.terminate()
        code = program.end()
        assert code == 0, code
        assert program.output[-1].startswith("kv: stopped: "), program.output


def wait_until(condition, what):
    deadline = time.monotonic() + programs.PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)
