# SPDX-License-Identifier: Apache-2.0
import asyncio
import errno
import os


async def failing():
    raise OSError(errno.EIO, os.strerror(errno.EIO))


async def slow(gate):
    return await gate


async def main():
    gate = asyncio.get_running_loop().create_future()
    # show
    task = asyncio.create_task(slow(gate))
    try:
        await asyncio.gather(
            task,
            failing(),
        )
    except OSError as error:
        print(error.strerror)
    print("ended" if task.done() else "goes on")
    gate.set_result(7)
    print(await task)
    # end


asyncio.run(main())
