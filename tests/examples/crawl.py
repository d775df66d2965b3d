# SPDX-License-Identifier: Apache-2.0
"""Goal: the crawler fetches what there is byte for byte, says of everything else what went wrong, never asks more at one
time than it was told to, and ends when it is interrupted with what it has.

Method: a server in this process that answers by the path of the URL, well or badly, and counts who asks at one time.
What it cannot see: names that need a resolver."""
import asyncio
import contextlib
import hashlib
import os
import pathlib
import pty
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import types

import programs

PATIENCE = programs.PATIENCE
scratch = tempfile.TemporaryDirectory()
SCRATCH = pathlib.Path(scratch.name)
DATA = bytes(i * i % 251 for i in range(300_000))



def certificate():
    """Files of a certificate for localhost and its key."""
    cert, key = str(SCRATCH / "cert.pem"), str(SCRATCH / "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
         "-out", cert, "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return cert, key


CERTIFICATE, KEY = certificate()

# --- the server -----------------------------------------------------------------------------------------------------


class Server:
    """Answers to /NAME/... with the method answer_NAME(path, writer). What that returns is sent."""

    def __init__(self):
        self.asking = self.most = self.asked = 0
        self.paths, self.heads = [], []
        self.hanging = threading.Semaphore(0)
        self.failures_left = {}
        started = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._run(started)), daemon=True).start()
        assert started.wait(PATIENCE)

    async def _run(self, started):
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=2000)
        self.port = server.sockets[0].getsockname()[1]
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(CERTIFICATE, KEY)
        secure = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context, backlog=2000)
        self.secure_port = secure.sockets[0].getsockname()[1]
        started.set()
        await asyncio.gather(server.serve_forever(), secure.serve_forever())

    async def _serve(self, reader, writer):
        self.asked += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            path = head.split(" ")[1]
            self.paths.append(path)
            self.heads.append(head)
            answer = await getattr(self, "answer_" + path.split("/")[1].split("?")[0])(path, writer)
            if answer is not None:
                writer.write(answer if isinstance(answer, bytes) else answer.encode("latin-1"))
                await writer.drain()
        writer.close()

    def url(self, path):
        return f"http://127.0.0.1:{self.port}/{path}"

    def secure_url(self, path):
        return f"https://localhost:{self.secure_port}/{path}"

    def forget(self):
        self.most = self.asked = 0
        self.paths, self.heads = [], []

    @staticmethod
    def with_length(body, status="200 OK", fields=""):
        return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{fields}\r\n".encode() + body

    async def answer_(self, path, writer):
        return self.with_length(DATA)

    async def answer_data(self, path, writer):
        return self.with_length(DATA)

    async def answer_empty(self, path, writer):
        return "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

    async def answer_status(self, path, writer):
        return self.with_length(b"body\n", path.split("/")[2] + " Some Reason")

    async def answer_nothing(self, path, writer):
        return "HTTP/1.1 204 No Content\r\n\r\n"

    async def answer_ending(self, path, writer):
        return b"HTTP/1.0 200 OK\r\n\r\n" + DATA

    async def answer_early(self, path, writer):
        return b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + self.with_length(DATA)

    async def answer_chunked(self, path, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        at, size = 0, 1
        while at < len(DATA):
            piece = DATA[at:at + size]
            writer.write(b"%x;some=thing\r\n%s\r\n" % (len(piece), piece))
            await writer.drain()
            at, size = at + size, size * 3 + 1
        return "0\r\nTrailer: x\r\n\r\n"

    async def answer_redirect(self, path, writer):
        """/redirect/CODE/TARGET"""
        _, _, code, target = path.split("/", 3)
        target = target.replace("%3A", ":").replace("%2F", "/").replace("%20", " ")
        return self.with_length(b"elsewhere\n", f"{code} Moved", f"Location: {target}\r\n")

    async def answer_loop(self, path, writer):
        return self.with_length(b"", "302 Found", f"Location: {path}\r\n")

    async def answer_count(self, path, writer):
        """Redirects to itself as often as it says."""
        left = int(path.split("/")[2])
        return self.with_length(b"", "302 Found", f"Location: {left - 1}\r\n") if left else self.with_length(DATA)

    async def answer_lost(self, path, writer):
        return "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"

    async def answer_hang(self, path, writer):
        self.hanging.release()
        await asyncio.sleep(PATIENCE)

    async def answer_drip(self, path, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async def answer_short(self, path, writer):
        return b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"

    async def answer_half(self, path, writer):
        return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"

    async def answer_closed(self, path, writer):
        return None

    async def answer_garbage(self, path, writer):
        return "SSH-2.0-OpenSSH_9.2\r\nHTTP this is not\r\n"

    async def answer_header(self, path, writer):
        return "HTTP/1.1 200 OK\r\nContent-Len"

    async def answer_chunks(self, path, writer):
        return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno number\r\n"

    async def answer_both(self, path, writer):
        return "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"

    async def answer_switch(self, path, writer):
        return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"

    async def answer_endless(self, path, writer):
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: /")
        while True:
            writer.write(b"x" * 1000)
            await writer.drain()

    async def answer_failing(self, path, writer):
        """/failing/HOW/TIMES/NAME fails that often, then it does not."""
        _, _, how, times, _ = path.split("/")
        left = self.failures_left.setdefault(path, int(times))
        self.failures_left[path] -= 1
        if left <= 0:
            return self.with_length(DATA)
        return None if how == "close" else self.with_length(b"", how + " Some Reason")

    async def answer_slow(self, path, writer):
        self.asking += 1
        self.most = max(self.most, self.asking)
        await asyncio.sleep(0.01)
        self.asking -= 1  # before the client can know that this answer is complete
        return self.with_length(path.encode())


server = Server()


def closed_port():
    """A port at which nobody listens, and nobody will: it stays bound."""
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    sockets.append(s)
    return s.getsockname()[1]


sockets = []

# --- the program ----------------------------------------------------------------------------------------------------


def parse(text):
    """The table as {URL: row}, and the last line."""
    lines = text.splitlines()
    assert lines[0].split() == ["status", "bytes", "seconds", "URL"], text
    rows = {}
    for line in lines[1:-1]:
        status, size, seconds, rest = re.fullmatch(r" *(\d+|-) +(\d+) +([\d.]+)  (.*)", line).groups()
        rest, _, problem = rest.partition(": ")
        url, _, target = rest.partition(" -> ")
        rows[url] = types.SimpleNamespace(status=status, bytes=int(size), seconds=float(seconds), target=target,
                                          problem=problem)
    return rows, lines[-1]


def crawl(*arguments, code=None, **more):
    done = subprocess.run([programs.path_of("crawl"), *map(str, arguments)], capture_output=True, text=True,
                          timeout=PATIENCE * 2, **({"stdin": subprocess.DEVNULL} if "input" not in more else {}), **more)
    assert code is None or done.returncode == code, done
    done.rows, done.last = parse(done.stdout)
    return done


def crawl_one(path, *arguments, code=None):
    url = path if "://" in path else server.url(path)
    return crawl(*arguments, url, code=code).rows[url]


def crawl_to_disk(*paths):
    """The contents that were kept, in the order of the paths."""
    with tempfile.TemporaryDirectory(dir=SCRATCH) as parent:
        directory = pathlib.Path(parent, "made")
        done = crawl("--output", directory, *[server.url(path) for path in paths])
        return done, {file.name: file.read_bytes() for file in sorted(directory.iterdir())}


# --- fetching -------------------------------------------------------------------------------------------------------


def every_kind_of_body_arrives():
    done, files = crawl_to_disk("data", "empty", "chunked", "ending", "early", "nothing")
    assert done.returncode == 0
    assert list(files.values()) == [DATA, b"", DATA, DATA, DATA, b""], [len(file) for file in files.values()]
    assert list(files)[2] == f"00003-127.0.0.1_{server.port}_chunked", files.keys()
    sizes = [row.bytes for row in done.rows.values()]
    assert sizes == [len(DATA), 0, len(DATA), len(DATA), len(DATA), 0], sizes
    assert done.last.startswith(f"6 of 6 fetched, {4 * len(DATA)} bytes in ") and done.last.endswith(", 0 failed")


def the_status_is_what_the_server_says():
    codes = [200, 201, 299, 400, 404, 500, 503]
    done, files = crawl_to_disk(*[f"status/{code}" for code in codes])
    assert done.returncode == 1
    for code, row in zip(codes, done.rows.values()):
        assert (row.status, row.bytes, row.problem) == (str(code), 5, ""), (code, row)
    assert len(files) == 3, "what is no success is kept"
    assert "3 of 7 fetched" in done.last and "4 failed" in done.last
    assert crawl_one("status/200", code=0).status == "200"
    assert crawl_one("status/404", code=1).status == "404"


def redirects_are_followed():
    absolute = server.url("data").replace(":", "%3A").replace("/", "%2F")
    for code, target in ((301, "/data"), (302, absolute), (303, "..%2F..%2Fdata"), (307, "/data?x=y"), (308, "/data#part"),
                         (302, f"%2F%2F127.0.0.1%3A{server.port}%2Fdata"), (302, "/data/a%20b"),
                         (302, f"/redirect/301/{absolute}")):
        path = f"redirect/{code}/{target}"
        done, files = crawl_to_disk(path)
        row = done.rows[server.url(path)]
        assert (done.returncode, row.status, row.bytes) == (0, "200", len(DATA)), (target, row)
        assert list(files.values()) == [DATA], "the bodies of redirects are kept"
        assert row.target.startswith(server.url("data")), row.target
    assert "/data/a%20b" in server.paths  # the Location had a space


def redirects_end_somewhere():
    server.forget()
    row = crawl_one("loop", "--redirects", "5", code=1)
    assert (row.problem, server.asked) == ("too many redirects", 6), (row, server.asked)
    assert crawl_one("loop", code=1).problem == "too many redirects"
    assert crawl_one("count/3", "--redirects", "3", code=0).bytes == len(DATA)
    assert crawl_one("count/3", "--redirects", "2", code=1).problem == "too many redirects"
    assert crawl_one("status/302", code=1).status == "302"
    assert crawl_one("lost", code=1).status == "302"
    assert "supported" in crawl_one("redirect/302/ftp%3A%2F%2F127.0.0.1%2F", code=1).problem
    assert crawl_one("redirect/302/http%3A%2F%2F", code=1).problem.startswith("this is no URL")


def requests_say_what_is_wanted():
    server.forget()
    crawl(server.url("data?a=b&c=d#part"), server.url("data/../empty"), server.url("data/a b"), code=0)
    assert sorted(server.paths) == ["/data/a%20b", "/data?a=b&c=d", "/empty"], server.paths
    for head in server.heads:
        fields = head.split("\r\n")[1:]
        assert f"Host: 127.0.0.1:{server.port}" in fields and "Connection: close" in fields, fields
    server.forget()
    for url in (f"127.0.0.1:{server.port}/data", f"HTTP://127.0.0.1:{server.port}/data",
                f"http://localhost:{server.port}/data", f"http://127.0.0.1:{server.port}?data"):
        crawl(url)
    assert server.paths == ["/data", "/data", "/data", "/?data"], server.paths


SUPPORTED = {False: "only http:// is supported", True: "only http:// and https:// are supported"}


def built_with_tls():
    problem = crawl_one("gopher://127.0.0.1/", code=1).problem
    assert problem in SUPPORTED.values(), problem
    if problem == SUPPORTED[False]:
        print("note: this build has no TLS")
    return problem == SUPPORTED[True]


def https_is_fetched_from_servers_that_are_trusted():
    if not built_with_tls():
        return
    trusting = ["--cacert", CERTIFICATE]
    paths = ["data", "empty", "chunked", "ending", "early", "nothing"]
    with tempfile.TemporaryDirectory(dir=SCRATCH) as directory:
        crawl(*trusting, "--output", directory, *[server.secure_url(path) for path in paths], code=0)
        files = [file.read_bytes() for file in sorted(pathlib.Path(directory).iterdir())]
    assert files == [DATA, b"", DATA, DATA, DATA, b""], [len(file) for file in files]
    for there in server.url("data"), server.secure_url("data"):
        quoted = there.replace(":", "%3A").replace("/", "%2F")
        for here in server.url(f"redirect/302/{quoted}"), server.secure_url(f"redirect/302/{quoted}"):
            row = crawl_one(here, *trusting, code=0)
            assert (row.bytes, row.target) == (len(DATA), there), row
    urls = [server.secure_url(f"data/{i}") for i in range(200)]
    assert "200 of 200 fetched" in crawl(*trusting, "--limit", "50", input="\n".join(urls), code=0).last


def https_says_whom_it_does_not_trust():
    if not built_with_tls():
        return
    server.forget()
    other_name = f"https://127.0.0.1:{server.secure_port}/data"
    assert "self-signed certificate" in crawl_one(server.secure_url("data"), code=1).problem
    assert "mismatch" in crawl_one(other_name, "--cacert", CERTIFICATE, code=1).problem
    assert server.asked == 0, "something was asked all the same"
    for url in server.secure_url("data"), other_name:
        assert crawl_one(url, "--insecure", code=0).bytes == len(DATA)
    for path, problem in (("garbage", "the response is no HTTP"), ("short", "closed within the response")):
        assert crawl_one(server.secure_url(path), "--insecure", code=1).problem == problem
    assert crawl_one(server.secure_url("hang"), "--insecure", "--timeout", "0.5", code=1).problem == "timed out"
    assert crawl_one(f"https://127.0.0.1:{closed_port()}/", code=1).problem == "Connection refused"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        row = crawl_one(f"https://127.0.0.1:{silent.getsockname()[1]}/", "--timeout", "0.5", code=1)
        assert row.problem == "timed out", row
    with socket.create_server(("127.0.0.1", 0)) as plain:
        def answer():
            with plain.accept()[0] as s:
                s.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                while s.recv(1000):
                    pass

        thread = threading.Thread(target=answer)
        thread.start()
        row = crawl_one(f"https://127.0.0.1:{plain.getsockname()[1]}/", code=1)
        thread.join()
        assert row.problem.startswith("TLS failed"), row
    for file in "/nowhere/ca.pem", KEY:
        done = subprocess.run([programs.path_of("crawl"), "--cacert", file, server.secure_url("data")],
                              capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 1 and file in done.stderr, done


def what_goes_wrong_is_said_in_words():
    expected = {
        f"http://127.0.0.1:{closed_port()}/": "Connection refused",
        server.url("closed"): "closed without a response",
        server.url("short"): "closed within the response",
        server.url("half"): "closed within the response",
        server.url("header"): "closed without a response",
        server.url("garbage"): "the response is no HTTP",
        server.url("chunks"): "the response is no HTTP",
        server.url("both"): "the response is no HTTP",
        server.url("switch"): "the response is no HTTP",
        server.url("endless"): "the response is no HTTP",
        "ftp://127.0.0.1/": SUPPORTED[built_with_tls()],
        "http://user:word@127.0.0.1/": "names and passwords in URLs are not sent",
        "http://": "this is no URL, or no name",
        "http://[::1/": "this is no URL, or no name",
        "http://127.0.0.1:99999/": "this is no URL, or no name",
        server.url("data"): "",
    }
    done = crawl(*expected, code=1)
    for url, problem in expected.items():
        assert done.rows[url].problem == problem, (url, done.rows[url])
    assert f"1 of {len(expected)} fetched" in done.last


def nothing_of_a_failed_page_is_kept():
    done, files = crawl_to_disk("short", "half", "chunks", "status/404", "data")
    assert list(files.values()) == [DATA], files.keys()


def each_fetch_has_its_time():
    since = time.monotonic()
    done = crawl("--timeout", "0.5", *[server.url(path) for path in ("hang", "drip", "data", "hang/2")], code=1)
    assert time.monotonic() - since < PATIENCE
    for path in ("hang", "drip", "hang/2"):
        assert done.rows[server.url(path)].problem == "timed out", done.rows
        assert done.rows[server.url(path)].seconds >= 0.5
    assert done.rows[server.url("data")].problem == ""


def what_passes_is_tried_again():
    server.forget()
    for how in ("503", "429", "close"):
        assert crawl_one(f"failing/{how}/2/a", "--retries", "2", code=0).bytes == len(DATA)
        assert crawl_one(f"failing/{how}/3/b", "--retries", "2", code=1).bytes == 0
    assert server.asked == 3 * (3 + 3), server.asked
    server.forget()
    for path in ("status/404", "garbage", "status/200"):
        crawl_one(path, "--retries", "5")
    assert server.asked == 3, "what does not pass is tried again"


# --- many -----------------------------------------------------------------------------------------------------------


def a_thousand_urls_with_fifty_at_once():
    server.forget()
    urls = [server.url(f"slow/{i}") for i in range(1000)]
    with tempfile.TemporaryDirectory(dir=SCRATCH) as directory:
        done = crawl("--limit", "50", "--output", directory, input="\n".join(urls), code=0)
        files = sorted(pathlib.Path(directory).iterdir())
        assert [file.read_text() for file in files] == [f"/slow/{i}" for i in range(1000)]
    assert list(done.rows) == urls, "the table is in another order"
    assert "1000 of 1000 fetched" in done.last
    assert server.asked == 1000 and 10 < server.most <= 50, (server.asked, server.most)


def one_at_a_time_is_in_order():
    server.forget()
    paths = [f"slow/{i}" for i in range(30)]
    crawl("-n", "1", *map(server.url, paths), code=0)
    assert server.paths == ["/" + path for path in paths] and server.most == 1


def lists_come_from_files_too():
    text = f"# a comment\n\n  {server.url('data')}  \r\n{server.url('empty')}"
    file = SCRATCH / "list"
    file.write_text(text)
    assert list(crawl("--file", file, code=0).rows) == [server.url("data"), server.url("empty")]
    assert len(crawl("--file", "-", input=text, code=0).rows) == 2
    assert len(crawl(input=text, code=0).rows) == 2
    assert len(crawl("--file", file, server.url("nothing"), code=0).rows) == 3
    assert crawl(input="", code=0).last.startswith("0 of 0 fetched")


# --- what is shown, and the end -------------------------------------------------------------------------------------


def each_page_is_a_line_where_there_is_no_terminal():
    done = crawl(*[server.url(path) for path in ("data", "short", "status/404")], code=1)
    lines = sorted(line.split(" ", 1)[1] for line in done.stderr.splitlines())
    assert lines == sorted([f"200 {server.url('data')}", f"404 {server.url('status/404')}",
                            f"200 {server.url('short')}: closed within the response"]), lines
    assert {line.split(" ")[0].split("/")[1] for line in done.stderr.splitlines()} == {"3"}


def there_is_a_bar_on_a_terminal():
    controller, terminal = pty.openpty()
    process = subprocess.Popen([programs.path_of("crawl"), server.url("data"), server.url("hang")], stderr=terminal,
                               stdout=subprocess.PIPE, text=True)
    os.close(terminal)
    shown = b""
    while b"1/2, 0 failed, 1 under way" not in shown:
        shown += os.read(controller, 1000)
    process.send_signal(signal.SIGINT)
    rows, last = parse(process.communicate(timeout=PATIENCE)[0])
    with contextlib.suppress(OSError):  # EIO: nobody has the terminal any more
        while data := os.read(controller, 1000):
            shown += data
    os.close(controller)
    assert shown.endswith(b"\r\x1b[K") and b"[###############               ] 1/2" in shown, shown
    assert list(rows) == [server.url("data")] and last.endswith("1 cut, 0 not begun"), last


def an_interrupt_prints_what_is_done():
    server.hanging = threading.Semaphore(0)
    urls = [server.url(path) for path in ["data"] * 5 + [f"hang/{i}" for i in range(20)]]
    with tempfile.TemporaryDirectory(dir=SCRATCH) as directory:
        process = subprocess.Popen([programs.path_of("crawl"), "--limit", "10", "--output", directory, *urls],
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for _ in range(10):  # all ten hang, so the five before them are done
            assert server.hanging.acquire(timeout=PATIENCE)
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=PATIENCE)[0]
        assert len(os.listdir(directory)) == 5
    rows, last = parse(output)
    assert process.returncode == 1 and len(output.splitlines()) == 5 + 2, output
    assert last.startswith("5 of 25 fetched") and last.endswith("0 failed, 10 cut, 10 not begun"), last

    # The same when all have begun.
    process = subprocess.Popen([programs.path_of("crawl"), *urls[:6]], stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True)
    assert server.hanging.acquire(timeout=PATIENCE)
    process.send_signal(signal.SIGINT)
    rows, last = parse(process.communicate(timeout=PATIENCE)[0])
    assert process.returncode == 1 and re.search(r", [1-6] cut, 0 not begun$", last), last


def wrong_arguments_are_refused_by_name():
    for arguments, code, named in ((["--limit", "0"], 2, "--limit"), (["--timeout", "nan"], 2, "--timeout"),
                                   (["--retries", "x"], 2, "--retries"), (["--what"], 2, "--what"),
                                   (["--redirects", "-1"], 2, "--redirects"), (["--workers", "0"], 2, "--workers"),
                                   (["--file", "/nowhere/list"], 1, "--file"), (["--file", "/"], 1, "--file"),
                                   (["--output", "/nowhere/at/all"], 1, "--output"),
                                   (["--output", "/dev/null"], 1, "--output")):
        done = subprocess.run([programs.path_of("crawl"), *arguments], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=PATIENCE)
        assert done.returncode == code and named in done.stderr, (arguments, done)
    help = subprocess.run([programs.path_of("crawl"), "--help"], capture_output=True, text=True, check=True).stdout
    assert "--retries" in help


sys.exit(programs.run_all([
    every_kind_of_body_arrives,
    the_status_is_what_the_server_says,
    redirects_are_followed,
    redirects_end_somewhere,
    requests_say_what_is_wanted,
    what_goes_wrong_is_said_in_words,
    https_is_fetched_from_servers_that_are_trusted,
    https_says_whom_it_does_not_trust,
    nothing_of_a_failed_page_is_kept,
    each_fetch_has_its_time,
    what_passes_is_tried_again,
    a_thousand_urls_with_fifty_at_once,
    one_at_a_time_is_in_order,
    lists_come_from_files_too,
    each_page_is_a_line_where_there_is_no_terminal,
    there_is_a_bar_on_a_terminal,
    an_interrupt_prints_what_is_done,
    wrong_arguments_are_refused_by_name,
]) > 0)
