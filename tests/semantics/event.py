# SPDX-License-Identifier: Apache-2.0
import asyncio


# show
async def waiter(event):
    await event.wait()
    return 1
# end


async def main():
    # show
    event = asyncio.Event()
    tasks = [
        asyncio.create_task(waiter(event)),
        asyncio.create_task(waiter(event)),
    ]
    print("set" if event.is_set() else "not set")
    event.set()
    r = await asyncio.gather(*tasks)
    print(sum(r), "go on")
    await event.wait()  # returns at once
    event.clear()
    # end


asyncio.run(main())
