# SPDX-License-Identifier: Apache-2.0
import asyncio


# show
async def square(n):
    return n * n
# end


async def main():
    # show
    numbers = [2, 3, 5, 7]
    r = await asyncio.gather(*(square(n) for n in numbers))
    print(*r)
    # end


asyncio.run(main())
