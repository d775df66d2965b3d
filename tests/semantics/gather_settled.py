# SPDX-License-Identifier: Apache-2.0
import asyncio
import errno
import os


async def square(n):
    return n * n


async def failing():
    raise OSError(errno.EIO, os.strerror(errno.EIO))


async def waiting():
    await asyncio.sleep(float("inf"))


async def main():
    # show
    tasks = [
        asyncio.create_task(square(3)),
        asyncio.create_task(failing()),
        asyncio.create_task(waiting()),
    ]
    tasks[2].cancel()
    results = await asyncio.gather(
        *tasks, return_exceptions=True
    )
    for r in results:
        if isinstance(r, asyncio.CancelledError):
            print("cancelled")
        elif isinstance(r, OSError):
            print(r.strerror)
        else:
            print(r)
    # end


asyncio.run(main())
