# SPDX-License-Identifier: Apache-2.0
import asyncio


async def square(n):
    await asyncio.sleep(0)
    return n * n


async def main():
    # show
    r = await asyncio.gather(
        square(1),
        square(2),
        square(3),
    )
    print(*r)
    # end


asyncio.run(main())
