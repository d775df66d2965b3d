# SPDX-License-Identifier: Apache-2.0
"""Goal: the forwarder delivers every byte and every end of a stream both ways, answers for targets that cannot, lets no
request through that two servers could read in two ways, keeps its limits, and stops without cutting what can end.

Method: curl, socat, Python's HTTP server, the example http, and raw sockets on both sides where those are too polite.
Random choices come from a seed, which is printed and taken back as the only argument. What it cannot see: how the bytes
are cut into pieces on their way through the kernel."""
import contextlib
import functools
import hashlib
import os
import pathlib
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

import programs

SEED = int(sys.argv[1]) if len(sys.argv) > 1 else random.SystemRandom().randrange(1 << 32)
print("seed", SEED)
rng = random.Random(SEED)
DATA = rng.randbytes(6_000_000)

scratch = tempfile.TemporaryDirectory()
ROOT = pathlib.Path(scratch.name)
(ROOT / "hello.txt").write_bytes(b"hello\n")
(ROOT / "large.bin").write_bytes(DATA)

# --- programs and sockets -------------------------------------------------------------------------------------------


@contextlib.contextmanager
def proxy(*targets, options=(), expected=0, stop=True, **limits):
    """A proxy of its own for a test, which stops it and looks at its exit code. A target is a port or an address."""
    to = ",".join(f"127.0.0.1:{target}" if isinstance(target, int) else target for target in targets)
    with programs.Program("proxy", "--listen", "127.0.0.1:0", "--to", to, "--workers", "2", *options,
                          **limits) as program:
        program.number = program.port()
        yield program
        if stop:
            program.process.send_signal(signal.SIGTERM)
        code = program.end()
        assert code == expected, code
        assert program.output[-1].startswith("proxy: stopped: "), program.output


def reported(program):
    """The numbers of the last line."""
    return {what: int(number) for number, what in re.findall(r"(\d+) ([a-z ]+)", program.output[-1])}


def connect(port, receive_buffer=None, source=None):
    s = socket.socket()
    if receive_buffer:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    if source:
        s.bind((source, 0))
    s.settimeout(programs.PATIENCE)
    s.connect(("127.0.0.1", port))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def read_all(s):
    pieces = []
    while piece := s.recv(1 << 16):
        pieces.append(piece)
    return b"".join(pieces)


def read_exactly(s, count):
    data = b""
    while len(data) < count:
        piece = s.recv(count - len(data))
        assert piece, f"{len(data)} bytes of {count}"
        data += piece
    return data


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def is_reset(s):
    """Waits for the end; whether it was a reset."""
    try:
        while s.recv(1 << 16):
            pass
        return False
    except ConnectionResetError:
        return True


def wait_until(condition):
    deadline = time.monotonic() + programs.PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never comes true"
        time.sleep(0.01)


class Backend:
    """A server that runs handler(socket) in a thread for each connection."""

    def __init__(self, handler, port=0):
        self.handler, self.connections, self.failures = handler, 0, []
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen(1000)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                s, _ = self.listener.accept()
                self.connections += 1
                s.settimeout(programs.PATIENCE)
                threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _serve(self, s):
        try:
            with s:
                self.handler(s)
        except Exception as error:
            self.failures.append(error)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def echo(s):
    with contextlib.suppress(ConnectionError):
        while data := s.recv(1 << 16):
            s.sendall(data)


@functools.cache
def closed_port():
    """A port at which nobody listens, and nobody will: it stays bound."""
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    closed_port.socket = s
    return s.getsockname()[1]


@contextlib.contextmanager
def hanging_port():
    """A port that answers no connection: the queue of those to be accepted is full."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        while True:
            s = stack.enter_context(socket.socket())
            s.settimeout(0.3)
            try:
                s.connect(address)
            except TimeoutError:
                break
        yield address[1]


# --- TCP: bytes -----------------------------------------------------------------------------------------------------


def many_bytes_arrive_both_ways():
    with Backend(echo) as backend, proxy(backend.port) as program:
        with connect(program.number) as s:
            def send():
                s.sendall(DATA)
                s.shutdown(socket.SHUT_WR)

            sender = threading.Thread(target=send)
            sender.start()
            assert hashlib.sha256(read_all(s)).digest() == hashlib.sha256(DATA).digest()
            sender.join()
    numbers = reported(program)
    assert numbers["bytes to targets"] == numbers["bytes to clients"] == len(DATA), numbers
    assert (numbers["connections"], numbers["cut"]) == (1, 0)


def socat_sends_through_it():
    with Backend(echo) as backend, proxy(backend.port) as program:
        done = subprocess.run(["socat", "-t", str(programs.PATIENCE), "-", f"TCP:127.0.0.1:{program.number}"],
                              input=DATA, stdout=subprocess.PIPE, check=True, timeout=programs.PATIENCE)
        assert done.stdout == DATA


def twenty_clients_get_their_own_bytes():
    def visit(number, own):
        with connect(number) as s:
            for _ in range(20):
                data = own.randbytes(own.choice([1, 10, 1000, 30_000, 200_000]))
                sender = threading.Thread(target=s.sendall, args=(data,))
                sender.start()
                assert read_exactly(s, len(data)) == data
                sender.join()
        done.append(1)

    done = []
    with Backend(echo) as backend, proxy(backend.port) as program:
        visitors = [threading.Thread(target=visit, args=(program.number, random.Random(SEED + i))) for i in range(20)]
        for visitor in visitors:
            visitor.start()
        for visitor in visitors:
            visitor.join()
        assert len(done) == 20


def unix_sockets_are_addresses_too():
    inside, outside = str(ROOT / "inside"), str(ROOT / "outside")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(inside)
        listener.listen()
        with programs.Program("proxy", "--listen", f"unix:{outside}", "--to", f"unix:{inside}") as program:
            assert program.line().endswith(outside)
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(programs.PATIENCE)
                s.connect(outside)
                server, _ = listener.accept()
                with server:
                    server.settimeout(programs.PATIENCE)
                    s.sendall(b"there")
                    s.shutdown(socket.SHUT_WR)
                    assert read_all(server) == b"there"
                    server.sendall(b"and back")
                assert read_all(s) == b"and back"
            program.process.send_signal(signal.SIGTERM)
            assert program.end() == 0


def descriptors(program):
    """How many sockets and ends of pipes it has."""
    links = []
    for name in os.listdir(f"/proc/{program.process.pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            links.append(os.readlink(f"/proc/{program.process.pid}/fd/{name}"))
    return sum(link.startswith("socket:") for link in links), sum(link.startswith("pipe:") for link in links)


def no_pipe_is_held_while_nothing_moves():
    with Backend(echo) as backend, proxy(backend.port) as program, contextlib.ExitStack() as stack:
        sockets, pipes = descriptors(program)
        clients = [stack.enter_context(connect(program.number)) for _ in range(100)]
        for client in clients:  # one after the other: they use the same pipe
            client.sendall(b"x")
            assert client.recv(1) == b"x"
        assert descriptors(program)[0] == sockets + 200
        assert descriptors(program)[1] - pipes < 20, descriptors(program)


def without_descriptors_for_pipes_bytes_are_copied():
    with Backend(echo) as backend:
        with proxy(backend.port, descriptors=60, quiet=True) as program, contextlib.ExitStack() as stack:
            clients = []
            while len(os.listdir(f"/proc/{program.process.pid}/fd")) < 59:  # two each; then there is no room for a pipe
                clients.append(stack.enter_context(connect(program.number)))
                count = len(clients)
                wait_until(lambda: backend.connections == count)
            for client in (clients[0], clients[-1]):
                sender = threading.Thread(target=client.sendall, args=(DATA,))
                sender.start()
                assert read_exactly(client, len(DATA)) == DATA
                sender.join()


# --- TCP: ends ------------------------------------------------------------------------------------------------------


def each_direction_ends_by_itself():
    def answer_at_the_end(s):
        s.sendall(hashlib.sha256(read_all(s)).digest())

    def end_first(s):
        s.sendall(b"that is all")
        s.shutdown(socket.SHUT_WR)
        received.append(read_all(s))

    received = []
    with Backend(answer_at_the_end) as backend, proxy(backend.port) as program, connect(program.number) as s:
        s.sendall(DATA)
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == hashlib.sha256(DATA).digest()
    with Backend(end_first) as backend, proxy(backend.port) as program:
        with connect(program.number) as s:
            assert read_all(s) == b"that is all"
            s.sendall(DATA)
        wait_until(lambda: received == [DATA])


def a_reset_ends_both_sides():
    def reset_it(s):
        s.recv(1)
        reset(s)

    def see_reset(s):
        s.sendall(b"hello")
        seen.append(is_reset(s))

    seen = []
    with Backend(reset_it) as backend, proxy(backend.port) as program, connect(program.number) as s:
        s.sendall(b"x")
        assert is_reset(s)
    with Backend(see_reset) as backend, proxy(backend.port) as program:
        s = connect(program.number)
        assert read_exactly(s, 5) == b"hello"
        reset(s)
        wait_until(lambda: seen == [True])


def a_target_that_goes_away_ends_a_waiting_sender():
    """The client's data fills all buffers, since nobody reads it; then the target is gone."""
    gone = threading.Event()

    def never_read(s):
        gone.wait(programs.PATIENCE)
        reset(s)

    with Backend(never_read) as backend, proxy(backend.port) as program, connect(program.number) as s:
        s.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            while True:
                s.sendall(DATA)
        gone.set()
        s.settimeout(programs.PATIENCE)
        assert is_reset(s)


def a_slow_reader_gets_everything():
    def send(s):
        s.sendall(DATA)

    with Backend(send) as backend, proxy(backend.port, options=["--idle-timeout", "1"]) as program:
        with connect(program.number, receive_buffer=100_000) as s:
            data = b""
            while piece := s.recv(200_000):  # longer than the limit, all in all, and in one direction only
                data += piece
                time.sleep(0.03)
            assert data == DATA
    assert reported(program)["timed out"] == 0


def what_is_idle_is_cut():
    with Backend(echo) as backend, proxy(backend.port, options=["--idle-timeout", "0.5"]) as program:
        with connect(program.number) as s, connect(program.number) as lively:
            s.sendall(b"x")
            assert s.recv(1) == b"x"
            since = time.monotonic()
            while time.monotonic() < since + 1.5:
                lively.sendall(b"x")
                assert lively.recv(1) == b"x"
                time.sleep(0.05)
            assert is_reset(s), "an end that neither side has sent looks like an ordinary one"
            lively.sendall(b"x")
            assert lively.recv(1) == b"x"
    assert reported(program)["timed out"] == 1, program.output


def a_reader_that_stops_is_cut():
    with Backend(lambda s: s.sendall(DATA * 3)) as backend:
        with proxy(backend.port, options=["--idle-timeout", "0.5"]) as program:
            with connect(program.number, receive_buffer=4096) as s:
                assert read_exactly(s, 10) == DATA[:10]
                time.sleep(2)
                assert is_reset(s)
        assert reported(program)["timed out"] == 1


# --- targets --------------------------------------------------------------------------------------------------------


def named(name):
    return lambda s: s.sendall(name)


def who_answers(program):
    with connect(program.number) as s:
        return read_all(s)


def targets_take_turns():
    with Backend(named(b"a")) as a, Backend(named(b"b")) as b, Backend(named(b"c")) as c:
        with proxy(a.port, b.port, c.port) as program:
            assert b"".join(who_answers(program) for _ in range(9)) == b"abcabcabc"


def another_target_takes_over():
    with Backend(named(b"a")) as a:
        with proxy(closed_port(), a.port, options=["--leave-out", "100"], quiet=True) as program:
            assert b"".join(who_answers(program) for _ in range(6)) == b"aaaaaa"
    with hanging_port() as hanging, Backend(named(b"a")) as a:
        options = ["--leave-out", "100", "--connect-timeout", "0.5"]
        with proxy(hanging, a.port, options=options, quiet=True) as program:
            assert who_answers(program) == b"a"  # having waited
            since = time.monotonic()
            assert b"".join(who_answers(program) for _ in range(8)) == b"a" * 8
            assert time.monotonic() - since < 0.5 * 4, "it is asked each time"


def a_target_that_works_again_is_used_again():
    port = closed_port()
    with Backend(named(b"a")) as a:
        with proxy(port, a.port, options=["--leave-out", "0.2"], quiet=True) as program:
            assert who_answers(program) == b"a"
            closed_port.socket.close()
            closed_port.cache_clear()
            with Backend(named(b"b"), port):
                wait_until(lambda: who_answers(program) == b"b")


def with_no_target_left_clients_are_reset():
    with proxy(closed_port(), options=["--leave-out", "100"], quiet=True) as program:
        for _ in range(3):  # asked again each time, for there is no other
            with contextlib.suppress(ConnectionResetError):  # so soon that connecting has not returned yet
                assert is_reset(connect(program.number))
    assert reported(program)["found no target"] == 3


# --- limits ---------------------------------------------------------------------------------------------------------


def further_clients_wait_for_a_place():
    with Backend(echo) as backend, proxy(backend.port, options=["--max-connections", "2"]) as program:
        with connect(program.number) as first, connect(program.number) as second, connect(program.number) as third:
            for s in (first, second):
                s.sendall(b"x")
                assert s.recv(1) == b"x"
            third.sendall(b"y")
            third.settimeout(0.3)
            try:
                assert not third.recv(1), "there are three at once"
            except TimeoutError:
                pass
            assert backend.connections == 2
            first.close()
            third.settimeout(programs.PATIENCE)
            assert third.recv(1) == b"y"


def one_address_has_so_many_connections():
    def is_served(s):
        with contextlib.suppress(ConnectionError):
            s.sendall(b"x")
            return s.recv(1) == b"x"
        return False

    def third_is_served():
        with connect(program.number) as first, connect(program.number) as second:
            if not (is_served(first) and is_served(second)):
                return None  # those of the round before have not been seen to leave yet
            with connect(program.number) as third, connect(program.number, source="127.0.0.2") as other:
                assert is_served(other)
                return is_served(third)

    with Backend(echo) as backend, proxy(backend.port, options=["--max-per-client", "2"]) as program:
        for _ in range(3):  # and gives them back
            wait_until(lambda: third_is_served() is False)
    assert reported(program)["refused"] >= 3


def clients_wait_when_descriptors_run_out():
    with Backend(named(b"hello")) as backend, proxy(backend.port, descriptors=40, quiet=True) as program:
        clients, answers = [], []
        for _ in range(100):
            with contextlib.suppress(ConnectionResetError):  # got in, and there was none left for the target
                clients.append(connect(program.number))
        for s in clients:
            with s, contextlib.suppress(ConnectionResetError):
                answers.append(read_all(s))
        assert set(answers) == {b"hello"}
        assert who_answers(program) == b"hello"


# --- stopping -------------------------------------------------------------------------------------------------------


def stop(program):
    """Returns when it has stopped to listen."""
    program.process.send_signal(signal.SIGTERM)

    def refuses():
        try:
            socket.create_connection(("127.0.0.1", program.number), programs.PATIENCE).close()
            return False
        except ConnectionError:
            return True

    wait_until(refuses)


def stopping_lets_connections_end():
    with Backend(echo) as backend, proxy(backend.port, options=["--grace", "60"], stop=False) as program:
        with connect(program.number) as s:
            s.sendall(b"x")
            assert s.recv(1) == b"x"
            stop(program)
            s.sendall(DATA[:100_000])
            s.shutdown(socket.SHUT_WR)
            assert read_all(s) == DATA[:100_000]
    assert reported(program)["cut"] == 0


def stopping_cuts_what_does_not_end():
    with Backend(echo) as backend, proxy(backend.port, options=["--grace", "0.5"]) as program:
        with connect(program.number) as s, connect(program.number) as other:
            for client in (s, other):
                client.sendall(b"x")
                assert client.recv(1) == b"x"
            program.process.send_signal(signal.SIGTERM)
            program.process.wait(programs.PATIENCE)
            assert is_reset(s) and is_reset(other)
    assert reported(program)["cut"] == 2


def a_second_signal_cuts_at_once():
    for first, second in ((signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGINT)):
        with Backend(echo) as backend, proxy(backend.port, options=["--grace", "1000"], stop=False) as program:
            with connect(program.number) as s:
                s.sendall(b"x")
                assert s.recv(1) == b"x"
                program.process.send_signal(first)
                time.sleep(0.2)
                assert program.process.poll() is None
                program.process.send_signal(second)
                program.process.wait(programs.PATIENCE)
        assert reported(program)["cut"] == 1, program.output


# --- HTTP: the servers behind it ------------------------------------------------------------------------------------


class Request:
    """What a target receives, byte by byte as it came."""

    def __init__(self, reader):
        self.line = reader.readline().decode("latin-1").rstrip("\r\n")
        self.fields = []
        while (line := reader.readline()) not in (b"\r\n", b""):
            name, value = line.decode("latin-1").rstrip("\r\n").split(": ", 1)
            self.fields.append((name.lower(), value))
        self.reader = reader

    def __getitem__(self, name):
        return ", ".join(value for key, value in self.fields if key == name)

    def read_body(self):
        if self["transfer-encoding"] == "chunked":
            body = b""
            while size := int(self.reader.readline(), 16):
                body += self.reader.read(size)
                assert self.reader.readline() == b"\r\n"
            assert self.reader.readline() == b"\r\n"
            return body
        return self.reader.read(int(self["content-length"] or 0))


class HttpBackend(Backend):
    """Keeps all requests; answer(socket, request) answers one, and says whether the connection ends with it."""

    def __init__(self, answer):
        self.requests, self.answer = [], answer
        super().__init__(self.converse)

    def converse(self, s):
        with s.makefile("rb") as reader:
            while True:
                request = Request(reader)
                if not request.line:
                    return
                self.requests.append(request)
                if self.answer(s, request):
                    return


def respond(s, request, text="HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes"):
    request.body = request.read_body()
    s.sendall(text.encode("latin-1") if isinstance(text, str) else text)


def responding(text):
    return lambda s, request: respond(s, request, text)


class Client:
    """A connection that sends exactly what it is told and reads one response after the other."""

    def __init__(self, port):
        self.socket = connect(port)
        self.reader = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.reader.close()
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def read_head(self):
        line = self.reader.readline().decode("latin-1")
        assert line.startswith("HTTP/1.1 ") and line.endswith("\r\n"), line
        self.status = int(line.split(" ")[1])
        self.fields = {}
        while (line := self.reader.readline()) != b"\r\n":
            name, value = line.decode("latin-1").rstrip("\r\n").split(": ", 1)
            assert name.lower() not in self.fields, f"{name} twice"
            self.fields[name.lower()] = value
        return self

    def read(self, head=False):
        """A whole response; how its body was sent is in `framing`."""
        self.read_head()
        assert not ("content-length" in self.fields and "transfer-encoding" in self.fields), self.fields
        self.body, self.framing = b"", "none"
        if head or self.status in (204, 304) or self.status < 200:
            return self
        if "content-length" in self.fields:
            self.framing = "length"
            self.body = self.reader.read(int(self.fields["content-length"]))
            assert len(self.body) == int(self.fields["content-length"])
        elif self.fields.get("transfer-encoding") == "chunked":
            self.framing = "chunked"
            while size := int(self.reader.readline(), 16):
                self.body += self.reader.read(size)
                assert self.reader.readline() == b"\r\n"
            assert self.reader.readline() == b"\r\n"
        else:
            self.framing = "end"
            self.body = self.reader.read()
        return self

    def ask(self, target="/", method="GET", fields="", body=""):
        self.send(f"{method} {target} HTTP/1.1\r\nHost: test\r\n{fields}\r\n")
        self.send(body)
        return self.read(head=method == "HEAD")

    def is_closed(self):
        try:
            return self.reader.read(1) == b""
        except ConnectionResetError:
            return True


def http_proxy(*targets, options=(), **more):
    return proxy(*targets, options=["--http", *options], **more)


def curl(*arguments, check=True):
    return subprocess.run(
        ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", str(programs.PATIENCE), *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL if not check else None, check=check)


# In a process of its own: a test beside this one is called http, too, and would be imported in place of Python's.
PYTHON_SERVER = """
import hashlib, http.server

class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers["Content-Length"]))
        digest = hashlib.sha256(body).hexdigest().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(digest)))
        self.end_headers()
        self.wfile.write(digest)

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


@contextlib.contextmanager
def python_server():
    with subprocess.Popen([sys.executable, "-I", "-c", PYTHON_SERVER], cwd=ROOT, stdout=subprocess.PIPE) as process:
        yield int(process.stdout.readline())
        process.kill()


# --- HTTP: messages -------------------------------------------------------------------------------------------------


def curl_gets_files_from_two_kinds_of_servers():
    with programs.Program("http", str(ROOT), "127.0.0.1:0") as example, python_server() as python:
        for port in (example.port(), python):
            for mode in ([], ["--http"]):
                with proxy(port, options=mode) as program:
                    url = f"http://127.0.0.1:{program.number}"
                    assert curl(f"{url}/large.bin").stdout == DATA
                    assert curl(f"{url}/hello.txt", f"{url}/hello.txt").stdout == b"hello\n" * 2
                    assert curl("--http1.0", f"{url}/large.bin").stdout == DATA
                    assert b"\r\nContent-Length: 6\r\n" in curl("--head", f"{url}/hello.txt").stdout.replace(
                        b"content-length", b"Content-Length")
                    assert curl("--output", os.devnull, "--write-out", "%{http_code}", f"{url}/no").stdout == b"404"
                    once = curl(*(["--output", os.devnull] * 3), "--write-out", "%{num_connects}",
                                *[f"{url}/hello.txt"] * 3).stdout
                    assert once == b"100", once
        example.interrupt()
        assert example.end() == 0


def curl_uploads():
    digest = hashlib.sha256(DATA).hexdigest().encode()
    with python_server() as python, http_proxy(python) as program:
        url = f"http://127.0.0.1:{program.number}/"
        file = str(ROOT / "large.bin")
        assert curl("--upload-file", file, url).stdout == digest  # curl expects a 100 Continue
        assert curl("--upload-file", file, "--header", "Expect:", url).stdout == digest
        assert curl("--upload-file", file, "--header", "Transfer-Encoding: chunked", url).stdout == digest
        assert curl("--upload-file", os.devnull, url).stdout == hashlib.sha256(b"").hexdigest().encode()


def the_target_learns_who_asks():
    with HttpBackend(respond) as backend, http_proxy(backend.port) as program, Client(program.number) as client:
        assert client.ask("/a?b=c").body == b"yes"
        assert client.fields == {"content-length": "3", "via": "1.1 sinew"}
        client.ask(fields="X-Forwarded-For: 10.1.1.1\r\nA: 1\r\nx-forwarded-for: 10.2.2.2\r\nVia: 1.0 other\r\n")
        client.ask(fields="Connection: close, X-Mine\r\nX-Mine: 1\r\nx-mine: 2\r\nX-Kept: 3\r\nKeep-Alive: 5\r\n"
                   "TE: trailers\r\nUpgrade: websocket\r\nProxy-Connection: keep-alive\r\nEmpty:\r\nCookie: a=b\r\n")
        assert client.fields["connection"] == "close" and client.is_closed()
    first, second, third = backend.requests
    assert first.line == "GET /a?b=c HTTP/1.1"
    assert first.fields == [("host", "test"), ("x-forwarded-for", "127.0.0.1"), ("via", "1.1 sinew")], first.fields
    assert second["x-forwarded-for"] == "10.1.1.1, 10.2.2.2, 127.0.0.1" and second["via"] == "1.0 other, 1.1 sinew"
    assert second["a"] == "1"
    assert third.fields == [("host", "test"), ("x-kept", "3"), ("empty", ""), ("cookie", "a=b"),
                            ("x-forwarded-for", "127.0.0.1"), ("via", "1.1 sinew")], third.fields


def what_a_client_says_of_connections_hides_nothing():
    """A field that matters cannot be made to disappear by calling it one of this connection's."""
    with HttpBackend(respond) as backend, http_proxy(backend.port) as program, Client(program.number) as client:
        client.ask("/", "POST", "Connection: Host, Content-Length\r\nContent-Length: 3\r\n", "abc")
    assert backend.requests[0]["host"] == "test" and backend.requests[0].body == b"abc"


RESPONSES = [  # what the target sends; status, body; the framing for a client of HTTP/1.1, and of 1.0
    ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello", "length", "length"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, b"", "length", "length"),
    ("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, b"", "length", "length"),
    ("HTTP/1.1 299 Any: Thing\r\nContent-Length: 1\r\n\r\nx", 299, b"x", "length", "length"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nTrailer: x\r\n\r\n", 200,
     b"hello", "chunked", "end"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n", 200, b"", "chunked", "end"),
    ("HTTP/1.1 204 No Content\r\n\r\n", 204, b"", "none", "none"),
    ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, b"", "none", "none"),
    ("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", "length",
     "length"),
    ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello", "length", "length"),
]
ENDING = [
    ("HTTP/1.1 200 OK\r\n\r\nhello", 200, b"hello", "chunked", "end"),
    ("HTTP/1.0 200 OK\r\n\r\nhello", 200, b"hello", "chunked", "end"),
    ("HTTP/1.0 200 OK\r\n\r\n", 200, b"", "chunked", "end"),
]


def responses_arrive_in_the_client_s_dialect():
    for kind, responses in ((False, RESPONSES), (True, ENDING)):
        for text, status, body, new, old in responses:
            def answer(s, request):
                respond(s, request, text)
                return kind

            with HttpBackend(answer) as backend, http_proxy(backend.port) as program:
                with Client(program.number) as client:
                    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n")
                    if " 103 " in text:
                        assert client.read().status == 103
                    client.read()
                    assert (client.status, client.body, client.framing) == (status, body, new), text
                    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n")  # the connection can still be used
                    if " 103 " in text:
                        client.read()
                    assert client.read().status == status
                for fields in ("", "Connection: keep-alive\r\n"):
                    with Client(program.number) as client:
                        client.send(f"GET / HTTP/1.0\r\n{fields}\r\n")
                        client.read()
                        assert (client.status, client.body, client.framing) == (status, body, old), text
                        kept = fields and old != "end"
                        assert client.fields["connection"] == ("keep-alive" if kept else "close"), text
                        assert kept or client.is_closed()
                assert backend.requests[2]["host"] == f"127.0.0.1:{backend.port}"


def a_head_has_no_body():
    texts = ("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
             "HTTP/1.1 200 OK\r\n\r\n")
    for text in texts:
        with HttpBackend(responding(text)) as backend, http_proxy(backend.port) as program:
            with Client(program.number) as client:
                for _ in range(3):
                    assert client.ask(method="HEAD").status == 200
                    assert client.fields.get("content-length") == ("500" if "500" in text else None)


def a_204_announces_no_length():
    """RFC 9110, 8.6. There are targets that do."""
    for length in 0, 5:
        text = f"HTTP/1.1 204 No Content\r\nContent-Length: {length}\r\n\r\n"
        with HttpBackend(responding(text)) as backend, http_proxy(backend.port) as program:
            with Client(program.number) as client:
                for _ in range(2):
                    assert client.ask().status == 204
                    assert "content-length" not in client.fields, client.fields


def pipelined_requests_are_answered_in_order():
    def answer(s, request):
        request.body = request.read_body()
        body = request.line.split(" ")[1].encode() + b" " + request.body
        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    with HttpBackend(answer) as backend, http_proxy(backend.port) as program:
        for pieces in (1_000_000, 1, 7):
            data, expected = "", []
            for i in range(40):
                body = rng.choice(["", "some body", "x" * 300])
                if body and rng.random() < 0.5:
                    data += (f"PUT /{i} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
                             f"4;a=b\r\n{body[:4]}\r\n{len(body) - 4:x}\r\n{body[4:]}\r\n0\r\nTrailer: x\r\n\r\n")
                elif body:
                    data += f"PUT /{i} HTTP/1.1\r\nHost: test\r\nContent-Length: {len(body)}\r\n\r\n{body}"
                else:
                    data += f"GET /{i} HTTP/1.1\r\nHost: test\r\n\r\n"
                expected.append(f"/{i} {body}".encode())
            if pieces == 1:
                data = data[:3000]
            with Client(program.number) as client:
                def send():
                    with contextlib.suppress(ConnectionError):
                        for at in range(0, len(data), pieces):
                            client.send(data[at:at + pieces])

                sender = threading.Thread(target=send)
                sender.start()
                for body in expected[:5] if pieces == 1 else expected:
                    assert client.read().body == body, (client.status, client.body)
                sender.join()


def bodies_are_passed_on_as_they_come():
    """Each side waits for the half that has been sent before it sends the next one."""
    for chunked in (False, True):
        def piece(text):
            return f"{len(text):x}\r\n{text}\r\n" if chunked else text

        framing = "Transfer-Encoding: chunked" if chunked else "Content-Length: 8"
        last = "0\r\n\r\n" if chunked else ""
        first_up, first_down = threading.Event(), threading.Event()

        def answer(s, request):
            half = request.reader.read(len(piece("half")))
            assert half.decode() == piece("half"), half
            first_up.set()
            s.sendall(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{piece('more')}".encode())
            assert first_down.wait(programs.PATIENCE)
            rest = request.reader.read(len(piece("full") + last))
            assert rest.decode() == piece("full") + last, rest
            s.sendall((piece("done") + last).encode())

        with HttpBackend(answer) as backend, http_proxy(backend.port) as program:
            with Client(program.number) as client:
                client.send(f"PUT / HTTP/1.1\r\nHost: test\r\n{framing}\r\n\r\n{piece('half')}")
                assert first_up.wait(programs.PATIENCE)
                client.read_head()
                assert client.reader.read(len(piece("more"))).decode() == piece("more")
                first_down.set()
                client.send(piece("full") + last)
                end = piece("done") + last
                assert client.reader.read(len(end)).decode() == end
            assert not backend.failures, backend.failures


def a_target_may_answer_while_it_reads():
    """An echo of more than all buffers hold: sending first and then reading would end in a deadlock."""
    def answer(s, request):
        s.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(DATA)}\r\n\r\n".encode())
        left = len(DATA)
        while left > 0:
            data = request.reader.read1(1 << 16)
            s.sendall(data)
            left -= len(data)

    with HttpBackend(answer) as backend, http_proxy(backend.port) as program, Client(program.number) as client:
        for _ in range(2):
            client.send(f"PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: {len(DATA)}\r\n\r\n")
            sender = threading.Thread(target=client.send, args=(DATA,))
            sender.start()
            assert client.read().body == DATA
            sender.join()


def a_target_may_refuse_a_body():
    def refuse(s, request):
        s.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
        return True

    with HttpBackend(refuse) as backend, http_proxy(backend.port) as program:
        for fields in ("Expect: 100-continue\r\n", ""):
            with Client(program.number) as client:
                client.send(f"PUT / HTTP/1.1\r\nHost: test\r\n{fields}Content-Length: 1000000\r\n\r\n")
                client.read()
                assert (client.status, client.body) == (413, b"no") and client.is_closed()


# --- HTTP: what is refused ------------------------------------------------------------------------------------------

HOST = "Host: test\r\n"
REFUSED = [  # what is sent, the status; the connection is closed after each of these
    (f"POST / HTTP/1.1\r\n{HOST}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", 400),
    (f"POST / HTTP/1.1\r\n{HOST}Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd", 400),
    (f"POST / HTTP/1.1\r\n{HOST}Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd", 400),
    (f"POST / HTTP/1.1\r\n{HOST}Content-Length: 4, 4\r\n\r\nabcd", 400),
    (f"POST / HTTP/1.1\r\n{HOST}Content-Length: +4\r\n\r\nabcd", 400),
    (f"POST / HTTP/1.1\r\n{HOST}Content-Length: -1\r\n\r\nabcd", 400),
    (f"POST / HTTP/1.1\r\n{HOST}Content-Length: 0x4\r\n\r\nabcd", 400),
    (f"POST / HTTP/1.1\r\n{HOST}Content-Length: 99999999999999999999999\r\n\r\nabcd", 400),
    (f"POST / HTTP/1.1\r\n{HOST}Content-Length : 4\r\n\r\nabcd", 400),
    (f"POST / HTTP/1.1\r\n{HOST} Content-Length: 4\r\n\r\nabcd", (400, 200)),  # a folded line: one field, or an error
    (f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", (400, 501)),
    (f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", (400, 501)),
    (f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: gzip\r\n\r\n", (400, 501)),
    (f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", (400, 501)),
    (f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n", (400, 501)),
    (f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    (f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding\x00: chunked\r\n\r\n0\r\n\r\n", 400),
    (f"POST / HTTP/1.0\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\n\r\n", 400),
    (f"GET / HTTP/1.1\r\n{HOST}{HOST}\r\n", 400),
    (f"GET / HTTP/1.1\r\n{HOST}no colon\r\n\r\n", 400),
    (f"GET / HTTP/1.1\r\n{HOST}: no name\r\n\r\n", 400),
    (f"GET / HTTP/1.1\r\n{HOST}Bare: a\rb\r\n\r\n", 400),
    (f"GET / HTTP/1.1\r\n{HOST}Bare: a\nb: c\r\n\r\n", 400),
    (f"GET / HTTP/1.1\n{HOST}\r\n", (400, 200)),  # a line that ends in LF alone: sent on with CR LF, or an error
    (f"GET http://other/ HTTP/1.1\r\n{HOST}\r\n", 400),
    (f"GET * HTTP/1.1\r\n{HOST}\r\n", 400),
    ("GET /two words HTTP/1.1\r\n\r\n", 400),
    (f"CONNECT other:443 HTTP/1.1\r\n{HOST}\r\n", 405),
    (f"GET /{'x' * 17000} HTTP/1.1\r\n{HOST}\r\n", 414),
    (f"GET / HTTP/1.1\r\n{HOST}X: {'x' * 17000}\r\n\r\n", 431),
    (f"GET / HTTP/1.1\r\n{HOST}X-{'x' * 17000}: x\r\n\r\n", 431),
    (f"GET / HTTP/1.1\r\n{HOST}" + "X: y\r\n" * 100 + "\r\n", 431),
    ("BREW / HTTP/1.1\r\n\r\n", 501),
    (f"GET / HTTP/2.0\r\n{HOST}\r\n", 505),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ("GET /\r\n\r\n", 505),
]


def what_is_no_clear_request_is_refused():
    with HttpBackend(respond) as backend, http_proxy(backend.port) as program:
        for data, status in REFUSED:
            statuses = status if isinstance(status, tuple) else (status,)
            for pieces in (False, True):
                if pieces and len(data) > 1000:
                    continue
                with Client(program.number) as client:
                    client.ask()
                    seen = len(backend.requests)
                    with contextlib.suppress(ConnectionError):  # it may have answered and left before all is sent
                        for byte in data if pieces else [data]:
                            client.send(byte)
                        client.socket.shutdown(socket.SHUT_WR)
                    client.read()
                    assert client.status in statuses, (data[:200], pieces, client.status)
                    if client.status == 200:
                        continue
                    assert client.fields["connection"] == "close" and client.is_closed(), data
                    assert len(backend.requests) == seen, data


def a_request_hidden_in_another_stays_there():
    hidden = "GET /hidden HTTP/1.1\r\nHost: test\r\n\r\n"
    with HttpBackend(respond) as backend, http_proxy(backend.port) as program, Client(program.number) as client:
        client.ask("/", "POST", f"Content-Length: {len(hidden)}\r\n", hidden)
        client.ask("/", "POST", "Transfer-Encoding: chunked\r\n", f"{len(hidden):x}\r\n{hidden}\r\n0\r\n\r\n")
        client.ask("/", "POST", "Transfer-Encoding: chunked\r\n", f"0\r\nContent-Length: 9\r\nX: {hidden[:14]}\r\n\r\n")
        client.ask("/last")
    assert [request.line.split(" ")[1] for request in backend.requests] == ["/", "/", "/", "/last"]
    assert [request.body.decode() for request in backend.requests] == [hidden, hidden, "", ""]


def a_bad_chunk_is_the_client_s_fault():
    with HttpBackend(respond) as backend, http_proxy(backend.port) as program, Client(program.number) as client:
        client.send(f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\nxyz\r\n")
        assert client.read().status == 400 and client.is_closed()


def header_limits_are_limits():
    def long(s, request):
        respond(s, request, f"HTTP/1.1 200 OK\r\nX: {'x' * 300}\r\nContent-Length: 0\r\n\r\n")

    with HttpBackend(long) as backend, http_proxy(backend.port, options=["--max-header", "300"]) as program:
        with Client(program.number) as client:
            assert client.ask(fields=f"X: {'x' * 300}\r\n").status == 431 and client.is_closed()
        with Client(program.number) as client:
            assert client.ask(fields=f"X: {'x' * 200}\r\n").status == 502


# --- HTTP: targets that fail ----------------------------------------------------------------------------------------


def a_target_that_is_down_is_a_502():
    with http_proxy(closed_port(), quiet=True) as program, Client(program.number) as client:
        for _ in range(2):  # and the connection lives on
            assert client.ask().status == 502
        assert client.ask("/", "PUT", "Content-Length: 4\r\n", "body").status == 502 and client.is_closed()
    with HttpBackend(respond) as backend, http_proxy(closed_port(), backend.port, quiet=True) as program:
        with Client(program.number) as client:
            for _ in range(4):
                assert client.ask().status == 200
            assert client.ask("/", "PUT", "Content-Length: 4\r\n", "body").status == 200


def a_target_that_hangs_is_a_504():
    hang = threading.Event()

    def wait(s, request):
        hang.wait(programs.PATIENCE)
        return True

    def drip(s, request):
        with contextlib.suppress(ConnectionError):
            for byte in b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000:
                s.sendall(bytes([byte]))
                if hang.wait(0.05):
                    return True

    for answer in (wait, drip):
        with HttpBackend(answer) as backend, http_proxy(backend.port, options=["--idle-timeout", "0.7"]) as program:
            with Client(program.number) as client:
                assert client.ask().status == 504
            with Client(program.number) as client:
                assert client.ask("/", "PUT", "Content-Length: 4\r\n", "body").status == 504
        hang.set()
        hang.clear()
    with hanging_port() as port, http_proxy(port, options=["--connect-timeout", "0.5"], quiet=True) as program:
        with Client(program.number) as client:
            assert client.ask().status == 504


def an_upload_that_moves_is_not_a_target_that_hangs():
    with HttpBackend(respond) as backend, http_proxy(backend.port, options=["--idle-timeout", "1"]) as program:
        with Client(program.number) as client:
            client.send(f"PUT / HTTP/1.1\r\n{HOST}Content-Length: 10\r\n\r\n")
            for _ in range(10):
                time.sleep(0.25)
                client.send("x")
            assert client.read().status == 200


def a_response_that_is_none_is_a_502():
    for text in ("nonsense\r\n\r\n", "", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 101 Switching\r\n\r\n",
                 "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                 "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
                 "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx", "HTTP/2.0 200 OK\r\n\r\n"):
        def answer(s, request):
            respond(s, request, text)
            return True

        with HttpBackend(answer) as backend, http_proxy(backend.port) as program, Client(program.number) as client:
            for _ in range(2):
                assert client.ask().status == 502, text
            assert len(backend.requests) == 2


def a_response_that_is_cut_does_not_look_whole():
    texts = ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense")
    for text in texts:
        def answer(s, request):
            respond(s, request, text)
            return True

        with HttpBackend(answer) as backend, http_proxy(backend.port) as program:
            for dialect in ("--http1.1", "--http1.0"):
                done = curl(dialect, f"http://127.0.0.1:{program.number}/", check=False)
                assert done.returncode in (18, 56), (text, dialect, done.returncode)


def connections_to_targets_are_kept():
    with HttpBackend(respond) as backend, http_proxy(backend.port) as program:
        with Client(program.number) as client:
            for _ in range(20):
                assert client.ask().status == 200
        assert (backend.connections, len(backend.requests)) == (1, 20), backend.connections
        for _ in range(20):  # a new client may come before the response of the one before is done with
            with Client(program.number) as client:
                assert client.ask().status == 200
        assert backend.connections < 10, backend.connections
    with HttpBackend(respond) as backend, http_proxy(backend.port, options=["--max-spares", "0"]) as program:
        with Client(program.number) as client:
            for _ in range(5):
                assert client.ask().status == 200
        assert backend.connections == 5


def no_more_connections_are_kept_than_allowed():
    together = threading.Barrier(6)

    def answer(s, request):
        together.wait(programs.PATIENCE)
        respond(s, request)

    with HttpBackend(answer) as backend, http_proxy(backend.port, options=["--max-spares", "2"]) as program:
        before = descriptors(program)[0]
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(Client(program.number)) for _ in range(6)]
            for _ in range(2):
                for client in clients:
                    client.send(f"GET / HTTP/1.1\r\n{HOST}\r\n")
                for client in clients:
                    assert client.read().status == 200
                wait_until(lambda: descriptors(program)[0] == before + 6 + 2)
        assert backend.connections == 6 + 4, backend.connections


def a_kept_connection_may_be_closed_by_the_target():
    """Which it does without a word, before or when the next request comes: nobody notices."""
    def answer(s, request):
        respond(s, request)
        return True

    with HttpBackend(answer) as backend, http_proxy(backend.port) as program, Client(program.number) as client:
        for _ in range(50):
            assert client.ask().status == 200
        assert backend.connections == 50

    def answer_every_second(s, request):
        served[s.fileno()] = served.get(s.fileno(), 0) + 1
        if served[s.fileno()] % 2 == 0:
            reset(s)
            return True
        respond(s, request)
        return False

    served = {}
    with HttpBackend(answer_every_second) as backend, http_proxy(backend.port) as program:
        with Client(program.number) as client:
            for _ in range(5):
                assert client.ask().status == 200
                served.clear()  # descriptors are used again
                served.update({number: 1 for number in range(100)})
                assert client.ask(method="POST", fields="Content-Length: 0\r\n").status == 502
                served.clear()


def a_request_that_changes_something_is_sent_once():
    def answer(s, request):
        if request.line.startswith("GET"):
            return respond(s, request)
        request.read_body()
        return True

    with HttpBackend(answer) as backend, http_proxy(backend.port) as program, Client(program.number) as client:
        for _ in range(3):
            assert client.ask().status == 200
            assert client.ask("/", "POST", "Content-Length: 0\r\n").status == 502
            assert client.ask("/", "DELETE").status == 502
    assert [request.line.split(" ")[0] for request in backend.requests] == ["GET", "POST", "DELETE"] * 3


# --- HTTP: slow clients, and stopping -------------------------------------------------------------------------------


def slow_clients_are_told_or_closed():
    with HttpBackend(respond) as backend, http_proxy(backend.port, options=["--idle-timeout", "0.7"]) as program:
        with Client(program.number) as half, Client(program.number) as body, Client(program.number) as idle:
            half.send("GET / HTTP/1.1\r\n")
            body.send(f"PUT / HTTP/1.1\r\n{HOST}Content-Length: 4\r\n\r\nab")
            assert idle.ask().status == 200
            assert half.read().status == 408 and half.is_closed()
            assert body.read().status == 408 and body.is_closed()
            assert idle.is_closed()
        with Client(program.number) as dripping, contextlib.suppress(ConnectionError):
            dripping.send("GET / HTTP/1.1\r\n")
            dripping.socket.settimeout(0.05)
            since = time.monotonic()
            while True:
                dripping.send("X")
                with contextlib.suppress(TimeoutError):
                    assert dripping.socket.recv(100).startswith(b"HTTP/1.1 408 ")
                    break
                assert time.monotonic() - since < programs.PATIENCE, "a client that drips is not cut off"


def stopping_answers_requests_in_flight():
    asked, go_on = threading.Event(), threading.Event()

    def answer(s, request):
        if "slow" in request.line:
            asked.set()
            go_on.wait(programs.PATIENCE)
        respond(s, request)

    with HttpBackend(answer) as backend:
        options = ["--grace", "60", "--idle-timeout", "60"]
        with http_proxy(backend.port, options=options, stop=False) as program:
            with Client(program.number) as idle, Client(program.number) as new, Client(program.number) as busy:
                assert idle.ask().status == 200
                busy.send(f"GET /slow HTTP/1.1\r\n{HOST}\r\n")
                assert asked.wait(programs.PATIENCE)
                stop(program)
                assert idle.is_closed() and new.is_closed()
                go_on.set()
                assert busy.read().status == 200 and busy.fields["connection"] == "close" and busy.is_closed()
        numbers = reported(program)
        assert (numbers["requests"], numbers["cut"]) == (2, 0), program.output
        go_on.clear()
        with http_proxy(backend.port, options=["--grace", "0.5"], stop=False) as program, \
                Client(program.number) as busy:
            asked.clear()
            busy.send(f"GET /slow HTTP/1.1\r\n{HOST}\r\n")
            assert asked.wait(programs.PATIENCE)
            program.process.send_signal(signal.SIGTERM)
            assert is_reset(busy.socket)
        go_on.set()
        assert reported(program)["cut"] == 1, program.output


def stopping_under_load_breaks_no_response():
    whole, broken, closed = [], [], []

    def visit(number):
        own = random.Random()
        try:
            with Client(number) as client:
                while True:
                    client.send(f"GET /{own.choice(['hello.txt', 'large.bin'])} HTTP/1.1\r\n{HOST}\r\n")
                    if not client.reader.peek(1):
                        closed.append(1)
                        return
                    client.read()
                    whole.append(1)
                    if client.fields.get("connection") == "close":
                        closed.append(1)
                        return
        except ConnectionError:  # it was closed while the request was on its way
            closed.append(1)
        except Exception as error:
            broken.append(error)

    with programs.Program("http", str(ROOT), "127.0.0.1:0") as example:
        with http_proxy(example.port(), options=["--grace", "60"], stop=False) as program:
            visitors = [threading.Thread(target=visit, args=(program.number,)) for _ in range(20)]
            for visitor in visitors:
                visitor.start()
            wait_until(lambda: len(whole) > 100)
            program.process.send_signal(signal.SIGTERM)
            for visitor in visitors:
                visitor.join(programs.PATIENCE)
            assert not broken and len(closed) == 20, (broken, len(closed))
        assert reported(program)["cut"] == 0, program.output
        example.interrupt()
        assert example.end() == 0


# --- the command line -----------------------------------------------------------------------------------------------


def wrong_arguments_are_refused_by_name():
    to = ["--listen", "127.0.0.1:0", "--to", "127.0.0.1:1"]
    for arguments, code, named in (([], 2, "--listen"), (to[:2], 2, "--to"), (to[2:], 2, "--listen"),
                                   ([*to, "more"], 2, "more"), ([*to, "--to", "nonsense"], 2, "nonsense"),
                                   ([*to, "--to", "127.0.0.1:2,"], 2, "--to"), ([*to, "--grace", "x"], 2, "--grace"),
                                   ([*to, "--idle-timeout", "-1"], 2, "--idle-timeout"),
                                   ([*to, "--max-connections", "0"], 2, "--max-connections"),
                                   ([*to, "--workers", "1e3"], 2, "--workers"), ([*to, "--what"], 2, "--what"),
                                   (["--listen", "nonsense", *to[2:]], 1, "nonsense")):
        done = subprocess.run([programs.path_of("proxy"), *arguments], capture_output=True, text=True,
                              timeout=programs.PATIENCE)
        assert done.returncode == code and named in done.stderr, (arguments, done)
    help = subprocess.run([programs.path_of("proxy"), "--help"], capture_output=True, text=True, check=True).stdout
    assert "--max-per-client" in help


sys.exit(programs.run_all([
    many_bytes_arrive_both_ways,
    socat_sends_through_it,
    twenty_clients_get_their_own_bytes,
    unix_sockets_are_addresses_too,
    no_pipe_is_held_while_nothing_moves,
    without_descriptors_for_pipes_bytes_are_copied,
    each_direction_ends_by_itself,
    a_reset_ends_both_sides,
    a_target_that_goes_away_ends_a_waiting_sender,
    a_slow_reader_gets_everything,
    what_is_idle_is_cut,
    a_reader_that_stops_is_cut,
    targets_take_turns,
    another_target_takes_over,
    a_target_that_works_again_is_used_again,
    with_no_target_left_clients_are_reset,
    further_clients_wait_for_a_place,
    one_address_has_so_many_connections,
    clients_wait_when_descriptors_run_out,
    stopping_lets_connections_end,
    stopping_cuts_what_does_not_end,
    a_second_signal_cuts_at_once,
    curl_gets_files_from_two_kinds_of_servers,
    curl_uploads,
    the_target_learns_who_asks,
    what_a_client_says_of_connections_hides_nothing,
    responses_arrive_in_the_client_s_dialect,
    a_head_has_no_body,
    a_204_announces_no_length,
    pipelined_requests_are_answered_in_order,
    bodies_are_passed_on_as_they_come,
    a_target_may_answer_while_it_reads,
    a_target_may_refuse_a_body,
    what_is_no_clear_request_is_refused,
    a_request_hidden_in_another_stays_there,
    a_bad_chunk_is_the_client_s_fault,
    header_limits_are_limits,
    a_target_that_is_down_is_a_502,
    a_target_that_hangs_is_a_504,
    an_upload_that_moves_is_not_a_target_that_hangs,
    a_response_that_is_none_is_a_502,
    a_response_that_is_cut_does_not_look_whole,
    connections_to_targets_are_kept,
    no_more_connections_are_kept_than_allowed,
    a_kept_connection_may_be_closed_by_the_target,
    a_request_that_changes_something_is_sent_once,
    slow_clients_are_told_or_closed,
    stopping_answers_requests_in_flight,
    stopping_under_load_breaks_no_response,
    wrong_arguments_are_refused_by_name,
]) > 0)
