# SPDX-License-Identifier: Apache-2.0
import asyncio


# show
async def work(begun):
    begun.set_result(None)
    try:
        await asyncio.sleep(float("inf"))
    except asyncio.CancelledError:
        task = asyncio.current_task()
        print("requests:", task.cancelling())
        print("requests left:", task.uncancel())
    await asyncio.sleep(0.001)
    return 42
# end


async def main():
    begun = asyncio.get_running_loop().create_future()
    # show
    task = asyncio.create_task(work(begun))
    await begun
    task.cancel()
    print(await task)
    # end


asyncio.run(main())
