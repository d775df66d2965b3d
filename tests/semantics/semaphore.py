# SPDX-License-Identifier: Apache-2.0
import asyncio

# show
slots = asyncio.Semaphore(2)
inside = too_many = 0


async def work():
    global inside, too_many
    async with slots:
        inside += 1
        if inside > 2:
            too_many += 1
        await asyncio.sleep(0)
        inside -= 1
# end


async def main():
    # show
    await asyncio.gather(*(work() for _ in range(100)))
    print("more than two:", too_many, "times")
    # end


asyncio.run(main())
