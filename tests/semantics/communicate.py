# SPDX-License-Identifier: Apache-2.0
import asyncio
from asyncio.subprocess import PIPE


# show
async def main():
    p = await asyncio.create_subprocess_exec(
        "sort", "-u", stdin=PIPE, stdout=PIPE)
    out, _ = await p.communicate(b"b\na\nb\n")
    print(out.decode(), end="")
    print("sort:", p.returncode)

    p = await asyncio.create_subprocess_exec("sleep", "1000")
    p.terminate()
    print("sleep:", await p.wait())

    try:
        await asyncio.create_subprocess_exec("no-such-program")
    except FileNotFoundError:
        print("no such program")
# end


asyncio.run(main())
