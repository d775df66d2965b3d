# SPDX-License-Identifier: Apache-2.0
import asyncio


# show
class Stop(Exception):
    pass


async def worker(begun):
    begun.set_result(None)
    try:
        await asyncio.sleep(float("inf"))
    except asyncio.CancelledError:
        print("worker: cancelled")
        raise
# end


async def main():
    begun = asyncio.get_running_loop().create_future()
    # show
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(worker(begun))
            await begun
            raise Stop
    except* Stop:
        print("group: 0")
    # end


asyncio.run(main())
