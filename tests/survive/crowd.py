# SPDX-License-Identifier: Apache-2.0
"""Goal: ten thousand connections are open at once, each costs little while it waits, every one is served again, and
nothing of them is left when they are gone.

Method: connections from several addresses, so that ports do not run out. Each makes one request and waits; all are
used a second time, with all requests sent before the first answer is read; then they are closed. In between the kernel
is asked for the server's memory, descriptors and connections. Where fewer descriptors are allowed, or a sanitizer makes
each connection dear, there are fewer connections, and that is printed.

What it cannot see: memory of the kernel, for sockets."""
import asyncio
import random
import resource
import sys
import time

import protocol_http
import protocol_kv
import protocols
import server as servers

CONNECTIONS = 10_000
SANITIZED = 1_000
KIB_EACH = 6  # while it waits
KEPT = 0.5  # of that, at most, when all have gone: what is kept for reuse, and holes in the heap


def count_possible(server, wanted):
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    n = min(wanted, most - 100)
    if server.sanitizer:
        n = min(n, SANITIZED)
    if n < wanted:
        why = f"a build for {server.sanitizer} sanitizer" if server.sanitizer else f"at most {most} descriptors"
        print(f"note: {n} connections instead of {wanted}: {why}")
    return n


class Crowd:
    def __init__(self, server, protocol, rng):
        self.server, self.protocol, self.rng = server, protocol, rng
        self.streams, self.sessions = [], []

    async def connect(self, n):
        async def one(i):
            stream = protocols.Stream(address=f"127.0.0.{1 + i % 20}")
            self.streams.append(stream)
            await stream.connect(self.server.port)

        while len(self.streams) < n:
            at = len(self.streams)
            await asyncio.gather(*(one(i) for i in range(at, min(n, at + 100))))

    async def use(self, first=False):
        """One request of each: all are sent, then all answers are read."""
        wanted = []
        for stream in self.streams:
            session = self.sessions[len(wanted) % len(self.sessions)]
            data, answers = session.question()
            await stream.send(data)
            wanted.append(answers)
            if first:
                await self.read(stream, session, answers)
        if not first:
            for i, stream in enumerate(self.streams):
                await self.read(stream, self.sessions[i % len(self.sessions)], wanted[i])

    async def read(self, stream, session, answers):
        async with asyncio.timeout(servers.PATIENCE):
            for answer in answers:
                await session.check(stream, answer)

    async def until(self, what, reached):
        end = time.monotonic() + servers.PATIENCE
        while not reached():
            if time.monotonic() > end:
                raise AssertionError(f"{what} is not reached: {self.server.descriptors()} descriptors, connections "
                                     f"{dict(self.server.connections())}")
            await asyncio.sleep(0.05)

    async def run(self, n, kib_each):
        server = self.server
        await self.protocol.begin()
        self.sessions = [self.protocol.session(self.rng) for _ in range(16)]
        # Everything that is there for good, on every worker.
        await self.connect(50)
        for i in range(5):
            await self.use(first=i == 0)
        self.close()
        await self.until("the end of all connections", lambda: not server.connections())
        descriptors, before = server.descriptors(), server.memory_at_rest(settle=0.5)

        began = time.monotonic()
        await self.connect(n)
        await self.use(first=True)
        await self.until("a descriptor for each connection", lambda: server.descriptors() == descriptors + n)
        states = server.connections()
        assert states["established"] == n, f"connections {dict(states)} and not {n} established ones"
        opened = time.monotonic() - began
        waiting = server.memory_at_rest(before + n * kib_each // 2)
        each = (waiting - before) / n
        print(f"{n} connections opened and served in {opened:.1f} s: {before} KiB before, {waiting} KiB while they "
              f"wait, {each:.2f} KiB each", flush=True)

        began = time.monotonic()
        await self.use()
        print(f"all served again in {time.monotonic() - began:.1f} s: {server.memory()} KiB", flush=True)
        states = server.connections()
        assert states["established"] == n, f"connections {dict(states)} and not {n} established ones"

        self.close()
        await self.until("the end of all connections", lambda: not server.connections())
        await self.until("the end of their descriptors", lambda: server.descriptors() == descriptors)
        limit = before + (waiting - before) * KEPT
        after = server.memory_at_rest(before + n)
        print(f"closed: {descriptors} descriptors as before, {after} KiB ({after - before:+})", flush=True)

        await self.connect(50)  # and it is as good as new
        await self.use()
        self.close()
        code, took = server.stop()
        assert code == 0, f"exit code {code}"
        assert not server.said(), "it has written something to stderr"
        if not server.sanitizer:
            assert each <= kib_each, f"{each:.2f} KiB each while they wait is more than {kib_each}"
            assert after <= limit, f"{after} KiB are left of {waiting}, and there were {before} before"

    def close(self):
        for stream in self.streams:
            stream.close()
        self.streams = []


def main():
    parser = servers.parser(__doc__)
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--kib", type=float, default=KIB_EACH, help="that each may cost")
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    servers.raise_descriptor_limit()
    rng = random.Random(args.seed)
    if args.server == "http":
        server, protocol = servers.Http(args), protocol_http.HttpProtocol
    else:
        server, protocol = servers.Kv(args), protocol_kv.KvProtocol
    with server:
        try:
            crowd = Crowd(server, protocol(server, rng), rng)
            asyncio.run(crowd.run(count_possible(server, args.connections), args.kib))
        except (AssertionError, ConnectionError, TimeoutError) as error:
            sys.exit(f"FAILED: {error!r}; again with --seed {args.seed}")
    print("all served")


if __name__ == "__main__":
    main()
