# SPDX-License-Identifier: Apache-2.0
import asyncio
import time


# show
def look_up(n):
    time.sleep(0.001)
    return n * 2
# end


async def main():
    # show
    r = await asyncio.to_thread(look_up, 21)
    print(r)
    # end


asyncio.run(main())
