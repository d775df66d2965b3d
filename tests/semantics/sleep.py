# SPDX-License-Identifier: Apache-2.0
import asyncio


async def main():
    loop = asyncio.get_running_loop()
    # show
    began = loop.time()
    await asyncio.sleep(0.01)

    # loop.time() may lag by the resolution of the clock
    if loop.time() - began >= 0.0099:
        print("10 ms later")
    await asyncio.sleep(0)
    # end


asyncio.run(main())
