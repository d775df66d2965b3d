# SPDX-License-Identifier: Apache-2.0
import asyncio
import errno
import os


# show
async def sibling(begun):
    begun.set_result(None)
    try:
        await asyncio.sleep(float("inf"))
    except asyncio.CancelledError:
        print("sibling: cancelled")
        raise


async def failing(begun):
    await begun
    raise OSError(errno.EIO, os.strerror(errno.EIO))
# end


async def main():
    begun = asyncio.get_running_loop().create_future()
    # show
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(sibling(begun))
            group.create_task(failing(begun))
    except* OSError as errors:
        print("group:", errors.exceptions[0].strerror)
    # end


asyncio.run(main())
