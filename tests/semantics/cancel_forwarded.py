# SPDX-License-Identifier: Apache-2.0
import asyncio


# show
async def inner(begun):
    begun.set_result(None)
    try:
        await asyncio.sleep(float("inf"))
    except asyncio.CancelledError:
        print("inner: cancelled")
        raise


async def outer(begun):
    try:
        return await asyncio.create_task(inner(begun))
    except asyncio.CancelledError:
        print("outer: cancelled")
        raise
# end


async def main():
    begun = asyncio.get_running_loop().create_future()
    # show
    task = asyncio.create_task(outer(begun))
    await begun
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        print("main: it was cancelled")
    # end


asyncio.run(main())
