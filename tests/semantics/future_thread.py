# SPDX-License-Identifier: Apache-2.0
import asyncio
import threading


# show
def compute(loop, future):
    loop.call_soon_threadsafe(future.set_result, 42)
# end


async def main():
    # show
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    thread = threading.Thread(
        target=compute, args=(loop, future)
    )
    thread.start()
    print(await future)
    thread.join()
    # end


asyncio.run(main())
