# SPDX-License-Identifier: Apache-2.0
import asyncio


# show
async def background(begun):
    begun.set_result(None)
    try:
        await asyncio.sleep(float("inf"))
    except asyncio.CancelledError:
        print("background: cancelled")
        raise


async def main():
    begun = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(background(begun))
    await begun
    print("main: returns")
# end


asyncio.run(main())
print("run: returned")
