# SPDX-License-Identifier: Apache-2.0
"""The protocol of Redis for the tests: commands on keys whose values are known, and what is no command."""
import protocols


def command(*words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def bulk(value):
    return b"$-1\r\n" if value is None else b"$%d\r\n%s\r\n" % (len(value), value)


class KvProtocol:
    ALPHABET = [b"\r", b"\n", b"\r\n", b"\0", b" ", b'"', b"'", b"$", b"*", b"-1", b"$-1\r\n", b"*-1\r\n", b"*0\r\n",
                b"$0\r\n", b"$536870913\r\n", b"*1048577\r\n", b"99999999999999999999", b"\xff", b"A" * 300, b":1\r\n",
                b"+OK\r\n"]
    LARGE = b"large"

    def __init__(self, server, rng):
        self.server = server
        self.large = rng.randbytes(100_000)
        self.names = iter(range(1 << 60))
        self.free = []

    async def begin(self):
        with await protocols.Stream().connect(self.server.port) as stream:
            await stream.send(command(b"SET", self.LARGE, self.large))
            if (got := await stream.exactly(5)) != b"+OK\r\n":
                protocols.wrong("SET", got, b"+OK\r\n")

    def session(self, rng):
        return KvSession(self, rng)

    def large_requests(self, n):
        return command(b"GET", self.LARGE) * n, n * len(bulk(self.large))

    def partial(self, rng):
        data = command(b"SET", b"trash:partial", b"x" * rng.choice((1, 1000, 50_000)))
        return data[:rng.randint(1, len(data) - 1)]

    def ambiguous(self, rng):
        """Requests of another protocol, with commands hidden in them: a browser can be made to send such."""
        return rng.choice((b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 23\r\n\r\nGET large\r\nGET large\r\n",
                           b"GET / HTTP/1.1\r\nHost: test\r\n\r\nGET large\r\n"))

    def check_ambiguous(self, data, answer):
        if self.large[:1000] in answer:
            protocols.wrong(f"{data!r}", answer, b"-ERR")

    # The keys here are of nobody who checks, and too far from other ones to become one by accident.
    def malformed(self, rng):
        match rng.randrange(12):
            case 0:
                return rng.randbytes(rng.choice((1, 10, 100, 5000)))
            case 1:
                return b"a" * rng.choice((70_000, 300_000))
            case 2:
                return rng.choice((b"*1000000\r\n", b"*2147483648\r\n", b"*-5\r\n", b"*1\r\n$536870913\r\n",
                                   b"*1\r\n$-5\r\n", b"*1\r\n:5\r\n", b"*2\r\n*1\r\n$4\r\nPING\r\n",
                                   b"*1\r\n$4\r\nPINGxx", b"$4\r\nPING\r\n", b"*1\r\n$99999999999999999999\r\n",
                                   b"*1\r\n$1\r\n", b"*\r\n", b"*+1\r\n", b"*1" * 5000))
            case 3:
                announced = rng.choice((10, 100_000, 400_000_000))
                return b"*3\r\n$3\r\nSET\r\n$5\r\ntrash\r\n$%d\r\n" % announced + b"x" * 2000
            case 4:
                return b"SET trash \"unbalanced\r\n" + b"GET 'trash\r\n" + b"\"\\x" * 100 + b"\r\n"
            case 5:
                words = (b"SET", b"GET", b"INCR", b"MSET", b"EXPIRE", b"NOTHING", b"", b"trash:1", b"-1",
                         b"9223372036854775807", b"NX", b"PX", b"\0" * 50)
                return b"".join(command(*rng.choices(words, k=rng.randint(1, 6))) for _ in range(20))
            case 6:
                return b"*5000\r\n" + b"$0\r\n\r\n" * rng.choice((100, 4999, 5000))
            case _:
                def key():
                    return b"trash:trash:trash:%d" % rng.randrange(50)

                valid = (command(b"SET", key(), rng.randbytes(rng.randrange(99))), command(b"GET", key()), b"PING\r\n",
                         command(b"INCR", b"trash:trash:number"), b"SET trash:trash:trash:inline x\r\n",
                         command(b"MGET", key(), key()), command(b"ECHO", b"trash"))
                data = b"".join(rng.choices(valid, k=rng.randint(1, 8)))
                return protocols.mutated(rng, data, self.ALPHABET)

    def check_form(self, data, answer):
        if answer and answer[:1] not in (b"+", b"-", b":", b"$", b"*"):
            protocols.wrong(f"answer to {data[:300]!r}", answer, b"+-:$*")

    def load(self, rng, directory):
        port = str(self.server.port)
        match rng.randrange(3):
            case 0:
                return (["redis-benchmark", "-p", port, "-c", rng.choice(("5", "50")), "-n", "20000", "-P",
                         rng.choice(("1", "16", "100")), "-r", "1000", "-d", rng.choice(("3", "1000")), "-t",
                         "ping,set,get,incr,mset", "--csv"], lambda out: b"rror" not in out and out.count(b"\n") > 5)
            case 1:
                text = b"".join(b"*3\r\n$3\r\nSET\r\n$7\r\ntrash:p\r\n$6\r\n%06d\r\n" % i for i in range(5000))
                path = directory / "pipe"
                if not path.exists():  # somebody may be reading it
                    path.write_bytes(text)
                return (["sh", "-c", 'redis-cli -p "$0" --pipe < "$1"', port, str(path)],
                        lambda out: b"errors: 0, replies: 5000" in out)
            case _:
                return (["redis-cli", "-p", port, "-r", "200", "ECHO", "something"],
                        lambda out: out == b"something\n" * 200)

    async def calm(self):
        with await protocols.Stream().connect(self.server.port) as stream:
            await stream.send(command(b"FLUSHALL"))
            if (got := await stream.exactly(5)) != b"+OK\r\n":
                protocols.wrong("FLUSHALL", got, b"+OK\r\n")
        await self.begin()


class KvSession:
    """Keys of its own, and a model of what they hold. The names are used again by a later session, so that the keys do
    not become more and more, but only after an orderly end: what is left of a connection that was cut may run late."""

    def __init__(self, protocol, rng):
        self.protocol, self.rng = protocol, rng
        self.name = protocol.free.pop() if protocol.free else b"s%d" % next(protocol.names)
        self.keys = [b"%s:%d" % (self.name, i) for i in range(6)]
        self.model = {}

    def value(self, small):
        if small:
            return self.rng.randbytes(self.rng.randrange(30))
        return self.rng.randbytes(self.rng.choice((0, 1, 10, 100, 1000, 5000, 40_000)))

    def batch(self, n, small=False):
        rng, model, data, answers = self.rng, self.model, [], []
        for _ in range(n):
            key = rng.choice(self.keys)
            old = model.get(key)
            match rng.randrange(10):
                case 0 | 1:
                    model[key] = self.value(small)
                    data.append(command(b"SET", key, model[key]))
                    answers.append(b"+OK\r\n")
                case 2 | 3 | 4:
                    data.append(command(b"GET", key))
                    answers.append(bulk(old))
                case 5:
                    doomed = rng.sample(self.keys, rng.randint(1, 3))
                    data.append(command(b"DEL", *doomed))
                    answers.append(b":%d\r\n" % sum(model.pop(k, None) is not None for k in doomed))
                case 6:
                    more = self.value(small) + b"."
                    if len(old or b"") > 100_000:
                        more = b""
                    model[key] = (old or b"") + more
                    data.append(command(b"APPEND", key, more))
                    answers.append(b":%d\r\n" % len(model[key]))
                case 7:
                    number = self.name + b":n"
                    model[number] = b"%d" % (int(model.get(number, b"0")) + 1)
                    data.append(command(b"INCR", number))
                    answers.append(b":%s\r\n" % model[number])
                case 8:
                    some = rng.sample(self.keys, 3)
                    data.append(command(b"MGET", *some))
                    answers.append(b"*3\r\n" + b"".join(bulk(model.get(k)) for k in some))
                case 9:
                    text = self.value(small)
                    data.append(command(b"ECHO", text))
                    answers.append(bulk(text))
        return b"".join(data), answers

    def question(self):
        if self.name not in self.model:
            self.model[self.name] = self.value(small=True)
            return command(b"SET", self.name, self.model[self.name]), [b"+OK\r\n"]
        return command(b"GET", self.name), [bulk(self.model[self.name])]

    async def check(self, stream, answer):
        got = await stream.exactly(len(answer))
        if got != answer:
            protocols.wrong(f"answer in session {self.name}", got, answer)

    async def end(self, stream):
        """Leaves no keys behind, and its name to the next one."""
        await stream.send(command(b"DEL", *self.keys, self.name + b":n"))
        await self.check(stream, b":%d\r\n" % len(self.model))
        self.protocol.free.append(self.name)
