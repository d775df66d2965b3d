# SPDX-License-Identifier: Apache-2.0
import asyncio


# show
class Counter:
    def __init__(self):
        self.lock = asyncio.Lock()
        self.n = 0


async def increment(counter):
    async with counter.lock:
        n = counter.n
        await asyncio.sleep(0)
        counter.n = n + 1
# end


async def main():
    # show
    counter = Counter()
    tasks = [increment(counter) for _ in range(100)]
    await asyncio.gather(*tasks)
    print(counter.n)
    # end


asyncio.run(main())
