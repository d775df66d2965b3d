# SPDX-License-Identifier: Apache-2.0
# needs 3.13
import asyncio
import socket


def show(what, data):
    print(f"{what}: {len(data)} {data.decode()}".replace("\n", "$"))


# show
async def reads(reader):
    show("line", await reader.readline())
    show("until", await reader.readuntil(b";"))
    show("exactly", await reader.readexactly(4))
    show("any", await reader.readuntil((b"\n", b"!!")))
    try:
        await reader.readline()
    except ValueError:
        print("too long a line")
    try:
        await reader.readexactly(4)
    except asyncio.IncompleteReadError as error:
        show("partial", error.partial)
    show("end", await reader.readline())
# end


async def main():
    text = b"one\ntwo;four any!! a line that is far too long\nabc"
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(
        sock=ours, limit=20
    )
    _, out = await asyncio.open_connection(sock=theirs)
    out.write(text)
    out.close()
    await reads(reader)
    writer.close()


asyncio.run(main())
