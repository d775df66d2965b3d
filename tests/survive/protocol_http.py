# SPDX-License-Identifier: Apache-2.0
"""HTTP for the tests: files, requests for them, and what is no request or could be taken for two."""
import email.utils
import re
import time

import protocols

SMUGGLED = b"this must never be sent\n"
HIDDEN = b"GET /smuggled.txt HTTP/1.1\r\nHost: test\r\n\r\n"


def ambiguous(fields, body):
    return b"POST /hello.txt HTTP/1.1\r\nHost: test\r\n" + fields + b"\r\n" + body


CHUNKED_HIDDEN = b"%x\r\n%s\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)
# Two servers could differ in where these requests end. A strict one refuses them; none may take the hidden one out.
AMBIGUOUS = [
    ambiguous(b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", CHUNKED_HIDDEN),
    ambiguous(b"Transfer-Encoding: chunked\r\nContent-Length: %d\r\n" % (5 + len(HIDDEN)), b"0\r\n\r\n" + HIDDEN),
    ambiguous(b"Content-Length: 0\r\nContent-Length: %d\r\n" % len(HIDDEN), HIDDEN),
    ambiguous(b"Content-Length: %d\r\nContent-Length: 0\r\n" % len(HIDDEN), HIDDEN),
    ambiguous(b"Content-Length: 0, %d\r\n" % len(HIDDEN), HIDDEN),
    ambiguous(b"Content-Length: +0\r\n", HIDDEN),
    ambiguous(b"Content-Length: -1\r\n", HIDDEN),
    ambiguous(b"Content-Length: 0x2a\r\n", HIDDEN),
    ambiguous(b"Content-Length: 18446744073709551616\r\n", HIDDEN),
    ambiguous(b"Content-Length : 0\r\n", HIDDEN),
    ambiguous(b"Transfer-Encoding : chunked\r\n", CHUNKED_HIDDEN),
    ambiguous(b"Transfer-Encoding: xchunked\r\n", CHUNKED_HIDDEN),
    ambiguous(b"Transfer-Encoding: chunked, identity\r\n", CHUNKED_HIDDEN),
    ambiguous(b"Transfer-Encoding: \x0bchunked\r\n", CHUNKED_HIDDEN),
    ambiguous(b"Transfer-Encoding: chunked\r\n", b"0\n\n" + HIDDEN),
    ambiguous(b"Transfer-Encoding: chunked\r\n", b"-1\r\n" + HIDDEN),
    ambiguous(b"Transfer-Encoding: chunked\r\n", b"1\r\nZZ\r\n0\r\n\r\n" + HIDDEN),
    ambiguous(b"Transfer-Encoding: chunked\r\n", b"10000000000000000\r\n" + HIDDEN),
    ambiguous(b"Transfer-Encoding: chunked\r\n", b"0x2\r\nab\r\n0\r\n\r\n" + HIDDEN),
    b"GET /hello.txt HTTP/1.1\nHost: test\n\n" + HIDDEN,
    b"GET /hello.txt HTTP/1.1\r\nHost: test\r\nHost: other\r\n\r\n" + HIDDEN,
    b"GET /hello.txt HTTP/1.1\r\nHost: test\r\nX: a\rContent-Length: 0\r\n\r\n" + HIDDEN,
    b"GET /hello.txt HTTP/1.1\r\n Host: test\r\nContent-Length: 5\r\n\r\n" + HIDDEN,
]


class HttpProtocol:
    FILES = {
        "/hello.txt": b"hello\n",
        "/index.html": b"<p>hello\n",
        "/empty.css": b"",
        "/dir/some%20name.json": b'{"a": 1}\n',
        "/1k.bin": 1000,
        "/20k.bin": 20_000,
        "/100k.bin": 100_000,
        "/300k.bin": 300_000,
        "/smuggled.txt": SMUGGLED,
    }
    LARGE = "/100k.bin"
    ALPHABET = [b"\r", b"\n", b"\r\n", b"\0", b" ", b"\t", b":", b"/", b"%", b"..", b"?", b"chunked",
                b"Content-Length: 7", b"HTTP/1.1", b"0\r\n\r\n", b"\xff", b"A" * 300, b"Host: x\r\n",
                b"Transfer-Encoding: chunked\r\n"]

    def __init__(self, server, rng):
        self.server = server
        self.files = {}
        for target, content in self.FILES.items():
            content = rng.randbytes(content) if isinstance(content, int) else content
            path = server.root / target[1:].replace("%20", " ")
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
            self.files[target] = content
        self.templates = {}

    # The header is learnt from a first answer, in calm: it is not said here what a server may put there. From then on
    # it has to be the same every time, but for the date.

    async def begin(self):
        with await protocols.Stream().connect(self.server.port) as stream:
            for target in self.files:
                await self.learn(stream, "GET", target, 200, self.files[target])
                await self.learn(stream, "HEAD", target, 200, None)
                await self.learn(stream, "DELETE", target, 405, b"")
            for method in ("GET", "HEAD"):
                await self.learn(stream, method, "/nothing", 404, b"" if method == "GET" else None)

    async def learn(self, stream, method, target, status, content):
        await stream.send(f"{method} {target} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        head = await stream.until(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 %d " % status):
            protocols.wrong(f"{method} {target}", head, b"HTTP/1.1 %d" % status)
        length = int(re.search(rb"\r\nContent-Length: (\d+)\r\n", head)[1])
        body = b"" if method == "HEAD" else await stream.exactly(length)
        if status == 200 and content is not None and body != content:
            protocols.wrong(f"{method} {target}", body, content)
        if target in self.files and status == 200 and length != len(self.files[target]):
            protocols.wrong(f"{method} {target}", b"%d" % length, b"%d" % len(self.files[target]))
        before, date, after = re.fullmatch(rb"(.*\r\nDate: )([^\r]*)(\r\n.*)", head, re.DOTALL).groups()
        self.templates[method, target] = (before, len(date), after, body)

    def session(self, rng):
        return HttpSession(self, rng)

    def large_requests(self, n):
        """Requests for much more than is asked with; how long all answers are together."""
        before, date, after, body = self.templates["GET", self.LARGE]
        return f"GET {self.LARGE} HTTP/1.1\r\nHost: test\r\n\r\n".encode() * n, n * (
            len(before) + date + len(after) + len(body))

    def partial(self, rng):
        """The beginning of a request, which the server has to wait for the rest of."""
        data = rng.choice((
            b"GET /hello.txt HTTP/1.1\r\nHost: test\r\n\r\n",
            b"POST /hello.txt HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\n" + b"x" * 999,
            b"GET /hello.txt HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"))
        return data[:rng.randint(1, len(data) - 1)]

    def ambiguous(self, rng):
        return rng.choice(AMBIGUOUS)

    def check_ambiguous(self, data, answer):
        if SMUGGLED in answer or re.match(rb"HTTP/1\.1 [45]\d\d ", answer) is None or answer.count(b"HTTP/1.1 ") != 1:
            protocols.wrong(f"ambiguous request {data!r}", answer, b"HTTP/1.1 4")

    def malformed(self, rng):
        session = self.session(rng)
        match rng.randrange(12):
            case 0:
                return rng.randbytes(rng.choice((1, 10, 100, 5000)))
            case 1:
                return b"GET /" + b"a" * rng.choice((3000, 20_000, 300_000))
            case 2:
                return b"GET / HTTP/1.1\r\nHost: test\r\nX: " + b"a" * rng.choice((17_000, 300_000))
            case 3:
                return b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(rng.choice((99, 101, 5000))))
            case 4:
                chunk = rng.choice((b"z\r\n", b"fffffffffffffffffff\r\n", b"5;" + b"e" * 20_000, b"3\r\nabcd\r\n",
                                    b"\r\n", b"5\r\nab", b"0\r\nTrailer", b"00000000000000000000000000001\r\na\r\n",
                                    b"7fffffff\r\n"))
                return ambiguous(b"Transfer-Encoding: chunked\r\n", b"4\r\nsome\r\n" * rng.randrange(4) + chunk)
            case 5:
                return rng.choice((b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(300),
                                   b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /\r\n\r\n", b"\r\n" * 5000,
                                   b"GET " * 5000))
            case 6:
                target = b"".join(rng.choice((b"/", b"..", b"%2e", b"%00", b"%", b"a", b"//", b"http://", b"?", b"#"))
                                  for _ in range(rng.randint(1, 40)))
                return b"GET %s HTTP/1.1\r\nHost: test\r\n\r\n" % target
            case _:
                return protocols.mutated(rng, session.batch(rng.randint(1, 5))[0], self.ALPHABET)

    def check_form(self, data, answer):
        """What comes back for something malformed: answers, or nothing."""
        if answer and not answer.startswith(b"HTTP/1.1 "):
            protocols.wrong(f"answer to {data[:300]!r}", answer, b"HTTP/1.1 ")

    def load(self, rng, directory):
        """A client that somebody else wrote: its command line, and a function that looks at its output."""
        url = f"http://127.0.0.1:{self.server.port}"
        target = rng.choice([t for t in self.files if self.files[t]])
        match rng.randrange(4):
            case 0:
                return (["wrk", "-t1", f"-c{rng.choice((5, 20, 100))}", "-d2", "--timeout", "30", url + target],
                        lambda out: b"Non-2xx" not in out and b"Socket errors" not in out)
            case 1:
                keep = rng.choice(([], ["-k"]))
                return (["ab", "-q", *keep, "-n", "1000", "-c", "20", "-s", "30", url + "/20k.bin"],
                        lambda out: b"Failed requests:        0\n" in out and b"Non-2xx" not in out)
            case 2:
                return (["curl", "-sS", "--noproxy", "*", "--max-time", "60", "-Z", "--parallel-max", "10", "-w",
                         "code %{http_code}\n"] + [url + target, "-o", "/dev/null"] * 50,
                        lambda out: out.count(b"code 200\n") == 50)
            case _:
                content = self.files[target]
                slowly = rng.choice(([], ["--limit-rate", "500k"]))
                return (["curl", "-sS", "--noproxy", "*", "--max-time", "60", *slowly, url + target],
                        lambda out: out == content)

    async def calm(self):
        """Brings it to a state that can be compared with one before."""


class HttpSession:
    def __init__(self, protocol, rng):
        self.protocol, self.rng = protocol, rng
        self.targets = list(protocol.files)

    def batch(self, n, small=False):
        """n requests in one piece, and for each a description of its answer."""
        rng, data, answers = self.rng, [], []
        for _ in range(n):
            target = rng.choice(self.targets[:4] if small else self.targets)
            method = rng.choice(("GET", "GET", "GET", "HEAD", "DELETE"))
            if method != "DELETE" and rng.random() < 0.1:
                target = "/nothing"
            fields, body = "", ""
            if rng.random() < 0.2:
                body = "x" * rng.choice((1, 10, 2000))
                if rng.random() < 0.5:
                    fields = f"Content-Length: {len(body)}\r\n"
                else:
                    fields, body = "Transfer-Encoding: chunked\r\n", f"{len(body):x};a=b\r\n{body}\r\n0\r\n\r\n"
            if rng.random() < 0.2:
                fields += f"X-Some-Field: {'y' * rng.choice((0, 20, 1000))}\r\n"
            data.append(f"{method} {target} HTTP/1.1\r\nHost: test\r\n{fields}\r\n{body}")
            answers.append((method, target))
        return "".join(data).encode(), answers

    def question(self):
        """One request for something that is there, which changes nothing."""
        target = self.rng.choice(self.targets[:5])
        return f"GET {target} HTTP/1.1\r\nHost: test\r\n\r\n".encode(), [("GET", target)]

    async def check(self, stream, answer):
        method, target = answer
        before, date_len, after, body = self.protocol.templates[answer]
        got = await stream.exactly(len(before))
        if got != before:
            protocols.wrong(f"{method} {target}", got, before)
        date = await stream.exactly(date_len)
        seconds = email.utils.parsedate_to_datetime(date.decode("latin-1")).timestamp()
        if abs(seconds - time.time()) > 60:
            protocols.wrong(f"{method} {target}: date", date, email.utils.formatdate().encode())
        got = await stream.exactly(len(after) + len(body))
        if got != after + body:
            protocols.wrong(f"{method} {target}", got, after + body)

    async def end(self, stream):
        """Nothing is left to be done."""
