# SPDX-License-Identifier: Apache-2.0
import asyncio


async def square(n):
    await asyncio.sleep(0.001)
    return n * n


# show
def in_thread(loop):
    future = asyncio.run_coroutine_threadsafe(square(7), loop)
    return future.result()  # blocks the thread
# end


async def main():
    # show
    loop = asyncio.get_running_loop()
    r = await asyncio.to_thread(in_thread, loop)
    print(r)
    # end


asyncio.run(main())
