# SPDX-License-Identifier: Apache-2.0
import asyncio
import errno
import os


# show
async def square(n):
    return n * n


async def main(n):
    r = await square(n)  # no task
    return r + 1


async def failing():
    raise OSError(errno.EIO, os.strerror(errno.EIO))


print(asyncio.run(main(3)))
try:
    asyncio.run(failing())
except OSError as error:
    print(error.strerror)
# end
