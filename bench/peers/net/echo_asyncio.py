# SPDX-License-Identifier: Apache-2.0
"""The echo server on asyncio or uvloop.

    echo_asyncio.py ADDRESS:PORT [--workers N] [--loop asyncio|uvloop]

A protocol, not streams: half as dear, and what both loops' documentation advises for speed. TCP_NODELAY is what both
set by themselves. Workers are processes on one port (SO_REUSEPORT), as threads would share one interpreter lock; the kernel
deals connections out by a hash, so they do not get exactly as many each.
"""

import argparse
import asyncio
import os
import signal
import socket
import sys


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)

    # What the peer does not take must not pile up here.
    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()


def listener(address, shared):
    host, port = address.rsplit(":", 1)
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.bind((host, int(port)))
    s.setblocking(False)
    return s


def serve(new_loop, s, children=()):
    loop = new_loop()
    stopped = loop.create_future()
    loop.add_signal_handler(signal.SIGTERM, stopped.set_result, None)
    loop.run_until_complete(loop.create_server(Echo, sock=s, backlog=4096))
    if children is not None:
        print("listening on %s:%d" % s.getsockname(), flush=True)
    loop.run_until_complete(stopped)
    for pid in children or ():
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
    os._exit(0)  # thousands of connections need no farewell


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    args = parser.parse_args()
    new_loop = asyncio.new_event_loop
    if args.loop == "uvloop":
        import uvloop

        new_loop = uvloop.new_event_loop
    s = listener(args.address, args.workers > 1)
    address = "%s:%d" % s.getsockname()
    children = []
    for _ in range(1, args.workers):
        pid = os.fork()
        if pid == 0:
            s.close()
            serve(new_loop, listener(address, True), None)
        children.append(pid)
    serve(new_loop, s, children)


if __name__ == "__main__":
    sys.exit(main())
