# SPDX-License-Identifier: Apache-2.0
import asyncio


async def main():
    # show
    try:
        async with asyncio.timeout(0.01):
            try:
                async with asyncio.timeout(3600):
                    await asyncio.sleep(float("inf"))
            except TimeoutError:
                print("inner: too late")
            except asyncio.CancelledError:
                print("inner: not mine")
                raise
    except TimeoutError:
        print("outer: too late")
    # end


asyncio.run(main())
