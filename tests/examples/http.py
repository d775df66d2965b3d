# SPDX-License-Identifier: Apache-2.0
"""Goal: the static-file server answers as HTTP/1.1 says, gives out what is on the disk and nothing from outside of its
root, is not held up by slow or hostile clients, and stops without dropping a request.

Method: curl, and raw sockets where curl is too polite. Random choices come from a seed, which is printed and taken back
as the only argument. What it cannot see: how many bytes the server got per read; it sends in pieces and lets the kernel
decide."""
import asyncio
import contextlib
import email.utils
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

import programs

SEED = int(sys.argv[1]) if len(sys.argv) > 1 else random.SystemRandom().randrange(1 << 32)
print("seed", SEED)
rng = random.Random(SEED)

# --- what is served -------------------------------------------------------------------------------------------------

scratch = tempfile.TemporaryDirectory()
OUTSIDE = pathlib.Path(scratch.name)
ROOT = OUTSIDE / "root"
(ROOT / "dir" / "deep").mkdir(parents=True)
(ROOT / "no index").mkdir()
(ROOT / "with index").mkdir()
(OUTSIDE / "secret.txt").write_text("secret\n")
FILES = {
    "index.html": b"<p>root\n",
    "hello.txt": b"hello\n",
    "empty.txt": b"",
    "dir/index.html": b"<p>dir\n",
    "with index/index.html": b"<p>space\n",
    "dir/deep/style.css": b"p { color: red }\n",
    "dir/.hidden": b"dots are for files, too\n",
    "a b+c%.json": b"{}\n",
    "na\u00efve.svg": b"<svg/>\n",
    "fits.bin": rng.randbytes(10_000),
    "buffer.bin": rng.randbytes(16_384),
    "cached.bin": rng.randbytes(100_000),
    "limit.bin": rng.randbytes(128 << 10),
    "large.bin": rng.randbytes(3_000_000),
}
for name, content in FILES.items():
    (ROOT / name).write_bytes(content)
(ROOT / "inside").symlink_to("dir/deep/style.css")
(ROOT / "outside").symlink_to("../secret.txt")
(ROOT / "outside absolute").symlink_to(OUTSIDE / "secret.txt")
(ROOT / "outside dir").symlink_to("..")
os.mkfifo(ROOT / "fifo")

# --- clients --------------------------------------------------------------------------------------------------------


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body


class Client:
    """A connection that sends exactly what it is told and reads one response after the other."""

    def __init__(self, port, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(programs.PATIENCE)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.reader.close()
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def read_head(self):
        line = self.reader.readline()
        assert line, "the connection was closed without a response"
        version, status, _ = line.decode("latin-1").split(" ", 2)
        assert version == "HTTP/1.1" and line.endswith(b"\r\n"), line
        headers = {}
        while (line := self.reader.readline()) != b"\r\n":
            assert line.endswith(b"\r\n"), line
            name, value = line.decode("latin-1").split(":", 1)
            assert name.lower() not in headers, f"{name} twice"
            headers[name.lower()] = value.strip()
        return Answer(int(status), headers, None)

    def read(self, head=False):
        answer = self.read_head()
        if answer.status == 100:
            return answer
        answer.body = b"" if head else self.reader.read(int(answer.headers["content-length"]))
        assert head or len(answer.body) == int(answer.headers["content-length"])
        return answer

    def ask(self, target, method="GET", fields="", body=""):
        self.send(f"{method} {target} HTTP/1.1\r\nHost: test\r\n{fields}\r\n{body}")
        return self.read(head=method == "HEAD")

    def is_closed(self):
        """Waits for the end of the stream; false if there is another byte instead."""
        try:
            return self.reader.read(1) == b""
        except ConnectionResetError:
            return True


@contextlib.contextmanager
def server(*options, **limits):
    """A server of its own for a test, which stops it and looks at its exit code."""
    with programs.Program("http", str(ROOT), "127.0.0.1:0", *options, **limits) as program:
        program.number = program.port()
        yield program
        program.interrupt()
        code = program.end()
        assert code == 0, code
        assert program.output[-1].startswith("http: stopped: "), program.output


shared = None  # most tests use one server, with two workers


def quoted(name):
    return "/" + urllib.parse.quote(name)


def curl(*arguments):
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", str(programs.PATIENCE), *arguments],
        stdout=subprocess.PIPE, check=True)
    return done.stdout


# --- files ----------------------------------------------------------------------------------------------------------


def every_file_arrives_byte_for_byte():
    with Client(shared.number) as client:
        for _ in range(2):  # from the disk, then from memory
            for name, content in FILES.items():
                answer = client.ask(quoted(name))
                assert (answer.status, answer.body) == (200, content), name


def curl_gets_every_file():
    for name, content in FILES.items():
        assert curl(f"http://127.0.0.1:{shared.number}{quoted(name)}") == content, name


def curl_speaks_other_dialects():
    url = f"http://127.0.0.1:{shared.number}/hello.txt"
    assert curl("--http1.0", url) == b"hello\n"
    assert curl("--http2", url) == b"hello\n"  # offers an upgrade, which is not taken
    assert curl(url, url, url, "--write-out", "%{num_connects} ").split() == [b"hello", b"1", b"hello", b"0"] + [
        b"hello", b"0"]
    as_proxy = ["--proxy", f"127.0.0.1:{shared.number}", "--noproxy", ""]
    assert curl(*as_proxy, "http://elsewhere/hello.txt?a=b") == b"hello\n"
    head = curl("--head", url).decode()
    assert head.startswith("HTTP/1.1 200 OK\r\n") and "\r\nContent-Length: 6\r\n" in head, head
    assert b"405" in curl("--include", "--data", "x=y", url)
    assert b"HTTP/1.1 413" in curl("--include", "--header", "Content-Length: 9999999", "--data", "x", url)


def header_fields_are_right():
    types = {
        "index.html": "text/html; charset=utf-8",
        "hello.txt": "text/plain; charset=utf-8",
        "dir/deep/style.css": "text/css; charset=utf-8",
        "a b+c%.json": "application/json",
        "na\u00efve.svg": "image/svg+xml",
        "fits.bin": "application/octet-stream",
    }
    with Client(shared.number) as client:
        for name, content_type in types.items():
            for method in ("GET", "HEAD"):
                answer = client.ask(quoted(name), method)
                assert answer.status == 200
                assert answer.headers["content-type"] == content_type, answer.headers
                assert answer.headers["content-length"] == str(len(FILES[name]))
                assert "connection" not in answer.headers
                date = email.utils.parsedate_to_datetime(answer.headers["date"])
                assert abs(date.timestamp() - time.time()) < 30, answer.headers["date"]
                assert answer.headers["date"] == email.utils.format_datetime(date, usegmt=True)


def head_has_no_body():
    with Client(shared.number) as client:
        for target, status, length in (("/large.bin", 200, 3_000_000), ("/cached.bin", 200, 100_000),
                                       ("/nothing", 404, 14)):
            answer = client.ask(target, "HEAD")
            assert (answer.status, int(answer.headers["content-length"])) == (status, length)
        assert client.ask("/hello.txt").body == b"hello\n"  # what follows is the next response and nothing else


def directories_stand_for_their_index():
    with Client(shared.number) as client:
        for target, name in (("/", "index.html"), ("/dir/", "dir/index.html"),
                             ("//dir//./", "dir/index.html"), ("/?query", "index.html"),
                             ("/inside", "dir/deep/style.css")):
            answer = client.ask(target)
            assert (answer.status, answer.body) == (200, FILES[name]), target
        # Links in the index are relative to the directory.
        for target, location in (("/dir", "/dir/"), ("//dir", "/dir/"), ("/dir?query", "/dir/"),
                                 ("/%64ir", "/dir/"), ("/with%20index", "/with%20index/")):
            answer = client.ask(target)
            assert (answer.status, answer.headers["location"], answer.body) == (301, location, b""), target
        assert client.ask("/no%20index").status == 403
        assert client.ask("/no%20index/").status == 403


def a_changed_file_is_noticed():
    path = ROOT / "changing.txt"
    with Client(shared.number) as client:
        def becomes(expected):
            deadline = time.monotonic() + programs.PATIENCE
            while (answer := client.ask("/changing.txt")).body != expected and answer.status != expected:
                assert time.monotonic() < deadline, (answer.status, answer.body, expected)
                time.sleep(0.05)

        path.write_bytes(b"one")
        becomes(b"one")
        path.write_bytes(b"two")
        becomes(b"two")
        (ROOT / "replacement").write_bytes(b"six")
        os.rename(ROOT / "replacement", path)
        becomes(b"six")
        path.unlink()
        becomes(404)
        path.symlink_to("../secret.txt")
        becomes(403)
        path.unlink()
        path.mkdir()
        becomes(403)
        (path / "index.html").write_bytes(b"index")
        becomes(301)
        assert client.ask("/changing.txt/").body == b"index"
        (path / "index.html").unlink()
        path.rmdir()


# --- the wire -------------------------------------------------------------------------------------------------------


# --- conditions and ranges ------------------------------------------------------------------------------------------


def what_the_client_has_is_not_sent_again():
    with Client(shared.number) as client:
        for name in ("hello.txt", "large.bin"):
            first = client.ask(quoted(name))
            tag, modified = first.headers["etag"], first.headers["last-modified"]
            earlier = email.utils.format_datetime(
                email.utils.parsedate_to_datetime(modified).replace(year=2001), usegmt=True)
            old_form = email.utils.parsedate_to_datetime(modified).strftime("%a %b %d %H:%M:%S %Y")
            for fields, status in (
                    (f"If-None-Match: {tag}", 304), (f'If-None-Match: "x", W/{tag}', 304), ("If-None-Match: *", 304),
                    ('If-None-Match: "x,y"', 200), ("If-None-Match: nonsense", 200),
                    (f"If-Modified-Since: {modified}", 304), (f"If-Modified-Since: {old_form}", 304),
                    (f"If-Modified-Since: {earlier}", 200), ("If-Modified-Since: yesterday", 200),
                    (f'If-None-Match: "x"\r\nIf-Modified-Since: {modified}', 200),  # the tag counts
                    (f"If-Match: {tag}", 200), ("If-Match: *", 200), ('If-Match: "x"', 412),
                    (f"If-Match: W/{tag}", 412), (f"If-Unmodified-Since: {earlier}", 412),
                    (f"If-Unmodified-Since: {modified}", 200), ("If-Match: " + '"x", ' * 300 + '"y"', 412),
                    (f"If-None-Match: {tag}\r\nIf-None-Match: {tag}", 200)):
                for method in ("GET", "HEAD"):
                    client.send(f"{method} {quoted(name)} HTTP/1.1\r\nHost: test\r\n{fields}\r\n\r\n")
                    answer = client.read_head() if status == 304 else client.read(head=method == "HEAD")
                    assert answer.status == status, (name, fields, answer.status)
                    if status == 304:
                        assert answer.headers["etag"] == tag and "content-length" not in answer.headers
            if status == 200:
                assert client.ask(quoted(name)).body == FILES[name]


def parts_of_files_are_sent():
    with Client(shared.number) as client:
        for name in ("fits.bin", "limit.bin", "large.bin"):
            size, content = len(FILES[name]), FILES[name]
            tag = client.ask(quoted(name), "HEAD").headers["etag"]
            date = client.ask(quoted(name), "HEAD").headers["last-modified"]
            for wanted, begin, end in (("0-0", 0, 1), ("5-", 5, size), ("-7", size - 7, size), ("1-9999", 1, 10000),
                                       (f"-{size * 2}", 0, size), (f"3-{size * 2}", 3, size),
                                       (f"{size - 1}-", size - 1, size), ("100-99999999999999999999999", 100, size)):
                end = min(end, size)
                for condition in ("", f"If-Range: {tag}\r\n", f"If-Range: {date}\r\n"):
                    answer = client.ask(quoted(name), fields=f"Range: bytes={wanted}\r\n{condition}")
                    assert answer.status == 206, (name, wanted, answer.status)
                    assert answer.headers["content-range"] == f"bytes {begin}-{end - 1}/{size}", answer.headers
                    assert answer.body == content[begin:end], (name, wanted)
            for wanted in (f"{size}-", "-0", f"{size + 5}-{size + 9}"):
                answer = client.ask(quoted(name), fields=f"Range: bytes={wanted}\r\n")
                assert (answer.status, answer.headers["content-range"]) == (416, f"bytes */{size}"), wanted
            for fields in ("Range: bytes=5-1", "Range: bytes=a-b", "Range: lines=1-2", "Range: bytes=0-1,5-6",
                           'Range: bytes=0-1\r\nIf-Range: "x"', "Range: bytes=0-1\r\nRange: bytes=0-1"):
                answer = client.ask(quoted(name), fields=f"{fields}\r\n")
                assert (answer.status, answer.body) == (200, content), fields
            assert client.ask(quoted(name), "HEAD", fields="Range: bytes=0-1\r\n").status == 200
    url = f"http://127.0.0.1:{shared.number}/large.bin"
    assert curl("--range", "1000-2000000", url) == FILES["large.bin"][1000:2000001]
    with tempfile.NamedTemporaryFile() as half:
        half.write(FILES["large.bin"][:1234567])
        half.flush()
        curl("--continue-at", "-", "--output", half.name, url)
        assert pathlib.Path(half.name).read_bytes() == FILES["large.bin"]


# --- HTTPS ----------------------------------------------------------------------------------------------------------


def certificate():
    """Files of a certificate for localhost and its key."""
    cert, key = OUTSIDE / "cert.pem", OUTSIDE / "key.pem"
    if not cert.exists():
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
             key, "-out", cert, "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return str(cert), str(key)


def built_with_tls():
    with programs.Program("http", str(ROOT), "--cert", "/nowhere", "--key", "/nowhere", quiet=True) as program:
        assert program.end() == 1
    done = subprocess.run([programs.path_of("http"), str(ROOT), "--cert", "/nowhere"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=False)
    if "no TLS" in done.stderr:
        print("note: this build has no TLS")
        return False
    assert "/nowhere" in done.stderr, done.stderr
    return True


def files_are_served_over_tls():
    if not built_with_tls():
        return
    cert, key = certificate()
    with server("--workers", "2", "--cert", cert, "--key", key) as program:
        base = f"https://localhost:{program.number}"
        secure = ["--cacert", cert]
        for name, content in FILES.items():
            for version in ("--tls-max", "1.2"), ("--tlsv1.3",):
                assert curl(*secure, *version, base + quoted(name)) == content, name
        part = curl(*secure, "--range", "1000-2000000", f"{base}/large.bin")
        assert part == FILES["large.bin"][1000:2000001]
        url = f"{base}/hello.txt"
        assert curl(*secure, url, url, "--write-out", "%{num_connects} ").split() == [b"hello", b"1", b"hello", b"0"]
        with Client(program.number) as plain:
            plain.send(f"GET /hello.txt HTTP/1.1\r\n{HOST}\r\n")
            with contextlib.suppress(ConnectionResetError):
                plain.reader.read()  # an alert perhaps, and the end
        assert curl(*secure, url) == b"hello\n"


def slow_handshakes_are_cut_off():
    if not built_with_tls():
        return
    cert, key = certificate()
    with server("--timeout", "1", "--cert", cert, "--key", key) as program:
        with Client(program.number) as silent, Client(program.number) as half:
            half.send(b"\x16\x03\x01\x02\x00\x01")
            assert silent.is_closed() and half.is_closed()


def mixed_requests(count):
    """A pipeline of random requests, and for each whether it is HEAD, and its expected status and body."""
    data, expected = [], []
    names = list(FILES)
    for _ in range(count):
        method = rng.choice(["GET", "GET", "HEAD", "DELETE"])
        name = rng.choice(names + ["nothing"])
        body = rng.choice(["", "some body"])
        chunked = rng.random() < 0.5
        fields = "" if not body else "Transfer-Encoding: chunked\r\n" if chunked else f"Content-Length: {len(body)}\r\n"
        if body and chunked:
            body = f"4;name=value\r\n{body[:4]}\r\n5\r\n{body[4:]}\r\n0\r\nTrailer: x\r\n\r\n"
        data.append(f"{method} {quoted(name)} HTTP/1.1\r\nHost: test\r\nX-Some: thing\r\n{fields}\r\n{body}")
        status = 405 if method == "DELETE" else 404 if name == "nothing" else 200
        expected.append((method == "HEAD", status, FILES.get(name) if status == 200 else None))
    return "".join(data).encode(), expected


def read_expected(client, expected):
    for i, (head, status, content) in enumerate(expected):
        answer = client.read(head)
        assert answer.status == status, (i, answer.status, status)
        assert head or content is None or answer.body == content, i


def pipelined_requests_are_answered_in_order():
    for _ in range(3):
        data, expected = mixed_requests(60)
        with Client(shared.number) as client:
            sender = threading.Thread(target=client.send, args=(data,))  # both directions' buffers may fill up
            sender.start()
            read_expected(client, expected)
            sender.join()


def requests_may_come_byte_by_byte():
    data, expected = mixed_requests(5)
    with Client(shared.number) as client:
        for byte in data:
            client.send(bytes([byte]))
        read_expected(client, expected)


def requests_may_come_in_any_pieces():
    for _ in range(5):
        data, expected = mixed_requests(30)
        with Client(shared.number) as client:
            at, sent_whole, done = 0, 0, 0
            while at < len(data):
                size = rng.choice([1, 2, 3, 10, 50, 200, 1000])
                client.send(data[at:at + size])
                at += size
                # Read what must have been answered by now, so that neither side waits for the other.
                sent_whole = data[:at].count(b" HTTP/1.1\r\n") - 1
                while done < sent_whole:
                    read_expected(client, expected[done:done + 1])
                    done += 1
            read_expected(client, expected[done:])


def connections_are_kept_as_asked():
    with Client(shared.number) as client:
        for _ in range(20):
            assert client.ask("/hello.txt").status == 200
        answer = client.ask("/hello.txt", fields="Connection: close\r\n")
        assert answer.headers["connection"] == "close" and client.is_closed()
    with Client(shared.number) as client:
        client.send("GET /hello.txt HTTP/1.0\r\n\r\n")
        assert client.read().headers["connection"] == "close" and client.is_closed()
    with Client(shared.number) as client:
        for _ in range(3):
            client.send("GET /hello.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert client.read().headers["connection"] == "keep-alive"
    with Client(shared.number) as client:  # a client that has nothing more to say still gets its answer
        client.send("GET /large.bin HTTP/1.1\r\nHost: test\r\n\r\n")
        client.socket.shutdown(socket.SHUT_WR)
        assert client.read().body == FILES["large.bin"] and client.is_closed()
    with Client(shared.number) as client:  # an offer to change the protocol is ignored
        answer = client.ask("/hello.txt", fields="Connection: Upgrade\r\nUpgrade: websocket\r\n")
        assert answer.status == 200 and client.ask("/hello.txt").status == 200


def continue_is_said_to_those_who_wait():
    fields = "Expect: 100-continue\r\nContent-Length: 4\r\n"
    with Client(shared.number) as client:
        assert client.ask("/hello.txt", fields=fields).status == 100
        client.send("body")
        assert client.read().status == 200
        assert client.ask("/hello.txt", "POST", fields).status == 405 and client.is_closed()


# --- refusals -------------------------------------------------------------------------------------------------------

HOST = "Host: test\r\n"
REFUSED = [  # what is sent, the status; the connection is closed after each of these
    ("GET / HTTP/1.1\r\n\r\n", 400),  # no Host
    (f"GET / HTTP/1.1\r\n{HOST}{HOST}\r\n", 400),
    (f"GET / HTTP/1.1\r\n{HOST}no colon\r\n\r\n", 400),
    (f"GET / HTTP/1.1\r\n{HOST}: no name\r\n\r\n", 400),
    (f"GET / HTTP/1.1\r\n{HOST}Space : x\r\n\r\n", 400),
    (f"GET / HTTP/1.1\r\n{HOST}Control: \x01\r\n\r\n", 400),
    (f"GET / HTTP/1.1\r\n{HOST}Bare: a\rb\r\n\r\n", 400),
    (f"GET / HTTP/1.1\r\n{HOST}Bare: a\nb: c\r\n\r\n", 400),
    (f"GET / HTTP/1.1\r\n{HOST}Content-Length: x\r\n\r\n", 400),
    (f"GET / HTTP/1.1\r\n{HOST}Content-Length: -1\r\n\r\n", 400),
    (f"GET / HTTP/1.1\r\n{HOST}Content-Length: 99999999999999999999999\r\n\r\n", 400),
    (f"GET / HTTP/1.1\r\n{HOST}Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    (f"GET / HTTP/1.1\r\n{HOST}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    (f"GET / HTTP/1.1\r\n{HOST}Transfer-Encoding: gzip\r\n\r\n", 400),
    (f"GET / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
    ("GET /two words HTTP/1.1\r\n\r\n", 400),
    ("GET /\x80 HTTP/1.1\r\n\r\n", 400),
    ("GET nothing HTTP/1.1\r\n\r\n", 400),
    ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),  # TLS
    ("GET / HTTP/1.1 \r\n\r\n", 400),
    ("GET / XTTP/1.1\r\n\r\n", 400),
    (f"POST / HTTP/1.1\r\n{HOST}Content-Length: 1048577\r\n\r\n", 413),
    (f"GET / HTTP/1.1\r\n{HOST}Content-Length: 1048577\r\n\r\n", 413),
    (f"GET / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n" + ("10000\r\n" + "x" * 65536 + "\r\n") * 17, 413),
    (f"GET /{'x' * 2048} HTTP/1.1\r\n{HOST}\r\n", 414),
    (f"GET / HTTP/1.1\r\n{HOST}X: {'x' * 17000}\r\n\r\n", 431),
    (f"GET / HTTP/1.1\r\n{HOST}X-{'x' * 17000}: x\r\n\r\n", 431),
    (f"GET / HTTP/1.1\r\n{HOST}" + "X: y\r\n" * 100 + "\r\n", 431),
    ("BREW / HTTP/1.1\r\n\r\n", 501),
    ("get / HTTP/1.1\r\n\r\n", 501),
    (f"GET / HTTP/1.2\r\n{HOST}\r\n", 505),
    (f"GET / HTTP/2.0\r\n{HOST}\r\n", 505),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ("GET /\r\n\r\n", 505),
]


def what_is_no_request_is_refused():
    for data, status in REFUSED:
        for pieces in (False, True):
            if pieces and len(data) > 1000:
                continue
            with Client(shared.number) as client:
                client.send(f"GET /hello.txt HTTP/1.1\r\n{HOST}\r\n")
                assert client.read().status == 200
                with contextlib.suppress(ConnectionError):  # it may have answered and left before all is sent
                    for byte in data if pieces else [data]:
                        client.send(byte)
                answer = client.read()
                assert answer.status == status, (data[:200], pieces, answer.status, status)
                assert answer.headers["connection"] == "close", data
                assert answer.body.startswith(str(status).encode()), answer.body
                assert client.is_closed()


def a_refusal_comes_after_the_answers_before_it():
    with Client(shared.number) as client:
        client.send((f"GET /hello.txt HTTP/1.1\r\n{HOST}\r\n" * 3) + "nonsense\r\n\r\n")
        assert [client.read().status for _ in range(4)] == [200, 200, 200, 501] and client.is_closed()


def other_methods_are_not_allowed():
    with Client(shared.number) as client:
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "PROPFIND"):
            answer = client.ask("/hello.txt", method, "Content-Length: 4\r\n", "body")
            assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD"), method
    with Client(shared.number) as client:
        assert client.ask("elsewhere:443", "CONNECT").status == 405


def bodies_within_the_limit_are_skipped():
    with Client(shared.number) as client:
        body = "GET /nothing HTTP/1.1\r\n" * 1000
        assert client.ask("/hello.txt", fields=f"Content-Length: {len(body)}\r\n", body=body).body == b"hello\n"
        assert client.ask("/hello.txt", fields="Content-Length: 1048576\r\n", body="x" * 1048576).status == 200
        assert client.ask("/hello.txt").status == 200


def header_limits_are_limits():
    with server("--max-header", "300", "--max-fields", "4", "--max-body", "10") as limited:
        line = f"GET /hello.txt HTTP/1.1\r\n{HOST}"
        fitting = line + "X: " + "x" * (300 - len(line) - len("X: \r\n\r\n")) + "\r\n\r\n"
        assert len(fitting) == 300
        with Client(limited.number) as client:
            for before in ("", "", "\r\n\r\n", "\r\n" * 200):  # empty lines are no part of it
                client.send(before + fitting)
                assert client.read().status == 200
            assert client.ask("/hello.txt", fields="A: b\r\n" * 3).status == 200
            assert client.ask("/hello.txt", fields="A: b\r\nContent-Length: 10\r\n", body="0123456789").status == 200
        for data, status in ((fitting.replace("X: ", "X: x"), 431), (line + "A: b\r\n" * 4 + "\r\n", 431),
                             (line + "Content-Length: 11\r\n\r\n", 413),
                             (line + "Transfer-Encoding: chunked\r\n\r\n9\r\n012345678\r\n2\r\nxy\r\n0\r\n\r\n", 413),
                             (line + "Transfer-Encoding: chunked\r\n\r\n0\r\n" + "A: b\r\n" * 4, 431)):
            with Client(limited.number) as client:
                client.send(data)
                assert client.read().status == status, data
                assert client.is_closed()


def nothing_outside_the_root_is_given_out():
    targets = [
        "/../secret.txt", "/..", "/../", "/dir/../../secret.txt", "/dir/../hello.txt", "/%2e%2e/secret.txt",
        "/.%2e/secret.txt", "/%2E./secret.txt", "/%2e%2e%2fsecret.txt", "/..%2fsecret.txt",
        "/dir%2f..%2f..%2fsecret.txt",
        "//../secret.txt", "/./../secret.txt", "http://test/../secret.txt", "http://test/%2e%2e/secret.txt",
        "/outside", "/outside%20absolute", "/outside%20dir", "/outside%20dir/secret.txt",
        "/outside%20dir/root/hello.txt", "/fifo",
        "/%252e%252e/secret.txt", "/..\\secret.txt", "/%5c../secret.txt", "/..;/secret.txt", f"//{OUTSIDE}/secret.txt",
        str(OUTSIDE / "secret.txt"), "/proc/self/root/etc/passwd", "/...", "/hello.txt/", "/hello.txt/..",
    ]
    with Client(shared.number) as client:
        for target in targets:
            for method in ("GET", "HEAD"):
                answer = client.ask(target, method)
                assert answer.status in (403, 404), (target, answer.status)
                assert b"secret\n" not in answer.body
        for target in ("/%00", "/hello.txt%00.html", "/%", "/%4", "/%zz", "/%-1", "/%0", "*"):
            assert client.ask(target).status == 400, target
        for target, name in (("/%68ello%2Etxt", "hello.txt"), ("/dir%2fdeep/style.css", "dir/deep/style.css"),
                             ("http://test/hello.txt", "hello.txt"), ("HTTP://test?x", "index.html"),
                             ("http://test", "index.html"), ("/hello.txt?../..", "hello.txt"),
                             ("/dir/.hidden", "dir/.hidden")):
            answer = client.ask(target)
            assert (answer.status, answer.body) == (200, FILES[name]), target


# --- many, slow, and last -------------------------------------------------------------------------------------------


def concurrent_clients_get_what_they_asked_for(*options):
    async def visit(port, own):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(10):
            names = own.choices([name for name in FILES if name != "large.bin"], k=own.randrange(1, 4))
            writer.write("".join(f"GET {quoted(name)} HTTP/1.1\r\nHost: test\r\n\r\n" for name in names).encode())
            for name in names:
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200 OK\r\n"), head
                length = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
                assert await reader.readexactly(length) == FILES[name], name
        writer.close()

    async def everybody(port):
        await asyncio.gather(*(visit(port, random.Random(SEED + i)) for i in range(200)))

    with server(*options) as busy:
        asyncio.run(everybody(busy.number))


def two_hundred_clients_on_one_worker():
    concurrent_clients_get_what_they_asked_for("--workers", "1")


def two_hundred_clients_on_four_workers():
    concurrent_clients_get_what_they_asked_for("--workers", "4")


def two_hundred_clients_without_room_in_the_caches():
    concurrent_clients_get_what_they_asked_for("--workers", "2", "--cache", "0")


def h2load(base, *options):
    """Requests by nghttp2's load generator, which pipelines and checks what comes; most files have a thousand and more."""
    if not shutil.which("h2load"):
        raise AssertionError("h2load is missing, which this test needs: Debian's package nghttp2-client")
    targets = [quoted(name) for name in FILES]
    requests = 200 * len(targets)
    done = subprocess.run(["h2load", "--h1", "--requests", str(requests), *options,
                           *[base + target for target in targets]],
                          capture_output=True, text=True, check=True, timeout=4 * programs.PATIENCE)
    counted = f"{requests} total, {requests} started, {requests} done, {requests} succeeded, 0 failed, 0 errored, 0 timeout"
    assert counted in done.stdout and f"{requests} 2xx" in done.stdout, done.stdout + done.stderr
    # Requests are dealt to the targets in turn, so the sum says that each response was whole.
    data = sum(len(content) for content in FILES.values()) * 200
    assert f"({data}) data" in done.stdout, (data, done.stdout)


def a_load_generator_counts_no_failure():
    for options in (["--clients", "1"], ["--clients", "100"], ["--clients", "50", "--max-concurrent-streams", "16"]):
        h2load(f"http://127.0.0.1:{shared.number}", *options)
    if built_with_tls():
        with secure_server() as program:
            h2load(f"https://127.0.0.1:{program.number}", "--clients", "20", "--max-concurrent-streams", "8")
            program.interrupt()
            assert program.end() == 0


def requests_at_the_end_of_a_pause_are_answered():
    """After a second a client is taken to be quiet. The server is held up, so that this time and a request come at once:
    each request below needs something else before it is answered."""
    def secure():
        return SecureClient(program.number)

    def plain():
        return Client(program.number)

    kinds = [(plain, lambda: programs.Program("http", str(ROOT), "127.0.0.1:0", "--cache", "0"))]
    if built_with_tls():
        kinds.append((secure, lambda: secure_server("--cache", "0")))
    for connect, start in kinds:
        with start() as program, contextlib.ExitStack() as stack:
            if connect is plain:
                program.number = program.port()
            clients = [stack.enter_context(connect()) for _ in range(40)]
            for client in clients:
                assert client.ask("/empty.txt").status == 200
            program.process.send_signal(signal.SIGSTOP)
            names = ["large.bin", "limit.bin", "hello.txt", "buffer.bin"]
            for i, client in enumerate(clients):
                client.send(f"GET /{names[i % 4]} HTTP/1.1\r\n{HOST}" + ("" if i % 8 < 4 else "\r\n"))
            time.sleep(1.1)
            program.process.send_signal(signal.SIGCONT)
            for i, client in enumerate(clients):
                if i % 8 < 4:
                    client.send("\r\n")
                assert client.read().body == FILES[names[i % 4]], (connect.__name__, names[i % 4], i)
            program.interrupt()
            assert program.end() == 0


def slow_clients_are_told_or_closed():
    limit = 1.0
    with server("--timeout", str(limit)) as strict:
        def begin(data, answers=0):
            client = Client(strict.number)
            client.send(data)
            for _ in range(answers):
                assert client.read().status == 200
            client.since = time.monotonic()
            return client

        line = f"GET /hello.txt HTTP/1.1\r\n{HOST}"
        told = {
            "half a header": begin(line),
            "half a header after a request": begin(f"{line}\r\n{line}", 1),
            "half a body": begin(line + "Content-Length: 10\r\n\r\n12345"),
            "nothing at all": begin(""),
        }
        silent = begin(line + "\r\n", 1)
        dripping = begin(line)
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < dripping.since + limit * 3:  # each byte comes long before the limit
                dripping.send("X")
                dripping.socket.settimeout(limit / 10)
                with contextlib.suppress(TimeoutError):
                    if dripping.socket.recv(1, socket.MSG_PEEK):
                        break
        dripping.socket.settimeout(programs.PATIENCE)
        assert dripping.read().status == 408, "a client that drips is not cut off"
        assert time.monotonic() - dripping.since > limit * 0.8

        for name, client in told.items():
            answer = client.read()
            assert answer.status == 408 and answer.headers["connection"] == "close", name
            assert client.is_closed()
        assert silent.is_closed(), "an idle connection is closed without a word"

        # One that is asking all the time lives on, far longer than the limit.
        with Client(strict.number) as lively:
            until = time.monotonic() + limit * 2.5
            while time.monotonic() < until:
                assert lively.ask("/hello.txt").status == 200
                time.sleep(limit / 4)

        for client in (*told.values(), silent, dripping):
            client.__exit__()


def a_client_that_does_not_read_is_cut_off():
    with server("--timeout", "0.5", "--grace", "30") as strict:
        with Client(strict.number, receive_buffer=4096) as client:
            client.send(f"GET /large.bin HTTP/1.1\r\n{HOST}\r\n" * 10)
            assert client.read_head().status == 200
            time.sleep(2)
            received = 0
            with contextlib.suppress(ConnectionError):
                while data := client.reader.read1(65536):
                    received += len(data)
            assert received < 10 * 3_000_000, "everything arrived: nobody was cut off"


def a_slow_reader_that_goes_on_is_served():
    with server("--timeout", "2") as strict:
        with Client(strict.number, receive_buffer=100_000) as client:
            client.send(f"GET /large.bin HTTP/1.1\r\n{HOST}\r\n" * 4)
            for _ in range(4):  # more than the kernel would buffer
                answer = client.read_head()
                content = b""
                while (left := int(answer.headers["content-length"]) - len(content)) > 0:
                    piece = client.reader.read(min(left, 200_000))
                    assert piece, f"the server closed the connection {left} bytes too early"
                    content += piece
                    time.sleep(0.05)
                assert content == FILES["large.bin"]


def waits_when_descriptors_run_out():
    with server("--workers", "2", descriptors=64) as short:
        clients = [Client(short.number) for _ in range(100)]
        for client in clients:
            client.send(f"GET /cached.bin HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n")
        for client in clients:
            answer = client.read()
            # Those who got in while the last descriptor was gone are told so; a file takes one.
            assert answer.status == 503 or answer.body == FILES["cached.bin"], answer.status
            client.__exit__()
        with Client(short.number) as client:
            assert client.ask("/cached.bin").body == FILES["cached.bin"]


def refuses(port):
    try:
        socket.create_connection(("127.0.0.1", port), programs.PATIENCE).close()
        return False
    except ConnectionError:
        return True


def stop(program):
    """Interrupts it and returns when it has stopped to listen."""
    program.interrupt()
    deadline = time.monotonic() + programs.PATIENCE
    while not refuses(program.number):
        assert time.monotonic() < deadline, "it goes on listening"
        time.sleep(0.02)


def stopping_lets_requests_in_flight_end():
    with programs.Program("http", str(ROOT), "127.0.0.1:0", "--grace", "60", "--timeout", "60") as program:
        program.number = program.port()
        line = f"GET /hello.txt HTTP/1.1\r\n{HOST}"
        with Client(program.number) as idle, Client(program.number) as half, Client(program.number, 4096) as slow:
            assert idle.ask("/hello.txt").status == 200
            half.send(f"{line}\r\n{line}")  # one send, so the server has seen both when it has answered the first
            assert half.read().status == 200
            slow.send(f"GET /large.bin HTTP/1.1\r\n{HOST}\r\n")
            head = slow.read_head()
            stop(program)
            assert idle.is_closed()
            half.send("\r\n")
            answer = half.read()
            assert (answer.status, answer.headers["connection"]) == (200, "close") and half.is_closed()
            assert slow.reader.read(int(head.headers["content-length"])) == FILES["large.bin"] and slow.is_closed()
            assert program.end() == 0
        # The number of connections includes those that looked whether it still listens.
        expected = r"http: stopped: 4 requests on \d+ connections answered, 0 cut"
        assert re.fullmatch(expected, program.output[-1]), program.output


def stopping_cuts_what_does_not_end():
    with programs.Program("http", str(ROOT), "127.0.0.1:0", "--grace", "0.5", "--timeout", "60") as program:
        program.number = program.port()
        with Client(program.number) as half, Client(program.number, 4096) as slow:
            half.send(f"GET /hello.txt HTTP/1.1\r\n{HOST}\r\nGET /hello.txt HTTP/1.1\r\n")
            assert half.read().status == 200
            slow.send(f"GET /large.bin HTTP/1.1\r\n{HOST}\r\n" * 10)
            assert slow.read_head().status == 200
            program.interrupt()
            assert program.end() == 0
            assert half.is_closed()
        assert program.output[-1].endswith(" on 2 connections answered, 2 cut"), program.output


class SecureClient(Client):
    """A client over TLS. What it has not asked for yet fills buffers: in the kernel, and in the server."""

    def __init__(self, port, receive_buffer=None):
        super().__init__(port, receive_buffer)
        context = ssl.create_default_context(cafile=certificate()[0])
        self.reader.close()
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self.reader = self.socket.makefile("rb")


def secure_server(*options):
    cert, key = certificate()
    program = programs.Program("http", str(ROOT), "127.0.0.1:0", "--cert", cert, "--key", key, *options)
    program.number = program.port()
    return program


def what_timed_out_over_tls_is_not_sent_twice():
    """A reader that pauses longer than the time limit is forgiven once; the server was in the middle of a piece."""
    if not built_with_tls():
        return
    content = FILES["large.bin"] * 4
    (ROOT / "huge.bin").write_bytes(content)
    with secure_server("--timeout", "4") as program, SecureClient(program.number, 4096) as client:
        client.send(f"GET /huge.bin HTTP/1.1\r\n{HOST}\r\n")
        assert client.read_head().status == 200
        time.sleep(5.5)
        received = client.reader.read(len(content))
        assert received == content, (len(received), len(os.path.commonprefix([received, content])))
    (ROOT / "huge.bin").unlink()


def stopping_over_tls_lets_responses_out():
    """Of responses of many lengths to clients that do not read, some are wholly in the server's buffer."""
    if not built_with_tls():
        return
    content = FILES["large.bin"]
    lengths = range(20_000, len(content), 100_000)
    with secure_server("--grace", "60", "--timeout", "60") as program, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(SecureClient(program.number, 4096)) for _ in lengths]
        for client, length in zip(clients, lengths):
            client.send(f"GET /large.bin HTTP/1.1\r\n{HOST}Range: bytes=0-{length - 1}\r\nConnection: close\r\n\r\n")
            assert client.read_head().status == 206
        stop(program)
        for client, length in zip(clients, lengths):
            assert client.reader.read() == content[:length], length
        assert program.end() == 0
        assert program.output[-1].endswith(", 0 cut"), program.output


def stopping_over_tls_keeps_to_the_grace_time():
    if not built_with_tls():
        return
    with secure_server("--grace", "8", "--timeout", "60") as program:
        with SecureClient(program.number) as half, SecureClient(program.number, 4096) as slow:
            half.send(f"GET /hello.txt HTTP/1.1\r\n{HOST}\r\nGET /hello.txt HTTP/1.1\r\n")
            assert half.read().status == 200
            slow.send(f"GET /large.bin HTTP/1.1\r\n{HOST}\r\n" * 10)
            assert slow.read_head().status == 200
            program.interrupt()
            since = time.monotonic()
            assert program.end() == 0
            assert time.monotonic() - since < 14, "twice the grace time"
        assert program.output[-1].endswith(" on 2 connections answered, 2 cut"), program.output


def a_slow_reader_over_tls_gets_the_end():
    """The last of a response stays in the server's buffer for longer than the time limit, in which some of it goes."""
    if not built_with_tls():
        return
    with secure_server("--timeout", "2", "--grace", "2") as program:
        with SecureClient(program.number, 4096) as slow:
            slow.send(f"GET /large.bin HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n")
            assert slow.read_head().status == 200
            content = bytearray()
            while piece := slow.reader.read(20_000):
                content += piece
                time.sleep(0.04)
            assert content == FILES["large.bin"], len(content)


def a_termination_signal_stops_it_too():
    with programs.Program("http", str(ROOT), "127.0.0.1:0", "--grace", "60", "--timeout", "60") as program:
        program.number = program.port()
        with Client(program.number) as idle, Client(program.number) as half:
            assert idle.ask("/hello.txt").status == 200
            half.send(f"GET /hello.txt HTTP/1.1\r\n{HOST}\r\nGET /hello.txt HTTP/1.1\r\n{HOST}")
            assert half.read().status == 200
            program.process.terminate()
            assert idle.is_closed()
            half.send("\r\n")
            assert half.read().status == 200 and half.is_closed()
            assert program.end() == 0
        assert program.output[-1].endswith(", 0 cut"), program.output


def a_client_that_was_quiet_for_long_is_served():
    """After a second its memory has been given back."""
    with server("--timeout", "30") as program, Client(program.number) as quiet, Client(program.number) as new:
        assert quiet.ask("/hello.txt").body == FILES["hello.txt"]
        time.sleep(1.5)
        assert quiet.ask("/large.bin").body == FILES["large.bin"]
        assert new.ask("/hello.txt").body == FILES["hello.txt"]


def a_second_interrupt_ends_it_at_once():
    with programs.Program("http", str(ROOT), "127.0.0.1:0", "--grace", "1000", "--timeout", "1000") as program:
        program.number = program.port()
        with Client(program.number) as half:
            half.send(f"GET /hello.txt HTTP/1.1\r\n{HOST}\r\nGET /hello.txt HTTP/1.1\r\n")
            assert half.read().status == 200
            stop(program)
            program.interrupt()
            assert program.end() != 0


def wrong_arguments_are_refused():
    for arguments, code in (([], 2), (["/nowhere/at all"], 1), ([str(ROOT), "nonsense"], 1),
                            ([str(ROOT / "hello.txt")], 1),
                            ([str(ROOT), "--workers", "0"], 2), ([str(ROOT), "--timeout", "nan"], 2),
                            ([str(ROOT), "--what"], 2), ([str(ROOT), "127.0.0.1:0", "more"], 2)):
        with programs.Program("http", *arguments, quiet=True) as program:
            assert program.end() == code, arguments
    help = subprocess.run([programs.path_of("http"), "--help"], capture_output=True, text=True, check=True)
    assert "--max-header" in help.stdout and help.stderr == "", help


with server("--workers", "2") as shared:
    failed = programs.run_all([
        every_file_arrives_byte_for_byte,
        curl_gets_every_file,
        curl_speaks_other_dialects,
        header_fields_are_right,
        head_has_no_body,
        directories_stand_for_their_index,
        a_changed_file_is_noticed,
        what_the_client_has_is_not_sent_again,
        parts_of_files_are_sent,
        files_are_served_over_tls,
        slow_handshakes_are_cut_off,
        pipelined_requests_are_answered_in_order,
        requests_may_come_byte_by_byte,
        requests_may_come_in_any_pieces,
        connections_are_kept_as_asked,
        continue_is_said_to_those_who_wait,
        what_is_no_request_is_refused,
        a_refusal_comes_after_the_answers_before_it,
        other_methods_are_not_allowed,
        bodies_within_the_limit_are_skipped,
        header_limits_are_limits,
        nothing_outside_the_root_is_given_out,
        two_hundred_clients_on_one_worker,
        two_hundred_clients_on_four_workers,
        two_hundred_clients_without_room_in_the_caches,
        a_load_generator_counts_no_failure,
        requests_at_the_end_of_a_pause_are_answered,
        slow_clients_are_told_or_closed,
        a_client_that_does_not_read_is_cut_off,
        a_slow_reader_that_goes_on_is_served,
        waits_when_descriptors_run_out,
        stopping_lets_requests_in_flight_end,
        stopping_cuts_what_does_not_end,
        what_timed_out_over_tls_is_not_sent_twice,
        stopping_over_tls_lets_responses_out,
        stopping_over_tls_keeps_to_the_grace_time,
        a_slow_reader_over_tls_gets_the_end,
        a_termination_signal_stops_it_too,
        a_client_that_was_quiet_for_long_is_served,
        a_second_interrupt_ends_it_at_once,
        wrong_arguments_are_refused,
    ])
sys.exit(failed > 0)
