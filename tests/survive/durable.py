# SPDX-License-Identifier: Apache-2.0
"""Goal: what kv has acknowledged is there again after kill -9, and nothing is there that nobody has sent.

Method: writers, each on one connection and with keys of its own, send commands in pipelines and keep a list of what
they have sent and how much of it was acknowledged. The server is killed with SIGKILL at a random moment: while they
write, while the file is rewritten, while it is being read back. After each restart every key of every writer is read,
and must be as after some command between the last that was acknowledged and the last that was sent, the same one for
all keys of the writer: its commands took effect in order. Readers look at counters meanwhile: what somebody has been
shown is not taken back either. Then the writers go on from there.

Commands that do something twice if they are replayed twice are among them (INCR, APPEND), and some that change several
keys at once (MSET, DEL). A torn record is put behind the file now and then.

What it cannot see: what a power cut does, since the kernel keeps what was written."""
import asyncio
import contextlib
import copy
import random
import sys
import time

import protocols
import server as servers
from protocol_kv import bulk, command

WRITERS = 8
KEYS = 12


class Writer:
    """Its keys, as they are after each command that has been sent and may or may not have taken effect."""

    def __init__(self, name, rng):
        self.name, self.rng = name, rng
        self.keys = [b"%s:%d" % (name, i) for i in range(KEYS)]
        self.counter = b"%s:n" % name
        self.state = {}  # after all that was acknowledged
        self.pending = []  # commands in flight: (what it does to the state, its answer)
        self.shown = 0  # the highest value of the counter that a reader has seen
        self.acknowledged = 0

    def value(self):
        return self.rng.randbytes(self.rng.choice((1, 10, 100, 100, 1000, 20_000)))

    def next(self, state):
        """A command, its answer, and the changes; `state` is what it will find."""
        rng, key = self.rng, self.rng.choice(self.keys)
        match rng.randrange(8):
            case 0 | 1 | 2:
                value = self.value()
                return command(b"SET", key, value), b"+OK\r\n", {key: value}
            case 3:
                some = {k: self.value() for k in rng.sample(self.keys, 3)}
                return command(b"MSET", *(word for pair in some.items() for word in pair)), b"+OK\r\n", some
            case 4:
                doomed = rng.sample(self.keys, 2)
                return command(b"DEL", *doomed), b":%d\r\n" % sum(k in state for k in doomed), dict.fromkeys(doomed)
            case 5:
                value = state.get(key, b"")
                more = self.value() if len(value) < 50_000 else b""
                return command(b"APPEND", key, more), b":%d\r\n" % len(value + more), {key: value + more}
            case _:
                value = b"%d" % (int(state.get(self.counter, b"0")) + 1)
                return command(b"INCR", self.counter), b":%s\r\n" % value, {self.counter: value}

    @staticmethod
    def apply(state, changes):
        for key, value in changes.items():
            if value is None:
                state.pop(key, None)
            else:
                state[key] = value

    async def write(self, port):
        """Until the connection ends."""
        with await protocols.Stream().connect(port) as stream:
            while True:
                state, data = copy.copy(self.state), b""
                for _ in range(self.rng.choice((1, 1, 3, 20))):
                    words, answer, changes = self.next(state)
                    self.apply(state, changes)
                    data += words
                    self.pending.append((changes, answer))
                sender = asyncio.create_task(stream.send(data))
                try:
                    while self.pending:
                        changes, answer = self.pending[0]
                        got = await stream.exactly(len(answer))
                        if got != answer:
                            protocols.wrong(f"answer to {self.name}", got, answer)
                        self.apply(self.state, changes)
                        self.pending.pop(0)
                        self.acknowledged += 1
                finally:
                    sender.cancel()
                    await asyncio.wait([sender])

    async def look(self, port):
        """Somebody else who reads the counter all the time."""
        with await protocols.Stream().connect(port) as stream:
            while True:
                await stream.send(command(b"GET", self.counter))
                length = await stream.until(b"\r\n")
                if length != b"$-1\r\n":
                    self.shown = max(self.shown, int((await stream.until(b"\r\n"))[:-2]))
                await asyncio.sleep(0.001)

    async def check(self, stream):
        """After a restart: how many of the commands in flight have taken effect?"""
        keys = [*self.keys, self.counter]
        await stream.send(command(b"MGET", *keys))
        found = {}
        assert await stream.until(b"\r\n") == b"*%d\r\n" % len(keys)
        for key in keys:
            length = int((await stream.until(b"\r\n"))[1:-2])
            if length >= 0:
                found[key] = (await stream.exactly(length + 2))[:-2]
        state = copy.copy(self.state)
        candidates = [copy.copy(state)]
        for changes, _ in self.pending:
            self.apply(state, changes)
            candidates.append(copy.copy(state))
        # The last that fits: two states may be the same.
        at = next((i for i in reversed(range(len(candidates))) if candidates[i] == found), None)
        if at is None:
            self.explain(found, candidates)
        if int(found.get(self.counter, b"0")) < self.shown:
            raise protocols.Wrong(f"{self.counter}: a reader has seen {self.shown}, now it is "
                                  f"{found.get(self.counter)}")
        kept = len(self.pending)
        self.state, self.pending = found, []
        return at, kept

    def explain(self, found, candidates):
        for key in (*self.keys, self.counter):
            values = [c.get(key) for c in candidates]
            if found.get(key) not in values:
                raise protocols.Wrong(f"{key}: there is {bulk(found.get(key))[:60]!r}; acknowledged is "
                                      f"{bulk(values[0])[:60]!r}, sent after that {[bulk(v)[:30] for v in values[1:]]}")
        raise protocols.Wrong(f"{self.name}: each key is as it was at some time, but at no time all of them were so: "
                              f"{[[i for i, c in enumerate(candidates) if c.get(k) == found.get(k)] for k in found]}")


class Durable:
    def __init__(self, server, rng, args):
        self.server, self.rng, self.args = server, rng, args
        self.writers = [Writer(b"w%d" % i, rng) for i in range(WRITERS)]
        self.kills = self.survived = self.lost = self.torn = 0

    async def until_killed(self, coroutine):
        with contextlib.suppress(ConnectionError):
            await coroutine

    async def rewrite(self):
        with await protocols.Stream().connect(self.server.port) as stream:
            while True:
                await asyncio.sleep(self.rng.random() * 0.5)
                await stream.send(command(b"BGREWRITEAOF"))
                await stream.until(b"\r\n")  # it may say that one is under way

    async def life(self):
        """From a start to a kill."""
        async with asyncio.TaskGroup() as group:
            port = self.server.port
            for writer in self.writers:
                group.create_task(self.until_killed(writer.write(port)))
                group.create_task(self.until_killed(writer.look(port)))
            group.create_task(self.until_killed(self.rewrite()))
            await asyncio.sleep(self.rng.choice((0.02, 0.2, 1)) * (0.2 + self.rng.random()))
            if not self.server.alive():
                raise AssertionError(f"the server has ended by itself: {self.server.process.returncode}")
            await asyncio.to_thread(self.server.kill)

    def kill_while_it_reads(self):
        """Starts it only to kill it again at once."""
        self.server.launch()
        time.sleep(self.rng.random() * 0.1)
        self.server.kill()

    async def tear(self):
        """As if it had been killed within a write; behind the whole records that an orderly end leaves."""
        await self.stop()
        files = [path for path in self.server.log_files() if path.stat().st_size]
        if files:
            newest = max(files, key=lambda path: path.stat().st_mtime_ns)
            whole = command(b"SET", b"w0:0", b"nobody has acknowledged this")
            with open(newest, "ab") as file:
                file.write(whole[:self.rng.randint(1, len(whole) - 1)])
            self.torn += 1
        self.server.start()
        await self.check()

    async def stop(self):
        code, took = await asyncio.to_thread(self.server.stop)
        assert code == 0, f"exit code {code} after {took:.1f} s"

    async def check(self):
        with await protocols.Stream().connect(self.server.port) as stream:
            for writer in self.writers:
                at, kept = await writer.check(stream)
                self.survived += at
                self.lost += kept - at
            wanted = sum(len(w.state) for w in self.writers)
            await stream.send(command(b"DBSIZE"))
            if (got := await stream.until(b"\r\n")) != b":%d\r\n" % wanted:
                protocols.wrong("number of keys", got, b":%d\r\n" % wanted)

    async def run(self):
        end = time.monotonic() + self.args.seconds
        self.server.start()
        while time.monotonic() < end or self.kills < 3:
            await self.life()
            self.kills += 1
            if self.rng.random() < 0.2:
                self.kill_while_it_reads()
            self.server.start()
            await self.check()
            if self.rng.random() < 0.2:
                await self.tear()
        await self.stop()
        self.server.start()
        await self.check()
        acknowledged = sum(w.acknowledged for w in self.writers)
        print(f"fsync {self.server.fsync}: {self.kills} kills ({self.torn} torn records): all of {acknowledged} "
              f"acknowledged writes were there; of those in flight {self.survived} had taken effect, {self.lost} had "
              f"not", flush=True)
        for word in ("Sanitizer", "runtime error", "assert"):
            assert word not in self.server.said(), "it has written that to stderr"


def main():
    parser = servers.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=5, help="for each of the two modes")
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    rng = random.Random(args.seed)
    for fsync in ("always", "everysec"):
        server = servers.Kv(args, fsync=fsync)
        try:
            asyncio.run(Durable(server, rng, args).run())
        except BaseExceptionGroup as group:
            server.show()
            sys.exit(f"FAILED: {group.exceptions}; again with --seed {args.seed}")
        except (AssertionError, ConnectionError, TimeoutError) as error:
            server.show()
            sys.exit(f"FAILED: {error!r}; again with --seed {args.seed}")
        finally:
            server.close()
    print("durable")


if __name__ == "__main__":
    main()
