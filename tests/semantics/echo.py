# SPDX-License-Identifier: Apache-2.0
import asyncio


# show
async def echo(reader, writer):
    try:
        while data := await reader.read(1024):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    writer.close()


async def client(port):
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port
    )
    writer.write(b"hello")
    answer = await reader.readexactly(5)
    print(answer.decode())
    writer.close()
    await writer.wait_closed()
# end


async def main():
    # show
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        await client(port)
    # end


asyncio.run(main())
