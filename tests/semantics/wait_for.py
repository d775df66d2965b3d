# SPDX-License-Identifier: Apache-2.0
import asyncio


# show
async def work(begun):
    begun.set_result(None)
    try:
        await asyncio.sleep(float("inf"))
    except asyncio.CancelledError:
        print("work: cleans up")
        raise
# end


async def main():
    begun = asyncio.get_running_loop().create_future()
    # show
    task = asyncio.create_task(work(begun))
    await begun
    try:
        await asyncio.wait_for(task, 0.01)
    except TimeoutError:
        print("main: too late")
    # end


asyncio.run(main())
