# SPDX-License-Identifier: Apache-2.0
import asyncio


# show
async def work(begun):
    begun.set_result(None)
    try:
        await asyncio.sleep(float("inf"))
    finally:
        print("work: cleans up")
# end


async def main():
    begun = asyncio.get_running_loop().create_future()
    # show
    task = asyncio.create_task(work(begun))
    await begun
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        print("main: it was cancelled")
    # end


asyncio.run(main())
