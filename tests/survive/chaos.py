# SPDX-License-Identifier: Apache-2.0
"""Goal: whatever clients do, a server goes on to serve the others without one wrong byte, loses no descriptor, no
connection and no memory by it, and still stops in order.

Method: three sorts of clients at the same time, by a seed which is printed first and taken back.
  checkers   send random requests all the time and compare every byte of every answer: none may be wrong, none late
  chaos      connect and vanish, send a part and fall silent, send byte by byte, reset, close one half, read nothing,
             send what is no request. Those that stay polite in spite of that check their answers, too.
  load       wrk, ab, curl; redis-benchmark, redis-cli: programs that others wrote, some of them killed with SIGKILL
It goes in rounds. After each one all clients are gone, and the kernel is asked for the server's connections,
descriptors and memory; what grows from round to round is a leak. The end is a signal to stop, with clients in every
state.

What it cannot see: answers to malformed requests, but for their form; how fast anything is."""
import asyncio
import collections
import contextlib
import os
import random
import re
import signal
import sys
import time

import protocol_http
import protocol_kv
import protocols
import server as servers

# KiB. What may be more after a round than before the first one (stacks and buffers that are kept for reuse, and holes
# in the heap), and more after the last one than after the first one.
MEMORY_KEPT = 32 << 10
MEMORY_GROWTH = 8 << 10

CHECKERS = 6
CUT = re.compile(r"\b(\d+) cut\b")  # in the last line that the server writes
TIMEOUT = 2  # seconds a client may take, for servers that have such a limit


class Chaos:
    def __init__(self, server, protocol, rng, args):
        self.server, self.protocol, self.rng, self.args = server, protocol, rng, args
        self.patience = servers.PATIENCE if server.sanitizer else servers.PATIENCE / 2
        self.done = collections.Counter()
        self.stopping = False

    # --- checkers ------------------------------------------------------------------------------------------------

    async def converse(self, stream, session, batches, most, small=False):
        for _ in range(batches):
            data, answers = session.batch(self.rng.randint(1, most), small)
            # At the same time: both directions' buffers may be full.
            sender = asyncio.create_task(stream.send(data))
            try:
                async with asyncio.timeout(self.patience):
                    for answer in answers:
                        await session.check(stream, answer)
                    await sender
            except TimeoutError:
                raise protocols.Wrong(f"no answer within {self.patience} s") from None
            finally:
                sender.cancel()
                await asyncio.wait([sender])
            self.done["answers checked"] += len(answers)

    async def checker(self):
        """A good client. That it is served well whatever others do is what all this is about."""
        while not self.stopping:
            with await protocols.Stream().connect(self.server.port) as stream:
                try:
                    await self.check(stream)
                except ConnectionError as error:
                    # On a machine that is too busy for these clients the server may give up on one.
                    if not self.too_slow(stream.kept_waiting):
                        raise protocols.Wrong(f"checker: {error!r}, which had kept the server waiting for at most "
                                              f"{stream.kept_waiting:.3f} s") from error
                    self.done["checkers too slow"] += 1

    async def check(self, stream):
        session = self.protocol.session(self.rng)
        for _ in range(self.rng.choice((1, 20, 200))):
            if self.stopping:
                break
            await self.converse(stream, session, 1, self.rng.choice((1, 1, 5, 30)))
        await session.end(stream)

    def too_slow(self, seconds):
        return self.server.timeout and seconds >= self.server.timeout * 0.8

    # --- chaos ---------------------------------------------------------------------------------------------------
    # Each is given a connected stream, which is closed behind it. What is raised there is the server's answer to bad
    # manners, but for Wrong.

    async def pause(self, most):
        await asyncio.sleep(self.rng.random() ** 2 * most)

    async def vanish(self, stream):
        await self.pause(0.05)
        if self.rng.random() < 0.5:
            stream.reset()

    async def fall_silent(self, stream):
        if self.rng.random() < 0.8:
            await stream.send(self.protocol.partial(self.rng))
        if self.server.timeout and self.rng.random() < 0.3:
            async with asyncio.timeout(self.server.timeout + self.patience):
                await stream.rest()  # it must not wait for ever
        else:
            await self.pause(1)
        if self.rng.random() < 0.3:
            stream.reset()

    async def send_byte_by_byte(self, stream):
        session = self.protocol.session(self.rng)
        data, answers = session.batch(self.rng.randint(1, 3), small=True)
        began = time.monotonic()
        try:
            for at in range(len(data[:3000])):
                await stream.send(data[at:at + 1])
                await asyncio.sleep(0.001 if self.rng.random() < 0.3 else 0)
            await stream.send(data[3000:])
            for answer in answers:
                await session.check(stream, answer)
            await session.end(stream)
        except (protocols.Wrong, ConnectionError):
            # Too slow for the server: it may say so, and leave.
            if not self.too_slow(time.monotonic() - began):
                raise

    async def pieces(self, stream):
        session = self.protocol.session(self.rng)
        data, answers = session.batch(self.rng.randint(1, 20))
        sender = asyncio.create_task(self.send_pieces(stream, data))
        try:
            for answer in answers:
                await session.check(stream, answer)
            await sender
        finally:
            sender.cancel()
            await asyncio.wait([sender])
        await session.end(stream)

    async def send_pieces(self, stream, data):
        while data:
            n = self.rng.choice((1, 3, 20, 300, 5000, 70_000))
            await stream.send(data[:n])
            data = data[n:]
            await asyncio.sleep(0)

    async def reset_at_any_time(self, stream):
        session = self.protocol.session(self.rng)
        data, _ = session.batch(self.rng.randint(1, 30), small=True)
        await stream.send(data[:self.rng.randint(1, len(data))])
        if self.rng.random() < 0.7:
            await stream.more()
        stream.reset()

    async def close_one_half(self, stream):
        session = self.protocol.session(self.rng)
        data, answers = session.batch(self.rng.randint(1, 10), small=True)
        await stream.send(data)
        stream.half_close()
        for answer in answers:
            await session.check(stream, answer)
        if rest := await stream.rest():
            protocols.wrong("after the last answer", rest, b"")

    async def never_read(self, stream):
        data, _ = self.protocol.large_requests(200)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1 + self.rng.random()):
                await stream.send(data)
                await asyncio.sleep(10)
        if self.rng.random() < 0.5:
            stream.reset()

    async def read_late(self, stream):
        data, length = self.protocol.large_requests(20)
        await stream.send(data)
        await asyncio.sleep(self.rng.random() * min(2, TIMEOUT / 4))
        async with asyncio.timeout(self.patience):
            await stream.exactly(length)

    async def send_what_is_none(self, stream):
        """Thousands of these are to be had: one after the other."""
        for _ in range(self.rng.randint(1, 30)):
            data = self.protocol.malformed(self.rng)
            with await protocols.Stream().connect(self.server.port) as other:
                with contextlib.suppress(ConnectionError, TimeoutError):
                    async with asyncio.timeout(self.patience):
                        await other.send(data)
                        self.done["malformed"] += 1
                        if self.rng.random() < 0.8:
                            other.half_close()
                            await other.rest()
                        elif await self.within(0.2, other.more()) and self.rng.random() < 0.5:
                            await self.within(0.2, other.rest())
                self.protocol.check_form(data, bytes(other.input))

    async def within(self, seconds, coroutine):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await coroutine

    async def smuggle(self, stream):
        data = self.protocol.ambiguous(self.rng)
        with contextlib.suppress(ConnectionError):
            await stream.send(data)
            stream.half_close()
            while await stream.more():
                pass
        self.protocol.check_ambiguous(data, bytes(stream.input))

    async def come_in_crowds(self, stream):
        crowd = [protocols.Stream() for _ in range(self.rng.choice((20, 100, 200)))]
        try:
            await asyncio.gather(*(s.connect(self.server.port) for s in crowd))
            for s in crowd[::3]:
                await s.send(self.protocol.partial(self.rng))
            await self.pause(0.2)
        finally:
            for s in crowd:
                s.close()

    CHAOS = [(vanish, 6), (fall_silent, 6), (send_byte_by_byte, 3), (pieces, 4), (reset_at_any_time, 8),
             (close_one_half, 6), (never_read, 2), (read_late, 2), (send_what_is_none, 10), (smuggle, 4),
             (come_in_crowds, 1)]

    async def chaos(self):
        kinds, weights = zip(*self.CHAOS)
        await self.pause(1)
        while not self.stopping:
            kind = self.rng.choices(kinds, weights)[0]
            stream = protocols.Stream(receive_buffer=4096 if kind in (Chaos.never_read, Chaos.read_late) else None)
            with stream:
                try:
                    await stream.connect(self.server.port)
                    await kind(self, stream)
                except protocols.Wrong as error:
                    raise protocols.Wrong(f"{kind.__name__}: {error}") from error
                except (ConnectionError, TimeoutError) as error:
                    # A client that says all it has to say and listens is to be answered, whatever it does besides.
                    if kind in (Chaos.send_byte_by_byte, Chaos.pieces, Chaos.close_one_half, Chaos.read_late):
                        raise protocols.Wrong(f"{kind.__name__}: {error!r}") from error
            self.done[kind.__name__] += 1

    # --- load ----------------------------------------------------------------------------------------------------

    async def load(self):
        while not self.stopping:
            words, is_right = self.protocol.load(self.rng, self.server.directory)
            child = await asyncio.create_subprocess_exec(
                *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT, start_new_session=True)
            doomed = self.rng.random() < 0.5
            output = asyncio.create_task(child.stdout.read())
            try:
                async with asyncio.timeout(self.rng.random() if doomed else 4 * self.patience):
                    await asyncio.shield(output)
                    await child.wait()
                if child.returncode != 0 or not is_right(output.result()):
                    raise protocols.Wrong(f"{' '.join(words[:12])}: exit code {child.returncode}, "
                                          f"{output.result()[-2000:]!r}")
            except TimeoutError:
                if not doomed:
                    raise protocols.Wrong(f"{' '.join(words[:12])}: no end") from None
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                await child.wait()
                await output
            self.done[f"{os.path.basename(words[0])}{' killed' if doomed else ''}"] += 1

    # --- rounds --------------------------------------------------------------------------------------------------

    async def round(self, seconds):
        self.stopping = False
        async with asyncio.TaskGroup() as group:
            checkers = [group.create_task(self.checker()) for _ in range(CHECKERS)]
            others = [group.create_task(self.chaos()) for _ in range(self.args.clients)]
            others += [group.create_task(self.load()) for _ in range(self.args.loads)]
            end = time.monotonic() + seconds
            while time.monotonic() < end and not any(task.done() for task in checkers + others):
                await asyncio.sleep(0.05)
                if not self.server.alive():
                    raise AssertionError(f"the server has ended: {self.server.process.returncode}")
            self.stopping = True  # the checkers end in order, the others wherever they are
            for task in others:
                task.cancel()

    async def come_to_rest(self, descriptors):
        """All clients are gone: the server is to notice, and to give back what it had for them."""
        end = time.monotonic() + self.patience
        while time.monotonic() < end:
            states, now = self.server.connections(), self.server.descriptors()
            if not states and now == descriptors:
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"without clients there are {now} descriptors instead of {descriptors}, and connections "
                             f"{dict(states)}")

    async def warm_up(self):
        """Everything once, in good order, so that caches and pools have what they always will."""
        with await protocols.Stream().connect(self.server.port) as stream:
            session = self.protocol.session(self.rng)
            await self.converse(stream, session, 20, 20)
            await session.end(stream)
        await self.protocol.calm()

    async def stop_in_the_middle(self):
        """Clients between requests, within one, and not reading, when it is to stop."""
        idle = [await protocols.Stream().connect(self.server.port) for _ in range(20)]
        for stream in idle:
            session = self.protocol.session(self.rng)
            await self.converse(stream, session, 1, 3, small=True)
        stuck = []
        for i in range(12):
            stream = await protocols.Stream(receive_buffer=4096).connect(self.server.port)
            if i % 2:
                await stream.send(self.protocol.partial(self.rng))
            else:
                await self.within(0.1, stream.send(self.protocol.large_requests(100)[0]))
            stuck.append(stream)
        await asyncio.sleep(0.2)
        code, took = await asyncio.to_thread(self.server.stop)
        for stream in idle + stuck:
            stream.close()
        last = next((line for line in reversed(self.server.output) if CUT.search(line)), None)
        print(f"stopped after {took:.1f} s, exit code {code}: {last}")
        assert code == 0, f"exit code {code}"
        assert took < self.server.grace + (20 if self.server.sanitizer else 5), f"it took {took:.1f} s to stop"
        if not self.server.says_cut:
            return
        assert last, f"it does not say how many it cut: {self.server.output[-5:]}"
        cut = int(CUT.search(last)[1])
        # Who takes no answers cannot be answered; whether a part of a request is in flight is a server's to define.
        assert len(stuck) / 2 <= cut <= len(stuck), f"it says that it cut {cut}, and {len(stuck)} were in the middle"

    async def run(self):
        await self.protocol.begin()
        await self.warm_up()
        await asyncio.sleep(0.5)
        descriptors, before = self.server.descriptors(), self.server.memory_at_rest(settle=0.5)
        count = max(2, round(self.args.seconds / 60))
        after = []
        for i in range(count):
            await self.round(self.args.seconds / count)
            await self.come_to_rest(descriptors)
            await self.warm_up()
            await self.come_to_rest(descriptors)
            after.append(await asyncio.to_thread(self.server.memory_at_rest, before + MEMORY_GROWTH))
            print(f"round {i + 1}: {self.done['answers checked']} answers checked; at rest {descriptors} descriptors, "
                  f"{after[-1]} KiB ({after[-1] - before:+})", flush=True)
        if not self.server.sanitizer:  # theirs keep what was freed
            assert after[-1] - before < MEMORY_KEPT, f"memory was {before} KiB and is {after[-1]} KiB"
            assert after[-1] - after[0] < MEMORY_GROWTH, f"memory grows from round to round: {after} KiB"
        await self.stop_in_the_middle()
        assert not self.server.said(), "it has written something to stderr"
        print(", ".join(f"{kind} {n}" for kind, n in sorted(self.done.items())))


def main():
    parser = servers.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--clients", type=int, default=50, help="of the chaotic sort")
    parser.add_argument("--loads", type=int, default=2, help="programs at a time")
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    servers.raise_descriptor_limit()
    rng = random.Random(args.seed)
    if args.server == "http":
        server, protocol = servers.Http(args, timeout=TIMEOUT), protocol_http.HttpProtocol
    else:
        server, protocol = servers.Kv(args), protocol_kv.KvProtocol
    with server:
        try:
            asyncio.run(Chaos(server, protocol(server, rng), rng, args).run())
        except BaseExceptionGroup as group:
            for error in group.exceptions:
                print(f"FAILED: {error!r}", flush=True)
            sys.exit(f"{len(group.exceptions)} failures; again with --seed {args.seed}")
        except (AssertionError, ConnectionError, TimeoutError) as error:
            sys.exit(f"FAILED: {error!r}; again with --seed {args.seed}")
    print("survived")


if __name__ == "__main__":
    main()
