# SPDX-License-Identifier: Apache-2.0
import asyncio
import errno
import os


# show
async def square(n):
    await asyncio.sleep(0.001)
    return n * n


async def failing():
    raise OSError(errno.EIO, os.strerror(errno.EIO))
# end


async def main():
    # show
    three = asyncio.create_task(square(3))
    four = asyncio.create_task(square(4))
    a = await three
    b = await four
    print(a + b)
    print(await four)

    try:
        await asyncio.create_task(failing())
    except OSError as error:
        print(error.strerror)
    # end


asyncio.run(main())
