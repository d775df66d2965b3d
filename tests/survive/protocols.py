# SPDX-License-Identifier: Apache-2.0
"""What clients say to the servers, and what has to come back.

A protocol makes sessions. A session makes requests together with the answers that are the only right ones, byte for
byte. It also makes what is no request, for which any answer will do that has the protocol's form."""
import asyncio
import socket


class Wrong(AssertionError):
    """An answer that is not the right one."""


def wrong(what, got, expected):
    raise Wrong(f"{what}: got {bytes(got[:200])!r} ({len(got)} bytes) and not {bytes(expected[:200])!r} "
                f"({len(expected)} bytes)")


class Stream:
    """A connection: exactly what is asked for goes out, and what comes in is read in the pieces that are asked for."""

    def __init__(self, receive_buffer=None, address=None):
        self.socket = socket.socket()
        self.socket.setblocking(False)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if address:
            self.socket.bind((address, 0))
        self.input = bytearray()
        self.loop = asyncio.get_running_loop()
        self.heard = self.spoke = self.loop.time()
        self.kept_waiting = 0  # the server, in seconds at most

    async def connect(self, port):
        await self.loop.sock_connect(self.socket, ("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self

    async def send(self, data):
        self.speaks()
        await self.loop.sock_sendall(self.socket, data)
        self.speaks()

    def speaks(self):
        self.spoke = self.loop.time()
        self.kept_waiting = max(self.kept_waiting, self.spoke - self.heard)

    async def more(self):
        data = await self.loop.sock_recv(self.socket, 1 << 16)
        if not data and self.spoke <= self.heard:
            self.speaks()  # too late
        self.heard = self.loop.time()
        self.input += data
        return len(data) > 0

    async def exactly(self, n):
        while len(self.input) < n:
            if not await self.more():
                raise ConnectionError(f"closed after {len(self.input)} of {n} bytes: {bytes(self.input[:100])!r}")
        data = bytes(self.input[:n])
        del self.input[:n]
        return data

    async def until(self, end, most=1 << 16):
        while (at := self.input.find(end)) < 0:
            if len(self.input) > most:
                wrong("an end", self.input, end)
            if not await self.more():
                raise ConnectionError(f"closed within an answer: {bytes(self.input[:100])!r}")
        return await self.exactly(at + len(end))

    async def rest(self, most=1 << 22):
        """Everything up to the end of the stream, or `most` of it."""
        while len(self.input) < most and await self.more():
            pass
        data = bytes(self.input)
        self.input.clear()
        return data

    def half_close(self):
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError as error:  # the other side has closed it already
            raise ConnectionError from error

    def reset(self):
        """Closes it so that the other side gets a reset instead of an end."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close()

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def mutated(rng, data, alphabet):
    """`data` with up to eight small accidents."""
    data = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        if not data:
            break
        at = rng.randrange(len(data))
        n = rng.choice((1, 1, 2, 5, 20))
        match rng.randrange(7):
            case 0:
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                data[at:at] = rng.choice(alphabet)
            case 2:
                del data[at:at + n]
            case 3:
                data[at:at] = data[at:at + n]
            case 4:
                data[at:at + n] = rng.randbytes(n)
            case 5:
                to = rng.randrange(len(data))
                data[at:at + n], data[to:to + n] = data[to:to + n], data[at:at + n]
            case 6:
                data[at:at] = rng.choice(alphabet) * rng.choice((1, 3, 1000))
    return bytes(data)
