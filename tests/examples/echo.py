# SPDX-License-Identifier: Apache-2.0
"""Goal: the echo server gives back every byte to everyone, survives running out of descriptors, and stops on SIGINT.

Method: real sockets, random bytes in random pieces; the seed is printed and taken back as the only argument.
What it cannot see: how the bytes were cut on their way."""
import asyncio
import os
import random
import selectors
import socket
import sys
import tempfile
import time

import programs

SEED = int(sys.argv[1]) if len(sys.argv) > 1 else random.SystemRandom().randrange(1 << 32)
print("seed", SEED)
CONNECTIONS = 200


async def converse(open_connection, rng):
    """Sends random bytes in random pieces while receiving; what comes back must be what was sent."""
    data = rng.randbytes(rng.choice([1, 100, 20_000, 100_000]))
    reader, writer = await open_connection()

    async def send():
        at = 0
        while at < len(data):
            size = rng.choice([1, 7, 500, 4096, 60_000])
            writer.write(data[at:at + size])
            at += size
            await writer.drain()
            if rng.random() < 0.3:
                await asyncio.sleep(0)
        writer.write_eof()

    _, received = await asyncio.gather(send(), reader.read())  # until the server closes, which is when we have
    writer.close()
    assert received == data, f"sent {len(data)} bytes, got {len(received)}, equal: {received == data}"


def talk(open_connection):
    async def everyone():
        conversations = [converse(open_connection, random.Random(SEED + i)) for i in range(CONNECTIONS)]
        await asyncio.wait_for(asyncio.gather(*conversations), programs.PATIENCE)

    asyncio.run(everyone())


def every_connection_gets_its_bytes_back(*options):
    with programs.Program("echo", "127.0.0.1:0", *options) as server:
        port = server.port()
        talk(lambda: asyncio.open_connection("127.0.0.1", port))
        server.interrupt()
        assert server.end() == 0


def every_connection_gets_its_bytes_back_with_one_worker():
    every_connection_gets_its_bytes_back("--workers", "1")


def every_connection_gets_its_bytes_back_with_three_workers():
    every_connection_gets_its_bytes_back("--workers", "3")


def unix_sockets_work_too():
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "socket")
        with programs.Program("echo", f"unix:{path}") as server:
            assert server.line() == f"echo: listening on unix:{path}"
            talk(lambda: asyncio.open_unix_connection(path))
            server.interrupt()
            assert server.end() == 0


def interrupt_closes_open_connections():
    with programs.Program("echo", "127.0.0.1:0") as server:
        port = server.port()
        clients = [socket.create_connection(("127.0.0.1", port), programs.PATIENCE) for _ in range(20)]
        for client in clients:
            client.sendall(b"x")
            assert client.recv(1) == b"x"
        server.interrupt()
        for client in clients:
            assert client.recv(1) == b""
            client.close()
        assert server.end() == 0
        assert server.output[-1] == "echo: stopped", server.output


def vanished_clients_do_no_harm():
    with programs.Program("echo", "127.0.0.1:0") as server:
        port = server.port()
        for _ in range(50):
            client = socket.create_connection(("127.0.0.1", port), programs.PATIENCE)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close sends a reset
            client.sendall(b"y" * 10_000)
            client.close()
        with socket.create_connection(("127.0.0.1", port), programs.PATIENCE) as client:
            client.sendall(b"still there?")
            assert client.recv(100)
        server.interrupt()
        assert server.end() == 0


def waits_when_descriptors_run_out():
    """More clients than descriptors: those who do not get in at first are served when others have left."""
    with programs.Program("echo", "127.0.0.1:0", "--workers", "2", descriptors=64) as server:
        port = server.port()
        waiting = selectors.DefaultSelector()
        for _ in range(150):
            client = socket.create_connection(("127.0.0.1", port), programs.PATIENCE)
            client.sendall(b"z")
            waiting.register(client, selectors.EVENT_READ)
        deadline = time.monotonic() + programs.PATIENCE
        held = []  # served, and not closed before the limit was certainly reached
        while waiting.get_map():
            ready = waiting.select(timeout=1)
            assert time.monotonic() < deadline, f"{len(waiting.get_map())} clients were never served"
            for key, _ in ready:
                assert key.fileobj.recv(1) == b"z"
                waiting.unregister(key.fileobj)
                held.append(key.fileobj)
            if not ready:
                assert held, "nobody is served"
            if not ready or len(held) >= 64:
                assert len(held) < 64, "served more clients than it has descriptors"
                while held:
                    held.pop().close()
        server.interrupt()
        assert server.end() == 0


def wrong_arguments_are_refused():
    for arguments, code in ((("--workers", "0"), 2), (("--workers", "x"), 2), (("--what",), 2), (("nonsense",), 1)):
        with programs.Program("echo", *arguments, quiet=True) as server:
            assert server.end() == code, arguments


sys.exit(programs.run_all([
    every_connection_gets_its_bytes_back_with_one_worker,
    every_connection_gets_its_bytes_back_with_three_workers,
    unix_sockets_work_too,
    interrupt_closes_open_connections,
    vanished_clients_do_no_harm,
    waits_when_descriptors_run_out,
    wrong_arguments_are_refused,
]) > 0)
