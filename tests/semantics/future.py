# SPDX-License-Identifier: Apache-2.0
import asyncio


async def main():
    # show
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    loop.call_later(0.01, future.set_result, 42)
    print(await future)
    try:
        future.set_result(43)
    except asyncio.InvalidStateError:
        print("once only")
    # end


asyncio.run(main())
