# SPDX-License-Identifier: Apache-2.0
import asyncio


async def square(n):
    return n * n


async def waiting():
    await asyncio.sleep(float("inf"))


async def main():
    # show
    tasks = [
        asyncio.create_task(waiting()),
        asyncio.create_task(square(3)),
    ]
    done, pending = await asyncio.wait(
        tasks, return_when=asyncio.FIRST_COMPLETED
    )
    print(len(done), "has ended")
    for task in tasks:
        if task in pending:
            task.cancel()
        try:
            print(await task)
        except asyncio.CancelledError:
            print("cancelled")
    # end


asyncio.run(main())
