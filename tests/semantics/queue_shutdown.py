# SPDX-License-Identifier: Apache-2.0
# needs 3.13
import asyncio


# show
async def consume(queue):
    try:
        while True:
            item = await queue.get()
            print("got", item)
    except asyncio.QueueShutDown:
        print("shut down, and empty")
# end


async def main():
    queue = asyncio.Queue()
    # show
    for i in range(3):
        await queue.put(i)
    queue.shutdown()
    try:
        await queue.put(3)
    except asyncio.QueueShutDown:
        print("no more puts")
    await asyncio.create_task(consume(queue))
    # end


asyncio.run(main())
