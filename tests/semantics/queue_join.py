# SPDX-License-Identifier: Apache-2.0
import asyncio


# show
async def consume(queue):
    while True:
        item = await queue.get()
        print("got", item)
        queue.task_done()
# end


async def main():
    # show
    queue = asyncio.Queue(maxsize=2)
    consumer = asyncio.create_task(consume(queue))
    for i in range(5):
        await queue.put(i)  # waits while full
    await queue.join()
    print("all done")
    consumer.cancel()
    await asyncio.gather(consumer, return_exceptions=True)
    # end


asyncio.run(main())
