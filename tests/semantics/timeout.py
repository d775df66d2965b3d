# SPDX-License-Identifier: Apache-2.0
import asyncio


# show
async def request():
    await asyncio.sleep(float("inf"))
    print("answered")
# end


async def main():
    # show
    try:
        async with asyncio.timeout(0.01):
            await request()
    except TimeoutError:
        print("too late")
    # end


asyncio.run(main())
