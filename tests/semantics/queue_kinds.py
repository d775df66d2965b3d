# SPDX-License-Identifier: Apache-2.0
import asyncio


# show
def fill_and_drain(queue):
    for item in 2, 3, 1:
        queue.put_nowait(item)
    while True:
        try:
            print(queue.get_nowait())
        except asyncio.QueueEmpty:
            break
# end


async def main():
    # show
    fill_and_drain(asyncio.LifoQueue())
    fill_and_drain(asyncio.PriorityQueue())
    # end


asyncio.run(main())
